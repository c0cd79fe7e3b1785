#!/usr/bin/env python3
"""
paths.py — which paths did a traced agent use? Makes the tables of README.md, from which the profiles are written.

    run.py claude --bare --wrap 'strace -f -y -s 300 -o /var/tmp/T/claude.log -e trace=%file,connect,clone,clone3,fork,vfork --'
    (the folder T is writable for the user and not sticky: what that user owns in /tmp itself is removed at the end)
    paths.py /var/tmp/T/claude.log --home HOME [--project DIR] [--agents DIR] [--all]

Only calls that succeeded count, except that names probed in vain in HOME and near the root are listed too: in a session each of
them is a question. The agent's own accesses are told from those of the programs it started.
"""
import argparse
import collections
import os
import re

CALL = re.compile(r'^(\d+)\s+(\w+)\((.*)\)\s+=\s+(-?\d+|0x[0-9a-f]+)(?:<([^>]*)>)?')
UNFINISHED = re.compile(r'^(\d+)\s+(\w+)\((.*) <unfinished \.\.\.>$')
RESUMED = re.compile(r'^(\d+)\s+<\.\.\. (\w+) resumed>(.*)$')
AT_STRING = re.compile(r'(?:(?:AT_FDCWD|\d+)(?:<([^>]*)>)?, )?"((?:[^"\\]|\\.)*)"')
OPENS = {'open', 'openat', 'openat2', 'creat'}
CHANGES = {'mkdir', 'mkdirat', 'rename', 'renameat', 'renameat2', 'unlink', 'unlinkat', 'rmdir', 'link', 'linkat', 'symlink',
           'symlinkat', 'chmod', 'fchmodat', 'chown', 'lchown', 'fchownat', 'utimensat', 'truncate', 'mknod', 'mknodat'}
LOOKS = {'stat', 'lstat', 'newfstatat', 'statx', 'access', 'faccessat', 'faccessat2', 'readlink', 'readlinkat', 'statfs'}

# The first that matches names the group; the random parts of names are folded.
FOLDS = [
    (r'^/proc/(self|thread-self|\d+)(/task/\d+)?/', '/proc/PID/'),
    (r'^/proc/(self|\d+)$', '/proc/PID'),
    (r'^/usr/lib/x86_64-linux-gnu/.*', '/usr/lib/x86_64-linux-gnu/**'),
    (r'^/lib/x86_64-linux-gnu/.*', '/lib/x86_64-linux-gnu/**'),
    (r'^/lib64/.*', '/lib64/**'),
    (r'^/usr/lib/gcc/.*', '/usr/lib/gcc/**'),
    (r'^/usr/include/.*', '/usr/include/**'),
    (r'^/usr/lib/node_modules(/.*|$)', '/usr/lib/node_modules/**'),
    (r'^/usr/lib/locale/.*', '/usr/lib/locale/**'),
    (r'^/usr/share/locale/.*', '/usr/share/locale/**'),
    (r'^/usr/share/git-core/.*', '/usr/share/git-core/**'),
    (r'^/usr/share/zoneinfo/.*', '/usr/share/zoneinfo/**'),
    (r'^/usr/lib/git-core/.*', '/usr/lib/git-core/**'),
    (r'^/sys/fs/cgroup(/.*|$)', '/sys/fs/cgroup/**'),
    (r'^/tmp/cc\w{6}\..*$', '/tmp/cc*'),
    (r'^/usr/share/ca-certificates/.*', '/usr/share/ca-certificates/**'),
    (r'^/etc/ssl/certs/.*', '/etc/ssl/certs/**'),
    (r'^/etc/profile\.d/.*', '/etc/profile.d/**'),
    (r'^/usr/(s?bin|local/s?bin)/.*', r'/usr/\1/**'),
    (r'^(/s?bin)/.*', r'\1/**'),
    (r'^/tmp/tmp\.\w+$', '/tmp/tmp.*'),
    (r'^/tmp/claude-\d+(/.*|$)', '/tmp/claude-UID/**'),
    (r'^/tmp/claude-[0-9a-f]+-cwd$', '/tmp/claude-HEX-cwd'),
    (r'^/var/tmp/#\d+.*', '/var/tmp (O_TMPFILE)'),
    (r'^~/\.claude\.json\.tmp\..*', '~/.claude.json.tmp.*'),
    (r'^~/\.claude\.json\.\w*lock.*', '~/.claude.json.lock'),
    (r'^(~/\.claude/[^/]+)/.*', r'\1/**'),
    (r'^(~/\.codex/[^/]+)/.*', r'\1/**'),
    (r'^(~/\.npm/[^/]+)/.*', r'\1/**'),
    (r'^~/\.codex/[a-z_0-9]+\.sqlite.*', '~/.codex/*.sqlite*'),
    (r'^~/\.codex/\.tmp\w+$', '~/.codex/.tmp*'),
    (r'^(AGENTS)/.*', r'\1/**'),
    (r'^(~/extra/new\.txt\.tmp)\..*', r'\1.*'),
    (r'^/sys/devices/system/(\w+)(/.*|$)', r'/sys/devices/system/\1/**'),
]


