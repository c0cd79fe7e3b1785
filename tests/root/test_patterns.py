"""Denied name patterns inside granted directories: for files that exist and for those that come later."""
import json
import os
import pathlib
import signal
import time

from harness import SECRET, Daemon, equal, eventually, one_of, true

REFUSED = ('EPERM', 'EACCES')


def patterns(t, *deny, base=None, **more):
    """Flags of a session that is granted the project, except names of these patterns."""
    path = t.home / '.config/nono/profiles' / f'{t.project.name}.json'
    t.put(path, json.dumps({'extends': base or 'default', 'meta': {'name': t.project.name},
                            'filesystem': {'allow': [str(t.project)], 'deny': list(deny or ('**/.env', '**/.envrc'))}, **more}))
    return ['--profile', t.project.name]


def secret(t, name, text=SECRET):
    return t.put(t.project / name, text)


def say(session, path):
    return session.ask(f'echo "$(head -c 200 {path} 2>&1)"')


def denied(session, path, what=''):
    line = say(session, path)
    one_of(line.rpartition(': ')[2], ('Operation not permitted', 'Permission denied'), what or str(path))


def test_existing_file_at_any_depth_cannot_be_opened_by_any_call(t):
    flags = patterns(t)
    top, deep = secret(t, '.env'), secret(t, 'a/b/c/.env')
    program = t.put(t.project / 'bin/.envrc', '#!/bin/sh\necho ran\n', 0o755)
    t.put(t.project / 'a/b/c/env', 'a neighbour')
    got = t.probe(flags, {
        'neighbour': f'read("{t.project}/a/b/c/env")', 'top': f'read("{top}")', 'deep': f'read("{deep}")',
        'relative': '(os.chdir("a/b"), read("c/.env"))', 'path': f'os.open("{top}", os.O_PATH) > 0',
        'reopened': f'read("/proc/self/fd/%d" % os.open("{top}", os.O_PATH))', 'stat': f'os.stat("{top}").st_size',
        'list': f'sorted(os.listdir("{deep.parent}"))', 'write': f'write("{top}")', 'append': f'append("{top}")',
        'both': f'os.open("{top}", os.O_RDWR)', 'truncated': f'os.open("{top}", os.O_RDONLY | os.O_TRUNC)',
        'exec': f'subprocess.run(["{program}"]).returncode', 'shell': f'run("/bin/sh", "{program}")',
        'mmap': f'__import__("mmap").mmap(os.open("{top}", os.O_RDONLY), 0)[:4]',
        'sendfile': f'__import__("shutil").copy("{top}", "/tmp/x")', 'unlink': f'os.unlink("{top}")', 'again': f'read("{top}")',
        'openat2': f'call(437, -100, ctypes.c_char_p(b"{top}"), (ctypes.c_uint64 * 3)(0, 0, 0), ctypes.c_size_t(24))',
    })
    equal((got.pop('neighbour'), got.pop('stat'), got.pop('list'), got.pop('path'), got.pop('shell')),
          ('a neighbour', len(SECRET), ['.env', 'env'], True, ''))
    for what, result in got.items():
        one_of(result, REFUSED, what)
    equal((top.read_text(), deep.read_text()), (SECRET, SECRET), 'the files on the host')


def test_file_that_the_host_makes_later_is_denied_and_its_neighbours_are_not(t):
    session = t.shell(patterns(t))
    denied(session, secret(t, '.env'))
    denied(session, secret(t, 'new/deep/.env'))
    equal(say(session, t.put(t.project / 'new/deep/env', 'fine')), 'fine')


def test_session_cannot_make_a_denied_name(t):
    t.put(t.project / 'plain', 'own')
    p = t.project
    got = t.probe(patterns(t), {
        'create': f'write("{p}/.env")', 'exclusive': f'os.open("{p}/.env", os.O_CREAT | os.O_EXCL | os.O_WRONLY)',
        'relative': '(os.mkdir("d"), os.chdir("d"), write(".env"))', 'mkdir': f'os.mkdir("{p}/.envrc")',
        'symlink': f'os.symlink("plain", "{p}/.env")', 'mknod': f'os.mknod("{p}/.env")', 'fifo': f'os.mkfifo("{p}/.env")',
        'rename': f'os.rename("{p}/plain", "{p}/.env")', 'link': f'os.link("{p}/plain", "{p}/.env")',
        'exchange': f'call(316, -100, b"{p}/plain", -100, b"{p}/.env", 2)', 'plain': f'read("{p}/plain")',
    })
    equal(got.pop('plain'), 'own')
    for what, result in got.items():
        one_of(result, REFUSED, what)
    equal(sorted(x.name for x in p.rglob('.env*')), [])


