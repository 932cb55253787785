#!/usr/bin/env python3
"""Holdfast, nginx and HAProxy before a healthy upstream that is far away, over the same wire and at the same time
(what would compete for the processors, in turns). For network.sh, which says more.

A row is a function: it sets the wire, has the servers ask, and its goals are what the servers' answers must show.
"""
import argparse
import asyncio
import pathlib
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests" / "network"))

import clients  # noqa: E402
import network_servers as servers  # noqa: E402
import stage as stages  # noqa: E402
import wire as wires  # noqa: E402

ROWS = {}


class Row:
    """`goals` take the row's Outcome and yield (what was to be, whether it is)."""

    def __init__(self, play, goals, tls, settings, padding):
        self.name, self.about = play.__name__.replace("_", "-"), " ".join(play.__doc__.split())
        self.play, self.goals, self.tls, self.settings, self.padding = play, goals, tls, settings, padding


def row(*goals, tls=True, padding=0, **settings):
    """What else is said are settings of Holdfast's."""
    def add(play):
        made = Row(play, goals, tls, settings, padding)
        ROWS[made.name] = made
        return play
    return add


# ---- Goals -----------------------------------------------------------------------

class Outcome:
    """What Holdfast and its peers made of a row."""

    def __init__(self, all_servers):
        self.by_name = {server.name: server for server in all_servers}
        self.ours = self.by_name.get("holdfast")
        self.peers = [server for server in all_servers if server is not self.ours]

    def better_peer(self, share):
        """The shorter time of those that were right at all."""
        return min((percentile(peer.answers, share) for peer in self.peers if any(a.right for a in peer.answers)),
                   default=None)


def percentile(answers, share):
    """Nearest rank, in seconds. Who got nothing right has waited in vain for so long."""
    times = sorted(answer.seconds for answer in answers)
    return times[min(len(times) - 1, int(share * len(times)))] if times else 0.0


def all_right(outcome):
    wrong = sum(not answer.right for answer in outcome.ours.answers)
    yield f"all right ({wrong} not)", wrong == 0 and "not warm" not in outcome.ours.facts


def as_fast(outcome):
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        better = outcome.better_peer(share)
        if better:
            ratio = percentile(outcome.ours.answers, share) / better
            yield f"{name} at most 1.1 x the better peer's ({ratio:.2f})", ratio <= 1.1


def p50_as_fast_p99_faster_than_haproxy(outcome):
    haproxy = outcome.by_name.get("haproxy")
    if haproxy:
        ratio, worst = (percentile(outcome.ours.answers, share) / percentile(haproxy.answers, share)
                        for share in (0.5, 0.99))
        yield f"p50 at most 1.1 x HAProxy's ({ratio:.2f})", ratio <= 1.1
        yield f"p99 below HAProxy's ({worst:.2f} x)", worst < 1


def few_requests(outcome):
    ratio = outcome.ours.ratio
    yield f"upstream requests at most 1.05 x misses ({ratio:.2f})", ratio <= 1.05


def few_requests_after_the_step(outcome):
    facts = outcome.ours.facts
    ratio = facts["in the first second"] / facts["asked in it"]
    yield f"upstream requests in the second after the step at most 2 x misses ({ratio:.2f})", ratio <= 2
    later = ((facts["requests"] - facts["in the first second"]) / (outcome.ours.asked - facts["asked in it"]))
    yield f"at most 1.05 x else ({later:.2f})", later <= 1.05


def breaker_closed(outcome):
    opened = outcome.ours.facts["opened"]
    yield f"the breaker never opens ({opened} times)", opened == 0


def within(share, seconds, what):
    def goal(outcome):
        took = percentile(outcome.ours.answers, share)
        yield f"{what} within {seconds} s ({took:.2f})", took <= seconds
    return goal


def fact_within(fact, seconds, what):
    def goal(outcome):
        took = outcome.ours.facts.get(fact)
        yield f"{what} within {seconds:g} s ({'never' if took is None else f'{took:.2f}'})", took is not None and took <= seconds
    return goal


def all_refused(outcome):
    refused = sum(answer.status in (502, 503) for answer in outcome.ours.answers)
    yield f"each is an error ({refused} of {len(outcome.ours.answers)})", refused == len(outcome.ours.answers)


def livez_always(outcome):
    good, asked = outcome.ours.facts["livez"]
    yield f"/livez is 200 ({good} of {asked})", good == asked


HEALTHY = (all_right, as_fast, few_requests, breaker_closed)


# ---- Rows ------------------------------------------------------------------------

async def together(all_servers, ask):
    await asyncio.gather(*(ask(server) for server in all_servers))


async def in_turn(all_servers, ask):
    for server in all_servers:
        await ask(server)


