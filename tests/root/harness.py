"""
harness.py — what a test of the root suites sees: a real daemon, ordinary users, sessions, and a person who answers.

A test is a function test_<the fact it proves>(t); it raises Failure, or Skip with the reason. Everything it starts ends with
it. Each test has a project folder of its own in the home of alice; bob is another user of the machine.

Runs as: root; what a test does in a session or with nonoctl runs as alice or bob.
"""
import contextlib
import json
import os
import pathlib
import select
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time

import machine

STEP_S = 20
SECRET = 'nobody-inside-may-read-this'
SYSTEM_PATH = '/usr/local/bin:/usr/bin:/bin'

# In the session: each expression is evaluated, the result or the errno's name is printed as JSON.
PROBE = '''
import ctypes, errno, fcntl, json, os, signal, socket, stat, struct, subprocess, sys, time
libc = ctypes.CDLL(None, use_errno=True)
def read(path, n=4096):
    with open(path, 'rb') as f: return f.read(n).decode(errors='replace')
def write(path, text='written inside\\n', mode='w'):
    with open(path, mode) as f: f.write(text)
def append(path, text='written inside\\n'): write(path, text, 'a')
def call(number, *args):
    r = libc.syscall(number, *args)
    if r < 0: raise OSError(ctypes.get_errno(), '')
    return r
def connect(path, kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_UNIX, kind) as s:
        s.connect(path)
        return s.recv(100).decode() if kind == socket.SOCK_STREAM else ''
def run(*argv): return subprocess.run(argv, capture_output=True, text=True).stdout
def child(f):
    """f in a child: its value, or the signal that ended it"""
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        try: os.write(w, json.dumps(f()).encode())
        except OSError as e: os.write(w, json.dumps(errno.errorcode[e.errno]).encode())
        os._exit(0)
    os.close(w)
    _, status = os.waitpid(pid, 0)
    return json.loads(os.read(r, 65536) or b'null') if status == 0 else -os.WTERMSIG(status)
results = {}
for name, text in json.loads(sys.argv[1]).items():
    try:
        value = eval(text)
        json.dumps(value)
        results[name] = 'ok' if value is None else value
    except OSError as e:
        results[name] = errno.errorcode.get(e.errno, str(e))
    except Exception as e:
        results[name] = f'{type(e).__name__}: {e}'
print(json.dumps(results))
'''


class Failure(Exception):
    pass


class Skip(Exception):
    pass


class Done:
    def __init__(self, status, out, err):
        self.status, self.out, self.err = status, out, err

    def __repr__(self):
        return f'status {self.status}, out {self.out[-800:]!r}, err {self.err[-800:]!r}'


def equal(got, expected, what=''):
    if got != expected:
        raise Failure(f'{what + ": " if what else ""}got {got!r}, expected {expected!r}')


def true(value, what):
    if not value:
        raise Failure(what)


def one_of(got, expected, what=''):
    if got not in expected:
        raise Failure(f'{what + ": " if what else ""}got {got!r}, expected one of {expected!r}')


