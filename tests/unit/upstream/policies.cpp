// Each policy by itself: time is an argument, so nothing waits.
#include <doctest/doctest.h>

#include <cmath>

#include "base/clock.h"
#include "upstream/attempt_timeout.h"
#include "upstream/backoff.h"
#include "upstream/breaker.h"
#include "upstream/concurrency_limit.h"
#include "upstream/dependency_probe.h"
#include "upstream/hedge_policy.h"
#include "upstream/judge.h"
#include "upstream/retry_budget.h"
#include "upstream/rolling_count.h"
#include "upstream/token_bucket.h"
#include "upstream/token_state.h"

namespace holdfast::upstream {

using namespace std::chrono_literals;

namespace {

const base::SteadyTime kStart{1h};

}  // namespace

TEST_CASE("a rolling count forgets what is older than its window") {
  RollingCount count(100ms, 10);
  count.add(kStart, 5);
  CHECK(count.sum(kStart) == 5);
  CHECK(count.sum(kStart + 900ms) == 5);
  CHECK(count.sum(kStart + 1s) == 0);
  count.add(kStart + 2s, 2);
  count.add(kStart + 2500ms, 3);
  CHECK(count.sum(kStart + 2500ms) == 5);
  CHECK(count.peak(kStart + 2500ms) == 3);
  CHECK(count.sum(kStart + 3s) == 3);
  CHECK(count.sum(kStart + 24h) == 0);
}

TEST_CASE("a token bucket gives its burst, then its rate, and says when") {
  TokenBucket bucket(10, 2);
  CHECK(bucket.has(kStart));
  bucket.take(kStart);
  bucket.take(kStart);
  CHECK_FALSE(bucket.has(kStart));
  const base::SteadyTime next = bucket.next(kStart);
  CHECK(next > kStart + 99ms);
  CHECK(next <= kStart + 101ms);
  CHECK(bucket.has(next));
  CHECK_FALSE(TokenBucket(0, 0).has(kStart));
  CHECK(TokenBucket(0, 0).next(kStart) == base::SteadyTime::max());
}

TEST_CASE("backoff is random between nothing and a bound that doubles up to its cap") {
  const BackoffSettings settings;
  CHECK(backoff_bound(settings, 1, 1h) == 25ms);
  CHECK(backoff_bound(settings, 2, 1h) == 50ms);
  CHECK(backoff_bound(settings, 6, 1h) == 800ms);
  CHECK(backoff_bound(settings, 7, 1h) == 1s);
  CHECK(backoff_bound(settings, 1000000, 1h) == 1s);
  base::Random random(1);
  base::Duration least = 1h;
  base::Duration most = 0ms;
  for (int i = 0; i < 1000; ++i) {
    const base::Duration wait = backoff(settings, 3, 1h, random);
    least = std::min(least, wait);
    most = std::max(most, wait);
  }
  CHECK(least < 5ms);
  CHECK(most > 95ms);
  CHECK(most <= 100ms);
}

TEST_CASE("backoff never takes more than a share of the time left") {
  const BackoffSettings settings;
  CHECK(backoff_bound(settings, 10, 1600ms) == 100ms);
  CHECK(backoff_bound(settings, 10, 0ms) == 0ms);
  CHECK(backoff_bound(settings, 10, -1s) == 0ms);
}

TEST_CASE("the attempt timeout is the ceiling without history, then follows what succeeds") {
  AttemptTimeout timeout{{}};
  CHECK(timeout.typical() == 2s);
  CHECK(timeout.usual() == 0ms);
  for (int i = 0; i < 100; ++i) timeout.succeeded(20ms);
  CHECK(timeout.typical() == 200ms);  // the floor
  CHECK(timeout.usual() == 20ms);
  for (int i = 0; i < 256; ++i) timeout.succeeded(300ms);
  CHECK(timeout.typical() == 600ms);
  for (int i = 0; i < 256; ++i) timeout.succeeded(5s);
  CHECK(timeout.typical() == 2s);
}

TEST_CASE("an attempt takes a share of the time left, but no less than attempts usually need") {
  AttemptTimeout timeout{{}};
  for (int i = 0; i < 100; ++i) timeout.succeeded(500ms);
  CHECK(timeout.next(60s) == 1s);
  CHECK(timeout.next(4200ms) == 700ms);
  CHECK(timeout.next(1s) == 500ms);
}

TEST_CASE("an upstream that became slower than the timeout is learned again") {
  AttemptTimeout timeout{{}};
  for (int i = 0; i < 100; ++i) timeout.succeeded(20ms);
  int attempts = 0;
  while (timeout.typical() < 1500ms) {
    timeout.timed_out();
    REQUIRE(++attempts < 20);
  }
  timeout.failed_in_time();
  CHECK(timeout.typical() == 200ms);
}

TEST_CASE("the retry budget is a reserve and a share of recent fetches") {
  RetryBudget budget({.per_fetch = 0.2, .reserve_per_second = 1, .window = 10s});
  int sent = 0;
  while (budget.withdraw(kStart)) ++sent;
  CHECK(sent == 10);
  for (int i = 0; i < 100; ++i) budget.deposit(kStart + 1s);
  while (budget.withdraw(kStart + 1s)) ++sent;
  CHECK(sent == 30);
  // All of it slides out of the window.
  CHECK(budget.balance(kStart + 60s) == doctest::Approx(10));
}

TEST_CASE("a breaker stays closed at 70 % failures, however long they last") {
  for (const std::uint64_t seed : {1, 2, 3, 4, 5}) {
    CAPTURE(seed);
    base::Random random(seed);
    Breaker breaker({}, random);
    base::SteadyTime now = kStart;
    for (int i = 0; i < 5000; ++i, now += 10ms) {
      if (random.uniform() < 0.7) {
        breaker.failed(now, false);
      } else {
        breaker.succeeded(now);
      }
      REQUIRE(breaker.state() == Breaker::State::Closed);
    }
    CHECK(breaker.error_rate(now) == doctest::Approx(0.7).epsilon(0.1));
  }
}

TEST_CASE("a breaker opens when everything fails, also right after a good time") {
  base::Random random(1);
  Breaker breaker({}, random);
  for (int i = 0; i < 1000; ++i) breaker.succeeded(kStart);
  int failures = 0;
  while (breaker.allows()) {
    breaker.failed(kStart + 1s, false);
    REQUIRE(++failures <= 40);
  }
  CHECK(failures == 40);
}

TEST_CASE("a breaker opens on connect failures in a row, not on some among answers") {
  base::Random random(1);
  Breaker breaker({}, random);
  for (int i = 0; i < 20; ++i) {
    for (int j = 0; j < 4; ++j) breaker.failed(kStart, true);
    breaker.succeeded(kStart);
  }
  CHECK(breaker.allows());
  for (int j = 0; j < 5; ++j) breaker.failed(kStart, true);
  CHECK_FALSE(breaker.allows());
  CHECK(breaker.openings() == 1);
}

TEST_CASE("an open breaker admits one probe at a time, at growing intervals up to the cap") {
  base::Random random(1);
  Breaker breaker({}, random);
  for (int j = 0; j < 5; ++j) breaker.failed(kStart, true);
  base::SteadyTime now = kStart;
  base::Duration last = 0ms;
  for (int i = 0; i < 12; ++i) {
    const base::Duration wait = breaker.probe_at() - now;
    CHECK(wait <= 1200ms);
    CHECK(wait >= 200ms);
    CHECK_FALSE(breaker.probe_due(breaker.probe_at() - 1ns));
    now = breaker.probe_at();
    CHECK(breaker.probe_due(now));
    breaker.probe_started(now);
    CHECK(breaker.state() == Breaker::State::HalfOpen);
    CHECK_FALSE(breaker.probe_due(now + 1h));
    breaker.succeeded(now);  // a late one, sent before it opened
    CHECK(breaker.state() == Breaker::State::HalfOpen);
    breaker.probe_ended(now, false);
    CHECK(breaker.state() == Breaker::State::Open);
    CHECK(breaker.probes() == i + 1);
    CHECK(breaker.since() == kStart);  // how long the outage has lasted, whatever was tried
    last = wait;
  }
  CHECK(last >= 800ms);
  now = breaker.probe_at();
  breaker.probe_started(now);
  breaker.probe_ended(now, true);
  CHECK(breaker.allows());
  CHECK(breaker.since() == now);
}

TEST_CASE("an abandoned probe says nothing, and another follows after an interval") {
  base::Random random(1);
  Breaker breaker({}, random);
  for (int j = 0; j < 5; ++j) breaker.failed(kStart, true);
  const base::SteadyTime now = breaker.probe_at();
  breaker.probe_started(now);
  breaker.probe_abandoned(now);
  CHECK(breaker.state() == Breaker::State::Open);
  CHECK(breaker.since() == kStart);
  CHECK_FALSE(breaker.probe_due(now));
  CHECK(breaker.probe_due(now + 300ms));
}

TEST_CASE("a breaker can be forced, and takes up its own judgement again") {
  base::Random random(1);
  Breaker breaker({}, random);
  breaker.force(kStart, Breaker::Forced::Open);
  CHECK_FALSE(breaker.allows());
  CHECK_FALSE(breaker.probe_due(kStart + 1h));
  breaker.force(kStart, Breaker::Forced::No);
  CHECK(breaker.allows());
  for (int j = 0; j < 5; ++j) breaker.failed(kStart, true);
  breaker.force(kStart, Breaker::Forced::Closed);
  CHECK(breaker.allows());
  for (int j = 0; j < 50; ++j) breaker.failed(kStart, true);
  CHECK(breaker.allows());
}

TEST_CASE("the concurrency limit rises while it is used and latency holds") {
  ConcurrencyLimit limit({.initial = 4, .max = 20});
  CHECK(limit.limit() == 4);
  for (int i = 0; i < 500; ++i) {
    limit.sent(kStart, limit.limit());
    limit.answered(20ms);
  }
  CHECK(limit.limit() == 20);
}

TEST_CASE("the concurrency limit does not rise unused, and falls back when idle") {
  ConcurrencyLimit limit({.initial = 4, .max = 20});
  for (int i = 0; i < 500; ++i) {
    limit.sent(kStart, 1);
    limit.answered(20ms);
  }
  CHECK(limit.limit() == 4);
  for (int i = 0; i < 500; ++i) {
    limit.sent(kStart, limit.limit());
    limit.answered(20ms);
  }
  limit.sent(kStart + 1h, 1);
  CHECK(limit.limit() == 4);
}

TEST_CASE("the concurrency limit falls when latency rises, but not for a slow few") {
  ConcurrencyLimit limit({.initial = 16, .max = 64});
  for (int i = 0; i < 500; ++i) {
    limit.sent(kStart, limit.limit());
    limit.answered(i % 10 == 0 ? 2s : 20ms);
  }
  CHECK(limit.limit() == 64);
  for (int i = 0; i < 150; ++i) {
    limit.sent(kStart, limit.limit());
    limit.answered(400ms);
  }
  CHECK(limit.limit() < 32);
  CHECK(limit.limit() >= 1);
}

TEST_CASE("a round of timeouts lowers the concurrency limit, never below one") {
  ConcurrencyLimit limit({.initial = 16, .max = 64});
  for (int i = 0; i < 1000; ++i) limit.timed_out();
  CHECK(limit.limit() == 1);
}

TEST_CASE("hedges are a share of attempts, after a delay that history sets") {
  HedgePolicy hedge({.share = 0.05, .burst = 2});
  LatencyWindow window;
  CHECK(hedge.delay(window) == 100ms);
  for (int i = 0; i < 100; ++i) window.add(i < 90 ? 20ms : 80ms);
  CHECK(hedge.delay(window) == 80ms);
  CHECK(HedgePolicy({.mode = HedgePolicy::Mode::Fixed, .delay = 7ms}).delay(window) == 7ms);
  CHECK_FALSE(HedgePolicy({.mode = HedgePolicy::Mode::Off}).enabled());
  int sent = 0;
  for (int i = 0; i < 1000; ++i) {
    hedge.attempt_sent();
    if (hedge.has_token()) {
      hedge.hedge_sent();
      ++sent;
    }
  }
  CHECK(sent >= 49);
  CHECK(sent <= 52);
}

TEST_CASE("a refused token lets checks through at growing intervals, until it is changed") {
  TokenState token{{}};
  token.refused(kStart, 403);
  CHECK(token.admit(kStart));  // one 403 may be about one request
  token.refused(kStart, 401);
  token.refused(kStart, 401);
  CHECK(token.state() == TokenState::State::Refused);
  CHECK(token.status() == 401);
  CHECK_FALSE(token.admit(kStart));
  CHECK(token.admit(kStart + 2s));
  CHECK_FALSE(token.admit(kStart + 5s));
  CHECK(token.admit(kStart + 6s));
  token.changed();
  CHECK(token.state() == TokenState::State::Unknown);
  CHECK(token.admit(kStart + 6s));
  token.accepted();
  CHECK(token.state() == TokenState::State::Accepted);
}

TEST_CASE("a dependency probe is due only without traffic, and failures come back soon") {
  DependencyProbe probe({.target = "/health"}, kStart);
  CHECK(probe.next() == kStart + 30s);
  probe.traffic(kStart + 10s, true);
  CHECK(probe.next() == kStart + 40s);
  CHECK_FALSE(probe.ended(kStart + 40s, false));
  CHECK(probe.next() == kStart + 42s);
  CHECK_FALSE(probe.ended(kStart + 42s, false));
  CHECK(probe.ended(kStart + 44s, false));
  // Two failures, with a client's success between them, are no row.
  for (const bool client : {true, false}) {
    CAPTURE(client);
    CHECK_FALSE(probe.ended(kStart + 46s, true));
    CHECK_FALSE(probe.ended(kStart + 76s, false));
    CHECK_FALSE(probe.ended(kStart + 78s, false));
    probe.traffic(kStart + 79s, client);
    CHECK(probe.next() == kStart + 109s);
    CHECK(probe.ended(kStart + 109s, false) == !client);
  }
  DependencyProbe without({}, kStart);
  CHECK_FALSE(without.probes_when_idle());
  CHECK(without.target().empty());
  without.remember("/last");
  CHECK(without.target() == "/last");
}

TEST_CASE("statuses and transport failures are told apart, and only a 2xx is validated") {
  const Request plain{"/", {}};
  const Request conditional{"/", {{"if-none-match", "\"a\""}}};
  int validated = 0;
  const auto validate = [&](const Reply&) {
    ++validated;
    return Verdict{Outcome::WrongContent, "x"};
  };
  const std::pair<int, Outcome> cases[] = {
      {200, Outcome::WrongContent}, {203, Outcome::WrongContent}, {204, Outcome::Unexpected},
      {206, Outcome::Unexpected},   {301, Outcome::Unexpected},   {304, Outcome::Unexpected},
      {400, Outcome::ClientError},  {401, Outcome::Unauthorized}, {403, Outcome::Unauthorized},
      {404, Outcome::ClientError},  {408, Outcome::Unexpected},   {410, Outcome::ClientError},
      {425, Outcome::Unexpected},   {429, Outcome::RateLimited},  {500, Outcome::ServerError},
      {503, Outcome::ServerError},  {101, Outcome::Unexpected},   {999, Outcome::Unexpected},
  };
  for (const auto& [status, outcome] : cases) {
    CAPTURE(status);
    CHECK(judge(plain, Reply{.status = status}, validate).outcome == outcome);
  }
  CHECK(validated == 2);
  CHECK(judge(conditional, Reply{.status = 304}, validate).outcome == Outcome::NotModified);
  // RFC 9111, 4.3.4: by the validators in the 304, if there are any.
  const auto says = [&](const Request& asked, Field field) {
    return judge(asked, Reply{.status = 304, .fields = {std::move(field)}}, validate).outcome;
  };
  const Request by_etag{"/", {{"If-None-Match", "W/\"1\""}}};
  CHECK(says(by_etag, {"ETag", "\"1\""}) == Outcome::NotModified);
  CHECK(says(by_etag, {"ETag", "\"2\""}) == Outcome::Unexpected);
  const Request by_date{"/", {{"If-Modified-Since", "yesterday"}}};
  CHECK(says(by_date, {"Last-Modified", "yesterday"}) == Outcome::NotModified);
  CHECK(says(by_date, {"Last-Modified", "today"}) == Outcome::Unexpected);
  CHECK(says(by_date, {"ETag", "\"2\""}) == Outcome::Unexpected);
  CHECK(says(by_date, {"ETag", "W/\"2\""}) == Outcome::NotModified);
  CHECK(judge(plain, Reply{.transport = Outcome::Truncated, .status = 200}, validate).outcome ==
        Outcome::Truncated);
  CHECK(validated == 2);
}

}  // namespace holdfast::upstream
