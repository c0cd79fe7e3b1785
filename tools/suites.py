#!/usr/bin/env python3
"""
suites.py — build, run every test suite, print one line per test, count.

Started by tools/check, which has installed what is needed. Every suite is a program of its own that prints lines
    ok NAME | not ok NAME | skip NAME: why
and anything else for the reader of a failure. It gets a pipe as standard input that this program never writes to: end of
file there says that nobody waits any more, and the suite cleans up and leaves.
"""
import argparse
import json
import os
import pathlib
import shlex
import shutil
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
SAN_ENV = {
    # not strict_string_checks: it takes strndup() of bytes without a NUL for an error
    'ASAN_OPTIONS': 'abort_on_error=0:exitcode=99:detect_leaks=1',
    'UBSAN_OPTIONS': 'print_stacktrace=1:halt_on_error=1',
}
MESON_SUITES = ['unit', 'replay', 'fuzz']
DEADLINE_S = {'meson': 300, 'program': 900}


def plural(n, what):
    return f'{n} {what}' if n == 1 else f'{n} {what}s'


class Report:
    """All lines, and the count at the end."""

    def __init__(self, verbose):
        self.verbose = verbose
        self.passed, self.failed, self.skipped = 0, [], []
        self.must_run = os.environ.get('NONOD_TESTS_MUST_RUN') == '1'

    def ok(self, suite, name):
        self.passed += 1
        print(f'ok {suite}: {name}', flush=True)

    def not_ok(self, suite, name, output=''):
        self.failed.append(f'{suite}: {name}')
        print(f'not ok {suite}: {name}', flush=True)
        for line in output.rstrip().splitlines()[-60:]:
            print(f'    {line}', flush=True)

    def skip(self, suite, name, why):
        if self.must_run:
            self.not_ok(suite, name, f'skipped, and NONOD_TESTS_MUST_RUN=1: {why}')
            return
        self.skipped.append((f'{suite}: {name}', why))
        print(f'skip {suite}: {name}: {why}', flush=True)

    def note(self, text):
        print(f'# {text}', flush=True)

    def end(self):
        if self.skipped:
            print('\nnot run on this machine:')
            for name, why in self.skipped:
                print(f'    {name}: {why}')
        if self.failed:
            print('\nfailed:')
            for name in self.failed:
                print(f'    {name}')
        counts = f'{self.passed} passed, {len(self.failed)} failed'
        if self.skipped:
            counts += f', {len(self.skipped)} skipped'
        print()
        print(counts, flush=True)
        # nothing run is not a success
        return 1 if self.failed or not self.passed else 0


def read_cases(output):
    """(word, name, why, diagnostics) of every line of a suite's output"""
    pending = []
    for line in output:
        line = line.rstrip('\n')
        if line.startswith('ok '):
            yield 'ok', line[3:], '', ''
        elif line.startswith('not ok '):
            yield 'not ok', line[7:], '', '\n'.join(pending)
        elif line.startswith('skip '):
            name, _, why = line[5:].partition(': ')
            yield 'skip', name, why, ''
        else:
            pending.append(line)
            continue
        pending = []
    if pending:
        yield 'rest', '', '', '\n'.join(pending)


