#!/usr/bin/env python3
"""What bench-load counts as an answer: bench_load.py BENCH_LOAD."""
import contextlib
import socket
import subprocess
import sys
import threading


def answer(ip, status="200 OK", length="Content-Length", close=False):
    body = f'{{"ip":"{ip}"}}'
    fields = f"{length}: {len(body)}\r\n" + ("Connection: close\r\n" if close else "")
    return f"HTTP/1.1 {status}\r\n{fields}\r\n{body}".encode()


def until_read(peer):
    """Returns when the other end has taken all that was sent, as the kernel's table says."""
    ports = [f":{end[1]:04X}" for end in (peer.getpeername(), peer.getsockname())]
    while True:
        with open("/proc/net/tcp", encoding="ascii") as table:
            for line in table:
                _, local, remote, _, queues = line.split()[:5]
                if [local[-5:], remote[-5:]] == ports:
                    break
            else:
                return  # it has gone
        if int(queues.partition(":")[2], 16) == 0:
            return


def piecewise(peer, ip):
    for byte in answer(ip):
        peer.sendall(bytes([byte]))
        until_read(peer)


def then_more(peer, ip):
    peer.sendall(answer(ip))
    until_read(peer)
    peer.sendall(answer(ip))


def sends(make):
    return lambda peer, ip: peer.sendall(make(ip))


def chunked(ip):
    return f'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nf\r\n{{"ip":"{ip}"}}\r\n0\r\n\r\n'.encode()


# Each with what it counts as, and whether the server closes behind it.
KINDS = {
    "whole": (sends(answer), "right", False),
    "in pieces": (piecewise, "right", False),
    "small letters": (sends(lambda ip: answer(ip, length="content-length")), "right", False),
    "closed behind": (sends(lambda ip: answer(ip, close=True)), "right", True),
    "an error": (sends(lambda ip: answer(ip, "503 Service Unavailable")), "wrong", False),
    "another's": (sends(lambda ip: answer("192.0.2.1")), "wrong", False),
    "chunked": (sends(chunked), "broken", False),
    "none": (sends(lambda ip: b""), "broken", True),
    "cut off": (sends(lambda ip: answer(ip)[:-1]), "broken", True),
    "too long": (sends(lambda ip: answer(ip) + b"x"), "broken", False),
    "too large": (sends(lambda ip: answer(ip + " " * 5000)), "broken", False),
    "whole at last": (sends(answer), "right", False),
}


def serve(listener, kinds):
    """One connection after the other; address i gets the i-th kind."""
    while True:
        try:
            peer, _ = listener.accept()
        except OSError:  # closed: that was all
            return
        with peer, contextlib.suppress(OSError):  # it may have had enough
            while head := peer.recv(4096):
                ip = head.split()[1].decode().rpartition("/")[2]
                send, _, close = KINDS[kinds[int(ip.rpartition(".")[2])]]
                send(peer, ip)
                if close:
                    break


def run(kinds, *options):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener, kinds), daemon=True).start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/lookup/"
        ran = subprocess.run(
            [sys.argv[1], "--connections", "1", "--draw", "once", "--keys", str(len(kinds)),
             "--seconds", "20", *options, url], stdout=subprocess.PIPE, check=True, timeout=60)
    fields = [int(field) for field in ran.stdout.split()[1:]]
    return {"right": fields[0], "wrong": fields[4], "broken": fields[5]}


def main():
    failed = 0
    counts = [kind for _, kind, _ in KINDS.values()]
    expected = {kind: counts.count(kind) for kind in ("right", "wrong", "broken")}
    KINDS["unasked"] = (then_more, "", False)
    for got, want in (
        (run(list(KINDS)[:-1]), expected),
        # While nothing is asked for, nothing may come.
        (run(["unasked", "whole"], "--rate", "2"), {"right": 2, "wrong": 0, "broken": 1}),
    ):
        if got != want:
            print(f"counted {got}, not {want}")
            failed = 1
    return failed


if __name__ == "__main__":
    sys.exit(main())
