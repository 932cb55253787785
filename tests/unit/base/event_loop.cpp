#include "base/event_loop.h"

#include <doctest/doctest.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <string>
#include <thread>

#include "base/signal_watch.h"

using namespace holdfast::base;
using namespace std::chrono_literals;

TEST_CASE("posted work runs on the loop's thread, in order") {
  SystemClock clock;
  EventLoop loop("test", clock);
  std::thread thread([&] { loop.run(); });
  std::vector<int> order;
  bool on_loop = false;
  for (int i = 0; i < 100; ++i) {
    loop.post([&, i] { order.push_back(i); });
  }
  loop.post([&] {
    on_loop = loop.in_loop_thread();
    loop.stop();
  });
  thread.join();
  CHECK(order.size() == 100);
  CHECK(std::is_sorted(order.begin(), order.end()));
  CHECK(on_loop);
  CHECK_FALSE(loop.in_loop_thread());
}

TEST_CASE("what is in the mailbox when the loop stops is run first") {
  SystemClock clock;
  EventLoop loop("test", clock);
  bool ran = false;
  loop.post([&] { loop.stop(); });
  loop.post([&] { ran = true; });
  loop.run();
  CHECK(ran);
}

TEST_CASE("many threads may post at once and nothing is lost") {
  SystemClock clock;
  EventLoop loop("test", clock);
  constexpr int kThreads = 4;
  constexpr int kPosts = 1000;
  int ran = 0;
  std::vector<std::thread> posters;
  for (int t = 0; t < kThreads; ++t) {
    posters.emplace_back([&] {
      for (int i = 0; i < kPosts; ++i) {
        loop.post([&] {
          if (++ran == kThreads * kPosts) loop.stop();
        });
      }
    });
  }
  loop.run();
  for (std::thread& poster : posters) poster.join();
  CHECK(ran == kThreads * kPosts);
}

TEST_CASE("timers fire no earlier than asked and in order") {
  SystemClock clock;
  EventLoop loop("test", clock);
  const SteadyTime start = loop.now();
  std::vector<int> order;
  bool early = false;
  const auto fire = [&](int number, Duration after) {
    loop.call_at(start + after, [&, number, after] {
      order.push_back(number);
      early = early || loop.now() < start + after;
      if (order.size() == 3) loop.stop();
    });
  };
  fire(3, 3ms);
  fire(1, 1ms);
  fire(2, 2ms);
  const auto cancelled = loop.call_at(start, [&] { order.push_back(0); });
  loop.cancel(cancelled);
  loop.run();
  CHECK(order == std::vector<int>{1, 2, 3});
  CHECK_FALSE(early);
}

TEST_CASE("a timer set inside a timer's callback fires too, also one that is due already") {
  SystemClock clock;
  EventLoop loop("test", clock);
  std::vector<int> order;
  loop.call_at(loop.now() + 1ms, [&] {
    order.push_back(1);
    loop.call_at(loop.now() + 2ms, [&] {
      order.push_back(3);
      loop.stop();
    });
    loop.call_at(loop.now() - 1s, [&] { order.push_back(2); });
  });
  loop.run();
  CHECK(order == std::vector<int>{1, 2, 3});
}

TEST_CASE("a timer is not held up by one that is due much later") {
  SystemClock clock;
  EventLoop loop("test", clock);
  bool late = false;
  const auto far = loop.call_at(loop.now() + 1h, [&] { late = true; });
  loop.call_at(loop.now() + 1ms, [&] {
    loop.cancel(far);
    loop.call_at(loop.now() + 1ms, [&] { loop.stop(); });
  });
  loop.run();
  CHECK_FALSE(late);
}

