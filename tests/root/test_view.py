"""The view: what is granted works at once, what is not is refused with the documented errno, by every way there is."""
import os
import pathlib
import time

from harness import SECRET, Failure, Skip, equal, eventually, one_of, true

REFUSED = ('EACCES', 'ENOENT')
# link(2) and rename(2) across mounts say EXDEV before anything else
APART = ('EACCES', 'ENOENT', 'EXDEV', 'EPERM', 'EROFS')


def test_granted_folder_is_read_written_listed_and_searched(t):
    t.put(t.project / 'sub/deep.txt', 'deep')
    p = t.project
    equal(t.probe(t.grant_project, {
        'read': f'read("{p}/hello.txt")', 'deep': f'read("{p}/sub/deep.txt")', 'list': f'sorted(os.listdir("{p}"))',
        'create': f'write("{p}/new.txt")', 'append': f'append("{p}/hello.txt")', 'mkdir': f'os.mkdir("{p}/d")',
        'rename': f'os.rename("{p}/new.txt", "{p}/d/moved.txt")', 'link': f'os.link("{p}/hello.txt", "{p}/d/hard")',
        'symlink': f'os.symlink("moved.txt", "{p}/d/soft")', 'unlink': f'os.unlink("{p}/d/hard")', 'chmod': f'os.chmod("{p}/hello.txt", 0o600)',
    }), {'read': 'hello\n', 'deep': 'deep', 'list': ['hello.txt', 'sub'], 'create': 'ok', 'append': 'ok', 'mkdir': 'ok', 'rename': 'ok',
         'link': 'ok', 'symlink': 'ok', 'unlink': 'ok', 'chmod': 'ok'})
    equal(t.asked, [], 'requests for what is granted')
    moved = p / 'd/moved.txt'
    equal((moved.read_text(), moved.stat().st_uid), ('written inside\n', t.alice.pw_uid), 'the file on the host')


def test_read_only_folder_refuses_every_kind_of_write(t):
    t.put(t.project / 'd/x')
    p = t.project
    got = t.probe(['--read', str(p)], {
        'read': f'read("{p}/hello.txt")', 'write': f'write("{p}/hello.txt")', 'append': f'append("{p}/hello.txt")',
        'create': f'write("{p}/new")', 'mkdir': f'os.mkdir("{p}/e")', 'unlink': f'os.unlink("{p}/hello.txt")',
        'rename': f'os.rename("{p}/hello.txt", "{p}/bye.txt")', 'symlink': f'os.symlink("x", "{p}/l")',
        'link': f'os.link("{p}/hello.txt", "{p}/l")', 'chmod': f'os.chmod("{p}/hello.txt", 0o600)',
        'utime': f'os.utime("{p}/hello.txt")', 'truncate': f'os.truncate("{p}/hello.txt", 0)', 'mknod': f'os.mkfifo("{p}/fifo")',
        'rmdir': f'os.rmdir("{p}/d")',
    })
    equal(got.pop('read'), 'hello\n')
    for what, result in got.items():
        one_of(result, ('EROFS', 'EACCES'), what)
    equal(sorted(x.name for x in p.iterdir()), ['d', 'hello.txt'])
    equal((p / 'hello.txt').read_text(), 'hello\n')


def test_file_outside_the_grants_cannot_be_opened_or_looked_at(t):
    secret = t.outside('secret.txt')
    got = t.probe(t.grant_project, {
        'open': f'read("{secret}")', 'stat': f'os.stat("{secret}").st_size', 'lstat': f'os.lstat("{secret}").st_size',
        'access': f'os.access("{secret}", os.F_OK)', 'write': f'write("{secret}")', 'list': f'os.listdir("{secret.parent}")',
        'chdir': f'os.chdir("{secret.parent}")', 'readlink': f'os.readlink("{secret}")', 'truncate': f'os.truncate("{secret}", 0)',
        'chmod': f'os.chmod("{secret}", 0)', 'o_path': f'os.open("{secret}", os.O_PATH)', 'unlink': f'os.unlink("{secret}")',
        'statfs': f'os.statvfs("{secret}")',
    })
    equal(got.pop('access'), False, 'access')
    for what, result in got.items():
        equal(result, 'EACCES', what)
    equal(secret.read_text(), SECRET + '\n', 'the file on the host')


