#!/usr/bin/env python3
"""
run.py — run an unmodified coding agent through the scripted work and check every step.

Three programs take part: the agent (the real npm package, headless, as an ordinary user), stub.mjs (the "model": it tells the
agent what to do and compares the results) and this one, which prepares a user, a home and a project, plays the person who
answers prompts, and looks at what is left on the disk afterwards.

    run.py claude --bare                          without a sandbox: is the suite itself right?
    run.py codex --nonoctl PATH [--user NAME]     inside a nonod session
    run.py claude --bare --wrap 'strace -f -o LOG'   anything else in front of the agent

Exit status: 0 all steps passed, 1 some failed, 77 skipped (something needed is missing; see NONOD_TESTS_MUST_RUN).

Runs as: root (drops to the user for the agent and for nonoctl), or as the user itself.
"""
import argparse
import json
import os
import pathlib
import pwd
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SKIP = 77
PACKAGES = ['@anthropic-ai/claude-code@2.1.197', '@openai/codex@0.169.0']
SYSTEM_PATH = '/usr/local/bin:/usr/bin:/bin'
STUB_START_S = 10
POLL_S = 0.1
GRACE_S = 3

GREET_JS = """\
module.exports = function greet(name) {
        return 'Hello, ' + name;
};
"""
TEST_JS = """\
const assert = require('node:assert');
const text = require('../src/greet.js')('world');
assert.match(text, /^Good day/);
console.log('1 test passed: ' + text);
"""
PACKAGE_JSON = """\
{ "name": "greet", "version": "1.0.0", "private": true, "scripts": { "test": "node test/test.js" } }
"""
CODEX_CONFIG = """\
model_provider = "stub"
check_for_update_on_startup = false
{model}
[model_providers.stub]
name = "stub"
base_url = "http://127.0.0.1:{port}/v1"
wire_api = "responses"
env_key = "NONOD_STUB_KEY"
request_max_retries = 1
stream_max_retries = 1

[analytics]
enabled = false

[features]
plugins = false
remote_plugin = false
apps = false

[projects."{project}"]
trust_level = "trusted"
"""
PROMPT = 'Play the script.'


class Skip(Exception):
    """Something this machine lacks."""


class User:
    """The ordinary user who runs the agent: an existing one, or one made for this run and removed after it."""

    def __init__(self, name):
        self.is_ours = False
        if os.geteuid() != 0:
            name = name or pwd.getpwuid(os.geteuid()).pw_name
            if pwd.getpwnam(name).pw_uid != os.geteuid():
                raise Skip('only root can run the agent as another user')
        elif not name:
            name = 'nonod-agent-%d' % os.getpid()
            subprocess.run(['useradd', '--create-home', '--shell', '/bin/bash', name], check=True)
            self.is_ours = True
        self.entry = pwd.getpwnam(name)
        if self.entry.pw_uid == 0:
            raise Skip('the agents refuse to work as root: run as root with or without --user, or as an ordinary user')

    def popen_args(self):
        if os.geteuid() != 0:
            return {}
        groups = os.getgrouplist(self.entry.pw_name, self.entry.pw_gid)
        return {'user': self.entry.pw_uid, 'group': self.entry.pw_gid, 'extra_groups': groups}

    def processes(self):
        """pids of this user, only asked for a user that nobody else runs anything as"""
        pids = []
        for entry in os.scandir('/proc'):
            try:
                if entry.name.isdigit() and entry.stat().st_uid == self.entry.pw_uid:
                    pids.append(int(entry.name))
            except OSError:
                pass
        return pids

    def commands(self):
        for pid in self.processes():
            try:
                command = pathlib.Path(f'/proc/{pid}/cmdline').read_text(errors='replace').replace('\0', ' ').strip()
            except OSError:
                continue
            if command:                                 # else a zombie
                yield pid, command

    def remove(self):
        if not self.is_ours:
            return
        deadline = time.monotonic() + 5
        while (pids := self.processes()) and time.monotonic() < deadline:
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            time.sleep(0.05)
        subprocess.run(['userdel', '--remove', self.entry.pw_name], stderr=subprocess.DEVNULL)
        for folder in pathlib.Path('/tmp').iterdir():   # what agents leave there: named by uid, or owned by it
            if folder.lstat().st_uid == self.entry.pw_uid:
                remove_tree(folder)


