"""What a real network does to a daemon whose upstream is healthy: a function for each, which plays it and says
what must be. A bound on time is a wide one, in round trips of the wire: machines are busy. The rest is states and
counts."""
import asyncio
import itertools
import re
import statistics
import time

import certificates
import clients
from clients import addresses, ask, ask_all, ask_at_rate
from stage import ADDRESSES_FILE, NAME
from wire import far, far6

ROWS = {}


def row(play):
    ROWS[play.__name__.replace("_", "-")] = play
    return play


# ---- What must be ----------------------------------------------------------------

def all_right(scene, answers, what="all answers are right"):
    wrong = [answer for answer in answers if not answer.right]
    said = f"; {wrong[0].ip}: {wrong[0].status} {wrong[0].content[:200]!r}" if wrong else ""
    scene.must(not wrong, f"{what}: {len(answers) - len(wrong)} of {len(answers)}{said}")


def usually_within(scene, answers, seconds):
    median = statistics.median(answer.seconds for answer in answers)
    scene.must(median <= seconds, f"half of them within {seconds:g} s: {median:.3f} s")


def always_within(scene, answers, seconds):
    slowest = max(answer.seconds for answer in answers)
    scene.must(slowest <= seconds, f"all of them within {seconds:g} s: {slowest:.3f} s")


def few_requests(scene, misses, ratio=1.15, upstream=None):
    """A race is for what is slower than usual: a few of a hundred, and some more on a machine that is busy."""
    requests = (upstream or scene.upstream).tell()["requests"]
    most = int(misses * ratio) + 2
    scene.must(requests <= most, f"at most {most} upstream requests for {misses} misses: {requests}")


async def breaker_stayed_closed(scene, daemon):
    opened = await daemon.breaker_openings()
    scene.must(opened == 0, f"the breaker never opened: {opened} times")


async def upstream_is_called_healthy(scene, daemon):
    status, _, _ = await clients.fetch(daemon.port, "/readyz", 5)
    scene.must(status == 200, f"/readyz says 200: {status}")


# ---- Distance --------------------------------------------------------------------

@row
async def a_far_upstream_after_a_pause(scene):
    """TLS, a round trip of 150 ms: after a pause there are no connections any more, and many new addresses at once"""
    daemon = await scene.far_away(round_trip=0.150)
    all_right(scene, await ask_all(daemon.port, addresses(1, 30), at_once=2))
    scene.upstream.tell(close_idle=True)
    answers = await ask_all(daemon.port, addresses(2, 40), at_once=40)
    all_right(scene, answers, "after the pause")
    usually_within(scene, answers, 16 * 0.150)
    few_requests(scene, 70)
    await breaker_stayed_closed(scene, daemon)


@row
async def one_request_for_one_cold_key(scene):
    """TLS, a round trip of 150 ms, answers take 300 ms, and nothing is known of it yet: 200 clients, one address"""
    daemon = await scene.far_away(round_trip=0.150, latency=0.3)
    all_right(scene, await ask_all(daemon.port, ["192.0.2.7"] * 200, at_once=200))
    requests = scene.upstream.tell()["requests"]
    scene.must(requests == 1, f"exactly one upstream request: {requests}")


@row
async def the_upstream_closes_after_each_answer(scene):
    """TLS, 50 ms: connections were kept, and then each answer is its connection's last"""
    daemon = await scene.far_away(round_trip=0.050)
    all_right(scene, await ask_all(daemon.port, addresses(1, 60), at_once=2))
    scene.upstream.tell(close_after=0, mark=True)
    answers = await ask_all(daemon.port, addresses(2, 60), at_once=2)
    all_right(scene, answers, "once it closes")
    usually_within(scene, answers, 16 * 0.050)
    few_requests(scene, 60)
    await breaker_stayed_closed(scene, daemon)


@row
async def packets_are_lost(scene):
    """TLS, 60 ms, 2 % of the packets are lost each way"""
    daemon = await scene.far_away(round_trip=0.060, loss=0.02)
    all_right(scene, await ask_all(daemon.port, addresses(1, 300), at_once=20))
    few_requests(scene, 300, ratio=1.3)
    await breaker_stayed_closed(scene, daemon)


# ---- Names and addresses ---------------------------------------------------------