TEST_CASE("after a loop stood still, what came in time goes before timers that are late") {
  ManualClock clock;
  EventLoop loop("test", clock);
  struct Seen {
    EventLoop& loop;
    UniqueFd fd;
    std::string order;
  } seen{loop, UniqueFd(eventfd(0, EFD_CLOEXEC)), {}};
  FdWatch watch(
      loop, seen.fd.get(),
      [](void* context, unsigned) {
        auto& self = *static_cast<Seen*>(context);
        eventfd_t count = 0;
        REQUIRE(eventfd_read(self.fd.get(), &count) == 0);
        self.order += "came ";
      },
      &seen);
  watch.want(kFdReadable);
  loop.post([&] {
    loop.call_at(loop.now() + 1ms, [&] {
      seen.order += "due";
      loop.stop();
    });
    // The kernel's timer for it is armed before, and so over before.
    UniqueFd later(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC));
    const itimerspec setting{{}, {0, 5'000'000}};
    REQUIRE(timerfd_settime(later.get(), 0, &setting, nullptr) == 0);
    std::uint64_t times = 0;
    REQUIRE(read(later.get(), &times, sizeof times) == sizeof times);
    clock.advance(1s);
    REQUIRE(eventfd_write(seen.fd.get(), 1) == 0);
  });
  loop.run();
  CHECK(seen.order == "came due");
}

TEST_CASE("all events of one wake-up have the same time of waking") {
  ManualClock clock;
  EventLoop loop("test", clock);
  struct Watched {
    EventLoop& loop;
    ManualClock& clock;
    std::vector<SteadyTime> woken;
  } watched{loop, clock, {}};
  UniqueFd first(eventfd(1, EFD_CLOEXEC));
  UniqueFd second(eventfd(1, EFD_CLOEXEC));
  const auto note = [](void* context, unsigned) {
    auto& self = *static_cast<Watched*>(context);
    self.woken.push_back(self.loop.woken());
    self.clock.advance(1ms);
    if (self.woken.size() == 4) self.loop.stop();
  };
  FdWatch one(loop, first.get(), note, &watched);
  FdWatch other(loop, second.get(), note, &watched);
  one.want(kFdReadable);  // never read: each wake-up has both
  other.want(kFdReadable);
  loop.run();
  REQUIRE(watched.woken.size() >= 4);
  CHECK(watched.woken[0] == watched.woken[1]);
  CHECK(watched.woken[2] == watched.woken[3]);
  CHECK(watched.woken[2] - watched.woken[0] == 2ms);
}

TEST_CASE("a watched descriptor is reported until its events are no longer wanted") {
  SystemClock clock;
  EventLoop loop("test", clock);
  std::array<int, 2> pair{};
  REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, pair.data()) == 0);
  UniqueFd ours(pair[0]);
  UniqueFd theirs(pair[1]);
  struct Seen {
    EventLoop& loop;
    FdWatch* watch = nullptr;
    int readable = 0;
  } seen{loop};
  FdWatch watch(
      loop, ours.get(),
      [](void* context, unsigned events) {
        auto& self = *static_cast<Seen*>(context);
        if ((events & kFdReadable) != 0 && ++self.readable == 2) {
          self.watch->want(kFdNone);
          self.loop.post([&self] { self.loop.stop(); });
        }
      },
      &seen);
  seen.watch = &watch;
  watch.want(kFdReadable);
  REQUIRE(write(theirs.get(), "x", 1) == 1);  // never read: level-triggered
  loop.run();
  CHECK(seen.readable == 2);
}

TEST_CASE("a watch may be destroyed inside its own callback") {
  SystemClock clock;
  EventLoop loop("test", clock);
  std::array<int, 2> pair{};
  REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, pair.data()) == 0);
  UniqueFd ours(pair[0]);
  UniqueFd theirs(pair[1]);
  struct Context {
    EventLoop& loop;
    std::unique_ptr<FdWatch> watch;
  } context{loop, nullptr};
  context.watch = std::make_unique<FdWatch>(
      loop, ours.get(),
      [](void* self, unsigned) {
        auto& c = *static_cast<Context*>(self);
        c.watch.reset();
        c.loop.stop();
      },
      &context);
  context.watch->want(kFdReadable | kFdWritable);
  loop.run();
  CHECK_FALSE(context.watch);
}

TEST_CASE("a signal arrives on the loop as a callback") {
  SystemClock clock;
  EventLoop loop("test", clock);
  int got = 0;
  SignalWatch watch(loop, {SIGUSR1}, [&](int signal) {
    got = signal;
    loop.stop();
  });
  REQUIRE(kill(getpid(), SIGUSR1) == 0);
  loop.run();
  CHECK(got == SIGUSR1);
}
