#!/usr/bin/env python3
"""
run.py — the root suites: tests/root/test_*.py against a real nonod.

    run.py [--build DIR] [--match TEXT] [--list]      one line per test: ok, not ok, skip
    run.py --with 'COMMAND'                            only a daemon, users and a place; COMMAND gets them and judges itself

Exit status: 0, 1 when something failed, 77 when this machine cannot run it.
Runs as: root. Killed at any moment it leaves nothing behind, see machine.py.
"""
import argparse
import importlib
import os
import pathlib
import shlex
import shutil
import signal
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.dont_write_bytecode = True
sys.path.insert(0, str(HERE))
import harness  # noqa: E402
import machine  # noqa: E402


def say(text):
    print(f'# {text}', flush=True)


def tests(match):
    for path in sorted(HERE.glob('test_*.py')):
        module = importlib.import_module(path.stem)
        for name, function in list(vars(module).items()):
            if name.startswith('test_') and callable(function):
                full = f'{path.stem[5:]}: {name[5:].replace("_", " ")}'
                if not match or any(m in full or m in name for m in match):
                    yield full, function


def indented(text):
    for line in text.rstrip().splitlines():
        print(f'    {line}')


def run_tests(suite, options):
    n_failed = 0
    for name, function in tests(options.match):
        offset = suite.daemon.log.stat().st_size if suite.daemon.log.exists() else 0
        started = time.monotonic()
        word, text = suite.run_one(name, function)
        took = time.monotonic() - started
        if word == 'not ok':
            n_failed += 1
            indented(text)
            with open(suite.daemon.log, 'rb') as log:
                log.seek(offset)
                lines = log.read().decode(errors='replace').splitlines()
            print(f'    nonod said, {len(lines)} lines:')
            indented('\n'.join(lines[-options.log_lines:]))
            print(f'not ok {name}', flush=True)
        elif word == 'skip':
            print(f'skip {name}: {text}', flush=True)
        else:
            print(f'ok {name}' + (f' ({took:.1f} s)' if options.times else ''), flush=True)
        if not suite.daemon.is_alive() and word == 'not ok':
            say(f'nonod ended in this test, status {suite.daemon.process and suite.daemon.process.returncode}')
    return n_failed


def run_with(suite, options):
    """A suite of its own that needs a daemon: its lines are passed on, `ok - a/b: c` as `ok b: c`."""
    m = suite.machine
    user = m.add_user(f'nonotest-{m.id}-agent')
    home = pathlib.Path(user.pw_dir)
    home.mkdir(mode=0o755)
    os.chown(home, user.pw_uid, user.pw_gid)
    tmp = m.scratch / 'tmp'
    tmp.mkdir(mode=0o777)
    tmp.chmod(0o1777)
    ctl = m.bin / 'nonoctl-here'
    ctl.write_text(f'#!/bin/sh\nexport NONO_SOCKET={suite.daemon.socket} NONO_POLICY_DIR={m.policy}\nexec {m.nonoctl} "$@"\n')
    ctl.chmod(0o755)
    env = {**os.environ, 'TMPDIR': str(tmp)}
    agents = os.environ.get('NONOD_AGENTS_DIR')
    argv = shlex.split(options.run_with)
    if agents:
        subprocess.run([*argv, '--install-only', '--bare'], check=True, stdin=subprocess.DEVNULL)
        reachable = subprocess.run(m.argv_as(user, ['test', '-r', agents]), stdin=subprocess.DEVNULL).returncode == 0
        if not reachable:
            copy = m.scratch / 'agents'
            if subprocess.run(['cp', '-al', agents, str(copy)], stderr=subprocess.DEVNULL).returncode:
                shutil.rmtree(copy, ignore_errors=True)
                subprocess.run(['cp', '-a', agents, str(copy)], check=True)
            env['NONOD_AGENTS_DIR'] = str(copy)
    child = subprocess.Popen([*argv, '--nonoctl', str(ctl), '--user', user.pw_name, '--passwd-home'], env=env,
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors='replace')
    m.record.add('processes', [child.pid, machine.start_time(child.pid)])
    n, label = 0, ' '.join(argv[1:])
    pending = []
    try:
        for line in child.stdout:
            line = line.rstrip('\n')
            word = next((w for w in ('ok', 'not ok') if line.startswith(w + ' - ')), None)
            if not word:
                pending.append(line)
                continue
            # their diagnostics follow the line, ours come before it; both are shown with the failure
            n += 1
            text = line[len(word) + 3:].partition(': ')[2] or line
            if word == 'not ok':
                print('\n'.join(pending))
            pending = []
            print(f'{word} {label}: {text}', flush=True)
        status = child.wait()
    finally:
        if child.poll() is None:
            child.terminate()
            child.wait()
    for line in pending:
        say(line.lstrip('# '))
    if status == 77:
        return 77
    if status and not n:
        print(f'not ok {label}: runs', flush=True)
    return 1 if status else 0


def main():
    p = argparse.ArgumentParser(description='Run the root suites against a real nonod.')
    p.add_argument('--build', default='build')
    p.add_argument('--match', action='append', help='only tests whose name contains this; may be repeated')
    p.add_argument('--list', action='store_true')
    p.add_argument('--times', action='store_true')
    p.add_argument('--log-lines', type=int, default=25, help="lines of nonod's log shown with a failure")
    p.add_argument('--with', dest='run_with', metavar='COMMAND')
    options = p.parse_args()
    if options.list:
        for name, _ in tests(options.match):
            print(name)
        return 0
    if os.geteuid() != 0:
        print('root is needed: nonod is started by root')
        return 77
    build = pathlib.Path(options.build).resolve()
    for program in ('daemon/nonod', 'client/nonoctl'):
        if not (build / program).exists():
            print(f'{build / program} is missing: build first')
            return 1

    def on_signal(signum, frame):
        raise KeyboardInterrupt

    for signum in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(signum, on_signal)
    machine.clean_earlier(say)
    record = machine.Record.new()
    fd_reaper = machine.start_reaper(record)
    suite, status = None, 1
    try:
        suite = harness.Suite(machine.Machine(record, build))
        try:
            suite.start()
        except harness.Failure as e:
            indented(str(e))
            print('not ok nonod starts', flush=True)
            return 1
        print('ok nonod starts', flush=True)
        if options.run_with:
            status = run_with(suite, options)
        else:
            status = 1 if run_tests(suite, options) else 0
        if suite.daemon.is_alive():
            try:
                harness.equal(suite.daemon.stop(), 0, 'exit status of nonod after SIGTERM')
                suite.known_leftovers.clear()
                harness.eventually(lambda: not suite.daemon.leftovers(), lambda: f'left behind: {suite.daemon.leftovers()}', 5)
                print('ok nonod ends at SIGTERM and leaves nothing', flush=True)
            except harness.Failure as e:
                indented(str(e))
                indented(suite.daemon.tail())
                print('not ok nonod ends at SIGTERM and leaves nothing', flush=True)
                status = 1
        return status
    except KeyboardInterrupt:
        say('stopped')
        return 130
    finally:
        for signum in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(signum, signal.SIG_IGN)       # the cleaning is not interrupted
        keep = os.environ.get('NONOD_TESTS_KEEP_LOG')
        if keep and suite and suite.daemon.log.exists():
            shutil.copy(suite.daemon.log, keep)
        record.clean(say)
        os.close(fd_reaper)


if __name__ == '__main__':
    sys.exit(main())
