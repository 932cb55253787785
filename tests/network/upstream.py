"""A healthy upstream for the far side, over TLS or not, that can become slow, close connections, or fail a share
of its requests. What it answers is a function of the address asked for: see answer().

    geo = service.Service("upstream.py", {"bind": ["10.77.0.2"], "port": 8000, "certificate": [chain, key]},
                          namespace=wire.far)
    geo.tell(latency=0.3, slow={"10.": 1.0})     seconds; for addresses that begin so
    geo.tell(close_after=60)                     after so many requests, it closes after each answer
    geo.tell(errors=0.3)                         share of 500s, with the connection closed behind them
    geo.tell(certificate=[chain, key])           for connections from now on
    geo.tell(close_idle=True)                    closes all that wait for a request, as after a long pause
    geo.tell(mark=True)                          forgets the counts
    geo.tell()                                   {"requests": ..., "others": ..., "by_second": [...],
                                                 "most_for_one": ..., "connections": set up whole, "open": ...}
"""
import asyncio
import collections
import json
import random
import socket
import ssl
import struct
import sys
import zlib

import service


def answer(ip, padding=0):
    more = f',"padding":"{"x" * padding}"' if padding else ""
    return (f'{{"ip":"{ip}","location":"Nowhere","postal_code":"","network_name":"AS64496 TEST","domain":"Test",'
            f'"latitude":{zlib.crc32(ip.encode()) % 90}.5,"longitude":1.25{more}}}').encode()


def message(status, content, close):
    reason = {200: "OK", 404: "Not Found", 500: "Internal Server Error"}[status]
    return (f"HTTP/1.1 {status} {reason}\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n"
            + ("Connection: close\r\n" if close else "") + "\r\n").encode() + content


class Upstream:
    def __init__(self, settings):
        self.open = set()
        self.latency, self.slow = 0.0, {}
        self.close_after = None
        self.errors, self.padding = 0.0, settings.get("padding", 0)
        self.tls = None
        self.forget()
        if settings.get("certificate"):
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.set_alpn_protocols(["http/1.1"])
            self.tls.load_cert_chain(*settings["certificate"])

    def forget(self):
        self.requests = self.others = self.connections = 0
        self.began = asyncio.get_running_loop().time()
        self.by_second, self.turns = collections.Counter(), collections.Counter()

    def handle(self, command):
        for name, value in command.items():
            if name == "mark":
                self.forget()
            elif name == "certificate":
                self.tls.load_cert_chain(*value)
                # A session that is resumed would not show it.
                self.tls.options |= ssl.OP_NO_TICKET
                self.tls.num_tickets = 0
            elif name == "close_idle":
                for connection in list(self.open):
                    if not connection.busy:
                        connection.transport.close()
            elif name == "close_after":
                self.close_after = value and self.requests + value
            elif name in ("latency", "slow", "errors", "padding"):
                setattr(self, name, value)
            else:
                raise ValueError(f"no such setting: {name}")
        seconds = range(max(self.by_second, default=-1) + 1)
        return {"requests": self.requests, "others": self.others, "connections": self.connections, "open": len(self.open),
                "by_second": [self.by_second[second] for second in seconds],
                "most_for_one": max(self.turns.values(), default=0)}

    def decide(self, method, target):
        """What to send, whether to close behind it, and after how long."""
        if method != "GET" or not target.startswith("/geoip/"):
            self.others += 1  # what is sent to keep a connection ready, say
            return message(404, b"" if method == "HEAD" else b"{}", False), False, 0
        ip = target.rpartition("/")[2]
        self.requests += 1
        self.by_second[int(asyncio.get_running_loop().time() - self.began)] += 1
        self.turns[ip] += 1
        delay = next((slow for begin, slow in self.slow.items() if ip.startswith(begin)), self.latency)
        # The same luck for the same turn of an address, whoever asks, and no link between two turns.
        if random.Random(f"{ip} {self.turns[ip]}").random() < self.errors:
            return message(500, b'{"error":"internal"}', True), True, delay
        close = self.close_after is not None and self.requests > self.close_after
        return message(200, answer(ip, self.padding), close), close, delay


class Connection(asyncio.Protocol):
    def __init__(self, upstream):
        self.upstream = upstream
        self.input, self.busy = b"", False

    def connection_made(self, transport):
        self.transport = transport
        self.upstream.connections += 1
        self.upstream.open.add(self)

    def connection_lost(self, reason):
        self.upstream.open.discard(self)

    def data_received(self, data):
        self.input += data
        self.serve()

    def serve(self):
        head, blank, rest = self.input.partition(b"\r\n\r\n")
        if self.busy or not blank or self.transport.is_closing():
            return
        self.busy, self.input = True, rest
        method, target, _ = head.split(b"\r\n")[0].decode("latin-1").split(" ")
        content, close, delay = self.upstream.decide(method, target)
        if delay:
            asyncio.get_running_loop().call_later(delay, self.send, content, close)
        else:
            self.send(content, close)

    def send(self, content, close):
        if self.transport.is_closing():
            return
        self.transport.write(content)
        self.busy = False
        if close:
            self.transport.close()
        else:
            self.serve()


async def main(settings):
    loop = asyncio.get_running_loop()
    upstream = Upstream(settings)
    servers = []
    for address in settings["bind"]:
        bound = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        bound.bind((address, settings["port"]))
        servers.append(await loop.create_server(lambda: Connection(upstream), sock=bound, ssl=upstream.tls, backlog=1024))
    # A handshake that its client gives up is no news.
    loop.set_exception_handler(lambda loop, context: None)
    service.say({})
    await service.obey(upstream.handle)


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
