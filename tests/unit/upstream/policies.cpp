// Each policy by itself: time is an argument, so nothing waits.
#include <doctest/doctest.h>

#include <cmath>

#include "base/clock.h"
#include "upstream/answer_times.h"
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

TEST_CASE("an attempt is suspected when it is slower than usual, and late while nothing is known") {
  AnswerTimes times{{}};
  CHECK(times.suspect_after(0ms) == 2s);
  CHECK(times.usual() == 0ms);
  times.answered(300ms);
  CHECK(times.suspect_after(0ms) == 1200ms);
  for (int i = 0; i < 100; ++i) times.answered(20ms);
  CHECK(times.suspect_after(0ms) == 200ms);  // the floor
  CHECK(times.usual() == 20ms);
  for (int i = 0; i < 256; ++i) times.answered(300ms);
  CHECK(times.suspect_after(0ms) == 600ms);
  // No ceiling: an upstream may take as long as it likes.
  for (int i = 0; i < 256; ++i) times.answered(5s);
  CHECK(times.suspect_after(0ms) == 10s);
}

TEST_CASE("over a distance a lost packet is waited for, next door it is not expected") {
  AnswerTimes times{{}};
  for (int i = 0; i < 100; ++i) times.answered(100ms);
  CHECK(times.suspect_after(100us) == 200ms);
  // The answer, and Linux' 200 ms, the round trip, and the packet's own way.
  CHECK(times.suspect_after(100ms) == 100ms + 200ms + 150ms);
  HedgePolicy hedge{{}};
  CHECK(hedge.delay(times, 100us) == 250ms);
  CHECK(hedge.delay(times, 100ms) == 450ms);
}

TEST_CASE("a latency step is learned within a twentieth of the window") {
  AnswerTimes times{{}};
  for (int i = 0; i < 256; ++i) times.answered(5ms);
  int answers = 0;
  while (times.suspect_after(0ms) < 600ms) {
    times.answered(600ms);
    REQUIRE(++answers <= 30);
  }
}

TEST_CASE("a few that are slow for everybody are asked for twice, not three times") {
  AnswerTimes times{{}};
  for (int i = 0; i < 256; ++i) times.answered(i % 25 == 0 ? 1s : 5ms);
  CHECK(times.spacing(1, false, 10s, 0ms) == 1500ms);
  CHECK(times.spacing(2, false, 10s, 0ms) == 3s);
  for (int i = 0; i < 20; ++i) times.suspect_answered();
  CHECK(times.spacing(1, false, 10s, 0ms) == 1500ms);
  AnswerTimes slow{{}};
  for (int i = 0; i < 256; ++i) slow.answered(8s);
  CHECK(slow.spacing(1, false, 10s, 0ms) >= 10s);
}

TEST_CASE("where late attempts are lost, mostly, the next one follows as soon as the second") {
  AnswerTimes times{{}};
  for (int i = 0; i < 256; ++i) times.answered(20ms);
  int lost = 0;
  while (times.spacing(1, false, 10s, 0ms) > 200ms) {
    times.suspect_overtaken();
    REQUIRE(++lost <= 8);
  }
  CHECK(lost >= 4);
  CHECK(times.spacing(3, true, 10s, 0ms) == 200ms);
  // While nobody else is answered either, it is not for the sake of this one.
  CHECK(times.spacing(3, false, 10s, 0ms) == 800ms);
}

TEST_CASE("after a cut the next attempt is left for twice as long, until one is answered") {
  AnswerTimes times{{}};
  for (int i = 0; i < 20; ++i) times.answered(20ms);
  CHECK(times.hopeless_after() == 2s);
  times.cut_off(2s);
  CHECK(times.hopeless_after() == 4s);
  CHECK(times.suspect_after(0ms) == 200ms);  // it is no answer
  times.cut_off(4s);
  CHECK(times.hopeless_after() == 8s);
  times.answered(20ms);
  CHECK(times.hopeless_after() == 2s);
}

TEST_CASE("silence is a matter of seconds, whatever answers take") {
  AnswerTimes times{{}};
  CHECK(times.silence() == 4s);
  for (int i = 0; i < 20; ++i) times.answered(5ms);
  CHECK(times.silence() == 2s);
  for (int i = 0; i < 2; ++i) times.answered(800ms);
  CHECK(times.silence() == 3200ms);
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
        breaker.failed(now, static_cast<std::size_t>(i));
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
    breaker.failed(kStart + 1s, static_cast<std::size_t>(failures));
    REQUIRE(++failures <= 40);
  }
  CHECK(failures == 40);
}

TEST_CASE("a key that always fails does not open the breaker, however often it is asked for") {
  base::Random random(1);
  Breaker breaker({}, random);
  for (int i = 0; i < 1000; ++i) {
    for (std::size_t key = 0; key < 9; ++key) breaker.failed(kStart, key);
  }
  CHECK(breaker.allows());
  for (int i = 0; i < 4; ++i) breaker.failed(kStart, 9);
  CHECK_FALSE(breaker.allows());
}