@row(*HEALTHY)
async def idle(world, all_servers):
    """TLS, round trip 150 ms; 40 addresses one by one, 65 s idle, then 40 new ones at once"""
    world.wire.set(round_trip=0.150)
    await together(all_servers, lambda server: server.warms(clients.addresses(1, 40)))
    await asyncio.sleep(world.options.idle)
    for server in all_servers:
        server.marks()
    await in_turn(all_servers, lambda server: server.asks(clients.addresses(2, 40), 40))


@row(*HEALTHY)
async def closing(world, all_servers):
    """TLS, 100 ms; after 60 kept requests the upstream closes after each answer; 60 more, one by one"""
    world.wire.set(round_trip=0.100)
    await together(all_servers, lambda server: server.warms(clients.addresses(1, 60), 4))
    for server in all_servers:
        server.upstream.tell(close_after=0)
        server.marks()
    await together(all_servers, lambda server: server.asks(clients.addresses(2, 60)))


@row(*HEALTHY)
async def loss(world, all_servers):
    """TLS, 60 ms, 2 % loss each way, 300 new addresses, 20 at a time"""
    world.wire.set(round_trip=0.060, loss=0.02)
    await in_turn(all_servers, lambda server: server.asks(clients.addresses(1, 300), 20))


@row(*HEALTHY)
async def names(world, all_servers):
    """TLS, 20 ms, the name has a TTL of 5 s; the name server goes silent, the upstream closes after each answer;
    2 new addresses a second for 12 s"""
    world.wire.set(round_trip=0.020)
    world.stage.name(wires.far(2), ttl=5)
    await together(all_servers, lambda server: server.warms(clients.addresses(1, 40), 4))
    world.stage.names.tell(silent=True)
    for server in all_servers:
        server.upstream.tell(close_after=0)
    await asyncio.sleep(6)
    await together(all_servers, lambda server: server.asks_at_rate(clients.addresses(2, 24), 2))


@row(all_right, within(0.99, 0.25, "all"), livez_always, breaker_closed,
     fact_within("back after", 4, "new addresses right again when it speaks"),
     padding=4000, MEMORY_LIMIT="1MiB")
async def names_restart(world, all_servers):
    """TLS, 20 ms; Holdfast is restarted while the name server is silent (nginx would not start, so its peers stay
    up); stored answers, 2 a second for 12 s, while a new address is asked for each second"""
    world.wire.set(round_trip=0.020)
    stored = clients.addresses(1, 600)
    await together(all_servers, lambda server: server.warms(stored, 20))
    asked_for = stored[::25]  # most of which are on the disk alone
    world.stage.names.tell(silent=True)
    ours = [server for server in all_servers if server.name == "holdfast"]
    for server in ours:
        server.stop()
        await server.start()

    async def asks(server):
        lives = []

        async def aside():
            new = []
            for ip in clients.addresses(2, 12):
                new.append(asyncio.create_task(clients.ask(server.port, ip, padding=world.padding)))
                for _ in range(2 if server in ours else 0):
                    lives.append(asyncio.create_task(clients.fetch(server.port, "/livez", 5)))
                    await asyncio.sleep(0.5)
            await asyncio.gather(*new)

        new = asyncio.create_task(aside())
        await server.asks_at_rate(asked_for, 2)
        await new
        server.asked -= len(asked_for)
        if server in ours:
            statuses = [status for status, _, _ in await asyncio.gather(*lives)]
            server.facts["livez"] = (statuses.count(200), len(statuses))

    await together(all_servers, asks)
    world.stage.names.tell(silent=False)
    began = time.monotonic()
    for server in ours:
        for ip in clients.addresses(3, 40):
            server.asked += 1
            if (await clients.ask(server.port, ip, padding=world.padding)).right:
                server.facts["back after"] = time.monotonic() - began
                break


@row(all_right, fact_within("first", 0.5, "the first"), fact_within("later", 0.3, "the slowest of the others"),
     breaker_closed, tls=False)
async def ipv6_dark(world, all_servers):
    """20 ms, an IPv6 and an IPv4 address, and the upstream closes after each answer; the IPv6 one goes dark; 25 new
    addresses one by one"""
    world.wire.set(round_trip=0.020)
    # IPv6 by itself first, so that it is what all of them use.
    world.stage.name(wires.far6(2), ttl=1)
    for server in all_servers:
        server.upstream.tell(close_after=0)
        server.stop()
        await server.start()
    await together(all_servers, lambda server: server.warms(clients.addresses(1, 20)))
    world.stage.name(wires.far6(2), wires.far(2), ttl=60)
    await asyncio.sleep(5)  # nobody tells when nginx and HAProxy know
    await together(all_servers, lambda server: server.warms(clients.addresses(3, 20)))
    world.wire.set(dark=[wires.far6(2)])
    await together(all_servers, lambda server: server.asks(clients.addresses(2, 25)))
    for server in all_servers:
        server.facts["first"] = server.answers[0].seconds
        server.facts["later"] = max((answer.seconds for answer in server.answers[1:]), default=None)