def test_name_that_does_not_exist_is_ENOENT_and_asks_nobody(t):
    equal(t.probe(t.grant_project, {
        'home': f'os.stat("{t.home}/no-such-thing")', 'root': 'os.stat("/no-such-thing")', 'below': f'read("{t.home}/none/of/this")',
    }), {'home': 'ENOENT', 'root': 'ENOENT', 'below': 'ENOENT'})
    equal(t.asked, [], 'requests')


def test_levels_list_only_what_is_granted(t):
    t.outside('x')
    t.put(t.project.parent / 'sibling/x')
    got = t.probe(t.grant_project, {
        'src': f'os.listdir("{t.project.parent}")', 'home': f'os.listdir("{t.home}")', 'homes': f'os.listdir("{t.home.parent}")',
        'above': 'os.listdir("/home")', 'root': 'sorted(os.listdir("/"))',
    })
    equal(got['src'], [t.project.name])
    for name in ('.ssh', '.aws', 'notes', 'private', '.netrc', '.bash_history'):
        true(name not in got['home'], f'{name} is listed in the home')
    true('src' in got['home'], 'the granted side of the home is listed')
    equal(got['homes'], [t.home.name])
    equal(got['above'], [t.home.parent.name])
    true('usr' in got['root'], f'/usr is listed: {got["root"]}')
    for name in ('root', 'boot', 'srv', 'mnt', 'media'):
        true(name not in got['root'], f'/{name} is listed: {got["root"]}')


def test_sibling_projects_are_not_there(t):
    sibling = t.put(t.project.parent / f'{t.project.name}-sibling/code.txt', SECRET)
    got = t.probe(t.grant_project, {
        'absolute': f'read("{sibling}")', 'dots': f'read("../{sibling.parent.name}/code.txt")',
        'inside dots': f'read("{t.project}/../{sibling.parent.name}/code.txt")',
        'openat': f'os.open("{sibling.parent.name}/code.txt", os.O_RDONLY, dir_fd=os.open("..", os.O_RDONLY))',
    })
    for what, result in got.items():
        equal(result, 'EACCES', what)


def test_homes_of_others_are_not_there(t):
    other = pathlib.Path(t.bob.pw_dir) / 'work/open.txt'
    equal(t.as_user(['cat', other]).out.strip(), SECRET, 'alice reads it without us')
    got = t.probe(t.grant_project, {'open': f'read("{other}")', 'stat': f'os.stat("{t.bob.pw_dir}").st_mode', 'root': 'os.listdir("/root")'})
    for what, result in got.items():
        one_of(result, REFUSED, what)


def test_program_outside_the_grants_cannot_be_executed(t):
    tool = t.put(t.home / 'tools' / t.project.name / 'tool', '#!/bin/sh\necho tool ran\n', 0o755)
    expressions = {'exec': f'run("{tool}")', 'sh': f'subprocess.run(["sh", "-c", "{tool}"], capture_output=True).returncode'}
    equal(t.probe(t.grant_project, expressions), {'exec': 'EACCES', 'sh': 126})
    equal(t.probe([*t.grant_project, '--read', str(tool.parent)], expressions), {'exec': 'tool ran\n', 'sh': 0})


