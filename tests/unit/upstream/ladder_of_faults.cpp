// All policies together against an upstream at its worst: seeded, on the virtual
// clock. A failure prints its seed.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <limits>
#include <vector>

#include "rounds.h"
#include "simulated_upstream.h"

namespace holdfast::upstream {
namespace {

using namespace std::chrono_literals;
using holdfast::test::of_choices;
using holdfast::test::of_seeds;
using test::Fault;
using test::World;

void report(World& world, const char* what) {
  if (std::getenv("HOLDFAST_TEST_VERBOSE") == nullptr) return;
  std::cerr << what << ": " << world.answered() << "/" << world.started << " attempts "
            << world.upstream.attempts << " 429 " << world.upstream.refused << " hedges "
            << world.metrics.value(observe::Family::UpstreamHedges, {{"result", "won"}}) << "+"
            << world.metrics.value(observe::Family::UpstreamHedges, {{"result", "lost"}})
            << " races " << world.metrics.value(observe::Family::UpstreamRaces, {{"result", "won"}})
            << "+" << world.metrics.value(observe::Family::UpstreamRaces, {{"result", "lost"}})
            << " opened "
            << world.metrics.value(observe::Family::BreakerTransitions,
                                   {{"origin", "upstream"}, {"to", "open"}})
            << " p50 " << world.outcomes.percentile(.5) / 1ms << " p99 "
            << world.outcomes.percentile(.99) / 1ms << " max " << world.outcomes.percentile(1) / 1ms
            << " ms, took " << (world.now() - base::SteadyTime(1h)) / 1ms << " ms\n";
}

}  // namespace

TEST_CASE("1000 cold keys are all answered at 50 % and 70 % mixed faults") {
  for (const double share : {0.5, 0.7}) {
    for (const int concurrency : of_choices({20, 1, 50})) {
      for (int seed = 1; seed <= of_seeds(5); ++seed) {
        CAPTURE(share);
        CAPTURE(concurrency);
        CAPTURE(seed);
        World world(seed);
        world.upstream.faults = test::mixed_faults(share);
        world.fetch_all(1000, concurrency);
        CHECK(world.answered() == 1000);
        CHECK(world.outcomes.wrong == 0);
        CHECK(world.outcomes.late == 0);
        CHECK(world.upstream.most_in_flight <= 64);
        CHECK(world.upstream.in_flight == 0);
        report(world, (std::to_string(share) + " x" + std::to_string(concurrency)).c_str());
      }
    }
  }
}

TEST_CASE("300 cold keys against a limit of 50 requests/s: all answered, few refused") {
  for (const double burst : {50.0, 10.0, 1.0}) {
    for (const std::uint64_t seed : {1, 2, 3}) {
      CAPTURE(burst);
      CAPTURE(seed);
      World world(seed);
      world.upstream.rate_limit = 50;
      world.upstream.rate_burst = burst;
      world.fetch_all(300, 50);
      CHECK(world.answered() == 300);
      CHECK(world.upstream.refused * 10 < world.upstream.attempts);
      report(world, ("limit burst " + std::to_string(burst)).c_str());
    }
  }
}

TEST_CASE("a limit is kept to, however it counts") {
  struct Limit {
    double rate;
    double burst;
    base::Duration window;
    double refused;  // share at most
  };
  for (const Limit& limit :
       {Limit{10, 10, 0s, 0.35}, Limit{10, 50, 0s, 0.40}, Limit{50, 50, 0s, 0.10},
        Limit{200, 1, 0s, 0.10}, Limit{10, 1, 1s, 0.25}, Limit{50, 1, 1s, 0.10},
        Limit{10, 1, 5s, 0.55}, Limit{5, 1, 0s, 0.75}}) {
    for (const int concurrency : of_choices({20, 5})) {
      for (int seed = 1; seed <= of_seeds(3); ++seed) {
        CAPTURE(limit.rate);
        CAPTURE(limit.burst);
        CAPTURE(limit.window / 1ms);
        CAPTURE(concurrency);
        CAPTURE(seed);
        World world(seed);
        world.upstream.rate_limit = limit.rate;
        world.upstream.rate_burst = limit.burst;
        world.upstream.rate_window = limit.window;
        const int count = static_cast<int>(limit.rate) * 20;
        world.fetch_all(count, concurrency);
        CHECK(world.answered() == count);
        CHECK(world.upstream.refused < world.upstream.attempts * limit.refused);
        report(world, "limit, 20 s");
      }
    }
  }
}

TEST_CASE("429 at random costs attempts, and next to no answers") {
  for (const double share : {0.3, 0.5, 0.7}) {
    for (const int concurrency : {20, 50}) {
      CAPTURE(share);
      CAPTURE(concurrency);
      int answered = 0;
      for (int seed = 1; seed <= of_seeds(5); ++seed) {
        CAPTURE(seed);
        World world(seed);
        world.upstream.faults = {{Fault::TooMany, share}};
        world.fetch_all(1000, concurrency);
        report(world, "429 at random");
        answered += world.answered();
        CHECK(world.outcomes.percentile(0.5) < (share < 0.7 ? 500ms : 2s));
      }
      CHECK(answered >= (share < 0.7 ? 1000 : 990) * of_seeds(5));
    }
  }
}

TEST_CASE("429 at random for half of all, and 20 new keys a second") {
  int answered = 0;
  for (std::uint64_t seed = 1; seed < 6; ++seed) {
    CAPTURE(seed);
    World world(seed);
    world.upstream.faults = {{Fault::TooMany, 0.5}};
    for (int i = 0; i < 1200; ++i) {
      world.fetch("/" + std::to_string(i));
      world.scheduler.advance(50ms);
    }
    world.settle();
    report(world, "429 at random, 20/s");
    answered += world.answered();
  }
  CHECK(answered >= 5900);
}

TEST_CASE("with 5 % of attempts taking 5 s, p99 stays under 250 ms") {
  for (std::uint64_t seed = 1; seed < 21; ++seed) {
    CAPTURE(seed);
    World world(seed);
    world.upstream.faults = {{Fault::Slow5s, 0.05}};
    world.fetch_all(300, 20);
    CHECK(world.answered() == 300);
    CHECK(world.outcomes.percentile(0.99) < 250ms);
    report(world, "slow 5 %");
  }
}

TEST_CASE("flapping 3 s up, 3 s down: cold keys at 10/s for 30 s are all answered") {
  for (const std::uint64_t seed : {1, 2, 3}) {
    for (const Fault down : {Fault::Refused, Fault::Hang, Fault::Error503}) {
      CAPTURE(seed);
      CAPTURE(static_cast<int>(down));
      World world(seed);
      for (int i = 0; i < 300; ++i) {
        const bool is_up = (i / 30) % 2 == 0;
        world.upstream.always.clear();
        if (!is_up) world.upstream.always[0] = down;
        world.fetch("/" + std::to_string(i));
        world.scheduler.advance(100ms);
      }
      world.upstream.always.clear();
      world.settle();
      report(world, "flapping");
      CHECK(world.answered() == 300);
    }
  }
}

TEST_CASE("a 30 s outage at 200 cold keys/s: probes only, nobody late, back within one interval") {
  for (const Fault down : {Fault::Refused, Fault::Hang, Fault::Error500}) {
    CAPTURE(static_cast<int>(down));
    World world(7);
    // It worked before: the fetcher knows what attempts usually take.
    world.fetch_all(100, 10);
    world.upstream.always[0] = down;
    world.upstream.sent_at.clear();
    world.outcomes = {};
    const base::SteadyTime begun = world.now();
    const auto minute = [&](base::Duration length, int from) {
      for (int i = 0; i < length / 5ms; ++i) {
        world.fetch("/out/" + std::to_string(from + i));
        world.scheduler.advance(5ms);
      }
    };
    minute(30s, 0);
    CHECK(world.outcomes.ends[FetchEnd::Answered] == 0);
    CHECK(world.outcomes.late == 0);
    // Once open: at most a probe per shortest interval, and far fewer later.
    const auto& sent = world.upstream.sent_at;
    const auto late = std::count_if(sent.begin(), sent.end(),
                                    [&](base::SteadyTime at) { return at > begun + 5s; });
    CHECK(late <= 30);
    const std::size_t waiting = world.fetcher.status().parked;
    CHECK(waiting <= Settings{}.max_parked);

    world.upstream.always.clear();
    const base::SteadyTime recovered = world.now();
    while (world.outcomes.ends[FetchEnd::Answered] == 0) minute(10ms, 100000);
    CHECK(world.now() - recovered <= 2500ms);
    minute(10s, 200000);
    world.settle();
    CHECK(world.outcomes.late == 0);
    CHECK(world.fetcher.status().parked == 0);
    CHECK(world.upstream.in_flight == 0);
    // Nearly all of those who waited, and all who came since, have their answer.
    CHECK(world.outcomes.ends[FetchEnd::Answered] >= 2000 + waiting * 4 / 5);
    report(world, "outage");
  }
}

TEST_CASE("against a hang the next probe does not wait for the last one, and none is cut off") {
  World world(6);
  world.upstream.always[0] = Fault::Hang;
  std::vector<base::SteadyTime> probes;
  world.upstream.on_start = [&](const Sending& sending) {
    if (world.fetcher.status().origins[0].breaker != Breaker::State::HalfOpen) return;
    probes.push_back(world.now());
    CHECK(sending.timeout > 500ms);  // less than their clients have left, it is not
  };
  for (int i = 0; i < 300; ++i) {
    world.fetch("/" + std::to_string(i));
    world.scheduler.advance(100ms);
  }
  REQUIRE(probes.size() >= 8);
  for (std::size_t i = 1; i < probes.size(); ++i) {
    CAPTURE(i);
    CHECK(probes[i] - probes[i - 1] <= 1200ms + 500ms);
    CHECK(probes[i] - probes[i - 1] >= 200ms);
  }
}

TEST_CASE("after a hang, an upstream that is back but slow is noticed") {
  World world(4);
  world.fetch_all(100, 10);  // attempts take 20 ms
  world.upstream.always[0] = Fault::Hang;
  for (int i = 0; i < 200; ++i) {
    world.fetch("/hang/" + std::to_string(i));
    world.scheduler.advance(50ms);
  }
  REQUIRE(world.fetcher.status().origins[0].breaker != Breaker::State::Closed);
  world.upstream.always.clear();
  world.upstream.median = 1500ms;  // a probe that is cut off earlier sees a dead one
  world.upstream.sigma = 0;
  world.outcomes = {};
  world.fetch("/slow");
  world.scheduler.advance(8s);
  CHECK(world.outcomes.ends[FetchEnd::Answered] > 0);
}

TEST_CASE("of two origins, the one that fails is set aside, whatever way it fails") {
  for (const Fault fault : {Fault::Error500, Fault::Wrong, Fault::Html, Fault::Refused, Fault::Hang,
                            Fault::Truncated}) {
    CAPTURE(static_cast<int>(fault));
    Settings settings;
    settings.origins = {"a", "b"};
    World world(3, settings);
    world.upstream.always[0] = fault;
    world.fetch_all(500, 10);
    CHECK(world.answered() == 500);
    CHECK(world.outcomes.wrong == 0);
    CHECK(world.upstream.by_origin[0] <= 40);
    CHECK(world.fetcher.status().origins[0].breaker != Breaker::State::Closed);
    CHECK(world.fetcher.status().origins[1].breaker == Breaker::State::Closed);
    // It comes back, and is preferred again.
    world.upstream.always.clear();
    world.scheduler.advance(60s);
    world.upstream.by_origin.clear();
    world.fetch_all(100, 5);
    CHECK(world.upstream.by_origin[0] > 80);
  }
}

TEST_CASE("with the last origin down, one that was set aside long ago is probed as often as any") {
  Settings settings;
  settings.origins = {"a", "b"};
  World world(3, settings);
  world.upstream.always[0] = Fault::Error500;
  world.fetch_all(200, 10);
  for (int i = 0; i < 300; ++i) {
    world.fetch("/b/" + std::to_string(i));
    world.scheduler.advance(1s);
  }
  while (world.fetcher.status().origins[0].next_probe <= 5s) {
    world.fetch("/next/" + std::to_string(world.started));
    world.scheduler.advance(1s);
    REQUIRE(world.started < 1000);
  }
  world.upstream.always[1] = Fault::Refused;
  for (int i = 0; i < 10; ++i) {
    world.fetch("/none/" + std::to_string(i));
    world.scheduler.advance(1s);
  }
  world.settle();
  world.upstream.always.erase(0);
  world.outcomes = {};
  world.fetch("/again");
  world.scheduler.advance(3s);
  CHECK(world.outcomes.ends[FetchEnd::Answered] == 1);
}

TEST_CASE("attempts in flight never exceed the limit, and follow an origin that queues") {
  Settings settings;
  settings.concurrency = 12;
  World world(5, settings);
  world.fetch_all(300, 100);
  CHECK(world.upstream.most_in_flight <= 12);
  CHECK(world.answered() == 300);
}

TEST_CASE("a concurrency above the usual one is used, once the origin has shown that it can") {
  Settings settings;
  settings.concurrency = 200;
  World world(1, settings);
  world.fetch_all(20000, 400);
  CHECK(world.answered() == 20000);
  CHECK(world.upstream.most_in_flight > 150);
  CHECK(world.upstream.most_in_flight <= 200);
}

TEST_CASE("a rate limit found at random refusals does not outlive them") {
  World world(2);
  world.upstream.faults = {{Fault::TooMany, 0.5}};
  world.fetch_all(1000, 50);
  report(world, "429 at random");
  CHECK(world.answered() == 1000);
  world.upstream.faults.clear();
  for (int i = 0; i < 40; ++i) {
    world.fetch("/later/" + std::to_string(i));
    world.scheduler.advance(1s);
  }
  CHECK(world.fetcher.status().origins[0].pace == std::numeric_limits<double>::infinity());
}

}  // namespace holdfast::upstream
