#include "observe/liveness.h"

#include <doctest/doctest.h>

#include "base/virtual_scheduler.h"
#include "observe/metrics.h"

using namespace holdfast::observe;
using namespace std::chrono_literals;
using holdfast::base::VirtualScheduler;

TEST_CASE("loops that turn are alive, one that stops is named") {
  VirtualScheduler loop;
  Liveness liveness;
  Heartbeat& turning = liveness.add("worker-0", loop.now());
  Heartbeat& stopping = liveness.add("origin", loop.now());
  turning.start(loop);
  stopping.start(loop);
  loop.advance(1min);
  CHECK(liveness.stuck(loop.now()).empty());
  stopping.stop();
  loop.advance(5s);
  CHECK(liveness.stuck(loop.now()).empty());
  loop.advance(100ms);
  REQUIRE(liveness.stuck(loop.now()).size() == 1);
  CHECK(liveness.stuck(loop.now())[0] == "origin");
}

TEST_CASE("a loop that never starts is stuck once patience ends") {
  VirtualScheduler loop;
  Liveness liveness({.interval = 100ms, .patience = 2s});
  liveness.add("writer", loop.now());
  loop.advance(2001ms);
  CHECK(liveness.stuck(loop.now()).size() == 1);
}

TEST_CASE("lag: a late beat shows at once, stays for ten seconds and then goes") {
  VirtualScheduler loop;
  Liveness liveness;
  Heartbeat& heartbeat = liveness.add("worker-0", loop.now());
  heartbeat.start(loop);
  loop.advance(1s);
  CHECK(heartbeat.lag(loop.now()) == 0ns);

  // The loop is busy: time passes, and no timer runs.
  loop.manual_clock().advance(500ms);
  CHECK(heartbeat.lag(loop.now()) == 400ms);
  loop.run_ready();
  CHECK(heartbeat.lag(loop.now()) == 400ms);
  loop.advance(8s);
  CHECK(heartbeat.lag(loop.now()) == 400ms);
  loop.advance(20s);
  CHECK(heartbeat.lag(loop.now()) == 0ns);
}

TEST_CASE("start-up between making a heartbeat and the first turn is not lag") {
  VirtualScheduler loop;
  Liveness liveness;
  Heartbeat& heartbeat = liveness.add("worker-0", loop.now());
  loop.advance(3s);
  heartbeat.start(loop);
  loop.advance(1s);
  CHECK(heartbeat.lag(loop.now()) == 0ns);
}

TEST_CASE("the lag of every loop is exported in seconds") {
  VirtualScheduler loop;
  Liveness liveness;
  liveness.add("worker-0", loop.now());
  liveness.add("origin", loop.now());
  Metrics metrics;
  export_loop_lag(metrics, liveness, loop.clock());
  loop.manual_clock().advance(350ms);
  CHECK(metrics.value(Family::LoopLag, {{"loop", "origin"}}) == doctest::Approx(0.25));
  CHECK(metrics.value(Family::LoopLag, {{"loop", "worker-0"}}) == doctest::Approx(0.25));
}