def test_single_file_grant_is_that_file_only(t):
    a, b = t.outside('a.txt', 'file a\n'), t.outside('b.txt')
    got = t.probe([*t.grant_project, '--read-file', str(a)], {
        'a': f'read("{a}")', 'b': f'read("{b}")', 'list': f'os.listdir("{a.parent}")', 'write': f'write("{a}")',
        'again': f'[read("{a}") for _ in range(3)]', 'regular': f'stat.S_ISREG(os.lstat("{a}").st_mode)',
        'nofollow': f'os.read(os.open("{a}", os.O_RDONLY | os.O_NOFOLLOW), 6).decode()',
    })
    one_of(got.pop('write'), ('EACCES', 'EROFS'), 'write')
    equal(got, {'a': 'file a\n', 'b': 'EACCES', 'list': ['a.txt'], 'again': ['file a\n'] * 3, 'regular': True, 'nofollow': 'file a'})
    equal(a.read_text(), 'file a\n')


def test_single_file_granted_for_writing_is_written_on_the_host(t):
    a = t.outside('a.txt', 'before\n')
    equal(t.probe([*t.grant_project, '--allow-file', str(a)], {'read': f'read("{a}")', 'write': f'write("{a}", "after")'}),
          {'read': 'before\n', 'write': 'ok'})
    equal(a.read_text(), 'after')


def test_unix_socket_is_reached_only_below_a_grant(t):
    inside, outside = t.project / 'sock', t.outside('x').parent / 'sock'
    t.listen(inside)
    t.listen(outside)
    equal(t.probe(t.grant_project, {'inside': f'connect("{inside}")', 'outside': f'connect("{outside}")'}),
          {'inside': 'host says hello', 'outside': 'EACCES'})


def test_unix_socket_is_not_reached_through_a_symlink_or_a_relative_name(t):
    outside = t.outside('x').parent / 'sock'
    t.listen(outside)
    os.symlink(outside, t.project / 'link')
    got = t.probe(t.grant_project, {
        'symlink': f'connect("{t.project}/link")', 'relative': f'connect("../../private/{t.project.name}/sock")',
        'fd': f'connect("/proc/self/cwd/../../private/{t.project.name}/sock")',
        'datagram': f'socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"x", "{outside}")',
    })
    for what, result in got.items():
        one_of(result, REFUSED, what)


def test_the_control_socket_is_not_there(t):
    got = t.probe(t.grant_project, {'open': f'os.stat("{t.daemon.socket}").st_mode', 'connect': f'connect("{t.daemon.socket}")'})
    for what, result in got.items():
        one_of(result, REFUSED, what)


def test_symlink_to_a_granted_place_works_and_to_another_does_not(t):
    secret, other = t.outside('secret.txt'), t.put(t.home / 'shared' / t.project.name / 'ok.txt', 'shared\n')
    os.symlink(secret, t.project / 'bad')
    os.symlink(secret.parent, t.project / 'bad-folder')
    os.symlink(other, t.project / 'good')
    os.symlink('hello.txt', t.project / 'near')
    got = t.probe([*t.grant_project, '--read', str(other.parent)], {
        'near': f'read("{t.project}/near")', 'good': f'read("{t.project}/good")', 'bad': f'read("{t.project}/bad")',
        'folder': f'read("{t.project}/bad-folder/secret.txt")', 'made inside': f'[os.symlink("{secret}", "mine"), read("mine")]',
        'stat': f'os.stat("{t.project}/bad").st_size', 'write': f'write("{t.project}/bad")',
    })
    equal(got, {'near': 'hello\n', 'good': 'shared\n', 'bad': 'EACCES', 'folder': 'EACCES', 'made inside': 'EACCES', 'stat': 'EACCES',
                'write': 'EACCES'})
    equal(secret.read_text(), SECRET + '\n')


def test_dangling_and_looping_symlinks_are_the_kernels_own_errors(t):
    os.symlink('nowhere', t.project / 'dangling')
    os.symlink('loop', t.project / 'loop')
    os.symlink(t.home / 'no-such-file', t.project / 'far')
    equal(t.probe(t.grant_project, {'dangling': 'read("dangling")', 'loop': 'read("loop")', 'far': 'read("far")'}),
          {'dangling': 'ENOENT', 'loop': 'ELOOP', 'far': 'ENOENT'})


