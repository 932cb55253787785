#include "observe/stall_watch.h"

#include <doctest/doctest.h>

#include <string>
#include <thread>
#include <vector>

#include "base/event_loop.h"

using namespace holdfast;
using namespace holdfast::observe;
using namespace std::chrono_literals;

namespace {

// A thread's times that move when told to.
class ManualTimes final : public ThreadTimes {
 public:
  explicit ManualTimes(bool tells_queued = true) : tells_queued_(tells_queued) {}

  base::SteadyTime now() override { return now_; }
  TimeUsed used() override {
    ++looks;
    TimeUsed used = used_;
    if (!tells_queued_) used.queued.reset();
    return used;
  }

  void compute(base::Duration time) {
    now_ += time;
    used_.cpu += time;
  }
  void lose_core(base::Duration time) {
    now_ += time;
    *used_.queued += time;
  }
  // Blocked, and then not given a core at once.
  void block(base::Duration time, base::Duration then_queued = 0ms) {
    now_ += time;
    ++used_.waits;
    lose_core(then_queued);
  }
  // As the loop waits for events between two calls.
  void idle(base::Duration time) { block(time); }

  int looks = 0;

 private:
  const bool tells_queued_;
  base::SteadyTime now_{1h};
  TimeUsed used_{.queued = base::Duration(0)};
};

struct Fixture {
  explicit Fixture(bool tells_queued = true) : times(tells_queued) {}

  template <typename Work>
  void call(Work&& work) {
    watch.begins();
    work();
    watch.ended("timer");
  }

  ManualTimes times;
  std::vector<Stall> stalls;
  StallWatch watch{"origin", times, [this](const Stall& stall) { stalls.push_back(stall); }};
};

}  // namespace

TEST_CASE_FIXTURE(Fixture, "a call that computes for 50 ms is a stall, one of 49 ms is none") {
  call([&] { times.compute(49ms); });
  CHECK(stalls.empty());
  CHECK(watch.longest() == 49ms);
  times.idle(1s);
  call([&] { times.compute(50ms); });
  REQUIRE(stalls.size() == 1);
  CHECK(stalls[0].call == "timer");
  CHECK(stalls[0].busy == 50ms);
  CHECK(stalls[0].blocked == 0ms);
  CHECK(watch.busy_stalls() == 1);
  CHECK(watch.blocked_stalls() == 0);
}

TEST_CASE_FIXTURE(Fixture, "a call that is blocked is a stall, and told from one that computes") {
  call([&] {
    times.compute(1ms);
    times.block(60ms);
    times.compute(1ms);
  });
  REQUIRE(stalls.size() == 1);
  CHECK(stalls[0].busy == 2ms);
  CHECK(stalls[0].blocked == 60ms);
  CHECK(watch.busy_stalls() == 0);
  CHECK(watch.blocked_stalls() == 1);
  CHECK(watch.longest() == 62ms);
}

TEST_CASE_FIXTURE(Fixture, "what it waits for the disk is told apart, of that call alone") {
  call([&] {
    times.block(60ms);
    watch.was_reading(58ms);
  });
  call([&] {
    times.block(3ms);
    watch.was_reading(100ms);
  });
  call([&] { times.block(70ms); });
  watch.begins();
  watch.was_reading(100ms);
  watch.ended("mailbox");
  times.block(80ms);
  watch.ended("mailbox");
  REQUIRE(stalls.size() == 3);
  CHECK(stalls[0].disk == 58ms);
  CHECK(stalls[0].blocked == 2ms);
  CHECK(stalls[1].disk == 0ms);
  CHECK(stalls[2].disk == 0ms);
  CHECK(watch.disk_stalls() == 1);
  CHECK(watch.blocked_stalls() == 2);
}

TEST_CASE_FIXTURE(Fixture, "what others took of the core is no stall") {
  call([&] {
    times.compute(10ms);
    times.lose_core(10s);
  });
  call([&] {
    times.block(10ms, 3s);
    times.compute(10ms);
  });
  CHECK(stalls.empty());
  CHECK(watch.longest() == 20ms);
}