def fold(path, args):
    for prefix, name in ((args.project, 'PROJECT'), (args.agents, 'AGENTS'), (args.home, '~')):
        if prefix and (path == prefix or path.startswith(prefix + '/')):
            path = name + path[len(prefix):]
            break
    if args.all:
        return path
    for pattern, group in FOLDS:
        if re.match(pattern, path):
            return re.sub(pattern, group, path)
    return path


def fold_home(path, args):
    return '~' + path[len(args.home):] if path.startswith(args.home + '/') else path


def fold_install(path, args):
    return 'AGENTS/**/' + os.path.basename(path) if args.agents and path.startswith(args.agents + '/') else path


def calls(lines):
    """Whole calls, in the order they ended."""
    pending = {}
    for line in lines:
        line = line.rstrip('\n')
        if match := UNFINISHED.match(line):
            pending[match[1], match[2]] = match[3]
            continue
        if match := RESUMED.match(line):
            line = f"{match[1]} {match[2]}({pending.pop((match[1], match[2]), '')}{match[3]}"
        if match := CALL.match(line):
            yield match[1], match[2], match[3], int(match[4], 0), match[5], line


def strings(text, cwd):
    for folder, name in AT_STRING.findall(text):
        if folder and not name.startswith('/'):
            name = os.path.join(folder, name) if name else folder
        elif not name.startswith('/'):
            name = os.path.join(cwd, name)
        yield os.path.normpath(name)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('log')
    parser.add_argument('--home', required=True)
    parser.add_argument('--project')
    parser.add_argument('--agents')
    parser.add_argument('--all', action='store_true', help='do not fold names into groups')
    args = parser.parse_args()
    args.project = args.project or args.home + '/project'

    found = list(calls(open(args.log, errors='replace')))
    parent = {str(r): pid for pid, call, _, r, _, _ in found if call in ('clone', 'clone3', 'fork', 'vfork') and r > 0}
    program, uses, missed, executed, hosts = {}, collections.defaultdict(set), collections.Counter(), collections.Counter(), set()

    def program_of(pid):
        while pid not in program and pid in parent:
            pid = parent[pid]
        return program.get(pid, '?')

    for pid, call, text, r, opened, line in found:
        if call in ('clone', 'clone3', 'fork', 'vfork') and r > 0:
            program.setdefault(str(r), program_of(pid))
            continue
        if call == 'connect':
            hosts.update(re.findall(r'sun_path=@?"[^"]*"|inet_addr\("[^"]*"\)', text))
            continue
        paths = list(strings(text, args.project))
        if call.startswith('execve'):
            if r == 0:
                who, name = program_of(parent.get(pid, '')), paths[0]
                program[pid] = who if name.startswith('/proc/') else os.path.basename(name)
                executed[who, name if name.startswith('/proc/') else fold_install(name, args)] += 1
            continue
        if call.startswith('symlink') or call.startswith('link'):
            paths = paths[1:]                           # the first is what it points to
        for path in paths[:2 if call in CHANGES else 1]:
            name = fold(opened if call in OPENS and r >= 0 and opened else path, args)
            if name.startswith('PROJECT') or re.search(r'(pipe|socket):\[', path + name):
                continue
            if r < 0:
                if 'ENOENT' in line and re.match(r'(~|/|/etc|/usr|/var|/home|/opt|/run|/tmp)/?[^/]+$', fold_home(path, args)):
                    missed[fold_home(path, args)] += 1
                continue
            if 'O_PATH' in text:
                uses[name, 'look'].add(program_of(pid))
            elif call in CHANGES or call in OPENS and re.search(r'O_WRONLY|O_RDWR|O_CREAT', text):
                uses[name, 'write'].add(program_of(pid))
            elif call in OPENS:
                uses[name, 'list' if 'O_DIRECTORY' in text else 'read'].add(program_of(pid))
            elif call in LOOKS:
                uses[name, 'look'].add(program_of(pid))

    print('## executed')
    for (who, path), n in sorted(executed.items(), key=lambda item: item[0][1]):
        print(f'{path} by {who} x{n}')
    for kind in ('write', 'read', 'list', 'look'):
        print(f'## {kind}')
        for (path, what), who in sorted(uses.items()):
            if what == kind and (kind != 'look' or not any((path, k) in uses for k in ('write', 'read', 'list'))):
                print(f"{path} by {', '.join(sorted(who))}")
    print('## missed: not there, directly in HOME or in a folder of the root')
    for path, n in sorted(missed.items()):
        print(f'{path} x{n}')
    print('## connected')
    print('\n'.join(sorted(hosts)))


if __name__ == '__main__':
    main()