def test_system_links_lead_where_they_lead_on_the_host(t):
    links = [p for p in ('/bin', '/lib', '/sbin', '/lib64') if os.path.islink(p)]
    if not links:
        raise Skip('this system has no merged /usr')
    equal(t.probe(t.grant_project, {p: f'os.readlink("{p}")' for p in links}), {p: os.readlink(p) for p in links})


def test_rename_and_link_do_not_cross_the_border(t):
    secret = t.outside('secret.txt')
    got = t.probe(t.grant_project, {
        'rename out': f'os.rename("hello.txt", "{t.home}/hello.txt")', 'rename in': f'os.rename("{secret}", "stolen.txt")',
        'link in': f'os.link("{secret}", "stolen.txt")', 'link out': f'os.link("hello.txt", "{t.home}/hello.txt")',
        'exchange': f'call(316, -100, b"hello.txt", -100, b"{secret}", 2)',
        'rename project': f'os.rename("{t.project}", "{t.project}-moved")', 'rmdir project': f'os.rmdir("{t.project}")',
    })
    for what, result in got.items():
        one_of(result, (*APART, 'EBUSY', 'ENOTEMPTY'), what)
    equal(sorted(p.name for p in t.project.iterdir()), ['hello.txt'])
    equal(secret.read_text(), SECRET + '\n')
    true(not (t.home / 'hello.txt').exists(), 'nothing appears outside')


def test_proc_self_root_and_other_magic_links_lead_nowhere_else(t):
    secret = t.outside('secret.txt')
    got = t.probe(t.grant_project, {
        'root': f'read("/proc/self/root{secret}")', 'pid 1 root': f'read("/proc/1/root{secret}")', 'cwd': f'read("/proc/self/cwd/../../private/{t.project.name}/secret.txt")',
        'root dots': f'read("/proc/self/root/../../../..{secret}")', 'task': f'read("/proc/thread-self/root{secret}")',
        'fds': 'sorted(os.listdir("/proc/self/fd"))[:3]', 'kcore': 'read("/proc/kcore", 1)', 'same': 'os.stat("/proc/self/root").st_ino == os.stat("/").st_ino',
        'above': 'os.listdir("/../../..") == os.listdir("/")',
    })
    equal(got.pop('fds'), ['0', '1', '2'])
    equal(got.pop('same'), True)
    equal(got.pop('above'), True)
    for what, result in got.items():
        one_of(result, REFUSED, what)


def test_programs_inherit_no_descriptor_but_the_standard_ones(t):
    done = t.sh(t.grant_project, 'ls /proc/self/fd')
    # the fourth is the one ls reads the folder with
    equal(done.out.split(), ['0', '1', '2', '3'])


def test_chroot_mount_and_new_user_namespaces_are_refused(t):
    got = t.probe(t.grant_project, {
        'mount': 'call(165, b"none", b"/tmp", b"tmpfs", 0, 0)', 'umount': f'call(166, b"{t.project}", 2)', 'chroot': 'os.chroot("/tmp")',
        'user namespace': 'call(272, 0x10000000)', 'mount namespace': 'call(272, 0x20000)', 'setns': 'call(308, 0, 0)',
        'clone': 'call(56, 0x10000011, 0, 0, 0, 0)', 'open_tree': 'call(428, -100, b"/", 1)', 'fsopen': 'call(430, b"tmpfs", 0)',
        'pivot_root': 'call(155, b"/tmp", b"/tmp")',
    })
    equal(got, dict.fromkeys(got, 'EPERM'))