def eventually(condition, what, timeout=STEP_S, every=0.02):
    """Waits until it is true; its value."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Failure(f'not within {timeout} s: {what() if callable(what) else what}')
        time.sleep(every)


class Daemon:
    """nonod in a place of its own."""

    def __init__(self, m, name='run'):
        self.m = m
        self.base = m.scratch / name
        self.socket = self.base / 'nonod.sock'
        self.log = m.scratch / f'{name}.log'
        self.process = None
        self.base.mkdir(mode=0o755, exist_ok=True)
        self.state = m.scratch / f'{name}-state'
        self.state.mkdir(mode=0o700, exist_ok=True)
        os.chown(self.state, m.nono.pw_uid, m.nono.pw_gid)

    def argv(self):
        return [self.m.nonod, f'--socket={self.socket}', f'--runtime-dir={self.base}', f'--state-dir={self.state}',
                f'--policy-dir={self.m.policy}', f'--log-level={os.environ.get("NONOD_TESTS_LOG", "debug")}']

    @staticmethod
    def confined():
        """With the capabilities that the unit file leaves it, so that a missing one is found here."""
        unit = pathlib.Path(__file__).resolve().parents[2] / 'systemd/nonod.service.in'
        names = [name.removeprefix('CAP_').lower() for line in unit.read_text().splitlines()
                 if line.startswith('CapabilityBoundingSet=') for name in line.partition('=')[2].split()]
        return ['setpriv', '--no-new-privs', '--inh-caps=-all', '--bounding-set=-all,' + ','.join('+' + n for n in names), '--']

    def start(self, ready):
        with open(self.log, 'ab') as log:
            self.process = subprocess.Popen(self.m.argv_as(None, [*self.confined(), *self.argv()]), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env={'PATH': '/usr/sbin:/usr/bin:/sbin:/bin', 'LANG': 'C.UTF-8'}, cwd='/')
        self.m.record.add('processes', [self.process.pid, machine.start_time(self.process.pid)])
        deadline = time.monotonic() + STEP_S
        while not ready():
            if self.process.poll() is not None:
                raise Failure(f'nonod ended with {self.process.returncode}:\n{self.tail()}')
            if time.monotonic() > deadline:
                raise Failure(f'nonod does not answer:\n{self.tail()}')
            time.sleep(0.02)

    def tail(self, n=40):
        try:
            return '\n'.join(self.log.read_text(errors='replace').splitlines()[-n:])
        except OSError:
            return ''

    def descendants(self):
        """{pid: (parent, comm, uid)} of the daemon's processes, sessions included; itself excluded"""
        table = {}
        for entry in os.scandir('/proc'):
            if entry.name.isdigit():
                try:
                    text = pathlib.Path(entry.path, 'stat').read_text()
                    table[int(entry.name)] = (int(text.rpartition(')')[2].split()[1]), text[text.index('(') + 1:text.rindex(')')],
                                              entry.stat().st_uid)
                except OSError:
                    pass
        found, grew = {}, True
        while grew:
            grew = False
            for pid, row in table.items():
                if pid not in found and (row[0] in found or row[0] == self.process.pid):
                    found[pid] = row
                    grew = True
        return found

    def service_pid(self):
        pids = [p for p, (parent, _, uid) in self.descendants().items()
                if parent == self.process.pid and uid == self.m.nono.pw_uid]
        equal(len(pids), 1, 'processes of the service')
        return pids[0]

    def is_alive(self):
        return self.process is not None and self.process.poll() is None

    def stop(self, signum=signal.SIGTERM, timeout=STEP_S):
        if not self.process:
            return None
        if self.process.poll() is None:
            self.process.send_signal(signum)
        try:
            status = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise Failure(f'nonod does not end after signal {signum}:\n{self.tail()}')
        self.process = None
        return status

    def leftovers(self):
        """What must not be there while no session runs."""
        left = [f'mount {kind} {point} {source}' for kind, point, source in machine.mounts()
                if kind == 'autofs' and source.startswith('nono') or point.startswith(str(self.base) + '/')]
        if self.m.cgroup:
            left += [f'control group {d}' for d in machine.cgroup_below(self.m.cgroup)
                     if d != self.m.cgroup and not (self.is_alive() and d.parent == self.m.cgroup)]
        if self.is_alive():
            service, spare = self.service_pid(), 2
            for pid, (_, comm, uid) in self.descendants().items():
                if pid == service or machine.start_time(pid) is None:
                    continue
                if uid == 0 and comm == 'nono-spare' and spare:     # a broker and a builder wait for the next session
                    spare -= 1
                else:
                    left.append(f'process {pid} {comm} of uid {uid}')
        else:
            left += [f'file {p}' for p in self.base.iterdir() if p.name not in ('lock', 'nonod.lock')]
        return left


