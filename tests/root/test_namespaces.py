"""Namespaces and limits: a session sees its own processes, its own IPC, and never more than its requester may."""
import os
import pathlib
import resource
import subprocess

from harness import SECRET, Skip, equal, eventually, one_of, true


def test_pid_1_is_ours_and_ps_shows_only_the_session(t):
    other = subprocess.Popen(t.m.argv_as(t.alice, ['sleep', '1000']), stdin=subprocess.DEVNULL)
    t.undo.append(lambda: (other.kill(), other.wait()))
    done = t.sh(t.grant_project, 'cat /proc/1/comm; ps -eo comm --no-headers | sort | tr "\\n" " "')
    lines = done.out.splitlines()
    equal(lines[0], 'nono-init')
    true('sleep' not in lines[1].split() and 'nonod' not in lines[1].split(), f'ps shows {lines[1]}')
    equal(set(lines[1].split()) <= {'nono-init', 'sh', 'ps', 'sort', 'tr'}, True, f'ps shows {lines[1]}')


def test_processes_outside_cannot_be_signalled_or_traced(t):
    other = subprocess.Popen(t.m.argv_as(t.alice, ['sleep', '1000']), stdin=subprocess.DEVNULL)
    t.undo.append(lambda: (other.kill(), other.wait()))
    got = t.probe(t.grant_project, {
        'kill': f'os.kill({other.pid}, 0)', 'kill all': 'os.kill(-1, 0) if False else None', 'trace': f'call(101, 16, {other.pid}, 0, 0)',
        'proc': f'read("/proc/{other.pid}/environ")', 'init memory': 'read("/proc/1/mem", 1)', 'init environ': 'read("/proc/1/environ")',
        'init fds': 'os.listdir("/proc/1/fd")', 'trace init': 'call(101, 16, 1, 0, 0)', 'priority': f'os.getpriority(os.PRIO_PROCESS, {other.pid})',
    })
    equal(got.pop('kill all'), 'ok')
    for what in ('kill', 'trace', 'priority'):
        equal(got.pop(what), 'ESRCH', what)
    equal(got.pop('proc'), 'ENOENT')
    for what, result in got.items():
        one_of(result, ('EACCES', 'EPERM'), what)


def test_killing_everything_ends_only_the_session(t):
    mine, other = t.shell(), t.shell()
    mine.say('sh -c "kill -9 -1"')
    one_of(mine.wait(), (137, 128 + 9), 'status')
    equal(other.ask('echo still here'), 'still here')


def test_ipc_and_host_names_are_its_own(t):
    name = f'nonotest-{t.m.id}'
    made = subprocess.run(t.m.argv_as(t.alice, ['ipcmk', '-Q']), capture_output=True, text=True)
    queue = made.stdout.split()[-1] if made.returncode == 0 else None
    try:
        done = t.sh(t.grant_project, 'ipcs -q | grep -c 0x; for n in ipc net pid mnt; do readlink /proc/self/ns/$n; done')
        lines = done.out.split()
        equal(lines[0], '0', 'message queues of the host')
        for link in lines[1:]:
            kind = link.partition(':')[0]
            true(link != os.readlink(f'/proc/self/ns/{kind}'), f'{kind} namespace is the host’s')
    finally:
        if queue:
            subprocess.run(t.m.argv_as(t.alice, ['ipcrm', '-q', queue]), check=True)
    equal(t.probe(t.grant_project, {'x': f'socket.sethostname("{name}")'})['x'], 'EPERM')


def test_shared_memory_of_the_host_is_not_there(t):
    host = pathlib.Path(f'/dev/shm/nonotest-{t.m.id}')
    host.write_text(SECRET)
    t.undo.append(lambda: host.unlink(missing_ok=True))
    equal(t.probe(t.grant_project, {'x': f'read("{host}")'})['x'], 'ENOENT')


def test_abstract_sockets_of_the_host_are_not_reached(t):
    import socket
    server = socket.socket(socket.AF_UNIX)
    server.bind(f'\0nonotest-{t.m.id}')
    server.listen()
    t.serve(server, b'reached')
    equal(t.probe(t.grant_project, {'x': f'connect("\\0nonotest-{t.m.id}")'})['x'], 'ECONNREFUSED')


