"""
wirefmt.py — the protocol of proto/nono.proto from the outside: just enough of protobuf to write frames by hand, right and wrong.
"""
import array
import os
import select
import socket
import struct

# field numbers of nono.Request and nono.Reply
REQUEST = {'hello': 2, 'spawn': 3, 'signal': 4, 'cont': 5, 'watch': 6, 'list_prompts': 7, 'approve': 8, 'deny': 9, 'list_grants': 10,
           'grant': 11, 'revoke': 12, 'list_sessions': 13, 'stop': 14}
REPLY = {2: 'hello', 3: 'error', 4: 'ok', 5: 'spawned', 6: 'tty', 7: 'started', 8: 'stopped', 9: 'exited', 10: 'failed', 11: 'event',
         12: 'prompts', 13: 'grants', 14: 'granted', 15: 'revoked', 16: 'sessions'}
FRAME_MAX = 64 * 1024


def varint(n):
    out = b''
    while True:
        low, n = n & 0x7f, n >> 7
        out += bytes([low | (0x80 if n else 0)])
        if not n:
            return out


def field(number, value):
    """int: varint; bytes: length-delimited"""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def message(*fields):
    return b''.join(field(n, v) for n, v in fields)


def request(seq, body, content=b''):
    return message((1, seq), (REQUEST[body], content))


def frame(payload):
    return struct.pack('<I', len(payload)) + payload


def decode(data):
    """[(field number, value)] of one message"""
    def number(at):
        n = shift = 0
        while True:
            b = data[at]
            at += 1
            n |= (b & 0x7f) << shift
            shift += 7
            if not b & 0x80:
                return n, at

    at, out = 0, []
    while at < len(data):
        key, at = number(at)
        if key & 7 == 0:
            value, at = number(at)
        else:
            size, at = number(at)
            value, at = data[at:at + size], at + size
        out.append((key >> 3, value))
    return out


class Peer:
    """A raw connection of this process's user."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(10)
        self.socket.connect(str(path))
        self.data = b''
        self.seq = 0

    def close(self):
        self.socket.close()

    def send(self, data, fds=()):
        if fds:
            self.socket.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', fds))])
        else:
            self.socket.sendall(data)

    def reply(self, timeout=10):
        """(seq, name, {field: value}); None at the end of the connection"""
        while True:
            if len(self.data) >= 4:
                size = struct.unpack('<I', self.data[:4])[0]
                if len(self.data) >= 4 + size:
                    payload, self.data = self.data[4:4 + size], self.data[4 + size:]
                    break
            if not select.select([self.socket], [], [], timeout)[0]:
                raise TimeoutError('no answer')
            try:
                data, fds, _, _ = socket.recv_fds(self.socket, 65536, 8)
            except ConnectionResetError:
                return None
            for fd in fds:
                os.close(fd)
            if not data:
                return None
            self.data += data
        fields = dict(decode(payload))
        seq = fields.pop(1, 0)
        kind, content = fields.popitem()
        return seq, REPLY.get(kind, kind), dict(decode(content))

    def call(self, body, content=b'', fds=()):
        self.seq += 1
        self.send(frame(request(self.seq, body, content)), fds)
        return self.reply()

    def hello(self, low=1, high=1):
        return self.call('hello', message((1, low), (2, high), (3, b'test')))
