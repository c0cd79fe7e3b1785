"""The environment that a program gets."""
import json

from harness import equal, true


def env_inside(t, flags, **more):
    done = t.run([*t.grant_project, *flags], ['/usr/bin/python3', '-S', '-c', 'import os, json; print(json.dumps(dict(os.environ)))'], env=t.env(**more))
    try:
        return json.loads(done.out)
    except ValueError:
        raise AssertionError(repr(done)) from None


def profile(t, environment):
    name = f'env-{t.project.name}'
    path = t.home / f'.config/nono/profiles/{name}.json'
    t.put(path, json.dumps({'extends': 'default', 'meta': {'name': name}, 'environment': environment, 'workdir': {'access': 'readwrite'}}))
    return ['-p', str(path)]


def test_ordinary_variables_pass(t):
    got = env_inside(t, [], EDITOR='vi', PROJECT_MODE='x=y z')
    equal({k: got.get(k) for k in ('EDITOR', 'PROJECT_MODE', 'HOME', 'USER', 'LANG')},
          {'EDITOR': 'vi', 'PROJECT_MODE': 'x=y z', 'HOME': t.alice.pw_dir, 'USER': t.alice.pw_name, 'LANG': 'C.UTF-8'})


def test_sockets_that_variables_name_are_not_reached(t):
    path = t.home / 'agent' / t.project.name / 'ssh'
    t.listen(path)
    script = ('import os, socket\ns = socket.socket(socket.AF_UNIX)\ntry: s.connect(os.environ.get("SSH_AUTH_SOCK", "/none")); print("reached")\n'
              'except OSError as e: print(e.errno)')
    with t.person(lambda p: ['deny', str(p['id'])]):
        done = t.run(t.grant_project, ['/usr/bin/python3', '-S', '-c', script], env=t.env(SSH_AUTH_SOCK=str(path)))
    true(done.out.strip() in ('13', '2'), repr(done))


def test_variables_that_load_code_do_not_pass(t):
    names = {'LD_PRELOAD': '', 'LD_AUDIT': '', 'LD_LIBRARY_PATH': '/nowhere', 'BASH_ENV': '/nowhere', 'PYTHONSTARTUP': '/nowhere', 'NODE_OPTIONS': '--no-warnings'}
    got = env_inside(t, profile(t, {'deny_vars': ['LD_*', 'BASH_ENV', 'PYTHONSTARTUP', 'NODE_OPTIONS']}), **names)
    equal([n for n in names if n in got], [])


def test_allow_list_lets_only_its_names_pass(t):
    got = env_inside(t, profile(t, {'allow_vars': ['PATH', 'HOME', 'KEEP_*']}), KEEP_THIS='1', DROP_THIS='2')
    equal((got.get('KEEP_THIS'), 'DROP_THIS' in got, 'HOME' in got, 'USER' in got), ('1', False, True, False))


def test_deny_list_takes_its_names_away(t):
    got = env_inside(t, profile(t, {'deny_vars': ['SECRET_*', 'TOKEN']}), SECRET_KEY='1', TOKEN='2', TOKENS='3')
    equal(('SECRET_KEY' in got, 'TOKEN' in got, got.get('TOKENS')), (False, False, '3'))


def test_set_variables_are_set(t):
    got = env_inside(t, profile(t, {'set_vars': {'CI': '1', 'HERE': '$WORKDIR'}}), CI='0')
    equal(got.get('CI'), '1')


def test_a_large_environment_and_many_arguments_arrive(t):
    got = env_inside(t, [], BIG='x' * 100000, **{f'N{i}': str(i) for i in range(500)})
    equal((len(got['BIG']), got['N499']), (100000, '499'))
    done = t.run(t.grant_project, ['sh', '-c', 'echo $#', 'sh', *map(str, range(5000))])
    equal(done.out.strip(), '5000')


def test_an_environment_beyond_the_limit_is_refused_with_a_message(t):
    # more than EXEC_SPEC_MAX (2 MiB); the kernel takes that much only from a program with a large stack
    script = ('import os, sys\nos.execve(sys.argv[1], [sys.argv[1], "run", "--", "true"], {**os.environ, **{f"B{i}": "x" * 120000 for i in range(20)}})')
    done = t.as_user(['sh', '-c', 'ulimit -s unlimited && exec /usr/bin/python3 -c "$0" "$1"', script, t.m.nonoctl])
    true(done.status in (125, 126) and "too large" in done.err, repr(done))