@row
async def the_name_server_goes_silent(scene):
    """the name's TTL is over, every connection is a new one, and the name server says nothing or SERVFAIL"""
    daemon = await scene.far_away(round_trip=0.020, ttl=1)
    all_right(scene, await ask_all(daemon.port, addresses(1, 20), at_once=4))
    scene.upstream.tell(close_after=0)
    scene.names.tell(silent=True)
    all_right(scene, await ask_at_rate(daemon.port, addresses(2, 16), rate=4), "while it is silent")
    scene.names.tell(silent=False, refuse=True)
    all_right(scene, await ask_at_rate(daemon.port, addresses(3, 8), rate=4), "while it says SERVFAIL")
    await breaker_stayed_closed(scene, daemon)


@row
async def started_while_the_name_server_is_silent(scene):
    """what is stored is served at once, /livez is 200, a stop is a stop, and all is well when names are known"""
    stored = addresses(1, 600)
    daemon = await scene.far_away(round_trip=0.020, padding=4000, memory_limit="1MiB")
    all_right(scene, await ask_all(daemon.port, stored, at_once=20, padding=4000), "to begin with")
    daemon.close()
    scene.names.tell(silent=True)

    def times_asked():
        return sum(scene.names.tell()["asked"].values())

    async def asks_in_vain_and_for_what_is_stored(daemon):
        in_vain = [asyncio.create_task(ask(daemon.port, ip, padding=4000)) for ip in addresses(2, 4)]
        answers, lives = [], []
        of_the_disk = itertools.cycle(stored[::50])  # most of them in memory no more
        asked = times_asked()

        async def again_and_again():
            answers.append(await ask(daemon.port, next(of_the_disk), padding=4000))
            lives.append((await clients.fetch(daemon.port, "/livez", 15))[0])
            return times_asked() >= asked + 6

        await scene.comes_about(again_and_again, 30, "the name server is asked several times")
        all_right(scene, answers, "what is stored")
        always_within(scene, answers, 2)
        scene.must(lives.count(200) == len(lives), f"/livez is 200: {lives.count(200)} of {len(lives)}")
        return in_vain

    daemon = await scene.daemon()
    in_vain = await asks_in_vain_and_for_what_is_stored(daemon)
    began = time.monotonic()
    code = daemon.close()
    took = time.monotonic() - began
    scene.must(code == 0 and took < 12, f"it stops, with 0, within 12 s: {code}, {took:.1f} s")
    for task in in_vain:
        task.cancel()
    daemon = await scene.daemon()
    asked = times_asked()
    waiting = asyncio.create_task(ask(daemon.port, "20.3.0.1", padding=4000))

    async def is_asked():
        return times_asked() > asked

    await scene.comes_about(is_asked, 30, "the name server is asked")
    scene.names.tell(silent=False)
    await waiting
    await scene.comes_about(lambda: scene.is_right(daemon, "20.3.0.2", padding=4000), 10, "new addresses are right again")


@row
async def ipv6_goes_dark(scene):
    """an IPv6 and an IPv4 address, every connection is a new one, and packets to the IPv6 one vanish"""
    daemon = await scene.far_away(round_trip=0.020, tls=False, at=[far6(2)], also_at=[far(2)], ttl=1)
    scene.upstream.tell(close_after=0)
    all_right(scene, await ask_all(daemon.port, addresses(1, 20)))
    # What was there first stays the first, whichever answer comes sooner.
    scene.name(far6(2), far(2), ttl=1)

    async def both_are_known():
        return [view["address"] for view in await clients.addresses_of_upstream(daemon.port)] == [far6(2), far(2)]

    await scene.comes_about(both_are_known, 10, "IPv6 and then IPv4 is known")
    scene.wire.set(dark=[far6(2)])
    answers = await ask_all(daemon.port, addresses(2, 25))
    all_right(scene, answers, "in the dark")
    usually_within(scene, answers, 20 * 0.020)
    tried = scene.wire.set()["in_the_dark"]
    scene.must(1 <= tried <= 12, f"it is tried, and after its first failures now and then alone: {tried} times for 25")
    await breaker_stayed_closed(scene, daemon)


