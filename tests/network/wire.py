"""A wire between two network namespaces: every packet passes through a process, which holds it for half the
round trip, loses some, and drops those of what has gone dark. It takes root and tun, and no module for traffic
control. Whoever makes a Wire moves to its near side. The namespaces have no names: they are gone when the last
process in them is, so that nothing stays behind, whatever happens to us.

    near   10.77.0.1, 2001:db8:77::1      far   10.77.0.2 to .9, 2001:db8:77::2 to ::9, and 10.77.0.53 for a name server
"""
import fcntl
import heapq
import ipaddress
import json
import os
import random
import selectors
import shutil
import struct
import subprocess
import sys
import time

import service

TUNSETIFF = 0x400454CA
IFF_TUN_WITHOUT_HEADER = 0x0001 | 0x1000
CLONE_NEWNS = 0x00020000
MS_PRIVATE_BELOW = 0x4000 | 0x40000  # MS_REC, MS_PRIVATE
MS_BIND = 0x1000

NEAR_HOSTS = (1,)
FAR_HOSTS = (2, 3, 4, 5, 6, 7, 8, 9)
NAME_SERVER_HOST = 53
MTU = 1400


def far(host):
    return f"10.77.0.{host}"


def far6(host):
    return f"2001:db8:77::{host:x}"


class NoWire(Exception):
    """There can be none here, and why."""


def needed():
    """Raises NoWire where something is missing that can be seen beforehand."""
    if os.geteuid() != 0:
        raise NoWire("it takes root")
    if shutil.which("ip") is None:
        raise NoWire("it takes ip (iproute2)")
    if not os.path.exists("/dev/net/tun"):
        raise NoWire("it takes /dev/net/tun")


def new_namespace(hosts):
    """This process moves to a new namespace with a tun device. Its descriptor."""
    service.checked(service.LIBC.unshare(service.CLONE_NEWNET), "a network namespace")
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH14x", b"wire", IFF_TUN_WITHOUT_HEADER))
    orders = ["link set lo up"]
    for host in hosts:
        orders.append(f"addr add 10.77.0.{host}/24 dev wire")
        orders.append(f"addr add 2001:db8:77::{host:x}/64 dev wire nodad")
    orders.append(f"link set wire mtu {MTU} up")
    subprocess.run(["ip", "-batch", "-"], input="\n".join(orders), text=True, check=True)
    return tun


class Wire:
    """Raises NoWire."""

    def __init__(self, seed=1):
        needed()
        try:
            far_tun = new_namespace(FAR_HOSTS + (NAME_SERVER_HOST,))
            self.far = os.open("/proc/self/ns/net", os.O_RDONLY)  # for children that are to be there
            near_tun = new_namespace(NEAR_HOSTS)
            # What is mounted from here on, only we and our children see.
            service.checked(service.LIBC.unshare(CLONE_NEWNS), "a mount namespace")
            service.checked(service.LIBC.mount(b"none", b"/", None, MS_PRIVATE_BELOW, None), "private mounts")
        except (OSError, subprocess.CalledProcessError) as error:
            raise NoWire(str(error)) from error
        self.service = service.Service("wire.py", {"near": near_tun, "far": far_tun, "seed": seed},
                                       pass_fds=(near_tun, far_tun))
        os.close(near_tun)
        os.close(far_tun)

    def set(self, **changes):
        """round_trip in seconds; loss, a share of the packets each way; dark, the far addresses that no packet
        reaches or comes from. Gives back, counted since the last change of what is dark: `connections` begun, and
        those of them that were `in_the_dark`."""
        return self.service.tell(**changes)

    def mute_open_connections(self):
        """They go silent without a FIN or an RST, and new ones are fine: a NAT or a balancer has restarted."""
        self.service.tell(mute=True)

    def clear(self):
        self.service.tell(round_trip=0, loss=0, dark=[], mute=False)

    def close(self):
        self.service.close()
        os.close(self.far)


def show(source, path):
    """Until we end, that file stands at `path`, for us and our children."""
    service.checked(service.LIBC.mount(os.fsencode(source), os.fsencode(path), None, MS_BIND, None),
                    f"mount over {path}")


class Forwarder:
    """The process between."""

    def __init__(self, settings):
        self.round_trip = self.loss = 0.0
        self.dark = frozenset()
        self.flows, self.mute = set(), frozenset()
        self.connections = self.in_the_dark = 0
        self.random = random.Random(settings["seed"])
        self.queue, self.number = [], 0
        self.selector = selectors.DefaultSelector()
        self.selector.register(settings["near"], selectors.EVENT_READ, (settings["far"], True))
        self.selector.register(settings["far"], selectors.EVENT_READ, (settings["near"], False))
        self.selector.register(sys.stdin.fileno(), selectors.EVENT_READ)

    def handle(self, command):
        for name, value in command.items():
            if name == "dark":
                self.dark = frozenset(ipaddress.ip_address(address).packed for address in value)
                self.connections = self.in_the_dark = 0
            elif name == "mute":
                self.mute = frozenset(self.flows) if value else frozenset()
            elif name in ("round_trip", "loss"):
                setattr(self, name, value)
            else:
                raise ValueError(f"no such setting: {name}")
        return {"connections": self.connections, "in_the_dark": self.in_the_dark}

    def passes(self, packet, to_far):
        if packet[0] >> 4 == 6:
            protocol, begin, source, target = packet[6], 40, packet[8:24], packet[24:40]
        else:
            protocol, begin, source, target = packet[9], (packet[0] & 15) * 4, packet[12:16], packet[16:20]
        dark = source in self.dark or target in self.dark
        if protocol == 6 and len(packet) >= begin + 14:
            # The same for both directions.
            from_port, to_port = packet[begin:begin + 2], packet[begin + 2:begin + 4]
            flow = (target, to_port, from_port) if to_far else (source, from_port, to_port)
            if packet[begin + 13] & 0x12 == 0x02:  # SYN without ACK: a new one, perhaps of an old one's ports
                if flow not in self.flows or flow in self.mute:
                    self.connections += 1
                    self.in_the_dark += dark
                self.flows.add(flow)
                self.mute -= {flow}
            elif flow in self.mute:
                return False
        if dark:
            return False
        return not (self.loss and self.random.random() < self.loss)

    def take(self, tun, other, to_far):
        for _ in range(64):
            try:
                packet = os.read(tun, 65536)
            except BlockingIOError:
                return
            if self.passes(packet, to_far):
                self.number += 1
                heapq.heappush(self.queue, (time.monotonic() + self.round_trip / 2, self.number, other, packet))

    def deliver(self):
        now = time.monotonic()
        while self.queue and self.queue[0][0] <= now:
            _, _, tun, packet = heapq.heappop(self.queue)
            try:
                os.write(tun, packet)
            except OSError:
                pass  # its buffer is full: lost, as on any wire

    def run(self):
        service.say({})
        while True:
            wait = max(0.0, self.queue[0][0] - time.monotonic()) if self.queue else None
            for key, _ in self.selector.select(wait):
                if key.data:
                    self.take(key.fd, *key.data)
                    continue
                line = sys.stdin.readline()
                if not line:
                    return
                service.say(self.handle(json.loads(line)) or {})
            self.deliver()


if __name__ == "__main__":
    Forwarder(json.loads(sys.argv[1])).run()