class Suites:
    def __init__(self, options):
        self.options = options
        self.report = Report(options.verbose)
        self.build = pathlib.Path(options.build).resolve()
        self.build_san = self.build.with_name(self.build.name + '-san')
        self.running = None

    def command(self, suite, name, argv, env=None, timeout=600):
        """One command whose exit status is the test. Its output is shown when it fails."""
        started = time.monotonic()
        try:
            done = subprocess.run(argv, cwd=ROOT, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors='replace', timeout=timeout)
        except subprocess.TimeoutExpired as e:
            text = (e.stdout or b'').decode(errors='replace') if isinstance(e.stdout, bytes) else e.stdout or ''
            self.report.not_ok(suite, name, text + f'\nstill running after {timeout} s')
            return False
        except OSError as e:
            self.report.not_ok(suite, name, str(e))
            return False
        if done.returncode == 77:
            self.report.skip(suite, name, (done.stdout.strip().splitlines() or ['no reason given'])[-1])
            return False
        if done.returncode:
            self.report.not_ok(suite, name, done.stdout)
            return False
        self.report.ok(suite, f'{name} ({time.monotonic() - started:.0f} s)' if name.startswith('builds') else name)
        return True

    def compile(self, folder, name, setup):
        if not (folder / 'build.ninja').exists():
            argv = ['meson', 'setup', str(folder), *setup]
            if folder.exists():
                argv.insert(2, '--wipe')
                if not (folder / 'meson-private').exists():
                    del argv[2]
            done = subprocess.run(argv, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True)
            if done.returncode:
                self.report.not_ok('build', name, done.stdout)
                return False
        self.report.note(f'building {folder.name}')
        return self.command('build', name, ['ninja', '-C', str(folder)])

    def meson(self, folder, label, env=None):
        """
        The unit, replay and fuzz suites. A program that speaks TAP (cmocka does, when asked) gives a line for each of its tests.
        """
        log = folder / 'meson-logs/check.json'
        listed = json.loads(subprocess.run(['meson', 'introspect', str(folder), '--tests'], cwd=ROOT, check=True,
                                           stdout=subprocess.PIPE, text=True).stdout)
        names = [t['name'] for t in listed if {s.split(':')[-1] for s in t['suite']} & set(MESON_SUITES)]
        if not names:
            self.report.not_ok(label, 'there are tests', 'meson knows no test of these suites')
            return
        self.report.note(f'{label}: {plural(len(names), "program")}')
        suites = [a for s in MESON_SUITES if any(s in {x.split(":")[-1] for x in t['suite']} for t in listed) for a in ('--suite', s)]
        log.unlink(missing_ok=True)
        subprocess.run(['meson', 'test', '-C', str(folder), '--no-rebuild', '--logbase', 'check', *suites],
                       cwd=ROOT, env={**os.environ, 'CMOCKA_MESSAGE_OUTPUT': 'TAP', **(env or {})}, stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=DEADLINE_S['meson'])
        seen = set()
        for line in log.read_text(errors='replace').splitlines():
            self.meson_result(label, json.loads(line), seen)
        for name in names:
            if name not in seen:
                self.report.not_ok(label, name, 'it never ended')

    def meson_result(self, label, result, seen):
        name = result['name'].split(' / ')[-1].split(':')[-1]
        seen.add(name)
        output = result.get('stdout', '') + result.get('stderr', '')
        if result['result'] == 'SKIP':
            self.report.skip(label, name, (output.strip().splitlines() or ['it says so'])[-1])
            return
        cases = []
        for line in result.get('stdout', '').splitlines():
            if line.startswith(('ok ', 'not ok ')):
                word, _, rest = line.partition(' - ')
                if rest:
                    cases.append((word.startswith('ok'), rest.split(' # ')[0].strip(), ' # SKIP' in line.upper()))
        shown = False                                   # one output for all tests of a program
        for good, case, skipped in cases:
            if skipped:
                self.report.skip(label, f'{name} {case}', 'the test says so')
            elif good:
                self.report.ok(label, f'{name} {case}')
            else:
                self.report.not_ok(label, f'{name} {case}', '' if shown else output)
                shown = True
        good = result['result'] in ('OK', 'EXPECTEDFAIL')
        if not cases and good:
            self.report.ok(label, name)
        elif not good and all(good for good, _, _ in cases):
            # died between two tests, or a sanitizer spoke at exit
            self.report.not_ok(label, f'{name} ({result["result"]})', output)

    def program(self, suite, argv, as_root=False, env=None, timeout=DEADLINE_S['program']):
        """A suite that speaks our lines. Its standard input is its lifeline."""
        if as_root and os.geteuid() != 0:
            keep = [f'{k}={v}' for k, v in {**os.environ, **(env or {})}.items() if k.startswith(('NONOD_', 'PYTHONDONT'))]
            argv = [*shlex.split(os.environ.get('NONOD_SUDO', 'sudo')), 'env', *keep, *argv]
        self.running = subprocess.Popen(argv, cwd=ROOT, env={**os.environ, **(env or {})}, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors='replace',
                                        start_new_session=True)
        n, rest, bad, child = 0, '', False, self.running

        def on_alarm(signum, frame):
            child.stdin.close()
            raise TimeoutError

        signal.signal(signal.SIGALRM, on_alarm)
        signal.alarm(timeout)
        try:
            for word, name, why, text in read_cases(child.stdout):
                if word == 'ok':
                    self.report.ok(suite, name)
                elif word == 'not ok':
                    bad = True
                    self.report.not_ok(suite, name, text)
                elif word == 'skip':
                    self.report.skip(suite, name, why)
                else:
                    rest = text
                    break
                n += 1
        except TimeoutError:
            self.report.not_ok(suite, 'ends in time', f'stopped after {timeout} s')
        finally:
            signal.alarm(0)
        if not child.stdin.closed:
            child.stdin.close()
        try:
            status = child.wait(60)
        except subprocess.TimeoutExpired:
            self.report.not_ok(suite, 'ends', 'it does not end although its lifeline is closed')
            return
        self.running = None
        if status == 77 and not n:
            self.report.skip(suite, 'all', (rest.strip().splitlines() or ['no reason given'])[-1])
        elif (status and not bad) or not n:
            self.report.not_ok(suite, f'ends well (exit status {status}, {plural(n, "test")})', rest)

    def kernel_programs(self):
        """The C programs that take the monitor's and the broker's place against the real kernel: one test each, as root."""
        listed = json.loads(subprocess.run(['meson', 'introspect', str(self.build), '--tests'], cwd=ROOT, check=True,
                                           stdout=subprocess.PIPE, text=True).stdout)
        programs = [t for t in listed if any(s.split(':')[-1] == 'root' for s in t['suite']) and len(t['cmd']) == 1]
        if not programs:
            self.report.not_ok('kernel', 'there are tests', 'meson knows no program of the root suite')
        sudo = [] if os.geteuid() == 0 else shlex.split(os.environ.get('NONOD_SUDO', 'sudo'))
        for test in programs:
            self.command('kernel', test['name'], [*sudo, *test['cmd']], timeout=test['timeout'])

    def agents(self):
        installed = (pathlib.Path(os.environ.get('NONOD_AGENTS_DIR') or self.build / 'agents') / 'node_modules/.bin').is_dir()
        if not installed and not self.options.agents:
            self.report.note('agents: not in this run, their packages are not installed; --agents installs and runs them')
            return
        runner = str(ROOT / 'tests/agents/run.py')
        environ = {'NONOD_AGENTS_DIR': os.environ.get('NONOD_AGENTS_DIR') or str(self.build / 'agents')}
        for name, more in (('claude', []), ('codex', []), ('codex', ['--model', 'gpt-5.5'])):
            self.program('agents', ['/usr/bin/python3', str(ROOT / 'tests/root/run.py'), '--build', str(self.build),
                                    '--with', ' '.join([runner, name, *more])], as_root=True, env=environ)

    def kernel(self):
        uname = os.uname()
        self.report.note(f'{uname.sysname} {uname.release} {uname.machine}, {plural(os.cpu_count() or 1, "processor")}')

    def run(self):
        o = self.options
        only = set(o.only or [])

        def wanted(suite):
            return not only or suite in only

        self.kernel()
        if not self.compile(self.build, 'builds', ['--buildtype=debugoptimized']):
            return self.report.end()
        if wanted('unit'):
            self.meson(self.build, 'unit')
        if wanted('docs'):
            self.program('docs', ['/usr/bin/python3', str(ROOT / 'tools/check-docs.py'), '--build', str(self.build)])
        if wanted('integration'):
            self.program('integration', ['/usr/bin/python3', str(ROOT / 'tests/integration/run.py'), '--build', str(self.build)])
        if (not o.quick and wanted('sanitize')) or o.sanitize:
            if self.compile(self.build_san, 'builds with sanitizers', ['-Db_sanitize=address,undefined', '-Db_lundef=false']):
                self.meson(self.build_san, 'sanitize', SAN_ENV)
        if not o.quick and wanted('root'):
            self.kernel_programs()
            self.program('root', ['/usr/bin/python3', str(ROOT / 'tests/root/run.py'), '--build', str(self.build)],
                         as_root=True)
        if not o.quick and wanted('agents'):
            self.agents()
        return self.report.end()