TEST_CASE("a probe that had been given up for lost closes the breaker when it is answered") {
  base::Random random(1);
  Breaker breaker({}, random);
  for (int i = 0; i < 5; ++i) breaker.nobody_there(kStart);
  breaker.probe_started(breaker.probe_at());
  breaker.probe_ended(breaker.probe_at(), false);
  REQUIRE(breaker.state() == Breaker::State::Open);
  breaker.probe_was_late(kStart + 1s);
  CHECK(breaker.allows());
}

TEST_CASE("an answer to what was sent before it opened brings the next probe at once") {
  base::Random random(1);
  Breaker breaker({}, random);
  for (int i = 0; i < 5; ++i) breaker.nobody_there(kStart);
  REQUIRE(breaker.probe_at() > kStart);
  breaker.sign_of_life(kStart);
  CHECK(breaker.probe_due(kStart));
  CHECK_FALSE(breaker.allows());
}

TEST_CASE("a breaker opens on connect failures in a row, not on some among answers") {
  base::Random random(1);
  Breaker breaker({}, random);
  for (int i = 0; i < 20; ++i) {
    for (int j = 0; j < 4; ++j) breaker.nobody_there(kStart);
    breaker.succeeded(kStart);
  }
  CHECK(breaker.allows());
  for (int j = 0; j < 5; ++j) breaker.nobody_there(kStart);
  CHECK_FALSE(breaker.allows());
  CHECK(breaker.openings() == 1);
}

TEST_CASE("an open breaker admits one probe at a time, at growing intervals up to the cap") {
  base::Random random(1);
  Breaker breaker({}, random);
  for (int j = 0; j < 5; ++j) breaker.nobody_there(kStart);
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
  for (int j = 0; j < 5; ++j) breaker.nobody_there(kStart);
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
  for (int j = 0; j < 5; ++j) breaker.nobody_there(kStart);
  breaker.force(kStart, Breaker::Forced::Closed);
  CHECK(breaker.allows());
  for (int j = 0; j < 50; ++j) breaker.nobody_there(kStart);
  CHECK(breaker.allows());
}

TEST_CASE("the concurrency limit begins at the top, and low after an outage") {
  ConcurrencyLimit limit({.initial = 4, .max = 20});
  CHECK(limit.limit() == 20);
  limit.restart();
  CHECK(limit.limit() == 4);
}

TEST_CASE("more in flight than ever were answered are sent one by one") {
  ConcurrencyLimit limit({.initial = 4, .max = 20});
  CHECK(limit.free_at(3) <= kStart);
  limit.sent(kStart, 4);
  CHECK(limit.free_at(4) <= kStart);
  limit.sent(kStart, 5);
  CHECK(limit.free_at(5) == kStart + 2ms);
  limit.answered(20ms, 5);
  CHECK(limit.free_at(4) <= kStart);
  limit.refused();
  CHECK(limit.free_at(4) == kStart + 2ms);
  CHECK(limit.free_at(20) == base::SteadyTime::max());
}

TEST_CASE("the concurrency limit rises while it is used and latency holds, not unused") {
  ConcurrencyLimit limit({.initial = 4, .max = 20});
  limit.restart();
  for (int i = 0; i < 500; ++i) limit.answered(20ms, 1);
  CHECK(limit.limit() == 4);
  for (int i = 0; i < 500; ++i) limit.answered(20ms, limit.limit());
  CHECK(limit.limit() == 20);
}

TEST_CASE("what is not used comes off the limit when latency rises with what is sent") {
  ConcurrencyLimit limit({.initial = 16, .max = 64});
  for (int i = 0; i < 64; ++i) limit.answered(i % 10 == 0 ? 2s : 20ms, 40);
  CHECK(limit.limit() == 64);  // a slow few are nothing
  for (int i = 0; i < 64 * 3; ++i) limit.answered(400ms, 40);
  CHECK(limit.limit() == 40);
}

TEST_CASE("the concurrency limit does not go below what is answered, however slowly") {
  ConcurrencyLimit limit({.initial = 16, .max = 64});
  for (int i = 0; i < 640; ++i) limit.answered(20ms, limit.limit());
  for (int i = 0; i < 640; ++i) limit.answered(2s, limit.limit());
  CHECK(limit.limit() == 64);
}

TEST_CASE("an upstream that has become slower by itself is not asked less for it") {
  ConcurrencyLimit limit({.initial = 16, .max = 64});
  for (int i = 0; i < 640; ++i) limit.answered(5ms, 1);
  for (int i = 0; i < 640; ++i) limit.answered(600ms, 1 + i % 12);
  CHECK(limit.limit() == 64);
}

TEST_CASE("a round of timeouts lowers the concurrency limit, never below one") {
  ConcurrencyLimit limit({.initial = 16, .max = 64});
  for (int i = 0; i < 1000; ++i) limit.timed_out();
  CHECK(limit.limit() == 1);
}

