#!/usr/bin/env python3
"""One row of rows.py: run.py --holdfast PROGRAM --flaky-upstream PROGRAM ROW. Exit 0 if all that must be is so, 1 if not, 77 if there can
be no wire here; a line says why."""
import argparse
import asyncio
import json
import subprocess
import sys
import time

sys.dont_write_bytecode = True

import clients  # noqa: E402
import rows  # noqa: E402
import service  # noqa: E402
import stage  # noqa: E402
import wire as wires  # noqa: E402

SKIPPED = 77  # what meson takes for it


class Scene(stage.Stage):
    """A stage with one upstream and one daemon, and what must be."""

    def __init__(self, options):
        super().__init__()
        self.program, self.flaky, self.whole = options.holdfast, options.flaky_upstream, options.whole
        self.failures = 0

    def must(self, holds, what):
        print(("ok      " if holds else "FAILED  ") + what, flush=True)
        self.failures += not holds

    async def far_away(self, round_trip, loss=0, tls=True, at=(wires.far(2),), also_at=(), ttl=60, latency=0,
                       padding=0, **settings):
        """A daemon whose upstream is at the other end of such a wire, at the addresses that its name has, and at
        others. `settings` are the daemon's."""
        self.upstream = self.add_upstream(8000, [*at, *also_at], tls, padding=padding)
        self.upstream.tell(latency=latency)
        self.name(*at, ttl=ttl)
        self.wire.set(round_trip=round_trip, loss=loss)
        self.wanted = (self.program, f"http{'s' if tls else ''}://{stage.NAME}:8000"), settings
        return await self.daemon()

    async def flaky_upstream(self, at, *options):
        """tools/flaky-upstream at port 8000 of those addresses, over TLS. Its control port, at the first."""
        binds = [word for address in at for word in ("--bind", address)]
        chain, key = self.certificate
        process = subprocess.Popen(
            [self.flaky, "--port", "8000", "--control-port", "8001", *binds, "--tls-cert", chain, "--tls-key", key,
             *options], stdout=subprocess.PIPE, preexec_fn=service.child_setup(self.wire.far))
        self.to_close.append(Ended(process))
        return json.loads(process.stdout.readline())["control_port"]

    async def run(self, *argv):
        """At the project's root. Its exit code and what it said."""
        process = await asyncio.create_subprocess_exec(
            *argv, cwd=stage.ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=service.child_setup())
        said, _ = await process.communicate()
        return process.returncode, said.decode(errors="replace")

    async def daemon(self):
        """The same again, after close(), on the same store."""
        self.last = await self.holdfast(*self.wanted[0], **self.wanted[1])
        return self.last

    @staticmethod
    async def is_right(daemon, ip, **how):
        return (await clients.ask(daemon.port, ip, **how)).right

    async def comes_about(self, holds, seconds, what):
        began = time.monotonic()
        while not (held := await holds()) and time.monotonic() - began < seconds:
            await asyncio.sleep(0.1)
        self.must(held, f"{what}, within {seconds} s: {time.monotonic() - began:.1f} s")


class Ended:
    """What is to end with the scene."""

    def __init__(self, process):
        self.process = process

    def close(self):
        service.end(self.process)
        self.process.stdout.close()


async def play(name, options):
    with Scene(options) as scene:
        try:
            await rows.ROWS[name](scene)
            code = scene.last.close()
            scene.must(code == 0, f"it ends with 0: {code}")
        finally:
            if sys.exc_info()[0] or scene.failures:
                for log in scene.folder.glob("holdfast-*/log"):
                    lines = log.read_text(errors="replace").splitlines()
                    warnings = [line for line in lines if '"level":"info"' not in line]
                    print("-- holdfast's first warnings, and what it said last", *warnings[:30], "--", *lines[-20:],
                          sep="\n")
        return 1 if scene.failures else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--holdfast", help="the program")
    parser.add_argument("--flaky-upstream", help="that program")
    parser.add_argument("--whole", action="store_true", help="what takes minutes, in full")
    parser.add_argument("--list", action="store_true", help="the rows, and no more")
    parser.add_argument("--names", action="store_true", help="their names, and no more")
    parser.add_argument("row", nargs="?", choices=rows.ROWS, metavar="ROW")
    options = parser.parse_args()
    if options.list:
        for name, function in rows.ROWS.items():
            print(f"{name}: {' '.join(function.__doc__.split())}")
        return 0
    if options.names:
        print("\n".join(rows.ROWS))
        return 0
    if not options.row or not options.holdfast or not options.flaky_upstream:
        parser.error("a ROW, --holdfast and --flaky-upstream are needed")
    stage.end_on_signals()
    print(f"{options.row}: {' '.join(rows.ROWS[options.row].__doc__.split())}")
    try:
        return asyncio.run(play(options.row, options))
    except wires.NoWire as reason:
        print(f"did not run, for there can be no network of our own here: {reason}")
        return SKIPPED


if __name__ == "__main__":
    sys.exit(main())
