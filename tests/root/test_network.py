"""The network: a session has its own loopback and no way out, except the ports of the host's loopback that were opened."""
import socket
import threading
import time

from harness import Skip, equal, one_of, true

# Any of these says that nothing was reached; EACCES is the broker's word, the others are the kernel's.
NO_WAY = ('ECONNREFUSED', 'ENETUNREACH', 'EACCES', 'EPERM', 'EHOSTUNREACH', 'EADDRNOTAVAIL')
TCP = '(lambda s: (s.settimeout(5), s.connect({}), s.recv(100).decode())[2])(socket.socket({}))'


def tcp(address, port, family='socket.AF_INET'):
    return TCP.format(f'("{address}", {port})', family)


def test_host_loopback_is_not_reached(t):
    port = t.listen_tcp()
    with socket.create_connection(('127.0.0.1', port), 5) as s:
        equal(s.recv(100), b'host says hello', 'it is reached from the host')
    got = t.probe(t.grant_project, {
        'v4': tcp('127.0.0.1', port), 'other': tcp('127.0.0.2', port), 'any': tcp('0.0.0.0', port), 'mapped': tcp('::ffff:127.0.0.1', port, 'socket.AF_INET6'),
        'v6': tcp('::1', port, 'socket.AF_INET6'), 'nonblocking': f'(lambda s: (s.setblocking(False), s.connect_ex(("127.0.0.1", {port}))) and '
        '(time.sleep(0.3), errno.errorcode.get(s.getsockopt(1, 4) or s.connect_ex(("127.0.0.1", %d)), "reached"))[1])(socket.socket())' % port,
    })
    for what, result in got.items():
        one_of(result, NO_WAY, what)


def test_nothing_but_loopback_is_there(t):
    got = t.probe(t.grant_project, {
        'interfaces': '[name for _, name in socket.if_nameindex()]', 'v4': tcp('192.0.2.1', 80), 'metadata': tcp('169.254.169.254', 80),
        'v6': tcp('2001:db8::1', 80, 'socket.AF_INET6'), 'routes': 'len(read("/proc/net/route").splitlines())',
        'udp': 'socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("192.0.2.1", 53))',
        'udp connect': 'socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(("192.0.2.1", 53))',
        'fast open': 'socket.socket().sendto(b"x", 0x20000000, ("192.0.2.1", 80))',
    })
    equal(got.pop('interfaces'), ['lo'])
    one_of(got.pop('routes'), (0, 1), 'routes')
    for what, result in got.items():
        one_of(result, NO_WAY, what)


def test_udp_and_fast_open_do_not_reach_host_loopback(t):
    got_bytes = []
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.bind(('127.0.0.1', 0))
    receiver.settimeout(0.5)
    t.undo.append(receiver.close)
    port = receiver.getsockname()[1]
    t.probe(t.grant_project, {
        'to': f'socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"out", ("127.0.0.1", {port}))',
        'connected': f'(lambda s: (s.connect(("127.0.0.1", {port})), s.send(b"out")))(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) and None',
        'msg': f'socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendmsg([b"out"], [], 0, ("127.0.0.1", {port})) and None',
    })
    try:
        got_bytes.append(receiver.recv(100))
    except socket.timeout:
        pass
    equal(got_bytes, [])


def test_families_that_are_not_needed_are_refused(t):
    got = t.probe(t.grant_project, {
        'packet': 'socket.socket(17, socket.SOCK_RAW, 0)', 'vsock': 'socket.socket(40, socket.SOCK_STREAM)', 'alg': 'socket.socket(38, socket.SOCK_SEQPACKET)',
        'bluetooth': 'socket.socket(31, socket.SOCK_RAW, 0)', 'audit netlink': 'socket.socket(16, socket.SOCK_RAW, 9)', 'can': 'socket.socket(29, socket.SOCK_RAW, 1)',
        'raw': 'socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)',
    })
    equal(got.pop('raw'), 'EPERM')
    equal(got, dict.fromkeys(got, 'EAFNOSUPPORT'))


def test_own_loopback_works(t):
    got = t.probe(t.grant_project, {'tcp': (
        '(lambda server: (lambda client: (lambda pair: (pair[0].sendall(b"hello"), client.recv(10).decode())[1])(server.accept()))'
        '(socket.create_connection(server.getsockname())))(socket.create_server(("127.0.0.1", 0)))'),
        'udp': ('(lambda a, b: (a.bind(("127.0.0.1", 0)), b.sendto(b"hello", a.getsockname()), a.recv(10).decode())[2])'
                '(socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket(socket.AF_INET, socket.SOCK_DGRAM))'),
        'route': 'socket.socket(16, socket.SOCK_RAW, 0).close()'})
    equal(got, {'tcp': 'hello', 'udp': 'hello', 'route': 'ok'})