def test_ways_around_path_names_are_refused(t):
    if os.uname().machine != 'x86_64':
        raise Skip('the numbers of system calls in this test are for x86_64')
    got = t.probe(t.grant_project, {
        'io_uring_setup': 'call(425, 8, ctypes.create_string_buffer(120))', 'clone3': 'call(435, ctypes.create_string_buffer(88), 88)',
        'open_by_handle_at': 'call(304, -100, ctypes.create_string_buffer(64), 0)',
        'process_vm_readv': 'call(310, os.getpid(), 0, 0, 0, 0, 0)', 'process_vm_writev': 'call(311, os.getpid(), 0, 0, 0, 0, 0)',
        'pidfd_getfd': 'call(438, 0, 0, 0)', 'kcmp': 'call(312, 1, 1, 0, 0, 0)', 'keyctl': 'call(250, 0, -3, 0)', 'add_key': 'call(248, b"user", b"x", b"y", 1, -3)',
        'bpf': 'call(321, 0, 0, 0)', 'perf_event_open': 'call(298, 0, 0, -1, -1, 0)', 'userfaultfd': 'call(323, 0)',
        'unknown': 'call(1023)', 'x32': 'call(0x40000000 | 39)', 'fanotify': 'call(300, 0, 0)',
    })
    expected = dict.fromkeys(got, 'EPERM')
    expected.update(dict.fromkeys(['io_uring_setup', 'clone3', 'unknown', 'x32'], 'ENOSYS'))
    equal(got, expected)


def test_io_uring_is_there_without_us_or_this_proves_nothing(t):
    done = t.as_user(['/usr/bin/python3', '-c', 'import ctypes, os\nl = ctypes.CDLL(None, use_errno=True)\n'
                      'r = l.syscall(425, 8, ctypes.create_string_buffer(120))\nprint(r if r < 0 else 0, ctypes.get_errno())'])
    if done.out.split()[0] != '0':
        raise Skip(f'io_uring_setup gives errno {done.out.split()[1]} outside a session')
    equal(t.probe(t.grant_project, {'x': 'call(425, 8, ctypes.create_string_buffer(120))'}), {'x': 'ENOSYS'})


def test_32_bit_system_calls_are_refused(t):
    if os.uname().machine != 'x86_64':
        raise Skip('x86_64 only')
    # push rbx; mov eax, 20 (getpid); int 0x80; pop rbx; ret
    code = (r'child(lambda: (lambda m: (m.write(b"\x53\xb8\x14\x00\x00\x00\xcd\x80\x5b\xc3"), '
            r'ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(m)))())[1])'
            r'(__import__("mmap").mmap(-1, 4096, prot=7)))')
    got = t.probe(t.grant_project, {'int80': code})['int80']
    # -38 is -ENOSYS; a kernel without 32-bit calls ends the program
    one_of(got, (-38, -11), 'getpid by int 0x80')


def test_the_program_has_no_privilege_and_cannot_get_any(t):
    got = t.probe(t.grant_project, {'status': 'read("/proc/self/status", 10000)', 'ids': '[os.getresuid(), os.getresgid(), os.getgroups()]',
                                    'setuid': 'os.setuid(0)', 'dumpable': 'call(157, 3, 0, 0, 0, 0)'})
    fields = dict(line.split(':\t', 1) for line in got['status'].splitlines() if ':\t' in line)
    for name in ('CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'):
        equal(int(fields[name], 16), 0, name)
    equal(fields['NoNewPrivs'], '1')
    equal(fields['Seccomp'], '2')
    uid, gid = t.alice.pw_uid, t.alice.pw_gid
    equal(got['ids'], [[uid] * 3, [gid] * 3, [gid]])
    equal(got['setuid'], 'EPERM')


def test_set_uid_programs_give_nothing(t):
    for program in ('/bin/su', '/usr/bin/passwd', '/usr/bin/mount'):
        if os.path.exists(program) and os.stat(program).st_mode & 0o4000:
            copy = f'os.stat("{program}").st_mode & 0o4000'
            got = t.probe(t.grant_project, {'there': copy, 'euid': f'[p := subprocess.Popen(["{program}", "--help"], stdout=-3, stderr=-3), '
                                            'read(f"/proc/{p.pid}/status", 9999).count("Uid:\\t0"), p.wait()][1]'})
            equal(got['euid'], 0, f'{program} runs as root')
            return
    raise Skip('no set-uid program on this system')


