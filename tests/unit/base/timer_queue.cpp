#include "base/timer_queue.h"

#include <doctest/doctest.h>

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/virtual_scheduler.h"

using namespace holdfast::base;
using namespace std::chrono_literals;

namespace {
const SteadyTime kStart{1h};
SteadyTime at(Duration since_start) {
  return kStart + since_start;
}
}  // namespace

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

TEST_CASE("what is added while others run waits for the next call, in its order, or is cancelled") {
  TimerQueue queue;
  std::string ran;
  Scheduler::TimerId second = 0;
  queue.add(at(1s), [&] {
    ran += 'a';
    queue.add(at(0s), [&] { ran += 'd'; });
    second = queue.add(at(0s), [&] { ran += '-'; });
    queue.add(at(0s), [&] { ran += 'e'; });
  });
  queue.add(at(2s), [&] { ran += 'b'; });
  queue.add(at(3s), [&] {
    ran += 'c';
    queue.cancel(second);
    queue.cancel(second);
  });
  queue.run_due(at(3s));
  CHECK(ran == "abc");
  CHECK(queue.next() == at(0s));
  queue.run_due(at(0s));
  CHECK(ran == "abcde");
  CHECK(queue.empty());
}

TEST_CASE("many timers, set and cancelled at random, run in order, and an old id cancels nothing") {
  TimerQueue queue;
  std::uint64_t state = 7;
  const auto draw = [&state](std::uint64_t below) {
    state = state * 6364136223846793005U + 1442695040888963407U;
    return (state >> 33) % below;
  };
  std::map<std::pair<std::uint64_t, int>, Scheduler::TimerId> expected;
  std::vector<Scheduler::TimerId> gone;
  std::vector<int> ran;
  for (int i = 0; i < 5000; ++i) {
    const std::uint64_t when = draw(100);
    expected[{when, i}] =
        queue.add(at(std::chrono::seconds(when)), [&ran, i] { ran.push_back(i); });
    if (draw(3) > 0) continue;
    auto chosen = std::next(expected.begin(), static_cast<std::ptrdiff_t>(draw(expected.size())));
    queue.cancel(chosen->second);
    gone.push_back(chosen->second);
    expected.erase(chosen);
    queue.cancel(gone[draw(gone.size())]);
  }
  std::vector<int> in_order;
  for (const auto& [key, id] : expected) in_order.push_back(key.second);
  queue.run_due(at(49s));
  for (const auto id : gone) queue.cancel(id);
  queue.run_due(at(100s));
  CHECK(ran == in_order);
  CHECK(queue.empty());
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
