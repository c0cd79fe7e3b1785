"""
machine.py — what a run of the root suites makes on this machine, written down before it is made, and how it is removed.

The record (a file of one run) names users, folders, the control group and pids. It is read by three: the run itself at its
end, a reaper process when the run was killed, and the next run when the reaper was killed too. Nothing is ever looked for
by a name pattern: what is not in the record is not ours.

Runs as: root.
"""
import ctypes
import json
import os
import pathlib
import pwd
import secrets
import select
import shutil
import signal
import stat
import subprocess
import sys
import time

RECORDS = pathlib.Path('/var/lib/nonotest')
MNT_DETACH = 2
libc = ctypes.CDLL(None, use_errno=True)


def boot_id():
    return pathlib.Path('/proc/sys/kernel/random/boot_id').read_text().strip()


def start_time(pid):
    """Clock ticks after boot at which this process started; None when there is none. With the pid it names a process for good."""
    try:
        text = pathlib.Path(f'/proc/{pid}/stat').read_text()
    except OSError:
        return None
    fields = text.rpartition(')')[2].split()
    return None if fields[0] in 'ZX' else int(fields[19])


def kill_process(pid, started, signum=signal.SIGKILL):
    """Only if it is still the process that was recorded."""
    try:
        fd = os.pidfd_open(pid)
    except OSError:
        return
    try:
        if started is not None and start_time(pid) == started:
            signal.pidfd_send_signal(fd, signum)
    except ProcessLookupError:
        pass
    finally:
        os.close(fd)


def mounts():
    """(type, mount point, source) of this mount namespace, in mount order"""
    result = []
    for line in pathlib.Path('/proc/self/mountinfo').read_text(errors='surrogateescape').splitlines():
        left, _, right = line.partition(' - ')
        point = left.split()[4].encode('utf-8', 'surrogateescape').decode('unicode_escape')
        kind, source = right.split()[:2]
        result.append((kind, point, source))
    return result


def cgroup_folder():
    """Our own control group of the version 2 hierarchy, where groups can be made; None without one."""
    for mount in ('/sys/fs/cgroup', '/sys/fs/cgroup/unified'):
        if os.path.exists(mount + '/cgroup.procs'):
            for line in pathlib.Path('/proc/self/cgroup').read_text().splitlines():
                if line.startswith('0::'):
                    return pathlib.Path(mount + line[3:].rstrip('/'))
    return None


def cgroup_below(folder):
    """deepest first, folder itself last"""
    return [pathlib.Path(d) for d, _, _ in os.walk(folder, topdown=False)]


def processes_of(uid):
    for entry in os.scandir('/proc'):
        try:
            if entry.name.isdigit() and entry.stat().st_uid == uid:
                yield int(entry.name)
        except OSError:
            pass


def user_exists(name):
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


class Record:
    """One run. Every change is on the disk before the thing itself is made."""

    def __init__(self, path, data):
        self.path, self.data = path, data

    @classmethod
    def new(cls):
        RECORDS.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = secrets.token_hex(4)
        r = cls(RECORDS / f'{name}.json', {'id': name, 'boot': boot_id(), 'runner': [os.getpid(), start_time(os.getpid())],
                                           'users': [], 'system_users': [], 'folders': [], 'cgroup': None, 'processes': []})
        r.save()
        return r

    def save(self):
        new = self.path.with_suffix('.new')
        new.write_text(json.dumps(self.data))
        new.rename(self.path)

    def add(self, key, value):
        self.data[key].append(value)
        self.save()

    def set(self, key, value):
        self.data[key] = value
        self.save()

    def is_live(self):
        """Its runner still works."""
        pid, started = self.data['runner']
        return self.data['boot'] == boot_id() and start_time(pid) == started and started is not None

    def clean(self, say=lambda text: None):
        """Removes everything. What cannot be removed is said, and stays in the record for the next run."""
        d, same_boot, left = self.data, self.data['boot'] == boot_id(), []
        if same_boot and d['cgroup']:
            group = pathlib.Path(d['cgroup'])
            if group.is_dir():
                try:
                    (group / 'cgroup.kill').write_text('1')
                except OSError as e:
                    say(f'{group}: {e}')
        if same_boot:
            for pid, started in d['processes']:
                kill_process(pid, started)
        for name in d['users']:
            entry = user_exists(name)
            if not entry:
                continue
            deadline = time.monotonic() + 10
            while (pids := [p for p in processes_of(entry.pw_uid) if start_time(p) is not None]) and time.monotonic() < deadline:
                for pid in pids:                        # the user is ours, so its processes are
                    kill_process(pid, start_time(pid))
                time.sleep(0.02)
        for folder in d['folders']:
            for _, point, _ in reversed(mounts()):
                if point == folder or point.startswith(folder + '/'):
                    if libc.umount2(os.fsencode(point), MNT_DETACH):
                        left.append(f'mount {point}')
        if same_boot and d['cgroup']:
            deadline = time.monotonic() + 5
            while os.path.isdir(d['cgroup']) and time.monotonic() < deadline:
                for group in cgroup_below(d['cgroup']):
                    try:
                        group.rmdir()
                    except OSError:
                        pass
                time.sleep(0.02)
            if os.path.isdir(d['cgroup']):
                left.append(f'control group {d["cgroup"]}')
        # another run may use the system user now: userdel refuses then, and a later run removes it
        for name in d['users'] + d['system_users']:
            if user_exists(name):
                done = subprocess.run(['userdel', name], stdin=subprocess.DEVNULL, capture_output=True, text=True)
                if done.returncode:
                    left.append(f'user {name}: {done.stderr.strip()}')
        for folder in d['folders']:
            if not any(p == folder or p.startswith(folder + '/') for _, p, _ in mounts()):
                shutil.rmtree(folder, ignore_errors=True)
                if os.path.lexists(folder):
                    left.append(f'folder {folder}')
        for text in left:
            say(f'left behind: {text}')
        if not left:
            self.path.unlink(missing_ok=True)
            try:
                RECORDS.rmdir()
            except OSError:
                pass
        return not left


