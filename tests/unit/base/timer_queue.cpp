#include "base/timer_queue.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "base/virtual_scheduler.h"

using namespace holdfast::base;
using namespace std::chrono_literals;

namespace {
const SteadyTime kStart{1h};
}

TEST_CASE("timers run in order of time, equal times in the order they were added") {
  TimerQueue queue;
  std::string ran;
  queue.add(kStart + 2s, [&] { ran += 'c'; });
  queue.add(kStart + 1s, [&] { ran += 'a'; });
  queue.add(kStart + 1s, [&] { ran += 'b'; });
  queue.run_due(kStart + 1s);
  CHECK(ran == "ab");
  CHECK(queue.next() == kStart + 2s);
  queue.run_due(kStart + 3s);
  CHECK(ran == "abc");
  CHECK(queue.empty());
}

TEST_CASE("a cancelled timer does not run, also when cancelled by one that runs before it") {
  TimerQueue queue;
  bool ran = false;
  const auto victim = queue.add(kStart + 2s, [&] { ran = true; });
  queue.add(kStart + 1s, [&] { queue.cancel(victim); });
  queue.run_due(kStart + 5s);
  CHECK_FALSE(ran);
  queue.cancel(victim);  // unknown by now: nothing happens
  queue.cancel(0);
}

TEST_CASE("a timer that sets itself again for now runs once per call") {
  TimerQueue queue;
  int runs = 0;
  std::function<void()> again = [&] {
    ++runs;
    queue.add(kStart, again);
  };
  queue.add(kStart, again);
  queue.run_due(kStart);
  CHECK(runs == 1);
  queue.run_due(kStart);
  CHECK(runs == 2);
}

TEST_CASE("a Timer set again runs only the second time") {
  VirtualScheduler scheduler;
  std::string ran;
  Timer timer;
  timer.set_after(scheduler, 1s, [&] { ran += 'a'; });
  timer.set_after(scheduler, 2s, [&] { ran += 'b'; });
  CHECK(timer.pending());
  scheduler.advance(3s);
  CHECK(ran == "b");
  CHECK_FALSE(timer.pending());
}

TEST_CASE("a destroyed Timer does not run") {
  VirtualScheduler scheduler;
  bool ran = false;
  {
    Timer timer;
    timer.set_after(scheduler, 1s, [&] { ran = true; });
  }
  scheduler.advance(2s);
  CHECK_FALSE(ran);
}

TEST_CASE("virtual time stops at each timer on the way") {
  VirtualScheduler scheduler;
  const SteadyTime start = scheduler.now();
  std::vector<Duration> seen;
  scheduler.call_at(start + 10ms, [&] {
    seen.push_back(scheduler.now() - start);
    scheduler.call_at(start + 20ms, [&] { seen.push_back(scheduler.now() - start); });
  });
  scheduler.advance(50ms);
  CHECK(seen == std::vector<Duration>{10ms, 20ms});
  CHECK(scheduler.now() == start + 50ms);
}