class Scratch:
    """
    Home, project and the folders around it. Below the user's own home and not in /tmp: a session has a /tmp of its own, and
    Codex refuses a home there. A temporary user's home is used as it is; any other user gets a folder in it, which is HOME.
    """

    def __init__(self, user, use_passwd_home):
        passwd_home = pathlib.Path(user.entry.pw_dir)
        self.user = user
        self.secret = 'SECRET-' + secrets.token_hex(8)
        self.is_passwd_home = user.is_ours or use_passwd_home
        self.made = []
        if self.is_passwd_home:
            self.home = passwd_home
            for name in ('.ssh', '.claude', '.claude.json', '.codex', '.gitconfig', 'project', 'extra', 'other'):
                if (self.home / name).exists():
                    raise Skip(f"'{self.home / name}' exists: this home is in use")
        else:
            self.home = passwd_home / f'.nonod-agents-{os.getpid()}'
            self.add_folder(self.home)
        self.project = self.home / 'project'
        self.extra = self.home / 'extra'
        self.other = self.home / 'other'

    def own(self, path, mode):
        path.chmod(mode)
        if os.geteuid() == 0:
            os.chown(path, self.user.entry.pw_uid, self.user.entry.pw_gid)

    def add_folder(self, path, mode=0o755):
        path.mkdir()
        self.own(path, mode)
        self.made.append(path)

    def add_file(self, path, text, mode=0o644):
        path.write_text(text)
        self.own(path, mode)
        self.made.append(path)

    def git(self, *args):
        done = subprocess.run(['git', '-C', str(self.project), *args], capture_output=True, text=True,
                              env={'HOME': str(self.home), 'PATH': SYSTEM_PATH}, **self.user.popen_args())
        if done.returncode:
            raise RuntimeError(f'git {args[0]}: {done.stderr}')
        return done.stdout

    def fill(self):
        self.add_file(self.home / '.gitconfig', '[user]\n\tname = Agent Test\n\temail = agent@localhost\n')
        self.add_folder(self.home / '.ssh', 0o700)
        self.add_file(self.home / '.ssh/id_rsa', f'-----BEGIN TEST KEY-----\n{self.secret}\n', 0o600)
        self.add_folder(self.extra)
        self.add_file(self.extra / 'data.txt', 'extra data\n')
        self.add_folder(self.other)
        self.add_file(self.other / 'data.txt', 'other data\n')
        self.add_folder(self.project)
        self.add_folder(self.project / 'src')
        self.add_folder(self.project / 'test')
        self.add_file(self.project / 'src/greet.js', GREET_JS)
        self.add_file(self.project / 'test/test.js', TEST_JS)
        self.add_file(self.project / 'package.json', PACKAGE_JSON)
        self.add_file(self.project / '.gitignore', 'out/\n')
        self.git('init', '-q', '-b', 'main')
        self.git('add', '.')
        self.git('commit', '-q', '-m', 'start')

    def remove(self):
        for path in reversed(self.made):
            remove_tree(path)
        if self.is_passwd_home:
            for name in ('.claude', '.claude.json', '.codex', '.npm'):
                remove_tree(self.home / name)