class Session:
    """nonoctl run or spawn, in the background."""

    def __init__(self, t, process, name, env):
        self.t, self.process, self.name, self.env = t, process, name, env
        self.out_buffer = b''
        self._info = None

    @property
    def info(self):
        """Its row of `nonoctl ps`, taken once."""
        def find():
            if self.process.poll() is not None:
                raise Failure(f'the session ended with {self.process.returncode}: {self.errors()}')
            return next((s for s in self.t.sessions(env=self.env) if s['name'] == self.name), None)
        if self._info is None:
            self._info = eventually(find, 'the session is listed by ps')
        return self._info

    @property
    def id(self):
        return self.info['id']

    def is_listed(self):
        return any(s['name'] == self.name for s in self.t.sessions(env=self.env))

    def say(self, text):
        self.process.stdin.write(text.encode() + b'\n')
        self.process.stdin.flush()

    def line(self, timeout=STEP_S):
        """Next line of output."""
        deadline = time.monotonic() + timeout
        while b'\n' not in self.out_buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
                raise Failure(f'no line within {timeout} s; so far {self.out_buffer!r}, {self.errors()}')
            data = os.read(self.process.stdout.fileno(), 65536)
            if not data:
                raise Failure(f'end of output; status {self.process.wait(5)}, so far {self.out_buffer!r}, {self.errors()}')
            self.out_buffer += data
        line, _, self.out_buffer = self.out_buffer.partition(b'\n')
        return line.decode(errors='replace')

    def ask(self, text, timeout=STEP_S):
        self.say(text)
        return self.line(timeout)

    def errors(self):
        self.err_file.seek(0)
        return self.err_file.read().decode(errors='replace')[-2000:]

    def wait(self, timeout=STEP_S):
        if self.process.stdin and not self.process.stdin.closed:
            self.process.stdin.close()
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise Failure(f'still running after {timeout} s; {self.errors()}')

    def end(self):
        for stream in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError, AttributeError):
                stream.close()
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Terminal:
    """A terminal emulator (tmux) in which alice works; keys go in, the screen comes out."""

    def __init__(self, t, columns=90, rows=30):
        self.t = t
        self.server = t.folder / 'tmux'
        shell = 'exec bash --norc --noprofile'
        self.tmux('-f', '/dev/null', 'new-session', '-d', '-x', str(columns), '-y', str(rows), shell, check=True)
        self.tmux('set-option', '-g', 'window-size', 'manual')
        self.send("PS1='% '; clear")

    def tmux(self, *args, check=False):
        done = self.t.as_user([shutil.which('tmux') or 'tmux', '-S', self.server, *args], cwd=self.t.project)
        if check and done.status:
            raise Failure(f'tmux {args}: {done}')
        return done

    def send(self, text):
        self.tmux('send-keys', '-l', text)
        self.key('Enter')

    def key(self, *keys):
        self.tmux('send-keys', *keys)

    def screen(self):
        return self.tmux('capture-pane', '-p', '-J').out

    def resize(self, columns, rows):
        self.tmux('resize-window', '-x', str(columns), '-y', str(rows))

    def wait(self, text, timeout=STEP_S):
        def seen():
            return text in self.screen()
        try:
            eventually(seen, '', timeout, 0.05)
        except Failure:
            raise Failure(f'{text!r} never appears on the screen:\n{self.screen().rstrip()}')

    def wait_line(self, text, timeout=STEP_S):
        """A line that is exactly this: output, not the echo of a command that contains it."""
        def seen():
            return any(line.strip() == text for line in self.screen().splitlines())
        try:
            eventually(seen, '', timeout, 0.05)
        except Failure:
            raise Failure(f'no line {text!r} on the screen:\n{self.screen().rstrip()}')

    def end(self):
        self.tmux('kill-server')