def test_limits_and_umask_are_the_requesters(t):
    script = 'ulimit -n 200; ulimit -c 0; ulimit -f 2000; umask 027; exec "$@"'
    done = t.as_user(['sh', '-c', script, 'sh', t.m.nonoctl, 'run', *t.grant_project, '--', 'sh', '-c',
                      'ulimit -Hn; ulimit -c; ulimit -f; umask; touch made; stat -c %a made'])
    equal(done.out.split(), ['200', '0', '2000', '0027', '640'], repr(done))


def test_a_limit_cannot_be_raised_inside(t):
    done = t.as_user(['sh', '-c', 'ulimit -n 200; exec "$@"', 'sh', t.m.nonoctl, 'run', *t.grant_project, '--', 'sh', '-c',
                      'ulimit -n 300 2>/dev/null && echo raised || echo refused'])
    equal(done.out.strip(), 'refused', repr(done))


def test_supplementary_groups_are_the_requesters(t):
    entry = t.alice
    outside = t.as_user(['id', '-G']).out.split()
    equal(t.sh(t.grant_project, 'id -G').out.split(), outside)
    del entry


def test_a_session_has_its_own_control_group(t):
    if not t.m.cgroup:
        raise Skip('no version 2 control groups on this machine')
    session = t.shell()
    pid = session.info['pid']
    group = next(line[3:] for line in pathlib.Path(f'/proc/{pid}/cgroup').read_text().splitlines() if line.startswith('0::'))
    true('/nonod-' in group, f'control group of the session: {group}')
    equal(session.ask('grep ^0: /proc/self/cgroup'), '0::/')


def test_a_daemonised_process_ends_with_the_session(t):
    marker = t.project / 'pid'
    t.sh(t.grant_project, 'setsid sh -c "setsid sleep 1000 & echo started >pid" & while [ ! -e pid ]; do sleep 0.01; done')
    true(marker.exists(), 'it ran')
    eventually(lambda: not [p for p in pathlib.Path('/proc').iterdir() if p.name.isdigit() and _is_sleep_of(p, t.alice.pw_uid)],
               'its processes have ended')


def _is_sleep_of(folder, uid):
    try:
        return folder.stat().st_uid == uid and (folder / 'cmdline').read_bytes() == b'sleep\x001000\x00'
    except OSError:
        return False


def test_a_client_inside_a_session_is_refused(t):
    t.put_folder(t.home / 'bin')
    folder = t.daemon.socket.parent
    done = t.run([*t.grant_project, '--read', str(t.m.bin), '--allow', str(folder)], [t.m.nonoctl, 'ps'])
    one_of(done.status, (125, 126, 1), repr(done))
    true(done.status != 0, f'a session reaches the daemon: {done}')


def test_a_client_in_another_user_namespace_is_refused(t):
    if t.as_user(['unshare', '-U', 'true']).status:
        raise Skip('user namespaces are switched off')
    done = t.as_user(['unshare', '-Ur', t.m.nonoctl, 'run', '--', 'true'])
    equal(done.status, 125, repr(done))
    true('namespace' in done.err, f'it says why: {done}')


def test_a_client_in_another_pid_namespace_is_refused(t):
    done = t.as_user(['unshare', '-Ur', '-p', '-f', t.m.nonoctl, 'run', '--', 'true'])
    if 'unshare' in done.err:
        raise Skip('user namespaces are switched off')
    equal(done.status, 125, repr(done))


def test_two_hundred_processes_start_and_end_in_one_session(t):
    done = t.sh(t.grant_project, 'i=0; while [ $i -lt 200 ]; do true & i=$((i+1)); done; wait; echo done')
    equal(done.out.strip(), 'done')


def test_orphans_are_reaped(t):
    done = t.sh(t.grant_project, 'for i in 1 2 3 4 5; do sh -c "sleep 0.05 & exit" ; done; sleep 0.4; ps -eo stat --no-headers | grep -c Z')
    equal(done.out.strip(), '0', repr(done))


def test_core_limits_of_root_do_not_leak_in(t):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    outside = t.as_user(['sh', '-c', 'ulimit -Hn']).out.strip()
    equal(t.sh(t.grant_project, 'ulimit -Hn').out.strip(), outside)
