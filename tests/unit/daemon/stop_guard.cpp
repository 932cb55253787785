#include "daemon/stop_guard.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <future>
#include <vector>

using namespace holdfast;
using namespace std::chrono_literals;
using daemon::StopGuard;

namespace {

// Whoever waits for these, waits for events, not for a time.
struct Told {
  std::promise<int> signal;
  std::promise<void> too_late;

  StopGuard::Actions actions() {
    return {[this](int number) { signal.set_value(number); }, [this] { too_late.set_value(); }};
  }
};

bool has_come(std::future<void>& event) {
  return event.wait_for(0s) == std::future_status::ready;
}

}  // namespace

TEST_CASE("a signal is told, on a thread of its own") {
  const base::SignalMask mask({SIGTERM, SIGHUP});
  for (const int number : {SIGHUP, SIGTERM}) {
    Told told;
    auto signal = told.signal.get_future();
    auto too_late = told.too_late.get_future();
    {
      const StopGuard guard(mask, 1h, told.actions());
      REQUIRE(::kill(::getpid(), number) == 0);
      CHECK(signal.get() == number);
    }
    CHECK_FALSE(has_come(too_late));
  }
}

TEST_CASE("who is told to end and does not has so long, and no longer") {
  const base::SignalMask mask({SIGINT});
  Told told;
  auto signal = told.signal.get_future();
  auto too_late = told.too_late.get_future();
  const auto before = std::chrono::steady_clock::now();
  const StopGuard guard(mask, 20ms, told.actions());
  REQUIRE(::kill(::getpid(), SIGINT) == 0);
  CHECK(signal.get() == SIGINT);
  too_late.get();
  CHECK(std::chrono::steady_clock::now() - before >= 20ms);
}

TEST_CASE("the time left is never made longer, nobody who ends in it is ended") {
  const base::SignalMask mask({SIGINT});
  {
    Told told;
    auto too_late = told.too_late.get_future();
    StopGuard guard(mask, 1h, told.actions());
    guard.end_within(1ms);
    guard.end_within(1h);
    too_late.get();
  }
  Told told;
  auto too_late = told.too_late.get_future();
  {
    StopGuard guard(mask, 1h, told.actions());
    guard.end_within(1h);
    guard.end_within(2h);
  }
  CHECK_FALSE(has_come(too_late));
}
