#!/usr/bin/env python3
"""The load of run.sh: clients of every kind at once, the faults of the upstream, and
what operators do, in rounds. Checks every body against what a healthy upstream says
(its control port knows). Between rounds nobody is there and nothing is cached, and what
the daemon then holds must be what it held before. Prints figures. Exit 1 if an answer
was wrong, a well-behaved client was let down, or something grew.
"""
import argparse
import asyncio
import collections
import gzip
import json
import os
import random
import signal
import socket
import statistics
import struct
import time

ERRORS = {502, 503, 504}  # what a client may get while the upstream fails

ROUNDS = 12
WARM_UP = 4  # rounds until most of what has a limit is full: caches, pools, tables
# What the heap may grow by in the middle one of the rounds behind the warm-up, in bytes.
# A pool may still meet its highest water, in one round or another; what leaks grows in
# each. The history of the last hour alone takes 10 KiB in a minute until it is whole.
ROUND_ROOM = 128 << 10
# And in all of these rounds together.
HEAP_ROOM = 1 << 20
# What may be lost with each answer before this must notice, in bytes. A run that is too
# short to tell says so.
LEAK = 100


class Wrong(Exception):
    pass


class Peer:
    """A connection, and HTTP/1.1 over it as far as this needs it."""

    @classmethod
    async def tcp(cls, port, receive_buffer=0):
        sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        self = cls()
        self.sock = sock
        self.reader, self.writer = await asyncio.open_connection(sock=sock, limit=1 << 16)
        return self

    @classmethod
    async def unix(cls, path):
        self = cls()
        self.reader, self.writer = await asyncio.open_unix_connection(path)
        return self

    def send(self, data):
        self.writer.write(data)

    async def read(self, head_only=False):
        """Status, fields and content of the next answer that is not 100."""
        while True:
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            status = int(head[0].split(" ")[1])
            if status != 100:
                break
        fields = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        size = int(fields.get("content-length", 0))
        body = b""
        if size and not head_only and status not in (204, 304):
            body = await self.reader.readexactly(size)
        if fields.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        return status, fields, body

    async def ask(self, method, path, fields="", content=b""):
        if content:
            fields += f"Content-Length: {len(content)}\r\n"
        self.send(f"{method} {path} HTTP/1.1\r\nHost: soak\r\n{fields}\r\n".encode() + content)
        return await asyncio.wait_for(self.read(method == "HEAD"), 60)

    def close(self):
        self.writer.close()

    def reset(self):
        if not self.writer.is_closing():  # else the daemon was first
            self.writer.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