def test_credentials_stay_denied_when_the_whole_home_is_granted(t):
    h = t.home
    got = t.probe(['--allow', str(h)], {
        'notes': f'read("{h}/notes/plan.txt")', 'write': f'write("{h}/notes/{t.project.name}.txt")', 'key': f'read("{h}/.ssh/id_rsa")',
        'list': f'os.listdir("{h}/.ssh")', 'aws': f'read("{h}/.aws/credentials")', 'netrc': f'read("{h}/.netrc")',
        'history': f'read("{h}/.bash_history")', 'create': f'write("{h}/.ssh/authorized_keys")', 'chmod': f'os.chmod("{h}/.ssh", 0o755)',
        'write netrc': f'write("{h}/.netrc")', 'by link': f'[os.symlink("{h}/.ssh/id_rsa", "k"), read("k")]',
        'by dots': f'read("{h}/notes/../.ssh/id_rsa")', 'by proc': f'read("/proc/self/root{h}/.ssh/id_rsa")',
    })
    equal(got.pop('notes'), 'a plan\n')
    equal(got.pop('write'), 'ok')
    for what, result in got.items():
        one_of(result, ('EACCES', 'EROFS', 'EPERM') if what != 'chmod' else ('EACCES', 'EPERM', 'EROFS'), what)
    equal(t.asked, [], 'a deny asks nobody')
    equal((h / '.ssh/id_rsa').read_text().strip(), SECRET)


def test_a_denied_name_cannot_be_moved_away_or_replaced(t):
    h = t.home
    got = t.probe(['--allow', str(h)], {
        'rename folder': f'os.rename("{h}/.ssh", "{h}/free")', 'rename file': f'os.rename("{h}/.netrc", "{h}/free")',
        'unlink': f'os.unlink("{h}/.netrc")', 'rmdir': f'os.rmdir("{h}/.aws")', 'over': f'[write("{h}/mine"), os.rename("{h}/mine", "{h}/.netrc")]',
        'link': f'os.link("{h}/.netrc", "{h}/free")', 'parent': f'os.rename("{h}", "{h}-free")',
    })
    for what, result in got.items():
        one_of(result, (*APART, 'EBUSY'), what)
    true((h / '.ssh/id_rsa').exists() and (h / '.netrc').read_text().strip() == SECRET, 'all is in its place on the host')
    (h / 'mine').unlink(missing_ok=True)


def test_a_denied_file_replaced_on_the_host_stays_denied(t):
    h = t.home
    session = t.shell(['--allow', str(h)])
    true('denied' in session.ask(f'cat {h}/.netrc').lower(), 'it is denied at first')
    fresh = t.put(h / '.netrc.new', SECRET + ' again\n')
    fresh.rename(h / '.netrc')                          # as an editor saves it
    for _ in range(3):
        got = session.ask(f'cat {h}/.netrc')
        true(SECRET not in got, f'the new file is read: {got}')
    equal(t.probe(['--allow', str(h)], {'x': f'read("{h}/.netrc")'}), {'x': 'EACCES'})


def test_a_denied_file_replaced_again_and_again_is_never_readable(t):
    h = t.home
    script = ('import time\nn = bad = 0\nend = time.monotonic() + 3\nprint("ready", flush=True)\n'
              'while time.monotonic() < end:\n    n += 1\n'
              '    try: bad += "%s" in open("%s/.netrc").read()\n    except OSError: pass\nprint(n, bad)') % (SECRET, h)
    session = t.start(['--allow', str(h)], ['/usr/bin/python3', '-S', '-c', script])
    equal(session.line(), 'ready')
    for _ in range(100):
        t.put(h / '.netrc.new', SECRET + '\n').rename(h / '.netrc')
        time.sleep(0.02)
    n, bad = map(int, session.line().split())
    true(n > 1000, f'only {n} reads')
    equal(bad, 0, f'reads that saw the new file, of {n}')


