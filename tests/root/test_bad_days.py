"""Bad days: whatever dies or lies, an access only ever shrinks, nothing is left behind, and other sessions go on."""
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

import machine
from harness import SECRET, Daemon, Failure, Skip, equal, eventually, one_of, true


def waiting(t, session, path):
    session.say(f'cat {path}')
    return t.prompt(path)


def broker_of(t, session):
    """The process of alice's between the monitor and the session's init."""
    pid = session.info['pid']
    tree = t.daemon.descendants()
    while pid in tree and tree[pid][0] != t.daemon.process.pid:
        pid = tree[pid][0]
    true(pid in tree, 'the session descends from the monitor')
    return pid


# processes that die --------------------------------------------------------------------------------------------------


def test_client_killed_while_the_program_runs(t):
    other, victim = t.shell(), t.shell()
    true(victim.id, 'it runs')
    victim.process.kill()
    eventually(lambda: not victim.is_listed(), 'its session ends')
    equal(other.ask('echo on'), 'on')


def test_client_killed_while_a_request_waits(t):
    other, victim = t.shell(), t.shell()
    waiting(t, victim, t.outside('a.txt'))
    victim.process.kill()
    eventually(lambda: not t.prompts(), 'the question goes with it')
    eventually(lambda: not victim.is_listed(), 'its session ends')
    equal(other.ask('echo on'), 'on')