def test_renaming_linking_and_moving_gain_nothing(t):
    flags = patterns(t, '**/.env', '**/keys/*.pem')
    p = t.project
    env, pem = secret(t, '.env'), secret(t, 'keys/a.pem')
    t.put(p / 'plain', 'own')
    got = t.probe(flags, {
        'rename': f'os.rename("{env}", "{p}/x")', 'link': f'os.link("{env}", "{p}/x")', 'over': f'os.rename("{p}/plain", "{env}")',
        'exchange': f'call(316, -100, b"{env}", -100, b"{p}/plain", 2)',
        'descriptor': f'os.link("/proc/self/fd/%d" % os.open("{env}", os.O_PATH), "{p}/x", follow_symlinks=True)',
        'descriptor2': f'call(265, -100, b"/proc/self/fd/%d" % os.open("{env}", os.O_PATH), -100, b"{p}/x", 0x400)',
        'empty': f'call(265, os.open("{env}", os.O_PATH), b"", -100, b"{p}/x", 0x1000)',
        'folder': f'os.rename("{p}/keys", "{p}/other")', 'pem': f'read("{p}/other/a.pem")', 'key': f'read("{pem}")',
        'symlink': f'(os.symlink(".env", "{p}/soft"), read("{p}/soft"))', 'unlinked': f'os.unlink("{env}")',
    })
    equal(got.pop('pem'), 'ENOENT')
    one_of(got.pop('empty'), ('ENOENT', *REFUSED))
    one_of(got.pop('descriptor'), ('ENOENT', 'EXDEV', *REFUSED))
    for what, result in got.items():
        one_of(result, REFUSED, what)
    equal((env.read_text(), pem.read_text(), (p / 'x').exists()), (SECRET, SECRET, False))


def test_what_else_is_renamed_and_linked_works_as_ever(t):
    p = t.project
    t.put(p / 'one', '1')
    t.put(p / 'two', '2')
    t.put(p / 'd/inner', 'i')
    got = t.probe(patterns(t, '**/.env', '**/keys/*.pem'), {
        'rename': f'os.rename("{p}/one", "{p}/uno")', 'read': f'read("{p}/uno")', 'over': f'os.rename("{p}/uno", "{p}/two")',
        'two': 'read("two")', 'missing': 'os.rename("none", "some")', 'folder': 'os.rename("d", "e")', 'inner': 'read("e/inner")',
        'into': 'os.rename("two", "e/two")', 'noreplace': f'(write("b"), call(316, -100, b"b", -100, b"e/two", 1))',
        'link': 'os.link("b", "c")', 'exists': 'os.link("b", "c")', 'same': 'read("c")', 'notdir': 'os.rename("b/", "x")',
        'exchange': '(call(316, -100, b"b", -100, b"e/two", 2), read("b"))', 'dot': 'os.rename("e/.", "f")',
        'trailing': '(os.rename("e/", "f/"), read("f/inner"))', 'file over folder': 'os.rename("b", "f")',
        'own': '(write("/tmp/a"), os.rename("/tmp/a", "/tmp/.env"), read("/tmp/.env"))', 'across': 'os.rename("/tmp/.env", "b")',
        'tmpfile': '(lambda f: (os.write(f, b"t"), call(265, -100, b"/proc/self/fd/%d" % f, -100, b"named", 0x400), read("named"))[2])'
                   '(os.open(".", os.O_TMPFILE | os.O_RDWR, 0o600))',
        'long': 'os.rename("b", "x" * 300)', 'up': 'os.rename("..", "x")',
    })
    equal(got, {'rename': 'ok', 'read': '1', 'over': 'ok', 'two': '1', 'missing': 'ENOENT', 'folder': 'ok', 'inner': 'i', 'into': 'ok',
                'noreplace': 'EEXIST', 'link': 'ok', 'exists': 'EEXIST', 'same': 'written inside\n', 'notdir': 'ENOTDIR',
                'exchange': [0, '1'], 'dot': 'EBUSY', 'trailing': [None, 'i'], 'file over folder': 'EISDIR',
                'own': [None, None, 'written inside\n'], 'across': 'EXDEV', 'tmpfile': 't', 'long': 'ENAMETOOLONG', 'up': 'EBUSY'})


def test_other_name_of_a_denied_file_is_denied(t):
    env = secret(t, '.env')
    os.link(env, t.project / 'plain')
    t.put(t.project / 'pair', 'fine')
    os.link(t.project / 'pair', t.project / 'pair2')
    session = t.shell(patterns(t))
    denied(session, t.project / 'plain')
    equal(say(session, t.project / 'pair2'), 'fine')
    late = secret(t, 'sub/.envrc')                          # with its second name only after the start
    os.link(late, t.project / 'sub/second')
    denied(session, late)
    denied(session, t.project / 'sub/second')