TEST_CASE("hedges are a share of attempts, after a delay that history sets") {
  HedgePolicy hedge({.share = 0.05, .burst = 2});
  AnswerTimes times{{}};
  CHECK(hedge.delay(times, 0ms) == base::Duration::max());
  for (int i = 0; i < 100; ++i) times.answered(i < 90 ? 20ms : 80ms);
  CHECK(hedge.delay(times, 0ms) == 80ms);
  CHECK(HedgePolicy({.mode = HedgePolicy::Mode::Fixed, .delay = 7ms}).delay(times, 0ms) == 7ms);
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
  CHECK_FALSE(token.refused(403));
  CHECK(token.admit(kStart));  // one 403 may be about one request
  CHECK_FALSE(token.refused(401));
  CHECK(token.refused(401));
  CHECK(token.state() == TokenState::State::Unknown);  // whoever asked may know better
  token.confirm(kStart);
  CHECK(token.state() == TokenState::State::Refused);
  CHECK(token.status() == 401);
  CHECK_FALSE(token.admit(kStart));
  CHECK(token.admit(kStart + 2s));
  CHECK_FALSE(token.admit(kStart + 5s));
  CHECK(token.admit(kStart + 6s));
  token.changed();
  CHECK(token.state() == TokenState::State::Unknown);
  CHECK(token.admit(kStart + 6s));
  token.accepted(kStart);
  CHECK(token.state() == TokenState::State::Accepted);
  CHECK(token.good_lately(kStart + 1min));
  CHECK_FALSE(token.good_lately(kStart + 61s));
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
  CHECK(without.question().request.target.empty());
  without.remember({.request = {"/last", {}}});
  CHECK(without.question().request.target == "/last");
  CHECK(without.witness(0) == nullptr);
}

TEST_CASE(
    "statuses and transport failures are told apart, and only a 2xx, a 404 or a 410 is validated") {
  const Request plain{"/", {}};
  const Request conditional{"/", {{"if-none-match", "\"a\""}}};
  int validated = 0;
  const auto validate = [&](const Reply&) {
    ++validated;
    return Verdict{Outcome::WrongContent, "x"};
  };
  const std::pair<int, Outcome> cases[] = {
      {200, Outcome::WrongContent}, {203, Outcome::WrongContent}, {204, Outcome::Unexpected},
      {206, Outcome::Unexpected},   {301, Outcome::Redirected},   {304, Outcome::Unexpected},
      {400, Outcome::ClientError},  {401, Outcome::Unauthorized}, {403, Outcome::Unauthorized},
      {404, Outcome::WrongContent}, {408, Outcome::Unexpected},   {410, Outcome::WrongContent},
      {425, Outcome::Unexpected},   {429, Outcome::RateLimited},  {500, Outcome::ServerError},
      {302, Outcome::Redirected},   {303, Outcome::Redirected},   {307, Outcome::Redirected},
      {308, Outcome::Redirected},   {300, Outcome::Unexpected},   {305, Outcome::Unexpected},
      {503, Outcome::ServerError},  {101, Outcome::Unexpected},   {999, Outcome::Unexpected},
  };
  for (const auto& one : cases) {
    CAPTURE(one.first);
    CHECK(judge(plain, Reply{.status = one.first}, validate).outcome == one.second);
  }
  CHECK(validated == 4);
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
  CHECK(validated == 4);
}

TEST_CASE("a finding names the status, and the field if one decided") {
  const Request plain{"/", {}};
  const auto reason = [&](Reply reply) {
    const auto refuses = [](const Reply&) { return Verdict{Outcome::InvalidBody, "not JSON"}; };
    return judge(plain, reply, refuses).reason;
  };
  CHECK(reason({.status = 503}) == "status 503");
  CHECK(reason({.status = 429, .retry_after = std::chrono::seconds(7)}) ==
        "status 429 with Retry-After");
  CHECK(reason({.status = 301, .fields = {{"Location", "https://b.example/geoip/1?key=x#y"}}}) ==
        "status 301, Location: https://b.example/geoip/1");
  CHECK(reason({.status = 308, .fields = {{"Location", "/\x01\xff"}}}) ==
        "status 308, Location: /??");
  CHECK(reason({.status = 302, .fields = {{"Location", std::string(900, 'a')}}}).size() < 300);
  CHECK(reason({.status = 200, .fields = {{"Content-Type", "text/html"}}}) ==
        "status 200, Content-Type: text/html: not JSON");
  CHECK(reason({.transport = Outcome::Truncated, .detail = "cut", .status = 206}) ==
        "status 206: cut");
  CHECK(reason({.transport = Outcome::Reset, .detail = "reset"}) == "reset");
  CHECK(judge(plain, {.status = 200}, {}).reason.empty());
  // A probe's target is no client's: nothing is wrong with where those go.
  CHECK(judge_probe(plain, {.status = 302}).outcome == Outcome::Unexpected);
}

}  // namespace holdfast::upstream