def main():
    p = argparse.ArgumentParser(prog='tools/check', description='Install what the tests need, build, run every test suite.')
    p.add_argument('--agents', action='store_true', help='install the agents’ packages first, if they are not there (640 MB)')
    p.add_argument('--quick', action='store_true', help='only what needs no privilege: unit, fuzz, docs, integration')
    p.add_argument('--sanitize', action='store_true', help='with --quick: the sanitizer build too')
    p.add_argument('--build', default=os.environ.get('NONOD_BUILD_DIR', 'build'), help='build directory (default: build)')
    p.add_argument('--only', action='append', choices=['unit', 'docs', 'integration', 'sanitize', 'root', 'agents'],
                   help='only this suite; may be repeated')
    p.add_argument('-v', '--verbose', action='store_true')
    options = p.parse_args()
    os.chdir(ROOT)
    suites = Suites(options)

    def on_signal(signum, frame):
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGHUP, on_signal)
    try:
        return suites.run()
    except KeyboardInterrupt:
        if suites.running and suites.running.stdin and not suites.running.stdin.closed:
            suites.running.stdin.close()
            print('\n# stopped: cleaning up', flush=True)
            try:
                suites.running.wait(60)
            except subprocess.TimeoutExpired:
                pass
        return 130


if __name__ == '__main__':
    sys.exit(main())