class Stub:
    """The model. Reports to a folder that the user cannot reach."""

    def __init__(self, folder, scratch, is_bare, dump):
        self.path_report = folder / 'report.json'
        argv = ['node', str(HERE / 'stub.mjs'), '--script', str(HERE / 'script.json'), '--report', str(self.path_report)]
        for name, value in (('PROJECT', scratch.project), ('HOME', scratch.home), ('EXTRA', scratch.extra),
                            ('OTHER', scratch.other), ('SECRET', scratch.secret)):
            argv += ['--set', f'{name}={value}']
        argv += ['--bare'] if is_bare else ['--never', scratch.secret]
        argv += ['--dump', dump] if dump else []
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, start_new_session=True)
        line = self.process.stdout.readline()           # ends with the stub, if it dies
        if not line.startswith('listening '):
            raise RuntimeError('the stub did not start')
        self.port = int(line.split()[1])

    def finish(self):
        """End it; its report."""
        self.process.terminate()
        self.process.communicate(timeout=STUB_START_S)
        return json.loads(self.path_report.read_text())

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Person:
    """
    The scripted person and everything this suite knows about the command line of nonoctl. Approves what is asked below
    EXTRA, refuses everything else, remembers both.
    """

    def __init__(self, nonoctl, user, env, scratch, read_folders):
        self.nonoctl, self.user, self.env, self.scratch = nonoctl, user, env, scratch
        self.read_folders = read_folders
        self.approved, self.refused, self.faults = [], [], []
        self.answered = set()

    def spawn_argv(self, profile, port, argv):
        reads = [arg for folder in self.read_folders for arg in ('--read', str(folder))]
        return [self.nonoctl, 'spawn', profile, '--open-port', str(port), *reads, '--', *argv]

    def ask(self, *args):
        return subprocess.run([self.nonoctl, *args], env=self.env, cwd=self.scratch.home, text=True, capture_output=True,
                              stdin=subprocess.DEVNULL, timeout=10, **self.user.popen_args())

    def answer(self, prompt):
        path = pathlib.PurePosixPath(prompt.get('path') or '/')
        is_extra = path == self.scratch.extra or self.scratch.extra in path.parents
        if is_extra:
            done = self.ask('approve', str(prompt['id']), '--scope', 'folder', '--for', 'session', '--rw')
        else:
            done = self.ask('deny', str(prompt['id']))
        (self.approved if is_extra else self.refused).append(str(path))
        if done.returncode:
            self.faults.append(f'answering {path}: {done.stderr.strip()}')

    def poll(self):
        done = self.ask('prompts', '--json')
        if done.returncode:
            if done.stderr not in self.faults:
                self.faults.append(done.stderr)
            return
        for prompt in json.loads(done.stdout or '[]'):
            if prompt.get('state', 'waiting') in ('waiting', 'pending', 'open') and prompt['id'] not in self.answered:
                self.answered.add(prompt['id'])
                self.answer(prompt)


class Claude:
    profile = 'claude-code'
    program = 'claude'

    @staticmethod
    def prepare(scratch, port, model):
        pass

    @staticmethod
    def env(port):
        return {
            'ANTHROPIC_BASE_URL': f'http://127.0.0.1:{port}',
            'ANTHROPIC_API_KEY': 'sk-ant-stub',
            'CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC': '1',
            'DISABLE_AUTOUPDATER': '1',
            'DISABLE_TELEMETRY': '1',
            'DISABLE_ERROR_REPORTING': '1',
        }

    @staticmethod
    def argv(model):
        return ['-p', PROMPT, '--permission-mode', 'bypassPermissions', '--output-format', 'stream-json', '--verbose',
                *(['--model', model] if model else [])]


class Codex:
    profile = 'codex'
    program = 'codex'

    @staticmethod
    def prepare(scratch, port, model):
        config = CODEX_CONFIG.format(port=port, project=scratch.project, model=f'model = "{model}"\n' if model else '')
        scratch.add_folder(scratch.home / '.codex')
        scratch.add_file(scratch.home / '.codex/config.toml', config)

    @staticmethod
    def env(port):
        return {'NONOD_STUB_KEY': 'sk-stub'}

    @staticmethod
    def argv(model):
        return ['exec', '--skip-git-repo-check', '--dangerously-bypass-approvals-and-sandbox', '--json', PROMPT]


AGENTS = {'claude': Claude, 'codex': Codex}