class Person(threading.Thread):
    """Answers requests while a test goes on: rule(prompt) gives the words after `nonoctl`, or None to leave it."""

    def __init__(self, t, rule):
        super().__init__(daemon=True)
        self.t, self.rule, self.done, self.asked, self.faults = t, rule, threading.Event(), [], []
        self.seen = set()

    def run(self):
        while not self.done.wait(0.03):
            try:
                for prompt in self.t.prompts():
                    if prompt['id'] not in self.seen:
                        self.seen.add(prompt['id'])
                        self.asked.append(prompt)
                        words = self.rule(prompt)
                        if words:
                            answer = self.t.ctl(*words)
                            if answer.status:
                                self.faults.append(repr(answer))
            except Failure as e:
                self.faults.append(str(e))


class Test:
    """One running test."""

    def __init__(self, suite, name):
        self.suite, self.name = suite, name
        self.m, self.daemon = suite.machine, suite.daemon
        self.alice, self.bob = suite.alice, suite.bob
        self.home = suite.home
        short = f'{suite.count:03d}'
        self.folder = suite.machine.scratch / f't{short}'       # outside every home
        self.project = self.home / 'src' / f'p{short}'
        self.undo = []
        self.folder.mkdir(mode=0o755)
        os.chown(self.folder, self.alice.pw_uid, self.alice.pw_gid)
        self.put(self.project / 'hello.txt', 'hello\n')

    # files -----------------------------------------------------------------------------------------------------------

    def put(self, path, text='', mode=None, owner=None):
        """A file with its folders, alice's unless said."""
        owner = owner or self.alice
        path = pathlib.Path(path)
        missing = [p for p in [path.parent, *path.parent.parents] if not p.exists()]
        for folder in reversed(missing):
            folder.mkdir()
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        if isinstance(text, bytes):
            path.write_bytes(text)
        else:
            path.write_text(text)
        os.chown(path, owner.pw_uid, owner.pw_gid)
        if mode is not None:
            path.chmod(mode)
        return path

    def put_folder(self, path, mode=0o755, owner=None):
        self.put(pathlib.Path(path) / '.x', '', owner=owner).unlink()
        pathlib.Path(path).chmod(mode)
        return pathlib.Path(path)

    def outside(self, name, text=SECRET + '\n'):
        """A file of alice in a folder that no profile grants."""
        return self.put(self.home / 'private' / self.project.name / name, text)

    def listen(self, path, answer=b'host says hello'):
        """A Unix socket of alice's on the host that greets."""
        self.put_folder(pathlib.Path(path).parent)
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        server.bind(str(path))
        os.chown(path, self.alice.pw_uid, self.alice.pw_gid)
        server.listen(16)
        return self.serve(server, answer)

    def listen_tcp(self, answer=b'host says hello', address='127.0.0.1'):
        server = socket.create_server((address, 0))
        self.serve(server, answer)
        return server.getsockname()[1]

    def serve(self, server, answer):
        def loop():
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection, contextlib.suppress(OSError):
                    connection.sendall(answer)

        thread = threading.Thread(target=loop, daemon=True)
        thread.start()

        def stop():
            with contextlib.suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
            server.close()
            thread.join(5)

        self.undo.append(stop)
        return server

    # programs --------------------------------------------------------------------------------------------------------

    def env(self, user=None, **more):
        user = user or self.alice
        return {'HOME': user.pw_dir, 'USER': user.pw_name, 'LOGNAME': user.pw_name, 'SHELL': '/bin/bash',
                'PATH': SYSTEM_PATH, 'LANG': 'C.UTF-8', 'TERM': 'xterm', 'NONO_SOCKET': str(self.daemon.socket),
                'NONO_POLICY_DIR': str(self.m.policy), **more}

    def as_user(self, argv, user=None, input=None, timeout=STEP_S, cwd=None, env=None, binary=False):
        user = user or self.alice
        try:
            done = subprocess.run(self.m.argv_as(user, argv), env=env or self.env(user), cwd=cwd or self.project,
                                  input=input if input is not None else None,
                                  stdin=None if input is not None else subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout)
        except subprocess.TimeoutExpired as e:
            raise Failure(f'{argv} is still running after {timeout} s; out {(e.stdout or b"")[-500:]!r} err {(e.stderr or b"")[-500:]!r}')
        if binary:
            return Done(done.returncode, done.stdout, done.stderr.decode(errors='replace'))
        return Done(done.returncode, done.stdout.decode(errors='replace'), done.stderr.decode(errors='replace'))

    def ctl(self, *args, **more):
        return self.as_user([self.m.nonoctl, *args], **more)

    def ctl_ok(self, *args, **more):
        done = self.ctl(*args, **more)
        if done.status:
            raise Failure(f'nonoctl {" ".join(map(str, args))}: {done}')
        return done

    def json(self, *args, **more):
        out = self.ctl_ok(*args, '--json', **more).out
        try:
            return json.loads(out or '[]')
        except ValueError:
            raise Failure(f'nonoctl {args} --json printed {out[:300]!r}')

    @property
    def grant_project(self):
        return ['--allow', str(self.project)]

    def run(self, flags, argv, **more):
        """nonoctl run in the project folder, to its end"""
        return self.ctl('run', *flags, '--', *argv, **more)

    def sh(self, flags, script, **more):
        return self.run(flags, ['sh', '-c', script], **more)

    def start(self, flags, argv, user=None, verb='run', env=None, cwd=None):
        import tempfile
        user = user or self.alice
        errors = tempfile.TemporaryFile(dir=self.m.scratch)
        name = f'{self.project.name}-{len(self.undo)}'
        process = subprocess.Popen(self.m.argv_as(user, [self.m.nonoctl, verb, '--name', name, *flags, '--', *argv]),
                                   env=env or self.env(user), cwd=cwd or self.project, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=errors)
        session = Session(self, process, name, env)
        session.err_file = errors
        self.undo.append(session.end)
        return session

    def shell(self, flags=None, **more):
        """A session that executes the lines it is given, one result line each."""
        flags = self.grant_project if flags is None else flags
        session = self.start(flags, ['sh', '-c', 'echo ready; while read -r line; do eval "$line" 2>&1; done'], **more)
        equal(session.line(), 'ready')
        return session

    def probe(self, flags, expressions, answer=None, timeout=STEP_S, env=None, cwd=None):
        """
        Expressions of Python evaluated one after the other in a session: their values, or names of errors. What asks is
        refused at once, unless `answer` says otherwise.
        """
        with self.person(answer or (lambda prompt: ['deny', str(prompt['id'])])) as person:
            done = self.run(flags, ['/usr/bin/python3', '-I', '-S', '-c', PROBE, json.dumps(expressions)], timeout=timeout,
                            env=env, cwd=cwd)
        self.asked = person.asked
        if person.faults:
            raise Failure(f'answering: {person.faults}')
        try:
            return json.loads(done.out)
        except ValueError:
            raise Failure(f'the probe gave {done}')

    @contextlib.contextmanager
    def person(self, rule):
        person = Person(self, rule)
        person.start()
        try:
            yield person
        finally:
            person.done.set()
            person.join(STEP_S)

    def terminal(self, **more):
        if not shutil.which('tmux'):
            raise Skip('tmux is not installed')
        terminal = Terminal(self, **more)
        self.undo.append(terminal.end)
        return terminal

    # sessions and requests -------------------------------------------------------------------------------------------

    def sessions(self, **more):
        return self.json('ps', **more)

    def prompts(self, **more):
        return self.json('prompts', **more)

    def prompt(self, path=None, timeout=STEP_S):
        """The next request that waits, for this path."""
        def find():
            for p in self.prompts():
                if path is None or p['path'] == str(path):
                    return p
            return None
        return eventually(find, lambda: f'a request for {path or "anything"}; waiting: {[p["path"] for p in self.prompts()]}', timeout)

    def refused(self, session, command, what):
        """The command asks, or is refused at once: either way nothing is read. Its line."""
        with self.person(lambda p: ['deny', str(p['id'])]):
            line = session.ask(command)
        if not any(word in line for word in ('Permission denied', 'Read-only file system', 'No such file')):
            raise Failure(f'{what}: {line!r}')
        return line

    def approve(self, prompt, *flags):
        return self.ctl_ok('approve', str(prompt['id']), *flags)

    def deny(self, prompt):
        return self.ctl_ok('deny', str(prompt['id']))

    def grants(self, session):
        return [g for g in self.json('grants', session.id)['grants'] if g['rule'] == 'allow']

    def grant_of(self, session, path):
        found = [g for g in self.grants(session) if g['path'] == str(path)]
        if not found:
            raise Failure(f'no grant of {path} among {[g["path"] for g in self.grants(session)]}')
        return found[0]

    def gone(self):
        """No session of alice is left, and nothing of any on the host."""
        eventually(lambda: not self.sessions(), lambda: f'all sessions have ended; there are {self.sessions()}')
        self.nothing_left()

    def nothing_left(self):
        """What one test left is that test's failure and no other's."""
        known = self.suite.known_leftovers
        try:
            eventually(lambda: not set(self.daemon.leftovers()) - known, '')
        except Failure:
            left = set(self.daemon.leftovers()) - known
            known |= left
            raise Failure(f'left behind: {sorted(left)}')

    def end(self):
        for step in reversed(self.undo):
            step()
        self.undo.clear()