@row(all_right, within(1, 1.5, "all 17"), breaker_closed)
async def mute(world, all_servers):
    """TLS, 60 ms; all kept connections (up to 64) go mute, new ones are fine; 17 new addresses, 10 a second"""
    world.wire.set(round_trip=0.060)
    await in_turn(all_servers, lambda server: server.warms(clients.addresses(1, 128), 64))
    world.wire.mute_open_connections()
    await together(all_servers, lambda server: server.asks_at_rate(clients.addresses(2, 17), 10))


@row(fact_within("back after", 7, "back"), breaker_closed)
async def moves(world, all_servers):
    """TLS, 20 ms, TTL 5 s; the name moves and the old address goes dark; 4 new addresses a second until they are
    answered as always, 40 s at most"""
    world.wire.set(round_trip=0.020)
    world.stage.name(wires.far(2), ttl=5)
    await together(all_servers, lambda server: server.warms(clients.addresses(1, 40), 4))
    world.stage.name(wires.far(3), ttl=5)
    world.wire.set(dark=[wires.far(2)])
    began = time.monotonic()

    async def asks(server):
        server.facts["back after"] = await server.asks_until_back(clients.addresses(2, 160), 40, began)

    await together(all_servers, asks)


@row(all_refused, within(1, 0.35, "each error"))
async def certificate(world, all_servers):
    """TLS, 100 ms; the certificate is another host's, then one that ran out, then of an unknown CA; an address each"""
    world.wire.set(round_trip=0.100)
    for number, chain in enumerate(world.bad_certificates(), 1):
        for server in all_servers:
            server.upstream.tell(certificate=chain, close_idle=True)
        await together(all_servers, lambda server: server.asks(clients.addresses(number, 1)))
    for server in all_servers:
        server.facts["said"] = " ".join(str(answer.status) for answer in server.answers)


async def step(world, all_servers, latency):
    world.wire.set(round_trip=0.001)
    for server in all_servers:
        server.upstream.tell(latency=0.005)
    await together(all_servers, lambda server: server.warms(clients.addresses(1, 250)))
    for server in all_servers:
        server.facts["before"] = server.upstream.tell()["requests"]
        server.upstream.tell(latency=latency, mark=True)
    await together(all_servers, lambda server: server.asks_at_rate(clients.addresses(2, world.options.step * 20), 20))
    for server in all_servers:
        server.facts["in the first second"] = server.upstream.tell()["by_second"][0]
        server.facts["asked in it"] = 20


STEP = (all_right, as_fast, few_requests_after_the_step, breaker_closed)


@row(*STEP, tls=False)
async def step_300(world, all_servers):
    """answers take 5 ms, then 300 ms; 20 new addresses a second"""
    await step(world, all_servers, 0.3)


@row(*STEP, tls=False)
async def step_600(world, all_servers):
    """answers take 5 ms, then 600 ms; 20 new addresses a second"""
    await step(world, all_servers, 0.6)


@row(*HEALTHY, fact_within("fast ones p95", 0.1, "p95 of the others"), tls=False)
async def slow_addresses(world, all_servers):
    """5 % of the addresses always take 1 s, the others 5 ms; 400 addresses, 20 a second"""
    world.wire.set(round_trip=0.001)
    for server in all_servers:
        server.upstream.tell(latency=0.005, slow={"10.": 1.0})
    await together(all_servers, lambda server: server.warms(clients.addresses(1, 100)))
    ips = [f"10.0.0.{number // 20}" if number % 20 == 0 else ip
           for number, ip in enumerate(clients.addresses(2, 400))]
    await together(all_servers, lambda server: server.asks_at_rate(ips, 20))
    for server in all_servers:
        fast = [answer for answer in server.answers if not answer.ip.startswith("10.")]
        server.facts["fast ones p95"] = percentile(fast, 0.95)


@row(all_right, p50_as_fast_p99_faster_than_haproxy, breaker_closed)
async def errors(world, all_servers):
    """TLS, 120 ms, 30 % of the answers are 500 and the connection's last; 400 new addresses, 20 at a time"""
    world.wire.set(round_trip=0.120)
    for server in all_servers:
        server.upstream.tell(errors=0.3)
    await in_turn(all_servers, lambda server: server.asks(clients.addresses(1, 400), 20))


# ---- A run -----------------------------------------------------------------------

