#!/usr/bin/env python3
"""One row of rows.py: run.py --holdfast PROGRAM ROW. Exit 0 if all that must be is so, 1 if not, 77 if there can
be no wire here; a line says why."""
import argparse
import asyncio
import sys
import time

sys.dont_write_bytecode = True

import clients  # noqa: E402
import rows  # noqa: E402
import stage  # noqa: E402
import wire as wires  # noqa: E402

SKIPPED = 77  # what meson takes for it


class Scene(stage.Stage):
    """A stage with one upstream and one daemon, and what must be."""

    def __init__(self, program):
        super().__init__()
        self.program, self.failures = program, 0

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


async def play(name, program):
    with Scene(program) as scene:
        try:
            await rows.ROWS[name](scene)
            code = scene.last.close()
            scene.must(code == 0, f"it ends with 0: {code}")
        finally:
            if sys.exc_info()[0] or scene.failures:
                for log in scene.folder.glob("holdfast-*/log"):
                    print("-- what holdfast said last")
                    print("\n".join(log.read_text(errors="replace").splitlines()[-30:]))
        return 1 if scene.failures else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--holdfast", help="the program")
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
    if not options.row or not options.holdfast:
        parser.error("a ROW and --holdfast are needed")
    reason = wires.why_not()
    if reason:
        print(f"{options.row} did not run: {reason}")
        return SKIPPED
    stage.end_on_signals()
    print(f"{options.row}: {' '.join(rows.ROWS[options.row].__doc__.split())}")
    return asyncio.run(play(options.row, options.holdfast))


if __name__ == "__main__":
    sys.exit(main())
