#!/usr/bin/env python3
"""For streams.sh: an origin with contents of any length, and many readers that are slow.

streams.py origin                                     prints its port, and serves until it is ended
streams.py readers URL METHOD COUNT BYTES SECONDS     each takes BYTES of answer, evenly over SECONDS
"""
import argparse
import selectors
import socket
import sys
import threading
import time
import urllib.parse

PIECE = 1 << 20
# Of a reader: what the kernel takes in advance is no merit of the server's.
RECEIVE_BUFFER = 64 << 10


def read_head(connection, before):
    """The next request's head and what came behind it; no head: the connection has ended."""
    data = before
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            return b"", b""
        data += more
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest


def take(connection, left, rest):
    """Reads what is left of a content with a length. What came behind it, and how long it was."""
    taken = min(left, len(rest))
    behind, buffer = rest[taken:], memoryview(bytearray(PIECE))
    while taken < left:
        got = connection.recv_into(buffer, min(PIECE, left - taken))
        if got == 0:
            break
        taken += got
    return behind, taken


def serve(connection):
    """PATH /bytes/N: an answer of so many; else how many bytes the request's content had."""
    piece, rest = memoryview(bytes(PIECE)), b""
    with connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            while True:
                head, rest = read_head(connection, rest)
                if not head:
                    return
                line, *fields = head.decode("latin-1").split("\r\n")
                length = 0
                for field in fields:
                    name, _, value = field.partition(":")
                    if name.lower() == "content-length":
                        length = int(value)
                rest, taken = take(connection, length, rest)
                method, path, _ = line.split(" ", 2)
                if not path.startswith("/bytes/"):
                    text = str(taken).encode()
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text))
                    continue
                left = int(path.rsplit("/", 1)[1])
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n"
                                   b"Content-Length: %d\r\n\r\n" % left)
                while left > 0 and method != "HEAD":
                    connection.sendall(piece[:min(left, PIECE)])
                    left -= min(left, PIECE)
        except OSError:
            pass  # whoever asked has gone


def origin():
    threading.stack_size(256 << 10)
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as listener:
        print(listener.getsockname()[1], flush=True)
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=serve, args=(connection,), daemon=True).start()


class Reader:
    def __init__(self, url, method):
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        self.socket.connect((url.hostname, url.port))
        framing = "" if method == "GET" else "Content-Length: 0\r\n"
        self.socket.sendall(f"{method} {url.path} HTTP/1.1\r\nHost: bench\r\n{framing}\r\n".encode())
        self.head, self.got, self.ended = b"", 0, False

    def read(self, most):
        """False: nothing more comes."""
        data = self.socket.recv(most)
        if self.got == 0 and b"\r\n\r\n" not in self.head:
            self.head += data
            self.got = len(self.head.partition(b"\r\n\r\n")[2])
        else:
            self.got += len(data)
        return len(data) > 0


def readers(url, method, count, size, seconds):
    url = urllib.parse.urlsplit(url)
    all_readers = [Reader(url, method) for _ in range(count)]
    poll = selectors.DefaultSelector()
    for reader in all_readers:
        poll.register(reader.socket, selectors.EVENT_READ, reader)
    begun = time.monotonic()
    limit = begun + 4 * seconds + 30
    while poll.get_map() and time.monotonic() < limit:
        # So much may each have by now.
        allowed = (time.monotonic() - begun) / seconds * size
        busy = False
        for key, _ in poll.select(0.1):
            reader = key.data
            if reader.got > allowed:
                continue
            busy = True
            if not reader.read(64 << 10) or reader.got >= size:
                poll.unregister(reader.socket)
                reader.socket.close()
        if not busy:
            time.sleep(0.02)
    others = [reader for reader in all_readers
              if reader.got != size or not reader.head.startswith(b"HTTP/1.1 200 ")]
    print(f"{count - len(others)} {time.monotonic() - begun:.1f}")
    for reader in others[:3]:
        print(f"{reader.got} bytes behind {reader.head[:300]!r}", file=sys.stderr)


def main():
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("origin")
    parts = commands.add_parser("readers")
    parts.add_argument("url")
    parts.add_argument("method")
    parts.add_argument("count", type=int)
    parts.add_argument("size", type=int)
    parts.add_argument("seconds", type=float)
    options = parser.parse_args()
    if options.command == "origin":
        origin()
    else:
        readers(options.url, options.method, options.count, options.size, options.seconds)


if __name__ == "__main__":
    sys.exit(main())
