#include "status/history.h"

#include <doctest/doctest.h>

#include <cmath>

using namespace holdfast;
using namespace holdfast::status;
using namespace std::chrono_literals;
using observe::Family;
using proxy::CacheOutcome;

namespace {

Counts counts(std::uint64_t hits, std::uint64_t failures = 0) {
  Counts made;
  made.outcomes[static_cast<std::size_t>(CacheOutcome::Hit)] = hits;
  made.outcomes[kFailed] = failures;
  return made;
}

std::uint64_t hits(const Counts& counts) {
  return counts.outcomes[static_cast<std::size_t>(CacheOutcome::Hit)];
}

}  // namespace

TEST_CASE("the counters are read into outcomes by code and by what the cache did") {
  observe::Metrics metrics;
  observe::Shard& shard = metrics.shard();
  proxy::RequestMetrics requests(metrics, shard, "lookup");
  requests.count(CacheOutcome::Hit, 200, 30us);
  requests.count(CacheOutcome::Hit, 304, 30us);
  requests.count(CacheOutcome::Hit, 404, 30us);  // the upstream's own word, stored
  requests.count(CacheOutcome::Stale, 200, 30us);
  requests.count(CacheOutcome::Miss, 200, 70ms);
  requests.count(CacheOutcome::Absent, 504, 5us);
  requests.count(CacheOutcome::Error, 400, 1us);
  requests.count(CacheOutcome::Error, 503, 10s);
  shard.add(metrics.counter(Family::UpstreamAttempts, {{"origin", "a"}, {"outcome", "5xx"}}), 3);
  shard.add(metrics.counter(Family::UpstreamAttempts, {{"origin", "b"}, {"outcome", "5xx"}}), 4);
  const Counts read = read_counts(metrics);
  CHECK(hits(read) == 2);
  CHECK(read.ok() == 4);
  CHECK(read.failed() == 1);
  CHECK(read.refused() == 2);
  // The client wanted nothing but what is stored: that is no failure of ours.
  CHECK(read.outcomes[static_cast<std::size_t>(CacheOutcome::Absent)] == 1);
  CHECK(read.share_ok() == 0.8);
  CHECK(read.share_without_upstream() == 0.6);
  CHECK(read.attempts[static_cast<std::size_t>(upstream::Outcome::ServerError)] == 7);
  CHECK(quantile(read.durations[static_cast<std::size_t>(CacheOutcome::Miss)], 0.99) > 0.05);
  CHECK(quantile(read.all_durations(), 0.01) < 0.001);
}

TEST_CASE("what was passed through is told by itself, and no miss") {
  observe::Metrics metrics;
  proxy::RequestMetrics requests(metrics, metrics.shard(), "r");
  for (const int code : {201, 302, 404, 502}) requests.count(CacheOutcome::Pass, code, 70ms);
  requests.count(CacheOutcome::Hit, 200, 30us);
  const Counts read = read_counts(metrics);
  CHECK(outcome_name(static_cast<std::size_t>(CacheOutcome::Pass)) == "pass");
  CHECK(read.outcomes[static_cast<std::size_t>(CacheOutcome::Pass)] == 2);
  CHECK(read.outcomes[static_cast<std::size_t>(CacheOutcome::Miss)] == 0);
  CHECK(read.refused() == 1);
  CHECK(read.failed() == 1);
  CHECK(read.share_without_upstream() == 0.5);
  CHECK(quantile(read.durations[static_cast<std::size_t>(CacheOutcome::Pass)], 0.99) > 0.05);
}

TEST_CASE("without answers of ours there is no share, rather than a perfect or a terrible one") {
  Counts none;
  CHECK(none.share_ok() == std::nullopt);
  none.outcomes[kRefused] = 9;
  CHECK(none.share_ok() == std::nullopt);
  CHECK(none.share_without_upstream() == std::nullopt);
  CHECK(quantile({}, 0.5) == std::nullopt);
  CHECK(quantile(none.all_durations(), 0.5) == std::nullopt);
}

TEST_CASE("a quantile lies within its bucket, and is infinite above the last bound") {
  std::vector<std::uint64_t> buckets = Counts().all_durations();
  buckets[1] = 100;  // 25 to 50 us
  CHECK(*quantile(buckets, 0.5) == doctest::Approx(37.5e-6));
  CHECK(*quantile(buckets, 1.0) == doctest::Approx(50e-6));
  CHECK(*quantile(buckets, 0.0) == doctest::Approx(25e-6));
  buckets.back() = 2;
  CHECK(std::isinf(*quantile(buckets, 0.99)));
  CHECK(std::isfinite(*quantile(buckets, 0.98)));
}

TEST_CASE("samples are differences, the last one up to now, and nothing is lost when one is late") {
  base::ManualClock clock;
  History history({}, counts(1000), clock.now());
  clock.advance(10s);
  history.add(counts(1007), clock.now());
  clock.advance(25s);
  history.add(counts(1010, 5), clock.now());
  clock.advance(3s);
  const auto samples = history.samples(counts(1011, 5), clock.now(), clock.wall());
  REQUIRE(samples.size() == 3);
  CHECK(hits(samples[0].counts) == 7);
  CHECK(samples[0].length == 10s);
  CHECK(hits(samples[1].counts) == 3);
  CHECK(samples[1].counts.failed() == 5);
  CHECK(samples[1].length == 25s);
  CHECK(hits(samples[2].counts) == 1);
  CHECK(samples[2].length == 3s);
  CHECK(samples[2].at == clock.wall());
}

TEST_CASE("an hour is kept, and a day costs no more memory than an hour") {
  base::ManualClock clock;
  History history({}, counts(0), clock.now());
  std::uint64_t n = 0;
  for (int i = 0; i < 6 * 60 * 24; ++i) {
    clock.advance(10s);
    history.add(counts(++n), clock.now());
  }
  const auto samples = history.samples(counts(n), clock.now(), clock.wall());
  REQUIRE(samples.size() == 361);
  CHECK(samples.front().at == clock.wall() - 3590s);
  CHECK(samples[359].at == clock.wall());
  for (std::size_t i = 1; i < 360; ++i) CHECK(samples[i].end - samples[i - 1].end == 10s);
  const auto hour = History::window(samples, 1h);
  CHECK(hits(hour.counts) == 360);
  CHECK(hour.length == 1h);
}

TEST_CASE("a window goes back as far as it says and is known, to a step") {
  base::ManualClock clock;
  History history({}, counts(0), clock.now());
  for (std::uint64_t i = 1; i <= 12; ++i) {
    clock.advance(10s);
    history.add(counts(i * 10), clock.now());
  }
  clock.advance(4s);
  const auto samples = history.samples(counts(121), clock.now(), clock.wall());
  const auto minute = History::window(samples, 1min);
  CHECK(minute.length == 64s);
  CHECK(hits(minute.counts) == 61);
  const auto all = History::window(samples, 1h);
  CHECK(all.length == 124s);
  CHECK(hits(all.counts) == 121);
}

TEST_CASE("the wall clock may jump; the samples' lengths do not, and none is from the future") {
  base::ManualClock clock;
  History history({}, counts(0), clock.now());
  clock.advance(10s);
  history.add(counts(5), clock.now());
  clock.advance(5s);
  clock.jump_wall(-1h);
  const auto samples = history.samples(counts(5), clock.now(), clock.wall());
  CHECK(samples[0].length == 10s);
  CHECK(samples[0].at == clock.wall() - 5s);
  CHECK(samples[1].at == clock.wall());
  CHECK(hits(History::window(samples, 1min).counts) == 5);
}