def test_what_the_host_renames_to_and_from_a_denied_name(t):
    env, plain = secret(t, '.env', 'old'), t.put(t.project / 'plain', 'harmless')
    session = t.shell(patterns(t))
    denied(session, env)
    equal(say(session, plain), 'harmless')
    equal(say(session, plain), 'harmless', 'a second time')
    other = t.put(t.project / '.env.new', SECRET)
    other.rename(env)                                       # as an editor saves
    denied(session, env, 'replaced by a rename')
    plain.rename(env)                                       # a file that could be read a moment ago

    def again():
        return 'harmless' not in say(session, env)
    eventually(again, 'an allow is forgotten when its file gets a denied name', 2)
    env.rename(plain)
    equal(say(session, plain), 'harmless', 'with a name that is not denied')


def test_racing_renames_never_take_the_name_off(t):
    """One thread renames in a loop while another rewrites the name in its memory: the kernel never sees the second text."""
    env = secret(t, '.env')
    t.put(t.project / 'plai', 'own')
    script = '''
import ctypes, threading, time, os
libc = ctypes.CDLL(None, use_errno=True)
name = ctypes.create_string_buffer(b".env", 8)
stop = False
def flip():
    while not stop:
        name.value = b"plai"; name.value = b".env"
threading.Thread(target=flip, daemon=True).start()
end = time.monotonic() + 3
while time.monotonic() < end:
    libc.rename(name, b"x"); libc.rename(b"x", b"plai"); libc.link(name, b"y"); libc.unlink(b"y")
stop = True
for n in ("plai", "x", "y"):
    try: print(n, open(n).read())
    except OSError as e: print(n, e.errno)
'''
    done = t.run(patterns(t), ['/usr/bin/python3', '-I', '-S', '-c', script])
    true(SECRET not in done.out and 'plai own' in done.out, repr(done))
    equal(env.read_text(), SECRET)


def test_others_see_what_they_always_saw(t):
    env = secret(t, '.env')
    session = t.shell(patterns(t))
    denied(session, env)
    equal(t.as_user(['cat', str(env)]).out, SECRET, 'the host')
    equal(t.sh(t.grant_project, f'cat {env}').out, SECRET, 'another session of the same folder')
    denied(session, env)


def test_live_grant_is_judged_too(t):
    folder = t.project.parent / f'{t.project.name}-more'
    env = t.put(folder / 'sub/.env', SECRET)
    t.put(folder / 'sub/plain', 'fine')
    session = t.shell(patterns(t))
    t.ctl_ok('grant', session.id, str(folder))
    equal(say(session, folder / 'sub/plain'), 'fine')
    denied(session, env)


def test_git_and_a_compile_work_in_such_a_folder(t):
    t.put(t.project / 'a.c', '#include <stdio.h>\n#include "b.h"\nint main(void) { puts(TEXT); return 0; }\n')
    t.put(t.project / 'b.h', '#define TEXT "works"\n')
    t.put(t.project / '.gitignore', '.env\n')
    secret(t, '.env')
    done = t.sh(patterns(t), 'git init -q . && git add -A && git -c user.name=a -c user.email=a@example.org commit -qm one && '
                             'git status --short && gcc -o a a.c && ./a && touch a.c && git status --short && git gc -q && git log --oneline',
                timeout=60)
    true(done.status == 0 and 'works' in done.out, repr(done))


def sentry_of(t):
    found = [pid for pid in t.daemon.descendants() if pathlib.Path(f'/proc/{pid}/comm').read_text().strip() == 'nono-sentry']
    equal(len(found), 1, 'sentries')
    return found[0]


def test_death_of_the_sentry_ends_the_session(t):
    env = secret(t, '.env')
    session = t.shell(patterns(t))
    denied(session, env)
    pid = sentry_of(t)
    os.kill(pid, signal.SIGSTOP)
    session.say(f'head -c 99 {env}; echo; echo done')       # waits for an answer that does not come
    time.sleep(0.3)
    os.kill(pid, signal.SIGKILL)
    session.wait()
    true(SECRET.encode() not in session.out_buffer + session.process.stdout.read(), 'nothing was read')
    t.gone()


def test_stopped_sentry_holds_opens_up_and_the_session_can_be_stopped(t):
    env = secret(t, '.env')
    session = t.shell(patterns(t))
    pid = sentry_of(t)
    os.kill(pid, signal.SIGSTOP)
    session.say(f'head -c 99 {env}; echo')
    time.sleep(0.3)
    equal(session.out_buffer, b'')
    t.ctl_ok('stop', '--force', session.id)
    session.wait()
    t.gone()


def test_patterns_hold_when_broker_or_service_died(t):
    env = secret(t, '.env')
    session = t.shell(patterns(t))
    for comm in ('nono-broker',):
        for pid in t.daemon.descendants():
            if pathlib.Path(f'/proc/{pid}/comm').read_text().strip() == comm:
                os.kill(pid, signal.SIGKILL)
    time.sleep(0.2)
    denied(session, env)
    equal(session.ask(f'cat {t.project}/hello.txt'), 'hello')
    denied(session, secret(t, 'later/.env'))