def clean_earlier(say):
    """Runs that were killed together with their reaper."""
    for path in sorted(RECORDS.glob('*.json')) if RECORDS.is_dir() else []:
        try:
            record = Record(path, json.loads(path.read_text()))
        except (OSError, ValueError) as e:
            say(f'{path}: {e}')
            continue
        if not record.is_live():
            say(f'removing what the killed run {record.data["id"]} left')
            record.clean(say)


def start_reaper(record):
    """
    A process that outlives this one: when the returned descriptor closes (we ended, in whatever way) it cleans what the
    record still names. When standard input is a pipe that closes, whoever started us is gone: it ends us first.
    """
    fd_read, fd_write = os.pipe()
    runner = os.getpid()
    started = start_time(runner)
    pid = os.fork()
    if pid:
        os.close(fd_read)
        return fd_write
    os.setsid()
    os.close(fd_write)
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(signum, signal.SIG_IGN)
    null = os.open('/dev/null', os.O_RDWR)
    os.dup2(null, 1)
    os.dup2(null, 2)
    poll = select.poll()
    poll.register(fd_read, 0)                           # hang-up is always reported
    if stat.S_ISFIFO(os.fstat(0).st_mode):
        poll.register(0, 0)
    asked_at = None
    while True:
        events = dict(poll.poll(None if asked_at is None else 500))
        if fd_read in events:
            break
        if 0 in events and asked_at is None:
            poll.unregister(0)
            kill_process(runner, started, signal.SIGTERM)
            asked_at = time.monotonic()
        if asked_at is not None and time.monotonic() > asked_at + 30:
            kill_process(runner, started)
    if record.path.exists():
        Record(record.path, json.loads(record.path.read_text())).clean()
    os._exit(0)


class Machine:
    """Folders, users and the control group of one run."""

    def __init__(self, record, build):
        self.record = record
        self.id = record.data['id']
        # not below /tmp, which a session has for itself; a home below a folder of ours looks like any other
        self.scratch = pathlib.Path(f'/home/nonotest-{self.id}')
        record.add('folders', str(self.scratch))
        self.scratch.mkdir(mode=0o755)
        self.bin = self.scratch / 'bin'
        self.bin.mkdir(mode=0o755)
        # the build tree may lie where an ordinary user has no way to it
        for program in ('daemon/nonod', 'client/nonoctl'):
            shutil.copy(build / program, self.bin / pathlib.Path(program).name)
        self.nonod, self.nonoctl = self.bin / 'nonod', self.bin / 'nonoctl'
        self.policy = self.scratch / 'policy.d'
        shutil.copytree(pathlib.Path(__file__).resolve().parents[2] / 'policy.d', self.policy)
        subprocess.run(['chmod', '-R', 'a+rX,go-w', str(self.bin), str(self.policy)], check=True)
        own = cgroup_folder()
        self.cgroup = None
        if own:
            self.cgroup = own / f'nonotest-{self.id}'
            record.set('cgroup', str(self.cgroup))
            try:
                self.cgroup.mkdir()
            except OSError as e:
                print(f'no control group for this run: {e}', file=sys.stderr)
                self.cgroup = None
                record.set('cgroup', None)
        if not user_exists('nono'):
            self.add_user('nono', system=True)
        self.nono = pwd.getpwnam('nono')

    def add_user(self, name, system=False):
        self.record.add('system_users' if system else 'users', name)
        if system:
            argv = ['useradd', '--system', '--no-create-home', '--home-dir', '/nonexistent', '--shell', '/usr/sbin/nologin']
        else:
            argv = ['useradd', '--no-create-home', '--home-dir', str(self.scratch / name.rpartition('-')[2]), '--shell', '/bin/bash']
        done = subprocess.run([*argv, '--user-group', name], stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f'useradd {name}: {done.stderr.strip()}')
        return pwd.getpwnam(name)

    def argv_as(self, entry, argv):
        """Into our control group as root, then to the user."""
        move = f'echo 0 >{self.cgroup}/cgroup.procs && ' if self.cgroup else ''
        drop = '' if entry is None else f'setpriv --reuid={entry.pw_uid} --regid={entry.pw_gid} --init-groups -- '
        return ['/bin/sh', '-c', f'{move}exec {drop}"$@"', 'sh', *map(str, argv)]