def remove_tree(path):
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def install(folder):
    """The packages, once. Needs the network only when they are not there yet."""
    wanted = os.environ.get('NONOD_AGENTS_PACKAGES', ' '.join(PACKAGES)).split()
    stamp = folder / '.installed'
    if stamp.exists() and stamp.read_text().split() == wanted:
        return
    if not shutil.which('npm'):
        raise Skip('npm is missing')
    folder.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    done = subprocess.run(['npm', 'install', '--prefix', str(folder), '--no-audit', '--no-fund', '--loglevel=error', *wanted],
                          stdin=subprocess.DEVNULL, umask=0o022)
    if done.returncode:
        raise Skip('the packages cannot be installed')
    for agent in AGENTS.values():
        done = subprocess.run([str(program_path(folder, agent)), '--version'], stdin=subprocess.DEVNULL, capture_output=True,
                              env={'PATH': SYSTEM_PATH, 'HOME': str(folder)})
        if done.returncode:
            raise Skip(f'{agent.program} does not start: {done.stderr.decode()[:200]}')
    stamp.write_text('\n'.join(wanted))
    print(f'# installed into {folder} in {time.monotonic() - started:.0f} s')


def program_path(folder, agent):
    return folder / 'node_modules/.bin' / agent.program


def run_agent(argv, env, scratch, user, log, timeout, person):
    """Run it to its end, answering prompts meanwhile. Its exit status; None if it had to be ended."""
    process = subprocess.Popen(argv, env=env, cwd=scratch.project, stdin=subprocess.DEVNULL, stdout=log,
                               stderr=subprocess.STDOUT, start_new_session=True, **user.popen_args())
    deadline = time.monotonic() + timeout
    try:
        while time.monotonic() < deadline:
            if person:
                person.poll()
            try:
                return process.wait(POLL_S)
            except subprocess.TimeoutExpired:
                pass
        return None
    finally:
        end_group(process)


