// Some keys are refused with a time to come back, and it is no limit; and a limit is none of the
// keys' own. See refused_keys.h.
#include <doctest/doctest.h>

#include "rounds.h"
#include "simulated_upstream.h"
#include "upstream/policy_fetcher.h"

namespace holdfast::upstream {

using namespace std::chrono_literals;
using holdfast::test::of_seeds;
using test::Fault;
using test::World;

namespace {

struct Beside {
  int lost = 0;
  std::vector<base::Duration> waited;  // of the good ones
  int most_attempts = 0;               // of a bad one
  int attempts = 0;
  int bad = 0;

  base::Duration slowest(double share) {
    std::sort(waited.begin(), waited.end());
    return waited[static_cast<std::size_t>(share * static_cast<double>(waited.size() - 1))];
  }
};

// New keys that are always refused, one each `bad_each`, beside new ones that are not.
Beside bad_beside_good(World& world, Fault fault, base::Duration bad_each, base::Duration good_each,
                       base::Duration length) {
  Beside beside;
  for (int i = 0; i < 20; ++i) {
    world.fetch("/before/" + std::to_string(i));
    world.settle();
  }
  const base::SteadyTime begun = world.now();
  for (int i = 0; i < length / bad_each; ++i) {
    world.scheduler.call_at(begun + i * bad_each + 7ms, [&world, &beside, fault, i] {
      const std::string target = "/bad/" + std::to_string(i);
      world.upstream.always_to[target] = fault;
      ++beside.bad;
      world.fetch(target, 10s, Priority::Miss,
                  [&] { CHECK(world.results.back().end == FetchEnd::KeyFails); });
    });
  }
  for (int i = 0; i < length / good_each; ++i) {
    world.scheduler.call_at(begun + i * good_each, [&world, &beside, i] {
      world.fetch("/good/" + std::to_string(i), 10s, Priority::Miss,
                  [&world, &beside, asked = world.now()] {
                    if (world.results.back().end != FetchEnd::Answered) ++beside.lost;
                    beside.waited.push_back(world.now() - asked);
                  });
    });
  }
  world.scheduler.advance(length);
  world.settle();
  for (const auto& [target, times] : world.upstream.by_target) {
    if (!target.starts_with("/bad/")) continue;
    beside.attempts += times;
    beside.most_attempts = std::max(beside.most_attempts, times);
  }
  return beside;
}

}  // namespace

TEST_CASE(
    "keys that are refused with a Retry-After, up to five a second, cost the others nothing") {
  for (const Fault fault : {Fault::TooMany, Fault::Unavailable, Fault::QuotaUsedUp}) {
    for (const auto bad_each : {1000ms, 500ms, 200ms}) {
      CAPTURE(static_cast<int>(fault));
      CAPTURE(bad_each / 1ms);
      World world(5);
      Beside beside = bad_beside_good(world, fault, bad_each, 250ms, 60s);
      CHECK(beside.lost == 0);
      CHECK(beside.slowest(0.95) < 100ms);
      CHECK(beside.slowest(1) < 3s);
      // Before it was known what it is like, a few of them were asked for more often.
      CHECK(beside.attempts <= 5 * beside.bad);
      CHECK(beside.most_attempts <= 20);
      CHECK(world.breaker_opened() == 0);
      CHECK_FALSE(world.fetcher.status().origins[0].pace < 1000);
    }
  }
}

TEST_CASE("a key that is refused where nobody else asks is found out by a witness") {
  World world(3);
  Beside beside = bad_beside_good(world, Fault::Unavailable, 10s, 10s, 2min);
  CHECK(beside.lost == 0);
  CHECK(beside.slowest(1) < 500ms);
  CHECK(beside.attempts <= 12 * beside.bad);
  CHECK(world.upstream.attempts <= 22 * beside.bad);
}

TEST_CASE("a fetch that is refused for its key tells when to come back") {
  World world(3);
  (void)bad_beside_good(world, Fault::Unavailable, 1s, 250ms, 10s);
  const FetchResult& last = world.results.back();
  CHECK(last.end == FetchEnd::KeyFails);
  CHECK(last.reply.status == 503);
  CHECK(last.retry_after >= 2s);
}

TEST_CASE("a limit is no key's trouble, also where it comes after a good time") {
  struct Limit {
    double rate;
    double burst;
    int asked;
  };
  for (const Limit& limit : {Limit{50, 50, 100}, Limit{50, 10, 60}, Limit{20, 1, 30},
                             Limit{20, 10, 40}, Limit{10, 10, 13}, Limit{5, 10, 8}}) {
    for (int seed = 1; seed <= of_seeds(5); ++seed) {
      CAPTURE(limit.rate);
      CAPTURE(limit.asked);
      CAPTURE(seed);
      World world(seed);
      world.fetch_all(300, 20);
      world.upstream.rate_limit = limit.rate;
      world.upstream.rate_burst = limit.burst;
      world.arrive(limit.asked, 15s);
      world.settle();
      CHECK(world.outcomes.ends[FetchEnd::KeyFails] == 0);
    }
  }
}

TEST_CASE("a limit is met beside bad keys, too") {
  World world(2);
  (void)bad_beside_good(world, Fault::TooMany, 500ms, 100ms, 10s);
  world.upstream.rate_limit = 20;
  world.upstream.rate_burst = 10;
  world.upstream.refused = world.upstream.attempts = 0;
  world.outcomes = {};
  const int before = world.started;
  world.arrive(18, 20s, 10s);
  world.settle();
  CHECK(world.answered() == world.started - before);
  CHECK(world.upstream.refused * 10 < world.upstream.attempts);
}

TEST_CASE("refused at random nobody is taken for bad, also right after a good time") {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    CAPTURE(seed);
    World world(seed);
    world.fetch_all(300, 20);
    world.upstream.faults = {{Fault::TooMany, 0.5}};
    world.outcomes = {};
    world.fetch_all(1000, 20);
    CHECK(world.answered() == 1000);
  }
}

}  // namespace holdfast::upstream
