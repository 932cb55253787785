// All policies together against an upstream at its worst: seeded, on the virtual
// clock. A failure prints its seed.
#include <doctest/doctest.h>

#include <cstdlib>
#include <iostream>

#include "simulated_upstream.h"

namespace holdfast::upstream {
namespace {

using namespace std::chrono_literals;
using test::Fault;
using test::World;

void report(World& world, const char* what) {
  if (std::getenv("HOLDFAST_TEST_VERBOSE") == nullptr) return;
  std::cerr << what << ": " << world.answered() << "/" << world.started << " attempts "
            << world.upstream.attempts << " 429 " << world.upstream.refused << " hedges "
            << world.metrics.value(observe::Family::UpstreamHedges, {{"result", "won"}}) << "+"
            << world.metrics.value(observe::Family::UpstreamHedges, {{"result", "lost"}})
            << " opened "
            << world.metrics.value(observe::Family::BreakerTransitions,
                                   {{"origin", "upstream"}, {"to", "open"}})
            << " p50 " << world.outcomes.percentile(.5) / 1ms << " p99 "
            << world.outcomes.percentile(.99) / 1ms << " max " << world.outcomes.percentile(1) / 1ms
            << " ms, took " << (world.now() - base::SteadyTime(1h)) / 1ms << " ms\n";
}

}  // namespace

TEST_CASE("1000 cold keys are all answered at 50 % and 70 % mixed faults") {
  for (const double share : {0.3, 0.5, 0.7}) {
    for (const int concurrency : {1, 20, 50}) {
      for (const std::uint64_t seed : {1, 2, 3}) {
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

TEST_CASE("with 5 % of attempts taking 5 s, p99 stays under 250 ms") {
  for (const std::uint64_t seed : {1, 2, 3, 4, 5}) {
    CAPTURE(seed);
    World world(seed);
    world.upstream.faults = {{Fault::Slow5s, 0.05}};
    world.fetch_all(300, 20);
    CHECK(world.answered() == 300);
    CHECK(world.outcomes.percentile(0.99) < 250ms);
    report(world, "slow 5 %");
  }
}

}  // namespace holdfast::upstream