def test_client_killed_at_many_moments_of_the_start(t):
    other = t.shell()
    for delay in [i / 1000 for i in range(0, 40, 2)]:
        process = subprocess.Popen(t.m.argv_as(t.alice, [t.m.nonoctl, 'run', *t.grant_project, '--', 'sleep', '1000']), env=t.env(),
                                   cwd=t.project, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(delay)
        process.kill()
        process.wait()
    eventually(lambda: len(t.sessions()) == 1, f'all of them end; there are {len(t.sessions())}')
    equal(other.ask('echo on'), 'on')


def test_client_stopped_for_a_while_loses_nothing(t):
    session = t.shell()
    true(session.id, 'it runs')
    session.process.send_signal(signal.SIGSTOP)
    session.say('echo said meanwhile')
    time.sleep(0.5)
    equal(t.ctl('ps').status, 0, 'the daemon serves others')
    session.process.send_signal(signal.SIGCONT)
    equal(session.line(), 'said meanwhile')


def test_broker_killed_only_shrinks_access(t):
    folder = t.put(t.home / 'data' / t.project.name / 'x', 'x\n').parent
    secret = t.outside('a.txt')
    other, victim = t.shell(), t.shell([*t.grant_project, '--read', str(folder)])
    os.kill(broker_of(t, victim), signal.SIGKILL)
    time.sleep(0.3)
    if victim.process.poll() is None:                   # it may go on with what it has, or end
        true(SECRET not in victim.ask(f'cat {secret}'), 'more can be read than before')
        equal(victim.ask(f'cat {folder}/x'), 'x', 'what was granted goes on')
    equal(other.ask('echo on'), 'on')
    victim.end()
    eventually(lambda: not victim.is_listed(), 'its session ends')


def test_broker_killed_while_a_request_waits(t):
    secret = t.outside('a.txt')
    other, victim = t.shell(), t.shell()
    waiting(t, victim, secret)
    os.kill(broker_of(t, victim), signal.SIGKILL)
    eventually(lambda: not t.prompts(), 'the question is gone')
    if victim.process.poll() is None:
        try:
            true(SECRET not in victim.line(10), 'the access was let through')
        except Failure:
            pass                                        # older kernels keep the walker until the session ends
    equal(other.ask('echo on'), 'on')
    victim.end()


def test_init_of_a_session_killed(t):
    other, victim = t.shell(), t.shell()
    pid = victim.info['pid']
    os.kill(pid, signal.SIGKILL)
    one_of(victim.process.wait(10), (125, 128 + 9), 'status')
    equal(other.ask('echo on'), 'on')


def test_service_killed_is_replaced_and_access_only_shrinks(t):
    secret = t.outside('a.txt')
    time.sleep(1.2)                                     # one that dies in its first second cannot live: that ends the daemon
    session, asking = t.shell(), t.shell()
    inits = [session.info['pid'], asking.info['pid']]
    waiting(t, asking, secret)
    before = t.daemon.service_pid()
    os.kill(before, signal.SIGKILL)
    eventually(lambda: t.ctl('ps').status == 0 and t.daemon.service_pid() != before, 'a new one answers')
    equal(t.prompts(), [], 'what waited is denied')
    adopted = t.sessions()
    equal(sorted(s['pid'] for s in adopted), sorted(inits), 'the new one lists what still runs')
    equal(t.sh(t.grant_project, 'echo new session').out, 'new session\n')
    for s in adopted:
        t.ctl_ok('stop', s['id'], '--force')
    eventually(lambda: not t.sessions(), 'and can end it')
    for s in (session, asking):
        one_of(s.process.wait(10), (125, 137), 'the client says that it lost the daemon')
        true(SECRET not in s.out_buffer.decode(), 'more was read than before')


def test_service_that_cannot_live_ends_the_daemon(t):
    t.daemon.stop()
    t.suite.ensure()
    session = t.shell()
    os.kill(t.daemon.service_pid(), signal.SIGKILL)     # in its first second
    equal(t.daemon.process.wait(10), 1)
    one_of(session.process.wait(10), (125, 137), 'the client ends')
    t.daemon.process = None
    session.end()
    t.suite.ensure()
    t.nothing_left()


def test_monitor_killed_ends_every_session(t):
    session, other = t.shell(), t.shell()
    ids = session.id, other.id
    tree = list(t.daemon.descendants())
    started = {pid: machine.start_time(pid) for pid in tree}
    waiting(t, session, t.outside('a.txt'))
    t.daemon.process.kill()
    t.daemon.process.wait()
    one_of(session.process.wait(10), (125, 137), 'the client says so')
    eventually(lambda: not [p for p in tree if machine.start_time(p) == started[p] and started[p]], f'all {len(tree)} processes end ({ids})')
    equal([m for m in machine.mounts() if m[0] == 'autofs' and m[2].startswith('nono')], [])
    # a killed process cannot remove its own folders; the next one does
    session.end(), other.end()
    t.suite.ensure()
    equal(t.sessions(), [])
    t.nothing_left()


def test_daemon_ends_at_SIGTERM_with_sessions_and_questions(t):
    session = t.shell()
    waiting(t, session, t.outside('a.txt'))
    equal(t.daemon.stop(), 0)
    true(session.process.wait(10) != 0, 'the client ends')
    t.nothing_left()


def test_two_daemons_side_by_side_do_not_touch_each_other(t):
    second = Daemon(t.m, 'second')
    t.undo.append(lambda: second.stop())
    env = t.env(NONO_SOCKET=str(second.socket))
    second.start(lambda: t.ctl('ps', env=env).status == 0)
    first_session = t.shell()
    second_session = t.start(t.grant_project, ['sh', '-c', 'echo ready; while read -r line; do eval "$line" 2>&1; done'], env=env)
    equal(second_session.line(), 'ready')
    equal((len(t.sessions()), len(t.sessions(env=env))), (1, 1))
    second.process.kill()
    second.process.wait()
    equal(first_session.ask('echo on'), 'on')
    second_session.end()
    second.start(lambda: t.ctl('ps', env=env).status == 0)      # it removes what the killed one left


def test_a_second_daemon_on_the_same_folder_refuses_to_start(t):
    session = t.shell()
    done = subprocess.run([str(a) for a in t.daemon.argv()], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20)
    equal(done.returncode, 1, done.stderr)
    true('another nonod' in done.stderr, done.stderr)
    equal(session.ask('echo on'), 'on')
    equal(t.ctl('ps').status, 0, 'the socket is still there')


def test_daemon_says_what_to_do_without_its_user(t):
    done = subprocess.run(['unshare', '--mount', 'sh', '-c', 'sed /^nono:/d /etc/passwd >"$0/passwd" && mount --bind "$0/passwd" /etc/passwd && exec "$@"',
                           str(t.folder), *map(str, t.daemon.argv())], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20)
    equal(done.returncode, 1, done.stderr)
    true('useradd' in done.stderr and 'nono' in done.stderr, done.stderr)


# things that lie or vanish -------------------------------------------------------------------------------------------


def test_working_directory_deleted_before_the_start(t):
    gone = t.put_folder(t.home / 'src' / f'{t.project.name}-gone')
    done = t.as_user(['sh', '-c', 'cd "$1" && rmdir "$1" && exec "$0" run --allow /tmp -- true', t.m.nonoctl, gone])
    equal(done.status, 125, repr(done))
    true(done.err.strip(), 'it says why')


def test_working_directory_deleted_while_the_program_runs(t):
    session = t.shell()
    shutil.rmtree(t.project)
    t.undo.append(lambda: t.project.mkdir())            # nonoctl is run from here
    equal(session.ask('ls | wc -l'), '0')
    true('No such file' in session.ask('touch new'), 'nothing can be made in it')
    equal(session.ask('echo on'), 'on')


def test_workdir_flag_that_is_no_folder_is_our_own_error(t):
    for path in (t.project / 'hello.txt', t.project / 'none', '/root/none'):
        done = t.ctl('run', '--workdir', str(path), '--', 'true')
        equal(done.status, 125, f'{path}: {done}')


def test_granted_path_that_does_not_exist_is_told_or_made_never_ignored(t):
    missing = t.home / 'none' / t.project.name
    done = t.run([*t.grant_project, '--read', str(missing)], ['true'])
    one_of(done.status, (0, 125), repr(done))
    true(str(missing.name) in done.err, f'nothing is said about it: {done}')


def special(t):
    folder = t.put_folder(t.home / 'odd' / t.project.name)
    os.mkfifo(folder / 'fifo')
    os.mknod(folder / 'device', 0o666 | 0o020000, os.makedev(1, 3))
    os.mknod(folder / 'disk', 0o666 | 0o060000, os.makedev(7, 200))
    s = socket.socket(socket.AF_UNIX)
    s.bind(str(folder / 'socket'))
    s.close()
    os.symlink('nowhere', folder / 'dangling')
    os.symlink('loop', folder / 'loop')
    for name in os.listdir(folder):
        os.chown(folder / name, t.alice.pw_uid, t.alice.pw_gid, follow_symlinks=False)
    return folder


def test_odd_files_outside_the_grants_never_hang_and_never_open(t):
    folder = special(t)
    started = time.monotonic()
    got = t.probe(t.grant_project, {name: f'os.open("{folder}/{name}", os.O_RDONLY | os.O_NONBLOCK)' for name in sorted(os.listdir(folder))}, timeout=60)
    true(time.monotonic() - started < 40, 'it took too long')
    for what, result in got.items():
        one_of(result, ('EACCES', 'ENOENT', 'ELOOP'), what)


def test_odd_files_that_are_approved(t):
    folder = special(t)
    got = t.probe(t.grant_project, {
        'fifo': f'os.open("{folder}/fifo", os.O_RDONLY | os.O_NONBLOCK) > 2', 'device': f'os.open("{folder}/device", os.O_RDONLY) > 2',
        'disk': f'os.open("{folder}/disk", os.O_RDONLY) > 2', 'dangling': f'read("{folder}/dangling")', 'loop': f'read("{folder}/loop")',
    }, answer=lambda p: ['approve', str(p['id']), '--for', 'session'], timeout=60)
    # grants are nodev: a device node is never more than a name
    equal((got['device'], got['disk']), ('EACCES', 'EACCES'))
    one_of(got['dangling'], ('ENOENT', 'EACCES'), 'dangling')
    one_of(got['loop'], ('ELOOP', 'EACCES', 'ENOENT'), 'loop')


def test_odd_files_as_grants(t):
    folder = special(t)
    for name in os.listdir(folder):
        done = t.run([*t.grant_project, '--read-file', str(folder / name)], ['true'])
        one_of(done.status, (0, 125), f'{name}: {done}')


def test_file_swapped_for_a_link_while_the_person_decides(t):
    a, secret = t.outside('a.txt', 'harmless\n'), t.home / '.ssh/id_rsa'
    session = t.shell()
    prompt = waiting(t, session, a)
    a.unlink()
    os.symlink(secret, a)
    t.ctl('approve', str(prompt['id']), '--scope', 'file', '--for', 'session')
    line = session.line()
    true(SECRET not in line, f'the approval reached another object: {line}')


def test_folder_swapped_for_another_while_the_person_decides(t):
    a = t.outside('a.txt', 'harmless\n')
    session = t.shell()
    prompt = waiting(t, session, a)
    kept = a.parent.with_name(a.parent.name + '-kept')
    a.parent.rename(kept)
    os.symlink(t.home / '.aws', a.parent)
    t.ctl('approve', str(prompt['id']), '--scope', 'folder', '--for', 'session')
    session.line()
    got = session.ask(f'cat {a.parent}/credentials')
    true(SECRET not in got, f'the approval reached another object: {got}')


BROKEN_PROFILES = {
    'not JSON': ('{\n  "extends": "default",\n  oops\n}', 3),
    'not closed': ('{\n  "extends": "default"', None),
    'empty': ('', None),
    'unknown key': ('{\n  "extends": "default",\n  "filesistem": {}\n}', 3),
    'unknown key below': ('{\n  "extends": "default",\n  "filesystem": {\n    "alow": []\n  }\n}', 4),
    'duplicate key': ('{\n  "extends": "default",\n  "extends": "default"\n}', 3),
    'wrong type': ('{\n  "extends": "default",\n  "filesystem": {\n    "allow": "/tmp"\n  }\n}', 4),
    'missing group': ('{\n  "extends": "default",\n  "groups": {\n    "include": ["no_such_group"]\n  }\n}', 4),
    'missing base': ('{\n  "extends": "no-such-profile"\n}', 2),
    'dots in a path': ('{\n  "extends": "default",\n  "filesystem": {\n    "allow": ["/a/../b"]\n  }\n}', 4),
    'relative path': ('{\n  "extends": "default",\n  "filesystem": {\n    "allow": ["relative"]\n  }\n}', 4),
    'NUL in a path': ('{\n  "extends": "default",\n  "filesystem": {\n    "allow": ["/a\\u0000b"]\n  }\n}', 4),
    'two values': ('{"extends": "default"}\n{}', 2),
}


def test_broken_profiles_are_refused_with_file_line_and_column(t):
    import re
    for what, (text, line) in BROKEN_PROFILES.items():
        path = t.put(t.home / '.config/nono/profiles' / f'broken-{t.project.name}.json', text)
        done = t.run(['-p', str(path)], ['true'])
        equal(done.status, 125, f'{what}: {done}')
        found = re.search(re.escape(path.name) + r':(\d+):(\d+)', done.err)
        true(found, f'{what}: no file:line:column in {done.err!r}')
        if line:
            equal(int(found.group(1)), line, f'{what}: {done.err!r}')
    path.write_bytes(b'{"extends": "\xff\xfe"}')
    done = t.run(['-p', str(path)], ['true'])
    true(done.status == 125 and path.name in done.err, f'not UTF-8: {done}')


def test_profiles_that_extend_each_other_are_refused(t):
    folder = t.home / '.config/nono/profiles'
    a, b = f'a-{t.project.name}', f'b-{t.project.name}'
    t.put(folder / f'{a}.json', json.dumps({'extends': b, 'meta': {'name': a}}))
    t.put(folder / f'{b}.json', json.dumps({'extends': a, 'meta': {'name': b}}))
    done = t.run(['-p', str(folder / f'{a}.json')], ['true'])
    true(done.status == 125 and done.err.strip(), repr(done))


def test_paths_on_the_command_line_that_are_nonsense(t):
    for path in ('/a\n/b', 'x' * 5000, '/' + 'y/' * 3000):
        done = t.run(['--read', path], ['true'])
        one_of(done.status, (0, 125), f'{path[:20]!r}: {done}')


# too much ------------------------------------------------------------------------------------------------------------


def test_ten_thousand_requests_in_a_burst_are_bounded_and_all_answered(t):
    folder = t.outside('f0').parent
    for i in range(1, 10000):
        (folder / f'f{i}').touch()
    other = t.shell()
    started = time.monotonic()
    script = ('import os, threading, sys\nerrors = {}\nlock = threading.Lock()\n'
              'def work(k):\n'
              '    for i in range(k, 10000, 100):\n'
              '        try: os.close(os.open(f"%s/f{i}", os.O_RDONLY)); e = 0\n'
              '        except OSError as x: e = x.errno\n'
              '        with lock: errors[e] = errors.get(e, 0) + 1\n'
              'threads = [threading.Thread(target=work, args=(k,)) for k in range(100)]\n'
              '[x.start() for x in threads]; [x.join() for x in threads]\nprint(errors)') % folder
    most = 0
    victim = t.start(t.grant_project, ['/usr/bin/python3', '-c', script])
    while victim.process.poll() is None:
        if time.monotonic() - started > 240:
            raise Failure('still running after 240 s')
        waiting_now = t.prompts()
        most = max(most, len(waiting_now))
        equal(other.ask('echo on'), 'on', 'another session meanwhile')
        for prompt in waiting_now:
            t.ctl('deny', str(prompt['id']))
    equal(victim.line(), '{13: 10000}')
    true(most <= 256, f'{most} questions waited at once')


def test_many_sessions_at_once_and_one_too_many_is_refused_clearly(t):
    sessions = []
    while len(sessions) < 600:
        s = t.start(t.grant_project, ['sh', '-c', 'echo ready; read x; echo $x'])
        try:
            equal(s.line(60), 'ready')
        except Failure:
            break
        sessions.append(s)
    true(len(sessions) >= 10, f'only {len(sessions)}')
    equal(len(t.sessions()), len(sessions))
    if len(sessions) < 600:
        done = t.run(t.grant_project, ['true'])
        true(done.status == 125 and 'too many' in done.err, repr(done))
    for i, s in enumerate(sessions):
        s.say(f'number {i}')
    for i, s in enumerate(sessions):
        equal(s.line(), f'number {i}')
    for s in sessions:
        equal(s.wait(), 0)


def test_two_hundred_sessions_one_after_the_other_leave_nothing(t):
    def count():
        return len(os.listdir(f'/proc/{t.daemon.service_pid()}/fd')), len(os.listdir(f'/proc/{t.daemon.process.pid}/fd'))
    t.sh(t.grant_project, 'true')
    t.gone()
    before = count()
    for _ in range(200):
        equal(t.run(t.grant_project, ['true']).status, 0)
    t.gone()
    after = count()
    true(after[0] <= before[0] + 2 and after[1] <= before[1] + 2, f'descriptors of service and monitor: {before} before, {after} after')


def test_stop_ends_a_session_that_does_not_want_to(t):
    session = t.start(t.grant_project, ['sh', '-c', 'trap "" TERM INT HUP; echo ready; while :; do sleep 0.1; done'])
    equal(session.line(), 'ready')
    t.ctl('stop', session.id)
    started = time.monotonic()
    session.process.wait(30)
    true(time.monotonic() - started < 30, 'it ends')


def test_stop_of_a_session_that_does_not_exist_is_an_error(t):
    done = t.ctl('stop', 'no-such-session')
    true(done.status != 0 and done.err.strip(), repr(done))


def test_disk_full_output_of_the_client_is_an_error(t):
    done = t.as_user(['sh', '-c', '"$0" ps --json >/dev/full', t.m.nonoctl])
    true(done.status != 0, repr(done))