def test_a_denied_folder_replaced_on_the_host_stays_denied(t):
    h = t.home
    session = t.shell(['--allow', str(h)])
    (h / '.aws').rename(h / '.aws-old')
    try:
        t.put(h / '.aws/credentials', SECRET + '\n')
        got = session.ask(f'cat {h}/.aws/credentials')
        true(SECRET not in got, f'the new folder is read: {got}')
    finally:
        (h / '.aws/credentials').unlink()
        (h / '.aws').rmdir()
        (h / '.aws-old').rename(h / '.aws')


def test_tmp_is_private_and_the_hosts_is_not_there(t):
    host = pathlib.Path('/tmp') / f'nonotest-{t.m.id}'
    host.write_text(SECRET)
    t.undo.append(lambda: host.unlink(missing_ok=True))
    got = t.probe(t.grant_project, {'host': f'read("{host}")', 'mine': '[write("/tmp/mine"), read("/tmp/mine")][1]', 'mode': 'oct(os.stat("/tmp").st_mode & 0o7777)'})
    one_of(got['host'], REFUSED, 'the file of the host')
    equal((got['mine'], got['mode']), ('written inside\n', '0o1777'))
    true(not os.path.exists('/tmp/mine'), 'the file of the session is not on the host')


def test_dev_has_the_usual_nodes_and_no_disk(t):
    got = t.probe(t.grant_project, {
        'nodes': 'sorted(os.listdir("/dev"))', 'null': '[write("/dev/null"), read("/dev/null")][1]', 'zero': 'read("/dev/zero", 3)', 'full': 'write("/dev/full")',
        'random': 'len(os.getrandom(4)) + len(open("/dev/urandom", "rb").read(4))', 'shm': '[write("/dev/shm/x"), read("/dev/shm/x")][1]',
        'mknod': 'os.mknod("/dev/shm/disk", stat.S_IFBLK | 0o666, os.makedev(8, 0))', 'pty': 'os.ttyname(os.openpty()[1])',
    })
    nodes = got.pop('nodes')
    for name in ('null', 'zero', 'full', 'random', 'urandom', 'tty', 'ptmx', 'pts', 'shm', 'fd', 'stdin', 'stdout', 'stderr'):
        true(name in nodes, f'/dev/{name} is missing: {nodes}')
    for name in ('sda', 'vda', 'kmsg', 'mem', 'kvm', 'fuse', 'autofs', 'mapper', 'input', 'net', 'loop-control'):
        true(name not in nodes, f'/dev/{name} is there')
    true(got.pop('pty').startswith('/dev/pts/'), 'a terminal of its own')
    equal(got, {'null': '', 'zero': '\0\0\0', 'full': 'ENOSPC', 'random': 8, 'shm': 'written inside\n', 'mknod': 'EPERM'})


def test_proc_of_the_machine_cannot_be_changed(t):
    got = t.probe(t.grant_project, {
        'sysctl': 'write("/proc/sys/kernel/core_pattern", "|/tmp/x")', 'sysrq': 'write("/proc/sysrq-trigger", "h")',
        'own': 'write("/proc/self/comm", "renamed")', 'score': 'write("/proc/self/oom_score_adj", "-1000")',
    })
    equal(got.pop('own'), 'ok')
    for what, result in got.items():
        one_of(result, ('EACCES', 'EPERM', 'EROFS', 'ENOENT'), what)


def test_sys_and_run_show_only_what_is_granted(t):
    # the base profile grants a few files by which runtimes count processors and memory
    got = t.probe(t.grant_project, {
        'sys': 'os.listdir("/sys")', 'net': 'os.listdir("/sys/class/net")', 'block': 'os.listdir("/sys/block")', 'firmware': 'os.listdir("/sys/firmware")',
        'pci': 'os.listdir("/sys/devices/pci0000:00")', 'run': 'os.listdir("/run/nonod")', 'cgroup': 'write("/sys/fs/cgroup/cgroup.procs", "1")',
        'write': 'write("/sys/kernel/mm/transparent_hugepage/enabled", "never")'})
    true(got['sys'] in REFUSED or set(got['sys']) <= {'kernel', 'devices', 'fs'}, f'/sys lists {got["sys"]}')
    del got['sys']
    for what, result in got.items():
        one_of(result, (*REFUSED, 'EROFS'), what)