def test_file_of_a_read_only_grant_is_judged_too(t):
    folder = t.project.parent / f'{t.project.name}-ro'
    env = t.put(folder / '.env', SECRET)
    t.put(folder / 'plain', 'fine')
    path = t.home / '.config/nono/profiles' / f'{t.project.name}.json'
    t.put(path, json.dumps({'extends': 'default', 'meta': {'name': t.project.name},
                            'filesystem': {'allow': [str(t.project)], 'read': [str(folder)], 'deny': ['**/.env']}}))
    got = t.probe(['--profile', t.project.name], {'plain': f'read("{folder}/plain")', 'env': f'read("{env}")', 'write': f'write("{env}")',
                                                 'rename': f'os.rename("{env}", "{folder}/x")', 'link': f'os.link("{env}", "{t.project}/x")'})
    equal(got.pop('plain'), 'fine')
    for what, result in got.items():
        one_of(result, REFUSED, what)


# exec of the rest, with one system call that answers EINVAL as an older or smaller kernel would
WITHOUT = """
import ctypes, os, sys
code = b"".join(i.to_bytes(2, "little") + bytes([jt, jf]) + k.to_bytes(4, "little") for i, jt, jf, k in
                [(0x20, 0, 0, 0), (0x15, 0, 1, int(sys.argv[1])), (0x06, 0, 0, 0x00050016), (0x06, 0, 0, 0x7fff0000)])
class Prog(ctypes.Structure):
    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_char_p)]
libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(22, 2, ctypes.byref(Prog(4, code)), 0, 0): raise OSError(ctypes.get_errno(), "seccomp")
os.execv(sys.argv[2], sys.argv[2:])
"""


def test_kernel_without_permission_events_starts_no_session_that_needs_them(t):
    secret(t, '.env')
    flags = patterns(t)
    for number in {'x86_64': (300, 301), 'aarch64': (262, 263)}[os.uname().machine]:    # fanotify_init, fanotify_mark
        daemon = Daemon(t.m, f'without-{number}')
        argv = daemon.argv()
        daemon.argv = lambda: ['/usr/bin/python3', '-I', '-S', '-c', WITHOUT, str(number), *map(str, argv)]
        t.undo.append(daemon.stop)
        env = t.env(NONO_SOCKET=str(daemon.socket))
        daemon.start(lambda: t.ctl('ps', env=env).status == 0)
        done = t.sh(flags, 'cat .env', env=env)
        equal((done.status, done.out), (125, ''), repr(done))
        true('this kernel cannot judge single opens' in done.err, repr(done))
        equal(t.sh(t.grant_project, 'cat hello.txt', env=env).out, 'hello\n', 'a session without patterns')
        equal(t.sessions(env=env), [])


def test_nothing_is_read_in_the_moment_the_daemon_is_killed(t):
    env_file = secret(t, '.env')
    flags = patterns(t)
    second = Daemon(t.m, 'patterns')
    t.undo.append(second.stop)
    env = t.env(NONO_SOCKET=str(second.socket))
    second.start(lambda: t.ctl('ps', env=env).status == 0)
    loop = f'(while :; do head -c 99 {env_file} 2>/dev/null; done) & while :; do head -c 99 {env_file} 2>/dev/null; done'
    session = t.start(flags, ['sh', '-c', f'echo ready; {loop}'], env=env)
    equal(session.line(), 'ready')
    time.sleep(0.3)
    second.process.kill()
    second.process.wait()
    out = session.process.stdout.read()
    true(SECRET.encode() not in session.out_buffer + out, repr(out[:200]))
    second.start(lambda: t.ctl('ps', env=env).status == 0)      # it removes what the killed one left


def test_racing_names_of_opens_and_host_files_that_come_and_go(t):
    """The host replaces the denied file again and again; a program reads whatever it can get by every name, all the time."""
    env = secret(t, '.env')
    session = t.start(patterns(t), ['sh', '-c', f'echo ready; end=$(($(date +%s) + 4)); while [ $(date +%s) -lt $end ]; do '
                                                f'cat {env} {t.project}/.env.tmp* 2>/dev/null; done; echo over'])
    equal(session.line(), 'ready')
    end = time.monotonic() + 2.5
    n = 0
    while time.monotonic() < end:
        n += 1
        t.put(t.project / 'hidden/.env', f'{SECRET}-{n}').rename(env)    # never seen under another name
        env.unlink(missing_ok=True)
        t.put(env, f'{SECRET}-{n}')
    rest = session.process.stdout.read()
    true(n > 100 and SECRET.encode() not in rest and rest.endswith(b'over\n'), f'{n} {rest[:200]!r}')