@row
async def kept_connections_go_mute(scene):
    """TLS, 60 ms: a NAT has forgotten the connections there are; new ones are fine"""
    daemon = await scene.far_away(round_trip=0.060)
    all_right(scene, await ask_all(daemon.port, addresses(1, 64), at_once=32))
    # So many handshakes at once are slow on a busy machine; that is not to be taken for usual.
    all_right(scene, await ask_all(daemon.port, addresses(3, 120), at_once=4))
    scene.wire.mute_open_connections()
    answers = await ask_at_rate(daemon.port, addresses(2, 17), rate=10)
    all_right(scene, answers, "after that")
    usually_within(scene, answers, 80 * 0.060)
    await breaker_stayed_closed(scene, daemon)


@row
async def kept_connections_go_mute_and_hedge_is_off(scene):
    """the same, and no request may be sent beside another: what never arrived goes out on a new connection"""
    daemon = await scene.far_away(round_trip=0.060, hedge="off")
    all_right(scene, await ask_all(daemon.port, addresses(1, 64), at_once=32))
    scene.wire.mute_open_connections()
    scene.upstream.tell(mark=True)
    all_right(scene, await ask_at_rate(daemon.port, addresses(2, 17), rate=10), "after that")
    requests = scene.upstream.tell()["requests"]
    scene.must(requests == 17, f"each has arrived once: {requests} requests for 17")


@row
async def the_name_moves_and_the_old_address_goes_dark(scene):
    """TLS, 20 ms, a TTL of 2 s"""
    daemon = await scene.far_away(round_trip=0.020, at=[far(2)], also_at=[far(3)], ttl=2)
    all_right(scene, await ask_all(daemon.port, addresses(1, 20), at_once=4))
    scene.names.tell(name=NAME, addresses=[far(3)], ttl=2)
    scene.wire.set(dark=[far(2)])
    pending = iter(addresses(2, 200))
    await scene.comes_about(lambda: scene.is_right(daemon, next(pending), patience=2), 10, "it is found at its new address")
    answers = await ask_all(daemon.port, addresses(3, 20), at_once=4)
    all_right(scene, answers, "from then on")
    usually_within(scene, answers, 16 * 0.020)


# ---- Certificates ----------------------------------------------------------------

@row
async def a_certificate_that_will_not_do(scene):
    """TLS, 100 ms: another host's, one that ran out, one of an unknown CA; after each the right one again"""
    daemon = await scene.far_away(round_trip=0.100)
    all_right(scene, await ask_all(daemon.port, addresses(1, 2)))
    stranger = certificates.Authority(scene.folder, "stranger")
    pending = iter(addresses(3, 600))
    for number, (what, chain) in enumerate({
            "another host's": scene.authority.issue("other.test"),
            "one that ran out": scene.authority.issue(NAME, days=-1),
            "an unknown CA's": stranger.issue(NAME)}.items()):
        scene.upstream.tell(certificate=chain, close_idle=True)
        before = scene.wire.set()["connections"]
        answer = await ask(daemon.port, f"20.2.0.{number}")
        scene.must(answer.status in (502, 503), f"{what}: 502 or 503: {answer.status}")
        always_within(scene, [answer], 30 * 0.100)
        tried = scene.wire.set()["connections"] - before
        scene.must(tried <= 5, f"{what}: asked for with 5 connections at most: {tried}")

        async def health_names_it():
            return "certificate" in (await clients.fetch(daemon.port, "/healthz", 5))[2].decode().lower()

        await scene.comes_about(health_names_it, 5, f"{what}: /healthz names the certificate")
        log = daemon.log.read_text().lower()
        scene.must("certificate" in log, f"{what}: so does the log")
        scene.upstream.tell(certificate=scene.certificate)
        await scene.comes_about(lambda: scene.is_right(daemon, next(pending)), 20, "the right one is believed")


# ---- The upstream's own pace -----------------------------------------------------

async def a_step(scene, latency):
    daemon = await scene.far_away(round_trip=0, tls=False, latency=0.005)
    all_right(scene, await ask_all(daemon.port, addresses(1, 200), at_once=2))
    scene.upstream.tell(latency=latency, mark=True)
    answers = await ask_at_rate(daemon.port, addresses(2, 140), rate=20)
    all_right(scene, answers, "after the step")
    usually_within(scene, answers, 5 * latency)
    few_requests(scene, 140, ratio=1.5)
    await breaker_stayed_closed(scene, daemon)
    await upstream_is_called_healthy(scene, daemon)


