// Keys whose answers cannot be read, or whose connections break each time, and networks that break
// them at random. See recent_luck.h.
#include <doctest/doctest.h>

#include "rounds.h"
#include "simulated_upstream.h"
#include "upstream/policy_fetcher.h"

namespace holdfast::upstream {

using namespace std::chrono_literals;
using holdfast::test::of_choices;
using holdfast::test::of_seeds;
using test::Fault;
using test::World;

namespace {

const base::SteadyTime kFirstAsked{1h};

}  // namespace

TEST_CASE("how many broken connections are no chance depends on how the others do") {
  RecentLuck luck({});
  const base::SteadyTime later = kFirstAsked + 1min;
  CHECK(luck.needed_of_broken(1, kFirstAsked, later) >= 20);  // nothing is known
  for (std::size_t key = 100; key < 120; ++key) luck.first_ended(kFirstAsked + 1s, key, true);
  CHECK(luck.needed_of_broken(1, kFirstAsked, later) <= 6);
  for (std::size_t key = 200; key < 220; ++key) luck.first_ended(kFirstAsked + 1s, key, false);
  CHECK(luck.needed_of_broken(1, kFirstAsked, later) >= 20);
  // Others' first attempts at another time say nothing of this row.
  CHECK(luck.needed_of_broken(1, kFirstAsked + 2s, later) >= 20);
}

TEST_CASE("an answer that cannot be read, five keys a second, ends its own fetch and no other") {
  for (const Fault fault : {Fault::Garbled, Fault::Reset, Fault::Truncated}) {
    CAPTURE(static_cast<int>(fault));
    World world(5);
    world.fetch_all(20, 1);
    const base::SteadyTime begun = world.now();
    int lost = 0;
    base::Duration slowest{};
    for (int i = 0; i < 300; ++i) {
      world.scheduler.call_at(begun + i * 200ms + 7ms, [&world, fault, i] {
        const std::string target = "/bad/" + std::to_string(i);
        world.upstream.always_to[target] = fault;
        world.fetch(target);
      });
    }
    for (int i = 0; i < 240; ++i) {
      world.scheduler.call_at(begun + i * 250ms, [&, i] {
        world.fetch("/good/" + std::to_string(i), 10s, Priority::Miss, [&, asked = world.now()] {
          if (world.results.back().end != FetchEnd::Answered) ++lost;
          slowest = std::max(slowest, world.now() - asked);
        });
      });
    }
    world.scheduler.advance(60s);
    world.settle();
    int most = 0;
    for (const auto& [target, times] : world.upstream.by_target) {
      if (target.starts_with("/bad/")) most = std::max(most, times);
    }
    CHECK(lost == 0);
    CHECK(slowest < 200ms);
    CHECK(world.breaker_opened() == 0);
    CHECK(world.outcomes.ends[FetchEnd::KeyFails] == 300);
    CHECK(most <= (fault == Fault::Garbled ? 8 : 20));
  }
}

TEST_CASE("a network that breaks connections at random costs nobody his answer") {
  for (const double share : {0.5, 0.7, 0.8}) {
    for (const bool begins : {false, true}) {
      for (const int concurrency : of_choices({20, 1, 50})) {
        for (int seed = 1; seed <= of_seeds(3); ++seed) {
          CAPTURE(share);
          CAPTURE(begins);
          CAPTURE(concurrency);
          CAPTURE(seed);
          World world(seed);
          if (begins) world.fetch_all(300, concurrency);
          world.outcomes = {};
          world.upstream.faults = {{Fault::Reset, share / 2}, {Fault::Truncated, share / 2}};
          int next = 0;
          std::function<void()> one = [&] {
            if (next == 1000) return;
            world.fetch("/" + std::to_string(300 + next++), 10s, Priority::Miss, one);
          };
          for (int i = 0; i < concurrency; ++i) one();
          world.settle();
          CHECK(world.answered() == 1000);
        }
      }
    }
  }
}

TEST_CASE("connections that are closed for all open the breaker once the witness met that too") {
  World world(5);
  world.fetch_all(20, 5);
  world.upstream.always[0] = Fault::Reset;
  for (int i = 0; i < 60; ++i) world.fetch("/out/" + std::to_string(i));
  world.scheduler.advance(2s);
  CHECK(world.fetcher.status().origins[0].breaker != Breaker::State::Closed);
  // Silence opened it, so any whole answer closes it.
  world.upstream.always[0] = Fault::Error500;
  world.scheduler.advance(3s);
  CHECK(world.metrics.value(observe::Family::BreakerTransitions,
                            {{"origin", "upstream"}, {"to", "closed"}}) >= 1);
  world.upstream.always.clear();
  world.settle();
  CHECK(world.answered() == 80);
}

TEST_CASE("while the breaker is open it is not known how many attempts would fail") {
  World world(5);
  world.fetch_all(20, 5);
  CHECK(world.fetcher.status().origins[0].error_rate == 0.0);
  world.upstream.always[0] = Fault::Refused;
  world.fetch("/out", 20s);
  world.scheduler.advance(2s);
  CHECK(world.fetcher.status().origins[0].error_rate > 0.0);
  world.scheduler.advance(13s);
  CHECK(world.fetcher.status().origins[0].breaker != Breaker::State::Closed);
  CHECK_FALSE(world.fetcher.status().origins[0].error_rate);
  world.settle();
}

}  // namespace holdfast::upstream
