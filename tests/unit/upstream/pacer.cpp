#include "upstream/pacer.h"

#include <doctest/doctest.h>

#include "base/virtual_scheduler.h"
#include "upstream/origin.h"

namespace holdfast::upstream {
namespace {

using namespace std::chrono_literals;

const base::SteadyTime kBegun{1h};

}  // namespace

TEST_CASE("single refusals among answers are no rate limit") {
  Pacer pacer{{}};
  base::SteadyTime now = kBegun;
  for (int i = 0; i < 1000; ++i, now += 5ms) {
    if (i % 10 == 0) {
      pacer.refused(now - 1ms, now, 1s);
    } else {
      pacer.let_through(now - 1ms, now);
    }
    CHECK_FALSE(pacer.limited());
  }
}

TEST_CASE("refusals in a row are a limit: a pause, then less than was let through") {
  Pacer pacer{{}};
  base::SteadyTime now = kBegun;
  for (int i = 0; i < 50; ++i) pacer.let_through(now, now += 1ms);
  for (int i = 0; i < 6; ++i) pacer.refused(now, now += 1ms, 1s);
  CHECK(pacer.limited());
  CHECK(pacer.not_before() == now + 1s);
  CHECK(pacer.rate(now) == doctest::Approx(42.5));
  // What was in flight says nothing new.
  for (int i = 0; i < 50; ++i) pacer.refused(kBegun, now, 5s);
  CHECK(pacer.rate(now) == doctest::Approx(42.5));
  CHECK(pacer.not_before() == now + 1s);
}

TEST_CASE("in doubt whether it is a limit, no more are sent than it takes to be sure") {
  Pacer pacer{{}};
  base::SteadyTime now = kBegun;
  // A hundred wait; the limit is met.
  for (int i = 0; i < 2; ++i) pacer.refused(now, now, 1s);
  now = pacer.not_before();
  int sent = 0;
  // What was in flight before does not remove the doubt.
  pacer.let_through(kBegun - 1ms, now);
  for (; sent < 100 && now >= pacer.not_before(); ++sent) pacer.sent(now);
  CHECK(sent == 6);
  for (int i = 0; i < sent; ++i) pacer.refused(now, now + 1ms, 1s);
  CHECK(pacer.limited());
}

TEST_CASE("in doubt whether it is a limit, one that is let through ends the doubt") {
  Pacer pacer{{}};
  base::SteadyTime now = kBegun;
  for (int i = 0; i < 2; ++i) pacer.refused(now, now, 1s);
  now = pacer.not_before();
  for (int i = 0; i < 4; ++i) pacer.sent(now);
  CHECK(pacer.not_before() > now);
  pacer.let_through(now, now + 1ms);
  now += 1ms;
  for (int i = 0; i < 100; ++i) {
    REQUIRE(now >= pacer.not_before());
    REQUIRE(pacer.allows(now));
    pacer.sent(now);
  }
}

TEST_CASE("in a pause those who cannot wait send scouts, ten a second, until one is let through") {
  Pacer pacer{{}};
  base::SteadyTime now = kBegun;
  for (int i = 0; i < 50; ++i) pacer.let_through(now, now);
  for (int i = 0; i < 6; ++i) pacer.refused(now, now, 2s);
  const base::SteadyTime end = pacer.not_before();
  REQUIRE(end == kBegun + 2s);
  int scouts = 0;
  for (now += 500ms; now < kBegun + 1500ms; now = std::max(now + 1ms, pacer.next(now))) {
    if (!pacer.allows(now)) continue;
    pacer.sent(now);
    pacer.refused(now, now + 1ms, 1s);
    ++scouts;
  }
  CHECK(scouts == 10);
  CHECK(pacer.not_before() == end);
  now = pacer.next(now);
  pacer.sent(now);
  // The answer to what was sent before the pause says nothing of the present.
  pacer.let_through(kBegun - 1ms, now);
  CHECK(pacer.not_before() == end);
  pacer.let_through(now, now + 20ms);
  CHECK(pacer.not_before() <= now + 20ms);
}

TEST_CASE("a limited pace is kept: what may be sent in a second is the rate") {
  Pacer pacer{{}};
  base::SteadyTime now = kBegun;
  for (int i = 0; i < 50; ++i) pacer.let_through(now, now);
  for (int i = 0; i < 6; ++i) pacer.refused(now, now, std::nullopt);
  int sent = 0;
  for (const base::SteadyTime end = now + 1s; now < end;) {
    if (pacer.allows(now)) {
      pacer.sent(now);
      pacer.let_through(now, now);
      ++sent;
    } else {
      REQUIRE(pacer.next(now) > now);
      now = pacer.next(now);
    }
  }
  CHECK(sent >= 40);
  CHECK(sent <= 48);
}

TEST_CASE("a long Retry-After pauses for a bounded time") {
  Pacer pacer{{}};
  for (int i = 0; i < 6; ++i) pacer.refused(kBegun, kBegun, 3600s);
  CHECK(pacer.not_before() == kBegun + 5s);
}

TEST_CASE(
    "a limit that nobody came near for a while is forgotten, also in the middle of its trial") {
  Pacer pacer{{}};
  base::SteadyTime now = kBegun;
  for (int i = 0; i < 50; ++i) pacer.let_through(now, now);
  for (int i = 0; i < 6; ++i) pacer.refused(now, now, std::nullopt);
  now += 1s;
  pacer.refused(now, now + 1ms, std::nullopt);
  REQUIRE(pacer.limited());
  pacer.allows(now + 20s);
  CHECK_FALSE(pacer.limited());
}

TEST_CASE("an attempt that did not arrive was not let through: a pause goes on") {
  for (const bool arrived : {false, true}) {
    CAPTURE(arrived);
    base::VirtualScheduler scheduler;
    base::Random random(1);
    const Settings settings;
    Origin origin(0, settings, random, scheduler.now());
    for (int i = 0; i < 6; ++i) origin.pacer.refused(scheduler.now(), scheduler.now(), 2s);
    const base::SteadyTime end = origin.pacer.not_before();
    REQUIRE(end == scheduler.now() + 2s);
    scheduler.advance(100ms);
    OriginAttempt attempt;
    origin.attempt_sent(scheduler.now(), attempt);
    scheduler.advance(10ms);
    const Outcome outcome = arrived ? Outcome::ServerError : Outcome::Timeout;
    const Reply reply{.transport = arrived ? Outcome::Ok : Outcome::Timeout,
                      .status = arrived ? 500 : 0};
    origin.attempt_ended(scheduler.clock(), attempt, {outcome, ""}, reply);
    CHECK((origin.pacer.not_before() == end) == !arrived);
  }
}

TEST_CASE("what chance refused long ago does not keep a limit from being found") {
  Pacer pacer{{}};
  base::SteadyTime now = kBegun;
  for (int i = 0; i < 4000; ++i, now += 10ms) {
    if (!pacer.allows(now)) continue;
    pacer.sent(now);
    if (i % 3 != 0) {
      pacer.refused(now, now + 1ms, 1s);
    } else {
      pacer.let_through(now, now + 1ms);
    }
  }
  REQUIRE_FALSE(pacer.limited());
  now += 2min;
  int refusals = 0;
  for (; refusals < 30 && !pacer.limited(); ++refusals, now += 500ms) {
    pacer.sent(now);
    pacer.refused(now, now + 1ms, 1s);
  }
  CHECK(refusals <= 6);
}

TEST_CASE("a share of refusals that does not fall with the rate was chance") {
  Pacer pacer{{}};
  base::SteadyTime now = kBegun;
  bool was_limited = false;
  int sent = 0;
  for (int i = 0; i < 1500; ++i, now += 10ms) {
    if (!pacer.allows(now)) continue;
    pacer.sent(now);
    // Two of five, never in a row.
    ++sent;
    if (sent % 5 == 0 || sent % 5 == 2) {
      pacer.refused(now, now + 1ms, 1s);
    } else {
      pacer.let_through(now, now + 1ms);
    }
    was_limited |= pacer.limited();
  }
  CHECK(was_limited);
  CHECK_FALSE(pacer.limited());
}

TEST_CASE("a limit is forgotten a minute after the last refusal") {
  Pacer pacer{{}};
  for (int i = 0; i < 6; ++i) pacer.refused(kBegun, kBegun, 1s);
  CHECK(pacer.limited());
  pacer.allows(kBegun + 62s);
  CHECK_FALSE(pacer.limited());
}

TEST_CASE("after an outage the rate starts low and doubles four times a second while it is used") {
  Pacer pacer({.ramp_rate = 50});
  pacer.ramp(kBegun);
  CHECK(pacer.rate(kBegun) == 50);
  int sent = 0;
  for (auto now = kBegun; now < kBegun + 1s; now += 1ms) {
    if (!pacer.allows(now)) continue;
    pacer.sent(now);
    pacer.let_through(now, now);
    ++sent;
  }
  // 50 (16 - 1) / ln 16, and the first burst.
  CHECK(sent > 240);
  CHECK(sent < 300);
  // A refusal is a limit met: from then on the rate climbs as ever.
  for (int i = 0; i < 6; ++i) pacer.refused(kBegun + 1s, kBegun + 1s, 1s);
  const double cut = pacer.rate(kBegun + 1s);
  CHECK(cut < 300);
  CHECK(pacer.rate(kBegun + 3s) <= cut * 2);
}

TEST_CASE("pacing can be switched off") {
  Pacer pacer({.enabled = false});
  for (int i = 0; i < 100; ++i) pacer.refused(kBegun, kBegun, 1s);
  pacer.ramp(kBegun);
  CHECK_FALSE(pacer.limited());
  CHECK(std::isinf(pacer.rate(kBegun)));
}

}  // namespace holdfast::upstream