class Soak:
    def __init__(self, options):
        self.options = options
        self.random = random.Random(options.seed)
        self.end = 0.0  # of this round
        self.counts = collections.Counter()
        self.problems = []
        self.right = {}  # address: its body
        self.cold = 0
        self.held = []  # what the daemon holds after each round
        self.operations = 0

    def over(self):
        return time.monotonic() >= self.end

    # ---- Addresses and what is right ------------------------------------------

    def address(self):
        """A few are hot, some warm, some were never asked for."""
        kind = self.random.random()
        if kind < 0.6:
            return f"198.18.0.{self.random.randrange(60)}"
        if kind < 0.9:
            return f"198.18.{self.random.randrange(1, 9)}.{self.random.randrange(256)}"
        return self.cold_address()

    def cold_address(self):
        self.cold = (self.cold + 1) % (1 << 18)
        return f"100.{64 + (self.cold >> 16)}.{self.cold >> 8 & 255}.{self.cold & 255}"

    async def expected(self, control, ip):
        if ip not in self.right:
            status, _, body = await control.ask("GET", f"/answer?ip={ip}")
            if status != 200:
                raise RuntimeError(f"/answer?ip={ip}: {status}")
            if len(self.right) > 50_000:
                self.right.clear()
            self.right[ip] = body
        return self.right[ip]

    def check_error(self, status, body, what):
        if status not in ERRORS:
            raise Wrong(f"{what}: {status} {body[:200]!r}")
        if json.loads(body)["status"] != status:
            raise Wrong(f"{what}: {status} says {body[:200]!r}")

    # ---- Clients that behave ---------------------------------------------------

    async def lookups(self):
        control = await Peer.tcp(self.options.control)
        while not self.over():
            peer = await Peer.tcp(self.options.port)
            tags = {}
            for _ in range(self.random.randrange(1, 400)):
                if self.over():
                    break
                ip = self.address()
                right = await self.expected(control, ip)
                what = self.random.random()
                method = "HEAD" if what < 0.05 else "GET"
                fields = f"If-None-Match: {tags[ip]}\r\n" if ip in tags and what < 0.3 else ""
                status, got, body = await peer.ask(method, f"/lookup/{ip}", fields)
                self.counts[f"lookup {status}"] += 1
                if status == 304:
                    if not fields:
                        raise Wrong(f"{ip}: 304 for nothing")
                elif status != 200:
                    if method == "GET":
                        self.check_error(status, body, ip)
                elif method == "HEAD":
                    if int(got["content-length"]) != len(right):
                        raise Wrong(f"HEAD {ip}: {got['content-length']} bytes")
                elif body != right:
                    raise Wrong(f"{ip}: {body[:300]!r}, not {right[:300]!r}")
                if "etag" in got:
                    tags[ip] = got["etag"]
            peer.close()
        control.close()

    async def batches(self):
        control = await Peer.tcp(self.options.control)
        while not self.over():
            peer = await Peer.tcp(self.options.port)
            for _ in range(20):
                ips = [self.address() for _ in range(self.random.choice([1, 5, 40, 150]))]
                bad = self.random.random() < 0.2
                content = json.dumps(ips + ["no address"] * bad).encode()
                fields = "Content-Type: application/json\r\nAccept-Encoding: gzip\r\n"
                if self.random.random() < 0.3:
                    fields += "Transfer-Encoding: chunked\r\n"
                    half = len(content) // 2
                    peer.send(f"POST /lookup HTTP/1.1\r\nHost: soak\r\n{fields}\r\n".encode())
                    for part in (content[:half], content[half:]):
                        peer.send(b"%x\r\n" % len(part) + part + b"\r\n")
                        await asyncio.sleep(0)
                    peer.send(b"0\r\n\r\n")
                    status, _, body = await asyncio.wait_for(peer.read(), 60)
                else:
                    status, _, body = await peer.ask("POST", "/lookup", fields, content)
                self.counts[f"batch {status}"] += 1
                if status != 200:
                    raise Wrong(f"batch: {status} {body[:200]!r}")
                elements = json.loads(body)
                if len(elements) != len(ips) + bad:
                    raise Wrong(f"batch of {len(ips) + bad}: {len(elements)} elements")
                if bad and elements.pop()["status"] != 400:
                    raise Wrong("batch: a bad element is not 400")
                for ip, element in zip(ips, elements):
                    if "error" in element:
                        if element["ip"] != ip or element["status"] not in ERRORS:
                            raise Wrong(f"batch: {element} for {ip}")
                        self.counts["element error"] += 1
                    elif element != json.loads(await self.expected(control, ip)):
                        raise Wrong(f"batch: {element} for {ip}")
                    else:
                        self.counts["element right"] += 1
                if self.over():
                    break
            peer.close()
        control.close()

    async def pages(self):
        while not self.over():
            peer = await Peer.tcp(self.options.port)
            for path in ("/metrics", "/status", "/status.json", "/healthz", "/livez", "/readyz"):
                packed = "Accept-Encoding: gzip\r\n" if self.random.random() < 0.5 else ""
                status, _, body = await peer.ask("GET", path, packed)
                self.counts[f"page {status}"] += 1
                if not body or status != 200 and (status, path) != (503, "/healthz"):
                    raise Wrong(f"{path}: {status} {body[:200]!r}")
                if path == "/metrics" and b"\nholdfast_requests_total" not in body:
                    raise Wrong("/metrics without holdfast_requests_total")
            peer.close()
            await asyncio.sleep(0.2)

    # ---- Clients that do not ---------------------------------------------------

    BAD = [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET /lookup/8.8.8.8 HTTP/1.1\nHost: a\n\n",
        b"GET /lookup/%00 HTTP/1.1\r\nHost: a\r\nA : b\r\n\r\n",
        b"POST /lookup HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /lookup HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5 5\r\n",
        b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nA: " + b"b" * 20_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n" + b"A: b\r\n" * 200 + b"\r\n",
        b"POST /lookup HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n",
        b"BREW / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/3.0\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nExpect: wonders\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ]

    async def bad_requests(self):
        while not self.over():
            peer = await Peer.tcp(self.options.port)
            good = b"GET /lookup/not-an-address HTTP/1.1\r\nHost: a\r\n\r\n"
            if self.random.random() < 0.5:
                peer.send(good)
                status, _, body = await asyncio.wait_for(peer.read(), 60)
                if status != 400:
                    raise Wrong(f"not an address: {status} {body[:200]!r}")
            peer.send(self.random.choice(self.BAD))
            status, _, body = await asyncio.wait_for(peer.read(), 60)
            self.counts[f"bad request {status}"] += 1
            if not 400 <= status <= 505 or json.loads(body)["status"] != status:
                raise Wrong(f"bad request: {status} {body[:200]!r}")
            if self.random.random() < 0.8:
                peer.close()
            else:
                peer.reset()

    async def rude(self):
        """Leaves in the middle: of a request, of an answer, while it is looked up."""
        while not self.over():
            peer = await Peer.tcp(self.options.port)
            ip = self.cold_address()
            whole = f"GET /lookup/{ip} HTTP/1.1\r\nHost: a\r\n\r\n".encode()
            match self.random.randrange(5):
                case 0:
                    peer.send(whole[: self.random.randrange(len(whole))])
                case 1:
                    peer.send(whole)
                case 2:
                    peer.send(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n" * 50)
                    await peer.reader.read(1000)
                case 3:
                    peer.send(b"POST /lookup HTTP/1.1\r\nHost: a\r\nContent-Length: 3000\r\n\r\n[")
                case 4:
                    elements = json.dumps([self.cold_address() for _ in range(20)]).encode()
                    peer.send(b"POST /lookup HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
                              b"Content-Length: %d\r\n\r\n" % len(elements) + elements)
            await asyncio.sleep(self.random.random() * 0.2)
            self.counts["left in the middle"] += 1
            if self.random.random() < 0.5:
                peer.reset()
            else:
                peer.close()
            await asyncio.sleep(0.02)

    async def slow_readers(self):
        """Ask for much, read little by little; all that comes is right, up to a reset."""
        control = await Peer.tcp(self.options.control)
        ips = [f"198.18.0.{i}" for i in range(40)]
        while not self.over():
            peer = await Peer.tcp(self.options.port, 4096)
            for ip in ips * 25:
                peer.send(f"GET /lookup/{ip} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            try:
                for n, ip in enumerate(ips * self.random.choice([1, 5, 25])):
                    status, _, body = await asyncio.wait_for(peer.read(), 60)
                    if status == 200 and body != await self.expected(control, ip):
                        raise Wrong(f"slow reader: {body[:300]!r} for {ip}")
                    if n % 10 == 0:
                        await asyncio.sleep(0.02)
                self.counts["slow reader"] += 1
            except (ConnectionError, asyncio.IncompleteReadError):
                self.counts["slow reader cut off"] += 1
            peer.reset()
        control.close()

    async def never_reads(self):
        """Until the daemon has enough of it."""
        while not self.over():
            peer = await Peer.tcp(self.options.port, 4096)
            try:
                for _ in range(200):
                    peer.send(b"GET /status.json HTTP/1.1\r\nHost: a\r\n\r\n" * 20)
                    await asyncio.wait_for(peer.writer.drain(), 10)
                    await asyncio.sleep(0.02)
            except (ConnectionError, asyncio.TimeoutError):
                pass
            self.counts["never read"] += 1
            peer.reset()

    async def tricklers(self):
        while not self.over():
            peer = await Peer.tcp(self.options.port)
            try:
                for byte in b"GET /lookup/198.18.0.1 HTTP/1.1\r\nHost: a\r\nA: " + b"x" * 200:
                    peer.send(bytes([byte]))
                    try:
                        await asyncio.wait_for(peer.reader.read(1000), 0.05)
                        break  # it was told that it takes too long
                    except asyncio.TimeoutError:
                        pass
            except ConnectionError:
                pass
            self.counts["trickled"] += 1
            peer.close()

    # ---- The upstream and the operators -----------------------------------------

    async def faults(self):
        """Each kind of bad time, again and again; between them all is well."""
        bad_times = [
            [("faults", "mixed=0.5")],
            [("mode", "down")],
            [("faults", "mixed=0.9")],
            [("mode", "blackhole")],
            [("rate-limit", "50")],
            [("latency", "50ms,tail=0.1=2s")],
            [("faults", "short-chunked=0.3,garbage=0.2,oversized=0.2")],
        ]
        good = [("faults", "none"), ("mode", "up"), ("rate-limit", "off"), ("latency", "2ms")]
        share = self.options.seconds / ROUNDS / (2 * len(bad_times))
        while not self.over():
            for bad in bad_times:
                for knobs in (bad, good):
                    control = await Peer.tcp(self.options.control)
                    for knob, value in knobs:
                        status, _, body = await control.ask("PUT", f"/{knob}", "", value.encode())
                        if status != 200:
                            raise RuntimeError(f"/{knob} {value}: {status} {body!r}")
                    control.close()
                    await asyncio.sleep(share)
            self.counts["rounds of faults"] += 1

    async def operators(self):
        requests = [
            ("POST", "/purge?ip={ip}"), ("POST", "/stale?ip={ip}"), ("GET", "/inspect?ip={ip}"),
            ("POST", "/purge?block=198.18.3.0/24"), ("POST", "/stale?block=198.18.4.0/24"),
            ("GET", "/status"),
        ]
        while not self.over():
            n = self.operations
            method, path = requests[n % len(requests)] if n % 50 != 49 else ("POST", "/purge?all")
            peer = await Peer.unix(self.options.admin_socket)
            status, _, body = await peer.ask(method, path.format(ip=self.address()))
            self.counts[f"admin {status}"] += 1
            if status not in (200, 404):
                raise Wrong(f"admin {path}: {status} {body[:200]!r}")
            peer.close()
            n += 1
            self.operations = n
            if n % 5 == 0:
                self.write(self.options.config, f'log_level = "{"warn" if n % 10 else "debug"}"\n')
                os.kill(self.options.pid, signal.SIGHUP)
                self.counts["reloads"] += 1
            if n % 20 == 0:
                self.write(self.options.token_file, "wrong\n")
                await asyncio.sleep(2)
                self.write(self.options.token_file, self.options.token + "\n")
                self.counts["token rotations"] += 1
            await asyncio.sleep(0.5)

    @staticmethod
    def write(path, text):
        with open(path + ".new", "w", encoding="utf-8") as file:
            file.write(text)
        os.rename(path + ".new", path)

    # ---- What must not grow -----------------------------------------------------

    async def metrics(self, peer):
        _, _, page = await peer.ask("GET", "/metrics")
        lines = [line.rsplit(" ", 1) for line in page.decode().splitlines() if line[0] != "#"]
        return {name: float(value) for name, value in lines}

    async def quiet(self):
        """All clients are gone. Waits until the daemon has nothing to do any more, and
        nothing cached; counts what it still holds."""
        admin = await Peer.unix(self.options.admin_socket)
        peer = await Peer.tcp(self.options.port)
        until = time.monotonic() + 60
        idle = ("flights", "upstream_attempts_in_flight", "store_queue_length", "memory_entries",
                "store_entries")
        while True:
            now = await self.metrics(peer)
            left = {name: now[f"holdfast_{name}"] for name in idle if now[f"holdfast_{name}"]}
            if now["holdfast_connections"] > 1:  # all but ours
                left["connections"] = now["holdfast_connections"] - 1
            if not left:
                break
            if time.monotonic() > until:
                self.problems.append(f"long after all clients left: {left}")
                break
            if not left.keys() - {"memory_entries", "store_entries"}:
                await admin.ask("POST", "/purge?all")
            await asyncio.sleep(0.1)
        admin.close()
        peer.close()
        await self.hold(sum(now[name] for name in now if name.startswith("holdfast_requests_total{")))

    async def hold(self, answers):
        # The connections just closed, and the rows just purged, go within moments: what
        # is held is what is still there once nothing changes any more.
        last = None
        for _ in range(60):
            await asyncio.sleep(1)
            now = (self.heap() >> 10, *self.descriptors())
            if now == last:
                break
            last = now
        with open(f"/proc/{self.options.pid}/statm", encoding="ascii") as file:
            rss = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        threads = len(os.listdir(f"/proc/{self.options.pid}/task"))
        heap = self.heap()
        self.held.append({"answers": answers, "heap": heap, "rss": rss,
                          "countable": (now[1], threads)})
        print(f"after round {len(self.held)}: {answers:.0f} answers; heap {heap / 1024:.0f} KiB, "
              f"RSS {rss >> 10} KiB; {threads} threads, {now[1]} descriptors, "
              f"{now[2]} more to the upstream", flush=True)

    def heap(self):
        with open(self.options.heap_probe, encoding="ascii") as file:
            return int(file.read().split()[1])

    def descriptors(self):
        """All but the kept connections to the upstream, and those: they may stay open
        until the next request finds that they are too old."""
        port = f":{self.options.upstream_port:04X}"
        with open(f"/proc/{self.options.pid}/net/tcp", encoding="ascii") as file:
            fields = [line.split() for line in file]
        upstream = {f"socket:[{f[9]}]" for f in fields if f[2].endswith(port)}
        folder = f"/proc/{self.options.pid}/fd"
        targets = []
        for fd in os.listdir(folder):
            try:
                targets.append(os.readlink(f"{folder}/{fd}"))
            except FileNotFoundError:
                pass  # closed just now: the next look will see it
        kept = sum(target in upstream for target in targets)
        return len(targets) - kept, kept

    def growth(self):
        held = self.held[WARM_UP - 1 :]
        first, last = held[0], held[-1]
        answers = last["answers"] - first["answers"]
        grown = last["heap"] - first["heap"]
        typical = statistics.median(b["heap"] - a["heap"] for a, b in zip(held, held[1:]))
        print(f"after the warm-up: {answers:.0f} answers; the heap grew by {grown / 1024:.0f} KiB, "
              f"by {typical / 1024:.0f} in the middle one of {len(held) - 1} rounds; "
              f"RSS by {last['rss'] - first['rss'] >> 10} KiB")
        if answers / (len(held) - 1) * LEAK < 2 * ROUND_ROOM:
            self.problems.append(f"too few answers to notice a leak of {LEAK} bytes each: run longer")
        if typical > ROUND_ROOM or grown > HEAP_ROOM:
            self.problems.append("the heap grew")
        # For what is mapped and not on the heap. AddressSanitizer's own memory grows for
        # longer than this lasts, by tens of MiB.
        with open(f"/proc/{self.options.pid}/maps", encoding="utf-8") as file:
            sanitized = "libasan" in file.read()
        if not sanitized and last["rss"] > first["rss"] * 1.05 + (2 << 20):
            self.problems.append(f"RSS grew from {first['rss'] >> 10} to {last['rss'] >> 10} KiB")
        counts = {then["countable"] for then in held}
        if len(counts) > 1:
            self.problems.append("descriptors and threads while nobody is there are not always "
                                 f"as many: {sorted(counts)}")

    # ---- All of it -----------------------------------------------------------------

    async def guarded(self, part):
        """A part that fails is told of and begins anew, so that the rest goes on."""
        while not self.over() and len(self.problems) < 20:
            try:
                await part()
            except Exception as problem:  # whatever it is, it is a finding
                self.problems.append(f"{part.__name__}: {type(problem).__name__}: {problem}")

    async def run(self):
        parts = ([self.lookups] * 8 + [self.batches] * 2 + [self.pages] + [self.bad_requests] * 2 +
                 [self.rude] * 4 + [self.slow_readers] * 4 + [self.never_reads] * 2 +
                 [self.tricklers] * 10 + [self.faults, self.operators])
        for _ in range(ROUNDS):
            self.end = time.monotonic() + self.options.seconds / ROUNDS
            await asyncio.gather(*(self.guarded(part) for part in parts))
            try:
                await self.quiet()
            except Exception as problem:  # it has crashed, or hangs
                self.problems.append(f"after the round: {type(problem).__name__}: {problem}")
                return
        self.growth()


def main():
    parser = argparse.ArgumentParser()
    for name in ("port", "upstream-port", "control", "pid", "seconds", "seed"):
        parser.add_argument(f"--{name}", type=int, required=True)
    for name in ("admin-socket", "token-file", "token", "config", "heap-probe"):
        parser.add_argument(f"--{name}", required=True)
    soak = Soak(parser.parse_args())
    asyncio.run(soak.run())
    for what, count in sorted(soak.counts.items()):
        print(f"{what}: {count}")
    for problem in soak.problems:
        print(f"PROBLEM {problem}")
    return 1 if soak.problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
