#!/usr/bin/env python3
"""
run.py — the two programs without privilege and without a daemon: command lines, help, refusals.

Prints `ok NAME` or `not ok NAME` per test. Runs as: anyone; as root it becomes nobody for what must be unprivileged.
"""
import argparse
import os
import pathlib
import pwd
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading

ROOT = pathlib.Path(__file__).resolve().parents[2]
VERBS = ['run', 'spawn', 'watch', 'prompts', 'approve', 'deny', 'grants', 'grant', 'revoke', 'ps', 'stop']


class Failure(Exception):
    pass


def true(value, what):
    if not value:
        raise Failure(what)


class Place:
    """Copies of the programs where everybody can execute them."""

    def __init__(self, build):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix='nonod-integration-'))
        self.folder.chmod(0o755)
        for program in ('daemon/nonod', 'client/nonoctl'):
            shutil.copy(build / program, self.folder)
        self.nonod, self.nonoctl = self.folder / 'nonod', self.folder / 'nonoctl'

    def run(self, *argv, env=None, stdin=None, timeout=20):
        who = {}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam('nobody')
            who = {'user': nobody.pw_uid, 'group': nobody.pw_gid, 'extra_groups': []}
        return subprocess.run([str(a) for a in argv], env={'PATH': '/usr/bin:/bin', 'HOME': '/nonexistent', 'LANG': 'C.UTF-8', 'TERM': 'dumb',
                                                           'NONO_SOCKET': f'{self.folder}/none', 'NONO_POLICY_DIR': str(ROOT / 'policy.d'), **(env or {})},
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, errors='replace', timeout=timeout, cwd='/', **who)


def test_help_and_version_of_both_programs(p):
    for program in (p.nonod, p.nonoctl):
        for flag in ('--help', '-h', '--version'):
            done = p.run(program, flag)
            true(done.returncode == 0 and done.stdout.strip() and not done.stderr, f'{program.name} {flag}: {done}')


def test_help_names_every_verb_and_every_verb_has_help(p):
    text = p.run(p.nonoctl, '--help').stdout
    for verb in VERBS:
        true(re.search(rf'^\s+{verb}\b', text, re.M), f'{verb} is not in --help')
        done = p.run(p.nonoctl, verb, '--help')
        true(done.returncode == 0 and done.stdout.strip(), f'{verb} --help: {done}')


def test_help_is_not_wider_than_a_terminal_of_120_columns(p):
    for argv in ([p.nonod, '--help'], [p.nonoctl, '--help'], *[[p.nonoctl, v, '--help'] for v in VERBS]):
        for line in p.run(*argv).stdout.splitlines():
            true(len(line) <= 120, f'{argv[1:]}: {line}')


def test_wrong_usage_of_nonod_is_2_and_one_line(p):
    for argv in (['--no-such'], ['extra'], ['--log-level=loud'], ['--socket']):
        done = p.run(p.nonod, *argv)
        true(done.returncode == 2 and done.stderr.strip(), f'{argv}: {done}')


def test_nonod_refuses_to_start_without_root(p):
    done = p.run(p.nonod)
    true(done.returncode == 1 and 'root' in done.stderr, repr(done))


def test_wrong_usage_of_nonoctl_says_what_is_wrong(p):
    for argv in ([], ['no-such-verb'], ['--no-such'], ['approve'], ['approve', 'x'], ['approve', '1', '--for', 'ever'], ['approve', '1', '--scope', 'all'],
                 ['deny'], ['deny', '-1'], ['grants'], ['grant', 's'], ['grant', 's', 'relative/../../..', 'more'], ['revoke', 's'], ['revoke', 's', 'x'],
                 ['stop'], ['ps', 'extra'], ['run', '--open-port', 'x', '--', 'true'], ['run']):
        done = p.run(p.nonoctl, *argv)
        true(done.returncode not in (0, 139, 134) and done.stderr.strip(), f'{argv}: {done}')


def test_a_mistyped_verb_is_not_guessed_at_silently(p):
    done = p.run(p.nonoctl, 'aprove', '1')
    true(done.returncode != 0 and 'aprove' in done.stderr, repr(done))


def test_without_a_daemon_every_verb_fails_and_says_how_to_start_it(p):
    for argv in (['ps'], ['prompts'], ['approve', '1'], ['deny', '1'], ['grants', 's'], ['stop', 's'], ['watch'], ['run', '--', 'true']):
        done = p.run(p.nonoctl, *argv)
        true(done.returncode != 0 and 'nonod' in done.stderr, f'{argv}: {done}')


def test_a_socket_that_talks_nonsense_is_an_error_not_a_crash(p):
    for answer in (b'', b'\0\0\0\0', b'\xff\xff\xff\xff', b'\x05\0\0\0hello', b'HTTP/1.1 400 Bad Request\r\n\r\n', b'\x01\0\0\0'):
        path = p.folder / 'nonsense'
        path.unlink(missing_ok=True)
        server = socket.socket(socket.AF_UNIX)
        server.bind(str(path))
        path.chmod(0o777)
        server.listen()

        def talk():
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                connection.sendall(answer)
                connection.settimeout(3)
                try:
                    connection.recv(10000)
                except OSError:
                    pass

        thread = threading.Thread(target=talk, daemon=True)
        thread.start()
        done = p.run(p.nonoctl, 'ps', env={'NONO_SOCKET': str(path)})
        server.close()
        thread.join(5)
        true(done.returncode > 0 and done.returncode < 126 and done.stderr.strip(), f'{answer!r}: {done}')


def test_output_on_a_full_disk_is_an_error(p):
    done = p.run('sh', '-c', f'{p.nonoctl} --help >/dev/full')
    true(done.returncode != 0, repr(done))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--build', default='build')
    options = parser.parse_args()
    place, n_failed = Place(pathlib.Path(options.build).resolve()), 0
    try:
        for name, function in list(globals().items()):
            if not name.startswith('test_'):
                continue
            text = name[5:].replace('_', ' ')
            try:
                function(place)
                print(f'ok {text}', flush=True)
            except (Failure, OSError, subprocess.SubprocessError) as e:
                n_failed += 1
                print(f'    {e}\nnot ok {text}', flush=True)
    finally:
        shutil.rmtree(place.folder)
    return 1 if n_failed else 0


if __name__ == '__main__':
    sys.exit(main())