class World:
    def __init__(self, stage, options):
        self.stage, self.wire, self.options = stage, stage.wire, options
        self.padding = 0
        self.port = 8000
        self.bad = None

    def bad_certificates(self):
        if self.bad is None:
            stranger = stages.certificates.Authority(self.stage.folder, "stranger")
            self.bad = [self.stage.authority.issue("other.test"), self.stage.authority.issue(stages.NAME, days=-1),
                        stranger.issue(stages.NAME)]
        return self.bad

    async def play(self, played, order):
        """The servers, in that order, after the row. Each has an upstream of its own, on the same wire."""
        self.wire.clear()
        self.stage.names.tell(silent=False)
        self.stage.name(wires.far(2))
        self.padding = played.padding
        all_servers = []
        try:
            for name in order:
                self.port += 1
                setting = servers.Setting(played.tls, self.port, self.options.holdfast)
                server = servers.KINDS[name](self.stage, setting, self.port - 5000, played.settings)
                server.padding = played.padding
                all_servers.append(server)
                server.upstream = self.stage.add_upstream(
                    self.port, (wires.far(2), wires.far(3), wires.far6(2)), played.tls, padding=played.padding)
                await server.start()
            await played.play(self, all_servers)
            for server in all_servers:
                counts = server.upstream.tell()
                server.facts["requests"] = counts["requests"] + server.facts.pop("before", 0)
                server.ratio = server.requests_per_miss(server.facts["requests"])
                server.facts["others"] = counts["others"]
                if server.name == "holdfast":
                    values = await clients.metrics(server.port)
                    server.facts["opened"] = int(clients.total(values, "holdfast_breaker_transitions_total", to="open"))
        finally:
            for server in all_servers:
                server.stop()
        return all_servers


def report(played, all_servers):
    """The row's table and whether it shows what it must."""
    print(f"\n{played.name}: {played.about}")
    print(f"{'server':9} {'right':>11} {'p50/ms':>8} {'p99/ms':>8} {'max/ms':>8} {'requests':>9} {'x misses':>9} {'breaker':>8}")
    for server in all_servers:
        right = sum(answer.right for answer in server.answers)
        p50, p99, most = (1000 * percentile(server.answers, share) for share in (0.5, 0.99, 1))
        facts = dict(server.facts)
        requests, others, opened = facts.pop("requests"), facts.pop("others"), facts.pop("opened", "")
        facts.pop("asked in it", None)
        count = f"{requests}+{others}" if others else str(requests)
        extra = "; ".join(f"{name}: {said(value)}" for name, value in facts.items())
        line = (f"{server.name:9} {f'{right} of {len(server.answers)}':>11} {p50:8.0f} {p99:8.0f} {most:8.0f} {count:>9} "
                f"{server.ratio:9.2f} {opened:>8}   {extra}")
        print(line.rstrip())
    outcome = Outcome(all_servers)
    if outcome.ours is None:
        return True
    results = [result for goal in played.goals for result in goal(outcome)]
    missed = [text for text, met in results if not met]
    print("goal: " + ("NOT MET: " + "; ".join(missed) if missed else "met: " + "; ".join(text for text, _ in results)))
    return not missed


def said(value):
    if value is None:
        return "never"
    if isinstance(value, float):
        return f"{value:.2f} s"
    if isinstance(value, tuple):
        return f"{value[0]} of {value[1]}"
    return value


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--holdfast", default="", help="the program")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS), metavar="ROW")
    parser.add_argument("--servers", nargs="+", choices=servers.KINDS, default=list(servers.KINDS), metavar="SERVER")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--idle", type=float, default=65, help="seconds, in the row of that name")
    parser.add_argument("--step", type=int, default=15, help="seconds after a step")
    parser.add_argument("--keep", help="folder for the servers' logs")
    parser.add_argument("--list", action="store_true", help="rows, and no more")
    return parser.parse_args()


async def run(options):
    met = missed = 0
    with stages.Stage() as stage:
        world = World(stage, options)
        for name in options.rows:
            by_name = {}
            for turn in range(options.rounds):
                # Whose turn is first, where they take turns.
                first = turn % len(options.servers)
                for server in await world.play(ROWS[name], options.servers[first:] + options.servers[:first]):
                    if options.keep:
                        folder = pathlib.Path(options.keep)
                        folder.mkdir(parents=True, exist_ok=True)
                        (folder / f"{name}.{turn + 1}.{server.name}.log").write_bytes(server.log.read_bytes())
                    by_name[server.name] = server.after(by_name.get(server.name))
            good = report(ROWS[name], [by_name[server] for server in options.servers])
            met, missed = met + good, missed + (not good)
            sys.stdout.flush()
    print(f"\n{met} rows show what they must, {missed} do not")
    return 0 if missed == 0 else 1


def main():
    options = arguments()
    if options.list:
        for each in ROWS.values():
            print(f"       {each.name:15} {each.about}")
        return 0
    stages.end_on_signals()
    try:
        return asyncio.run(run(options))
    except wires.NoWire as reason:
        print(f"network: there can be no network of our own here: {reason}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