def test_what_a_session_listens_on_is_not_reached_from_the_host(t):
    session = t.shell()
    session.say('python3 -S -c "import socket, time; s = socket.create_server((\'127.0.0.1\', 0)); print(s.getsockname()[1], flush=True); time.sleep(20)" &')
    port = int(session.line())
    try:
        socket.create_connection(('127.0.0.1', port), 1).close()
    except ConnectionRefusedError:
        return
    raise AssertionError('reached') from None


def test_open_port_reaches_that_port_of_the_hosts_loopback_and_no_other(t):
    port, other = t.listen_tcp(b'opened'), t.listen_tcp(b'not opened')
    got = t.probe([*t.grant_project, '--open-port', str(port)], {
        'v4': tcp('127.0.0.1', port), 'again': tcp('127.0.0.1', port), 'by name': tcp('localhost', port), 'other': tcp('127.0.0.1', other),
        'elsewhere': tcp('192.0.2.1', port),
    })
    for what in ('v4', 'again', 'by name'):
        equal(got[what], 'opened', what)
    for what in ('other', 'elsewhere'):
        one_of(got[what], NO_WAY, what)


def test_open_port_keeps_the_semantics_of_a_non_blocking_connect(t):
    port = t.listen_tcp(b'opened')
    script = ('(lambda s, p: (s.setblocking(False), errno.errorcode.get(s.connect_ex(("127.0.0.1", %d)), "connected"), p.register(s, 4), p.poll(5000) != [], '
              's.getsockopt(1, 4), p.modify(s, 1), p.poll(5000) != [], s.recv(100).decode(), s.getblocking())[1:])(socket.socket(), __import__("select").poll())') % port
    got = t.probe([*t.grant_project, '--open-port', str(port)], {'x': script})['x']
    one_of(got[0] if isinstance(got, list) else got, ('EINPROGRESS', 'connected'), repr(got))
    equal(got[1:], [None, True, 0, None, True, 'opened', False])


def test_open_port_with_epoll_registered_before_the_connect(t):
    port = t.listen_tcp(b'opened')
    script = ('(lambda s, e: (s.setblocking(False), e.register(s, 5), s.connect_ex(("127.0.0.1", %d)), [time.sleep(0.2), e.poll(5) != []][1], s.recv(100).decode())[3:])'
              '(socket.socket(), __import__("select").epoll())') % port
    equal(t.probe([*t.grant_project, '--open-port', str(port)], {'x': script})['x'], [True, 'opened'])


def test_open_port_where_nobody_listens_is_refused_as_by_the_kernel(t):
    with socket.create_server(('127.0.0.1', 0)) as s:
        port = s.getsockname()[1]
    equal(t.probe([*t.grant_project, '--open-port', str(port)], {'x': tcp('127.0.0.1', port)})['x'], 'ECONNREFUSED')


def test_open_port_carries_megabytes_both_ways(t):
    server = socket.create_server(('127.0.0.1', 0))
    t.undo.append(server.close)

    def echo():
        connection, _ = server.accept()
        with connection:
            while data := connection.recv(65536):
                connection.sendall(data)

    threading.Thread(target=echo, daemon=True).start()
    script = ('import socket, threading, hashlib\ns = socket.create_connection(("127.0.0.1", %d))\ndata = bytes(range(256)) * 40000\n'
              'threading.Thread(target=lambda: (s.sendall(data), s.shutdown(1))).start()\ngot = b""\nwhile d := s.recv(65536): got += d\nprint(got == data)') % server.getsockname()[1]
    done = t.run([*t.grant_project, '--open-port', str(server.getsockname()[1])], ['/usr/bin/python3', '-S', '-c', script], timeout=60)
    equal(done.out.strip(), 'True', repr(done))


def test_twenty_programs_use_an_open_port_at_once(t):
    port = t.listen_tcp(b'opened')
    script = ('import concurrent.futures as f, socket\n'
              'def one(_):\n    with socket.create_connection(("127.0.0.1", %d), 10) as s: return s.recv(100)\n'
              'with f.ThreadPoolExecutor(20) as p: print(list(p.map(one, range(200))).count(b"opened"))') % port
    done = t.run([*t.grant_project, '--open-port', str(port)], ['/usr/bin/python3', '-c', script], timeout=60)
    equal(done.out.strip(), '200', repr(done))


def test_wrong_port_numbers_are_our_own_error(t):
    for port in ('0', '65536', 'http', '-1', '', '80x'):
        equal(t.run(['--open-port', port], ['true']).status, 125, port)


def test_no_name_is_resolved_outside(t):
    got = t.probe(t.grant_project, {'far': 'socket.gethostbyname("name-that-would-leave.example.org")', 'near': 'socket.gethostbyname("localhost")'})
    true(got['far'].startswith('['), f'an error, not an address: {got["far"]}')
    equal(got['near'], '127.0.0.1')
