#include "upstream/spare_connections.h"

#include <doctest/doctest.h>

namespace holdfast::upstream {
namespace {

using namespace std::chrono_literals;
using Need = SpareConnections::Need;

struct SpareBench {
  base::ManualClock clock;
  SpareConnections spares;
  base::SteadyTime idle_since = clock.now();

  explicit SpareBench(const SpareConnections::Settings& settings = {})
      : spares(settings, clock.now()) {}

  Need look(std::size_t ready) { return spares.look(clock.now(), ready, idle_since); }
  // Looks every five seconds for so long; how many spares were made meanwhile of an
  // upstream that closes each connection after its answer.
  int made_of_a_closing_one(base::Duration time, base::Duration between_requests) {
    int made = 0;
    base::Duration since_request{};
    for (base::Duration passed{}; passed < time; passed += 5s) {
      if (look(0) == Need::Make) {
        ++made;
        spares.answered(false);
      }
      since_request += 5s;
      if (since_request >= between_requests) {
        since_request = {};
        spares.asked(clock.now());
        spares.answered(false);
      }
      clock.advance(5s);
    }
    return made;
  }
};

}  // namespace

TEST_CASE("a spare is made at the start, and none beside one that is ready") {
  SpareBench bench;
  CHECK(bench.look(0) == Need::Make);
  bench.spares.answered(false);
  CHECK(bench.look(1) == Need::Nothing);
  SpareBench off({.wanted = 0});
  CHECK(off.look(0) == Need::Nothing);
}

TEST_CASE("an idle connection is used before it is too old, while requests came lately") {
  SpareBench bench;
  bench.clock.advance(44s);
  CHECK(bench.look(1) == Need::Nothing);
  bench.clock.advance(1s);
  CHECK(bench.look(1) == Need::Refresh);
  bench.clock.advance(10min);
  CHECK(bench.look(1) == Need::Nothing);
  CHECK(bench.look(0) == Need::Nothing);
  bench.spares.asked(bench.clock.now());
  CHECK(bench.look(1) == Need::Refresh);
  CHECK(bench.look(0) == Need::Make);
}

TEST_CASE("a connection that went with its attempt is replaced, at most one in ten seconds") {
  SpareBench bench;
  bench.look(0);
  bench.spares.answered(false);
  bench.spares.ended();  // a request on it was cancelled
  CHECK(bench.look(0) == Need::Nothing);
  bench.clock.advance(10s);
  CHECK(bench.look(0) == Need::Make);
}

TEST_CASE("connections that were set aside count as no loss") {
  SpareBench bench;
  bench.look(0);
  bench.spares.answered(false);
  bench.spares.renewed();
  bench.clock.advance(10s);
  CHECK(bench.look(0) == Need::Make);
}

TEST_CASE("an upstream that closes after each answer is asked for a spare ever less often") {
  CHECK(SpareBench().made_of_a_closing_one(1min, 5s) == 1);
  CHECK(SpareBench().made_of_a_closing_one(1h, 5s) <= 6);
  CHECK(SpareBench().made_of_a_closing_one(24h, 5s) <= 32);
  // One that cannot be reached at all likewise.
  SpareBench bench;
  int made = 0;
  for (int i = 0; i < 720; ++i) {
    bench.spares.asked(bench.clock.now());
    if (bench.look(0) == Need::Make) {
      ++made;
      bench.spares.failed(bench.clock.now());
    }
    bench.clock.advance(5s);
  }
  CHECK(made <= 7);
}

TEST_CASE("after a kept connection was used the next rest is a short one again") {
  SpareBench bench;
  bench.made_of_a_closing_one(2h, 5s);
  bench.spares.answered(true);
  CHECK(bench.look(1) == Need::Nothing);
  bench.clock.advance(1h);
  bench.spares.asked(bench.clock.now());
  CHECK(bench.look(0) == Need::Nothing);  // lost: rests
  bench.clock.advance(1min);
  CHECK(bench.look(0) == Need::Make);
}

}  // namespace holdfast::upstream