def end_group(process):
    """Our own new process group, whatever is left of it; first politely, so that nonoctl can end its session."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(GRACE_S)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            pass


class Verdicts:
    def __init__(self, name):
        self.name, self.n_failed = name, 0

    def add(self, is_ok, what, detail=''):
        print(f"{'ok' if is_ok else 'not ok'} - agents/{self.name}: {what}", flush=True)
        if not is_ok:
            self.n_failed += 1
            for line in detail.splitlines():
                print('#   ' + line)


def judge(verdicts, args, report, status, scratch, person):
    for step in report['steps']:
        verdicts.add(step['state'] == 'pass', step['name'], f"{step['state']}: {step['detail']}")
    verdicts.add(report['finished'], 'the script was played to its end')
    verdicts.add(status == 0, 'the agent ended by itself with status 0', f'status {status}')
    if report['steps'][-1]['state'] == 'not played':
        return                                          # the disk cannot be right either
    new = scratch.extra / 'new.txt'
    verdicts.add(new.exists() and new.read_text().strip() == 'new data' and new.stat().st_uid == scratch.user.entry.pw_uid,
                 'the new file is on the disk and belongs to the user')
    verdicts.add('greet: be polite' in scratch.git('log', '--oneline') and not scratch.git('status', '--porcelain'),
                 'the commit is in the repository')
    if args.is_bare:
        return
    verdicts.add(not report['leaks'], 'the private key was never in anything the agent sent')
    if person:
        verdicts.add(bool(person.approved), 'the person was asked for the folder', f'asked: {person.refused}')
        verdicts.add(not person.faults, 'nonoctl answered the person', '\n'.join(person.faults))
        for path in sorted(set(person.refused)):
            print(f'# refused by the person: {path}')


def parse_arguments():
    parser = argparse.ArgumentParser(description='Run a real coding agent through the scripted work.')
    parser.add_argument('agent', choices=sorted(AGENTS))
    parser.add_argument('--bare', action='store_true', dest='is_bare', help='no sandbox: what must be refused is readable')
    parser.add_argument('--wrap', default='', metavar='COMMAND', help='put COMMAND in front of the agent')
    parser.add_argument('--nonoctl', metavar='PATH', help='start the agent with PATH spawn, answer prompts with PATH')
    parser.add_argument('--read', action='append', default=[], metavar='DIR', help='with --nonoctl: one more readable folder')
    parser.add_argument('--user', metavar='NAME', help='run as NAME (default: root makes a temporary user)')
    parser.add_argument('--passwd-home', action='store_true', help="HOME is NAME's real home, which must be unused")
    parser.add_argument('--model', help="instead of the agent's default; codex: gpt-5.5 has plain tools")
    parser.add_argument('--log', metavar='FILE', help="keep the agent's output")
    parser.add_argument('--dump', metavar='DIR', help='keep every request of the agent')
    parser.add_argument('--timeout', type=float, default=180, metavar='SECONDS')
    parser.add_argument('--install-only', action='store_true')
    args = parser.parse_args()
    if not args.is_bare and not args.nonoctl and not args.wrap and not args.install_only:
        parser.error('one of --bare, --wrap, --nonoctl is needed')
    return args


def run(args, undo):
    agent = AGENTS[args.agent]
    folder_agents = pathlib.Path(os.environ.get('NONOD_AGENTS_DIR', ROOT / 'build/agents')).resolve()
    if not shutil.which('node'):
        raise Skip('node is missing')
    install(folder_agents)
    if args.install_only:
        return 0

    user = User(args.user)
    undo.append(user.remove)
    scratch = Scratch(user, args.passwd_home)
    undo.append(scratch.remove)
    scratch.fill()
    folder = pathlib.Path(subprocess.check_output(['mktemp', '-d'], text=True).strip())
    undo.append(lambda: remove_tree(folder))
    stub = Stub(folder, scratch, args.is_bare, args.dump)
    undo.append(stub.kill)

    program = program_path(folder_agents, agent)
    env = {
        'HOME': str(scratch.home), 'USER': user.entry.pw_name, 'LOGNAME': user.entry.pw_name, 'SHELL': '/bin/bash',
        'LANG': 'C.UTF-8', 'TERM': 'dumb', 'PATH': f'{program.parent}:{SYSTEM_PATH}',
        'npm_config_offline': 'true', 'npm_config_update_notifier': 'false', **agent.env(stub.port),
    }
    runtime_folder = pathlib.Path(f'/run/user/{user.entry.pw_uid}')
    if runtime_folder.is_dir():
        env['XDG_RUNTIME_DIR'] = str(runtime_folder)
    for name in ('NONO_SOCKET', 'NONO_POLICY_DIR'):     # where this nonod listens, and its build tree's policy
        if name in os.environ:
            env[name] = os.environ[name]
    agent.prepare(scratch, stub.port, args.model)
    argv, person = [str(program), *agent.argv(args.model)], None
    if args.nonoctl:
        person = Person(os.path.realpath(args.nonoctl), user, env, scratch, [folder_agents, *args.read])
        argv = person.spawn_argv(agent.profile, stub.port, agent.argv(args.model))
    argv = shlex.split(args.wrap) + argv

    path_log = pathlib.Path(args.log) if args.log else folder / 'agent.log'
    with path_log.open('wb') as log:
        started = time.monotonic()
        status = run_agent(argv, env, scratch, user, log, args.timeout, person)
        took = time.monotonic() - started
    report = stub.finish()
    verdicts = Verdicts(args.agent)
    judge(verdicts, args, report, status, scratch, person)
    if user.is_ours:
        for pid, command in user.commands():
            print(f'# left running: {pid} {command}')
    print(f"# {args.agent}: {took:.1f} s, side requests: {', '.join(report['side_requests']) or 'none'}")
    if verdicts.n_failed:
        print('# last lines of the agent:')
        for line in path_log.read_text(errors='replace').splitlines()[-15:]:
            print('#   ' + line[:400])
    return 1 if verdicts.n_failed else 0


def on_signal(number, _frame):
    raise SystemExit(128 + number)


def main():
    args = parse_arguments()
    undo = []
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, on_signal)
    try:
        return run(args, undo)
    except Skip as reason:
        print(f'# skipped: {reason}')
        return 1 if os.environ.get('NONOD_TESTS_MUST_RUN') else SKIP
    finally:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)       # the cleaning is not interrupted
        for step in reversed(undo):
            try:
                step()
            except OSError as error:
                print(f'# cleaning: {error}', file=sys.stderr)


if __name__ == '__main__':
    sys.exit(main())
