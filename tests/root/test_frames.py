"""
The socket from a hostile client's side. Each piece of nonsense ends that connection or is answered with an error, quickly; the
daemon goes on, and so does a session that runs meanwhile.
"""
import contextlib
import json
import os
import pathlib
import socket
import struct
import sys
import time

import wirefmt
from harness import Failure, equal, eventually, one_of, true
from wirefmt import FRAME_MAX, Peer, field, frame, message, request, varint


@contextlib.contextmanager
def as_alice(t):
    """Credentials of a connection are those of the process that connects."""
    os.setegid(t.alice.pw_gid)
    os.seteuid(t.alice.pw_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


def peer(t, hello=True):
    with as_alice(t):
        p = Peer(t.daemon.socket)
    t.undo.append(p.close)
    if hello:
        seq, kind, _ = p.hello()
        equal((seq, kind), (1, 'hello'))
    return p


def refused(p, what):
    """Either the connection ends or an error comes back; silence is neither."""
    try:
        answer = p.reply(5)
    except TimeoutError:
        raise Failure(f'{what}: neither an error nor the end')
    if answer is not None:
        equal(answer[1], 'error', what)


def ended(p, what):
    for _ in range(3):
        try:
            answer = p.reply(5)
        except TimeoutError:
            raise Failure(f'{what}: the connection stays open')
        if answer is None:
            return
        equal(answer[1], 'error', what)
    raise Failure(f'{what}: the connection stays open')


def still_serves(t, session):
    equal(session.ask('echo on'), 'on', 'the session that runs meanwhile')
    seq, kind, _ = peer(t).call('list_sessions')
    equal(kind, 'sessions')


def test_handshake_and_a_list_are_answered(t):
    p = peer(t)
    equal(p.call('list_sessions'), (2, 'sessions', {}))


def test_a_version_we_do_not_speak_is_refused_by_name(t):
    p = peer(t, hello=False)
    seq, kind, body = p.hello(77, 99)
    equal((kind, body.get(1)), ('error', 2))
    ended(p, 'after a refused version')


def test_a_request_before_the_handshake_ends_the_connection(t):
    p = peer(t, hello=False)
    p.send(frame(request(1, 'list_sessions')))
    ended(p, 'no handshake')


def test_a_second_handshake_is_refused(t):
    p = peer(t)
    p.send(frame(request(9, 'hello', message((1, 1), (2, 1)))))
    refused(p, 'second hello')


MALFORMED = {
    'empty frame': struct.pack('<I', 0),
    'frame of 4 GiB': struct.pack('<I', 0xffffffff),
    'frame one over the limit': struct.pack('<I', FRAME_MAX + 1) + b'x' * 100,
    'zeros': frame(bytes(64)),
    'random bytes': frame(bytes((i * 7919 + 13) % 251 for i in range(500))),
    'truncated field': frame(b'\x08'),
    'overlong varint': frame(b'\x08' + b'\xff' * 11),
    'length beyond the frame': frame(b'\x08\x02' + b'\x6a\xff\xff\xff\x7f'),
    'group wire type': frame(b'\x08\x02' + b'\x6b\x6c'),
    'no body': frame(message((1, 2))),
    'unknown field': frame(message((1, 2), (99, b'x'), (13, b''))),
    'unknown field inside': frame(request(2, 'list_sessions', message((77, 1)))),
    'enum value that is none': frame(request(2, 'approve', message((1, 1), (2, 77)))),
    'negative enum value': frame(request(2, 'approve', message((1, 1), (3, (1 << 64) - 5)))),
    'NUL in a name': frame(request(2, 'stop', message((1, b'a\0b')))),
    'ten thousand empty members': frame(request(2, 'spawn', b'\x12\x00' * 10000)),
}


def test_malformed_frames_end_that_connection_and_no_other(t):
    session = t.shell()
    for what, data in MALFORMED.items():
        p = peer(t)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            p.send(data)
        refused(p, what)
        p.close()
    still_serves(t, session)


def test_frame_in_single_bytes_is_a_frame(t):
    p = peer(t)
    for byte in frame(request(2, 'list_sessions')):
        p.send(bytes([byte]))
        time.sleep(0.001)
    equal(p.reply()[1], 'sessions')


def test_many_frames_in_one_write_are_all_answered_in_order(t):
    p = peer(t)
    p.send(b''.join(frame(request(i, 'list_sessions')) for i in range(2, 202)))
    equal([p.reply()[0] for _ in range(200)], list(range(2, 202)))


def test_a_client_that_stops_in_the_middle_of_a_frame_harms_nobody(t):
    session = t.shell()
    stalled = [peer(t) for _ in range(20)]
    for i, p in enumerate(stalled):
        p.send(frame(request(2, 'list_sessions'))[:1 + i % 6])
    still_serves(t, session)


def test_a_client_that_never_reads_is_dropped_and_harms_nobody(t):
    session = t.shell()
    p = peer(t)
    p.socket.settimeout(3)
    data = frame(request(2, 'list_grants', message((1, session.id.encode()))))
    sent = 0
    try:
        for _ in range(200):
            p.socket.sendall(data * 100)
            sent += 100
    except (socket.timeout, BrokenPipeError, ConnectionResetError):
        pass
    still_serves(t, session)


def test_descriptors_where_none_belong_are_closed_and_refused(t):
    session = t.shell()
    before = len(os.listdir(f'/proc/{t.daemon.service_pid()}/fd'))
    for body in ('list_sessions', 'hello', 'watch', 'deny'):
        p = peer(t)
        null = os.open('/dev/null', os.O_RDONLY)
        try:
            p.send(frame(request(2, body)), [null] * 5)
        finally:
            os.close(null)
        refused(p, f'{body} with descriptors')
        p.close()
    eventually(lambda: len(os.listdir(f'/proc/{t.daemon.service_pid()}/fd')) <= before + 1, 'the descriptors are closed again')
    still_serves(t, session)


def test_more_descriptors_than_a_message_may_carry_are_refused(t):
    session = t.shell()
    before = len(os.listdir(f'/proc/{t.daemon.service_pid()}/fd'))
    null = os.open('/dev/null', os.O_RDONLY)
    try:
        for n in (9, 60, 250):
            p = peer(t)
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                p.send(frame(request(2, 'spawn')), [null] * n)
            refused(p, f'{n} descriptors')
            p.close()
    finally:
        os.close(null)
    eventually(lambda: len(os.listdir(f'/proc/{t.daemon.service_pid()}/fd')) <= before + 1, 'the descriptors are closed again')
    still_serves(t, session)


def spec(program='/bin/true', seals=0xf, magic=0x6f6e6f6e, size=None, n_argv=1, strings=None, mask=0):
    body = strings if strings is not None else b'\0'.join([program.encode(), b'/', b'true']) + b'\0'
    data = struct.pack('<IIIIHHI', magic, 24 + len(body) if size is None else size, n_argv, 0, 0, 0, mask) + body
    fd = os.memfd_create('spec', os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(fd, data)
    import fcntl
    if seals:
        fcntl.fcntl(fd, 1033, seals & 0xe)              # F_ADD_SEALS: SHRINK GROW WRITE
    return fd


def spawn(t, fds):
    p = peer(t)
    null = os.open('/dev/null', os.O_RDWR)
    try:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            p.send(frame(request(2, 'spawn', message((3, b'/'), (4, message((1, str(t.home).encode())))))),
                   [null if fd == 'null' else fd for fd in fds])
    finally:
        os.close(null)
        for fd in fds:
            if fd != 'null':
                os.close(fd)
    return p


def outcome(p):
    """What a spawn comes to: error, failed, exited N, or the end of the connection"""
    while True:
        answer = p.reply()
        if answer is None:
            return 'end'
        _, kind, body = answer
        if kind in ('error', 'failed'):
            return kind
        if kind == 'exited':
            return f'exited {body.get(1, 0)}'


def test_spawn_by_hand_works_or_the_next_test_proves_nothing(t):
    equal(outcome(spawn(t, [spec(), 'null', 'null', 'null'])), 'exited 0')


def test_wrong_descriptors_of_a_spawn_are_refused(t):
    session = t.shell()
    plain = lambda: os.open(t.put(t.folder / 'plain', 'text'), os.O_RDONLY)  # noqa: E731
    read, write = os.pipe()
    os.close(write)
    cases = {
        'none': [], 'no standard descriptors': [spec()], 'two of three': [spec(), 'null', 'null'], 'five': [spec(), *['null'] * 4],
        'a file instead of the memfd': [plain(), 'null', 'null', 'null'], 'a pipe instead of it': [read, 'null', 'null', 'null'],
        'not sealed': [spec(seals=0), 'null', 'null', 'null'], 'sealed against growing only': [spec(seals=4), 'null', 'null', 'null'],
        'wrong magic': [spec(magic=1), 'null', 'null', 'null'], 'size too large': [spec(size=1 << 20), 'null', 'null', 'null'],
        'size too small': [spec(size=3), 'null', 'null', 'null'], 'more arguments than strings': [spec(n_argv=1000), 'null', 'null', 'null'],
        'a billion arguments': [spec(n_argv=1 << 30), 'null', 'null', 'null'], 'no strings': [spec(strings=b''), 'null', 'null', 'null'],
        'no NUL at the end': [spec(strings=b'/bin/true\0/\0true'), 'null', 'null', 'null'],
    }
    for what, fds in cases.items():
        one_of(outcome(spawn(t, fds)), ('error', 'failed', 'end'), what)
    still_serves(t, session)
    session.wait()


def test_paths_that_are_not_absolute_and_plain_are_refused(t):
    session = t.shell()
    for path in (b'relative', b'', b'/a/../b', b'/a\0b', b'/' + b'x' * 5000, b'/a/./b', b'//a'):
        p = peer(t)
        p.send(frame(request(2, 'grant', message((1, session.id.encode()), (2, path)))))
        refused(p, f'grant of {path[:20]!r}')
        p = peer(t)
        p.send(frame(request(2, 'spawn', message((3, path)))), [])
        refused(p, f'workdir {path[:20]!r}')
    still_serves(t, session)


def test_a_thousand_connections_of_one_user_leave_room_for_others(t):
    session = t.shell()
    many = []
    try:
        with as_alice(t):
            for _ in range(1000):
                s = socket.socket(socket.AF_UNIX)
                s.setblocking(False)
                many.append(s)
                try:
                    s.connect(str(t.daemon.socket))
                except (BlockingIOError, ConnectionRefusedError, OSError):
                    break
        done = t.ctl('ps', user=t.bob)
        equal(done.status, 0, f'another user while {len(many)} connections are open: {done}')
    finally:
        for s in many:
            s.close()
    still_serves(t, session)


def test_messages_of_a_session_from_a_connection_without_one_are_refused(t):
    for body, content in (('signal', message((1, 15))), ('cont', b'')):
        p = peer(t)
        p.send(frame(request(2, body, content)))
        refused(p, body)
