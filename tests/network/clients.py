"""Clients, each request on a connection of its own. Every content is compared with the right one."""
import asyncio
import dataclasses
import json
import time

import upstream


@dataclasses.dataclass
class Answer:
    ip: str
    status: int      # 0: none came
    right: bool      # 200, and the upstream's own content
    seconds: float
    asked_at: float  # time.monotonic()
    fields: dict
    content: bytes


async def fetch(port, target, patience=15, host="127.0.0.1"):
    """(status, fields, content); status 0 and why as content if no whole answer comes in time."""
    step = "connecting"

    async def exchange():
        nonlocal step
        reader, writer = await asyncio.open_connection(host, port)
        try:
            writer.write(f"GET {target} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n".encode())
            step = "waiting for the head"
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            step = f"reading the content after {head}"
            fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
            content = (await reader.readexactly(int(fields["content-length"])) if "content-length" in fields
                       else await reader.read(-1))
            if fields.get("transfer-encoding", "").lower() == "chunked":
                content = unchunked(content)
            return int(head[0].split()[1]), fields, content
        finally:
            writer.close()

    try:
        return await asyncio.wait_for(exchange(), patience)
    except (OSError, EOFError, ValueError, IndexError, asyncio.TimeoutError, asyncio.LimitOverrunError) as reason:
        return 0, {}, f"{step}: {reason!r}".encode()


def unchunked(content):
    whole = b""
    while content:
        size, _, content = content.partition(b"\r\n")
        length = int(size.split(b";")[0], 16)
        if length == 0:
            return whole
        whole, content = whole + content[:length], content[length + 2:]
    raise EOFError


async def ask(port, ip, patience=15, padding=0):
    began = time.monotonic()
    status, fields, content = await fetch(port, f"/lookup/{ip}", patience)
    right = status == 200 and content == upstream.answer(ip, padding)
    return Answer(ip, status, right, time.monotonic() - began, began, fields, content)


async def ask_all(port, ips, at_once=1, most_seconds=float("inf"), **how):
    """So many at a time. In the order of the addresses. None is begun after so many seconds."""
    answers = {}
    pending = iter(enumerate(ips))
    began = time.monotonic()

    async def one_client():
        for number, ip in pending:
            if time.monotonic() - began > most_seconds:
                return
            answers[number] = await ask(port, ip, **how)

    await asyncio.gather(*(one_client() for _ in range(at_once)))
    return [answers[number] for number in sorted(answers)]


async def ask_at_rate(port, ips, rate, **how):
    """So many a second, whatever becomes of those before."""
    began = time.monotonic()
    tasks = []
    for number, ip in enumerate(ips):
        await asyncio.sleep(max(0, began + number / rate - time.monotonic()))
        tasks.append(asyncio.create_task(ask(port, ip, **how)))
    return list(await asyncio.gather(*tasks))


async def metrics(port):
    """{'name{labels}': value}."""
    status, _, content = await fetch(port, "/metrics", 5)
    values = {}
    for line in content.decode().splitlines() if status else []:
        if not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            values[name] = float(value)
    return values


async def health(port):
    status, _, content = await fetch(port, "/healthz", 5)
    return json.loads(content) if status else {}


async def addresses_of_upstream(port):
    """As /status.json has them, most preferred first."""
    status, _, content = await fetch(port, "/status.json", 5)
    return json.loads(content)["upstream"]["origins"][0]["addresses"] if status == 200 else []


def total(values, name, **labels):
    """The sum of a metric over all series that have those labels."""
    wanted = [f'{label}="{value}"' for label, value in labels.items()]
    return sum(value for series, value in values.items()
               if series.partition("{")[0] == name and all(label in series for label in wanted))


def addresses(group, count):
    """Distinct for each group."""
    return [f"20.{group}.{number // 250}.{number % 250}" for number in range(count)]