def test_nested_grants_read_only_inside_writable_and_the_other_way(t):
    t.put(t.project / 'vendor/lib.c', 'lib\n')
    base = t.put(t.home / 'base' / t.project.name / 'out/x', 'x').parent.parent
    got = t.probe([*t.grant_project, '--read', str(base), '--allow', str(base / 'out')], {
        'base': f'write("{base}/no")', 'out': f'write("{base}/out/yes")', 'x': f'read("{base}/out/x")',
    })
    one_of(got['base'], ('EROFS', 'EACCES'), 'write in the read-only folder')
    equal((got['out'], got['x']), ('ok', 'x'))


def test_write_only_grant_lets_write(t):
    out = t.put_folder(t.home / 'out' / t.project.name)
    equal(t.probe(['--write', str(out)], {'w': f'write("{out}/log")'})['w'], 'ok')
    equal((out / 'log').read_text(), 'written inside\n')


def test_grant_of_a_symlink_grants_what_it_leads_to(t):
    real = t.put(t.home / 'disk' / t.project.name / 'x.txt', 'x\n').parent
    link = t.home / f'link-{t.project.name}'
    os.symlink(real, link)
    t.undo.append(link.unlink)
    equal(t.probe([*t.grant_project, '--read', str(link)], {'by link': f'read("{link}/x.txt")', 'by name': f'read("{real}/x.txt")'}),
          {'by link': 'x\n', 'by name': 'x\n'})


def test_names_with_strange_bytes_are_names(t):
    for name in ('with space', 'new\nline', '-dash', "quo'te", 'ünï', 'per%cent', '\x1b[31mred'):
        t.put(t.project / name, name)
    folder = t.put(t.home / 'od d' / t.project.name / 'x', 'x').parent
    got = t.probe([*t.grant_project, '--read', str(folder)], {'names': 'len(os.listdir("."))', 'odd': f'read("{folder}/x")', 'line': 'read("new\\nline")'})
    equal(got, {'names': 8, 'odd': 'x', 'line': 'new\nline'})


def test_two_sessions_do_not_see_each_other(t):
    a, b = t.put(t.home / 'one' / t.project.name / 'x', SECRET + '\n').parent, t.put(t.home / 'two' / t.project.name / 'x', SECRET + '\n').parent
    first, second = t.shell(['--allow', str(a)], cwd=a), t.shell(['--allow', str(b)], cwd=b)
    for session, other in ((first, b), (second, a)):
        with t.person(lambda p: ['deny', str(p['id'])]):
            true(SECRET not in session.ask(f'cat {other}/x'), 'the other session’s folder is read')
        equal(session.ask('cat x'), SECRET)
        equal(session.ask('ls /proc | grep -c "^[0-9]"') in ('2', '3', '4', '5'), True, 'only its own processes')


def test_deleted_and_recreated_folder_on_the_host_is_not_silently_another(t):
    folder = t.put(t.home / 'out' / t.project.name / 'x', 'old').parent
    session = t.shell([*t.grant_project, '--read', str(folder)])
    equal(session.ask(f'cat {folder}/x; echo'), 'old')
    moved = folder.with_name(folder.name + '-moved')
    folder.rename(moved)
    t.put(folder / 'x', SECRET + '\n')
    # the grant is the object that was opened, whatever stands at its name now
    true(SECRET not in session.ask(f'cat {folder}/x; echo'), 'the grant moved to another folder')
    equal((moved / 'x').read_text(), 'old')
