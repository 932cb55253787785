"""A name server for the far side: A and AAAA of the names it is told, with a lifetime, as long as it is not told
to be silent.

    names = service.Service("name_server.py", {"bind": "10.77.0.53"}, namespace=wire.far)
    names.tell(name="api.test", addresses=["10.77.0.2", "2001:db8:77::2"], ttl=5)
    names.tell(silent=True)           or refuse=True: SERVFAIL
    names.tell()["asked"]             {"api.test A": 3, ...}
"""
import asyncio
import collections
import ipaddress
import json
import socket
import struct
import sys

import service

A, AAAA = 1, 28
NO_ERROR, SERVFAIL, NXDOMAIN = 0, 2, 3


class Names(asyncio.DatagramProtocol):
    def __init__(self):
        self.names = {}
        self.silent = self.refuse = False
        self.asked = collections.Counter()

    def handle(self, command):
        if "name" in command:
            addresses = [ipaddress.ip_address(text) for text in command["addresses"]]
            self.names[command["name"]] = (addresses, command.get("ttl", 60))
        self.silent = command.get("silent", self.silent)
        self.refuse = command.get("refuse", self.refuse)
        return {"asked": self.asked}

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, peer):
        try:
            name, kind, end = self.question(data)
        except (IndexError, struct.error, UnicodeDecodeError):
            return
        self.asked[f"{name} {'A' if kind == A else 'AAAA' if kind == AAAA else kind}"] += 1
        if self.silent:
            return
        code, records = NO_ERROR, []
        if self.refuse:
            code = SERVFAIL
        elif name not in self.names:
            code = NXDOMAIN
        else:
            addresses, ttl = self.names[name]
            version = {A: 4, AAAA: 6}.get(kind)
            # 0xc00c: the name as in the question.
            records = [struct.pack("!HHHIH", 0xC00C, kind, 1, ttl, len(address.packed)) + address.packed
                       for address in addresses if address.version == version]
        recursion_desired = struct.unpack_from("!H", data, 2)[0] & 0x0100
        head = data[:2] + struct.pack("!HHHHH", 0x8080 | recursion_desired | code, 1, len(records), 0, 0)
        self.transport.sendto(head + data[12:end] + b"".join(records), peer)

    @staticmethod
    def question(data):
        """Its name in small letters, its type, and where it ends."""
        labels, at = [], 12
        while data[at] != 0:
            labels.append(data[at + 1:at + 1 + data[at]].decode("ascii").lower())
            at += 1 + data[at]
        return ".".join(labels), struct.unpack_from("!H", data, at + 1)[0], at + 5


async def main(settings):
    loop = asyncio.get_running_loop()
    bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    bound.setblocking(False)
    bound.bind((settings["bind"], 53))
    _, names = await loop.create_datagram_endpoint(Names, sock=bound)
    service.say({})
    await service.obey(names.handle)


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