class Suite:
    """The daemon and the users that the tests share."""

    def __init__(self, m):
        self.machine, self.count, self.known_leftovers = m, 0, set()
        self.alice = self.user('alice')
        self.bob = self.user('bob')
        self.home = pathlib.Path(self.alice.pw_dir)
        self.fill()
        self.daemon = Daemon(m)

    def user(self, name):
        entry = self.machine.add_user(f'nonotest-{self.machine.id}-{name}')
        home = pathlib.Path(entry.pw_dir)
        home.mkdir(mode=0o755)                          # open to others: it is the view that has to hide it
        os.chown(home, entry.pw_uid, entry.pw_gid)
        return entry

    def fill(self):
        for path, text, owner in [
            ('.ssh/id_rsa', SECRET, self.alice), ('.ssh/config', SECRET, self.alice), ('.aws/credentials', SECRET, self.alice),
            ('.netrc', SECRET, self.alice), ('.bash_history', SECRET, self.alice), ('notes/plan.txt', 'a plan', self.alice),
            ('.gitconfig', '[user]\n\tname = Alice\n\temail = alice@example.org', self.alice),
            ('work/open.txt', SECRET, self.bob),
        ]:
            file = pathlib.Path(owner.pw_dir) / path
            for folder in [p for p in reversed(file.parents) if not p.exists()]:
                folder.mkdir()
                os.chown(folder, owner.pw_uid, owner.pw_gid)
            file.write_text(text + '\n')
            os.chown(file, owner.pw_uid, owner.pw_gid)

    def answers(self):
        probe = subprocess.run(self.machine.argv_as(self.alice, [self.machine.nonoctl, 'ps']), stdin=subprocess.DEVNULL,
                               capture_output=True, cwd='/', timeout=STEP_S,
                               env={'PATH': SYSTEM_PATH, 'HOME': self.alice.pw_dir, 'NONO_SOCKET': str(self.daemon.socket)})
        return probe.returncode == 0

    def start(self):
        self.daemon.start(self.answers)

    def ensure(self):
        """Before each test: a daemon that answers, whatever the test before did to it."""
        if not self.daemon.is_alive():
            self.daemon.process = None
            self.start()

    def run_one(self, name, function):
        """(word, text)"""
        self.count += 1
        test = None
        try:
            self.ensure()
            test = Test(self, name)
            function(test)
            test.end()
            if self.daemon.is_alive():
                test.gone()
            return 'ok', ''
        except Skip as e:
            return 'skip', str(e)
        except Failure as e:
            return 'not ok', str(e)
        except (OSError, KeyError, TypeError, ValueError, IndexError, AttributeError, RuntimeError, subprocess.SubprocessError) as e:
            import traceback
            return 'not ok', ''.join(traceback.format_exception(e))
        finally:
            if test:
                with contextlib.suppress(Exception):
                    test.end()