TEST_CASE("where the system does not tell of lost cores, only who gave one up was blocked") {
  Fixture on(false);
  on.call([&] {
    on.times.compute(10ms);
    on.times.lose_core(10s);
  });
  CHECK(on.stalls.empty());
  on.call([&] { on.times.block(50ms); });
  CHECK(on.watch.blocked_stalls() == 1);
}

TEST_CASE_FIXTURE(Fixture, "many short calls in a row are none, however long they take together") {
  watch.begins();
  for (int i = 0; i < 1000; ++i) {
    times.compute(4ms);
    watch.ended("mailbox");
  }
  CHECK(stalls.empty());
  CHECK(watch.longest() == 4ms);
}

TEST_CASE_FIXTURE(Fixture, "what a call is charged of the time before it is 2 ms at most") {
  for (int i = 0; i < 100; ++i) call([&] { times.compute(1ms); });
  call([&] { times.compute(48ms); });
  CHECK(watch.longest() <= 50ms);
  for (int i = 0; i < 100; ++i) call([&] { times.compute(1ms); });
  stalls.clear();
  call([&] {
    times.compute(1ms);
    times.block(53ms);
  });
  REQUIRE(stalls.size() == 1);
  CHECK(stalls[0].blocked >= 51ms);
}

TEST_CASE_FIXTURE(Fixture,
                  "short calls cost no more than a look at the thread's times every 2 ms") {
  for (int i = 0; i < 10'000; ++i) call([&] { times.compute(10us); });  // 100 ms
  CHECK(times.looks <= 51);
}

TEST_CASE_FIXTURE(Fixture, "the longest call shows for ten to twenty seconds") {
  call([&] { times.compute(30ms); });
  const auto turn_for = [&](base::Duration time) {
    for (base::Duration passed{0}; passed < time; passed += 100ms) {
      times.idle(100ms);
      call([&] { times.compute(1us); });
    }
  };
  turn_for(9s);
  CHECK(watch.longest() == 30ms);
  turn_for(12s);
  CHECK(watch.longest() == 1us);
}

TEST_CASE_FIXTURE(Fixture, "stalls are exported, at zero before the first") {
  Metrics metrics;
  watch.export_to(metrics);
  const auto count = [&](const char* cause) {
    return metrics.value(Family::LoopStalls, {{"loop", "origin"}, {"cause", cause}});
  };
  CHECK(metrics.scrape().find("holdfast_loop_stalls_total{loop=\"origin\",cause=\"blocked\"} 0") !=
        std::string::npos);
  call([&] { times.block(70ms); });
  call([&] { times.compute(80ms); });
  CHECK(count("blocked") == 1);
  CHECK(count("busy") == 1);
  CHECK(metrics.value(Family::LoopStall, {{"loop", "origin"}}) == doctest::Approx(0.08));
}

// On a real loop and the kernel's times: each kind of call is measured, by itself.
TEST_CASE("a loop that is watched tells each call that blocks") {
  base::SystemClock clock;
  SystemThreadTimes times;
  std::vector<std::string> calls;
  StallWatch watch("test", times, [&](const Stall& stall) {
    if (stall.blocked >= 50ms) calls.emplace_back(stall.call);
  });
  base::EventLoop loop("test", clock);
  loop.watch_calls(watch);
  const auto block = [] { std::this_thread::sleep_for(60ms); };
  loop.post(block);
  loop.post([&] {
    loop.call_at(loop.now(), block);
    loop.call_at(loop.now(), [&] { loop.stop(); });
  });
  loop.run();
  CHECK(calls == std::vector<std::string>{"mailbox", "timer"});
  CHECK(watch.longest() >= 60ms);
}

TEST_CASE("a thread's times, as the kernel counts them") {
  SystemThreadTimes times;
  const auto start = times.now();
  const TimeUsed before = times.used();
  TimeUsed after = before;
  while (after.cpu - before.cpu < 2ms) after = times.used();
  CHECK(after.cpu - before.cpu <= times.now() - start);
  std::this_thread::sleep_for(1ms);  // any wait will do
  const TimeUsed last = times.used();
  CHECK(last.waits > before.waits);
  if (last.queued) CHECK(*last.queued >= *before.queued);
}