@row
async def answers_take_300_ms_from_now_on(scene):
    """instead of 5 ms; 20 new addresses a second"""
    await a_step(scene, 0.3)


@row
async def answers_take_600_ms_from_now_on(scene):
    """instead of 5 ms; 20 new addresses a second"""
    await a_step(scene, 0.6)


@row
async def some_addresses_always_take_a_second(scene):
    """one of 20; the others 5 ms; 30 new addresses a second"""
    daemon = await scene.far_away(round_trip=0, tls=False, latency=0.005)
    scene.upstream.tell(slow={"10.": 1.0})
    all_right(scene, await ask_all(daemon.port, addresses(1, 100), at_once=2))
    ips = [f"10.0.0.{number // 20}" if number % 20 == 7 else ip for number, ip in enumerate(addresses(2, 240))]
    answers = await ask_at_rate(daemon.port, ips, rate=30)
    slow = [answer for answer in answers if answer.ip.startswith("10.")]
    fast = [answer for answer in answers if not answer.ip.startswith("10.")]
    all_right(scene, slow, "the slow ones")
    all_right(scene, fast, "the others")
    usually_within(scene, slow, 4)
    usually_within(scene, fast, 0.5)
    few_requests(scene, 340)
    most = scene.upstream.tell()["most_for_one"]
    scene.must(most <= 3, f"no address was asked for more than 3 times: {most}")
    await breaker_stayed_closed(scene, daemon)


@row
async def three_of_ten_answers_are_500_and_close(scene):
    """TLS, 120 ms"""
    daemon = await scene.far_away(round_trip=0.120)
    scene.upstream.tell(errors=0.3)
    answers = await ask_all(daemon.port, addresses(1, 200), at_once=20)
    all_right(scene, answers)
    usually_within(scene, answers, 8 * 0.120)
    few_requests(scene, 200, ratio=1.7)
    await breaker_stayed_closed(scene, daemon)


# ---- The main job ----------------------------------------------------------------

@row
async def the_main_job(scene):
    """test-ips.sh, nothing stored: TLS, 120 ms, 1 % loss, half of what the upstream does goes wrong, and a TTL of
    2 s for a name that moves every 5 s among three addresses, of which one is dark; the first 300 of test_ips.txt. With
    --whole: all 1000 of them, 5 s and every 20 s"""
    homes = [far(2), far(3), far(4)]
    ips = ADDRESSES_FILE.read_text().split()
    ttl, stays = 5, 20
    if not scene.whole:
        ips, ttl, stays = ips[:300], 2, 5
    (scene.folder / "addresses").write_text("\n".join(ips) + "\n")
    control = await scene.flaky_upstream(homes, "--faults", "mixed=0.5", "--seed", "1")
    scene.wire.set(round_trip=0.120, loss=0.01, dark=[far(3)])
    scene.name(homes[0], ttl=ttl)
    scene.wanted = (scene.program, f"https://{NAME}:8000"), {}
    daemon = await scene.daemon()

    async def moves():
        while True:
            for home in homes:
                scene.name(home, ttl=ttl)
                await asyncio.sleep(stays)

    moving = asyncio.create_task(moves())
    code, said = await scene.run("./test-ips.sh", "--concurrency", "20", "--url", f"http://127.0.0.1:{daemon.port}",
                                 "--file", scene.folder / "addresses")
    moving.cancel()
    print("\n".join(line for line in said.splitlines() if not line.startswith("Progress")))
    scene.must(code == 0, f"test-ips.sh ends with 0: {code}")
    scene.must(re.search(rf"^Status 200: {len(ips)} \(100\.00%\)$", said, re.M), f"{len(ips)} x 200")

    # Each as the upstream has it. Its control port is asked on the quick way.
    scene.wire.clear()

    async def is_its_own(ip):
        ours = await clients.fetch(daemon.port, f"/lookup/{ip}")
        truth = await clients.fetch(control, f"/answer?ip={ip}", host=homes[0])
        return ours[0] == truth[0] == 200 and ours[2] == truth[2]

    same = sum([await is_its_own(ip) for ip in ips])
    scene.must(same == len(ips), f"all contents are the upstream's own: {same} of {len(ips)}")
