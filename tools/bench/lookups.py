#!/usr/bin/env python3
"""Asks for addresses as clients do, and compares every body with the right one.

For reliability.sh. Prints a line for each request: what came (ok: 200 and the
right body; wrong: 200 and another; else the status, or none), how long it took
in ms, and when it came, in ms since the --switch (or since the start).
"""
import argparse
import asyncio
import sys
import time
import urllib.request


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--control", type=int, required=True, help="control port of flaky-upstream")
    parser.add_argument("--file", required=True, help="addresses, one a line")
    parser.add_argument("--concurrency", type=int, default=50, help="requests at a time")
    parser.add_argument("--rate", type=float, help="requests/s, instead of so many at a time")
    parser.add_argument("--seconds", type=float, default=30, help="no request is begun after")
    parser.add_argument("--timeout", type=float, default=15, help="longest wait for one answer")
    parser.add_argument("--switch", nargs=3, metavar=("N", "KNOB", "VALUE"),
                        help="tell the control port this before request N")
    return parser.parse_args()


def control(port, path, body=None):
    request = urllib.request.Request(f"http://127.0.0.1:{port}/{path}", data=body,
                                     method="GET" if body is None else "PUT")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=10) as answer:
        return answer.read()


async def content_of(fields, reader):
    """The content. EOFError (IncompleteReadError) if the connection ends before it does."""
    if fields.get("transfer-encoding", "").lower() == "chunked":
        content = b""
        while True:
            size = int((await reader.readuntil(b"\r\n")).split(b";")[0], 16)
            chunk = await reader.readexactly(size + 2)
            if size == 0:
                return content
            content += chunk[:size]
    if "content-length" in fields:
        # Not until the connection ends: nginx keeps it while it refreshes behind.
        return await reader.readexactly(int(fields["content-length"]))
    return await reader.read(-1)


async def exchange(port, ip):
    """Status and content; no content if it is not whole."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"GET /lookup/{ip} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n".encode())
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        fields = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            fields[name.strip().lower()] = value.strip()
        status = int(lines[0].split()[1])
        try:
            return status, await content_of(fields, reader)
        except (EOFError, ValueError):
            return status, None
    finally:
        writer.close()


class Run:
    def __init__(self, options, ips):
        self.options = options
        self.ips = ips
        self.right = {ip: control(options.control, f"answer?ip={ip}") for ip in set(ips)}
        self.lines = []
        self.begun = self.zero = time.monotonic()

    async def ask(self, ip):
        sent = time.monotonic()
        try:
            status, content = await asyncio.wait_for(exchange(self.options.port, ip), self.options.timeout)
        except (OSError, EOFError, ValueError, IndexError, asyncio.TimeoutError,
                asyncio.LimitOverrunError):
            status, content = None, None
        now = time.monotonic()
        if status == 200 and content is not None:
            result = "ok" if content == self.right[ip] else "wrong"
        else:
            result = "none" if status in (None, 200) else str(status)
        self.lines.append((result, (now - sent) * 1000, now))

    async def before(self, number):
        if self.options.switch and number == int(self.options.switch[0]):
            _, knob, value = self.options.switch
            seen = await asyncio.to_thread(control, self.options.control, "stats")
            await asyncio.to_thread(control, self.options.control, knob, value.encode())
            self.zero = time.monotonic()
            print("stats", seen.decode().strip())

    def out_of_time(self):
        return time.monotonic() - self.begun > self.options.seconds

    async def at_a_time(self):
        pending = iter(enumerate(self.ips))

        async def one_client():
            for number, ip in pending:
                if self.out_of_time():
                    return
                await self.before(number)
                await self.ask(ip)

        await asyncio.gather(*(one_client() for _ in range(self.options.concurrency)))

    async def at_rate(self):
        tasks = []
        for number, ip in enumerate(self.ips):
            due = self.begun + number / self.options.rate
            await asyncio.sleep(max(0, due - time.monotonic()))
            if self.out_of_time():
                break
            await self.before(number)
            tasks.append(asyncio.create_task(self.ask(ip)))
        await asyncio.gather(*tasks)


def main():
    options = arguments()
    with open(options.file, encoding="ascii") as file:
        ips = [line.strip() for line in file if line.strip()]
    run = Run(options, ips)
    run.begun = run.zero = time.monotonic()
    asyncio.run(run.at_rate() if options.rate else run.at_a_time())
    for result, took, at in run.lines:
        print(f"{result}\t{took:.1f}\t{(at - run.zero) * 1000:.0f}")
    return 0 if run.lines else 1


if __name__ == "__main__":
    sys.exit(main())
