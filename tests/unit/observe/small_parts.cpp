// RepeatLimiter, timestamps and what the kernel says of the process.
#include <doctest/doctest.h>
#include <fcntl.h>

#include <chrono>
#include <thread>
#include <vector>

#include "base/unique_fd.h"
#include "observe/metrics.h"
#include "observe/process_stats.h"
#include "observe/repeat_limiter.h"
#include "observe/timestamp.h"

using namespace holdfast::observe;
using namespace holdfast::base;
using namespace std::chrono_literals;

TEST_CASE("of a repeated warning the first few of an interval are logged, the rest counted") {
  ManualClock clock;
  RepeatLimiter limiter({.interval = 10s, .burst = 2});
  CHECK(limiter.admit(clock.now()) == 0u);
  CHECK(limiter.admit(clock.now()) == 0u);
  for (int i = 0; i < 7; ++i) CHECK(limiter.admit(clock.now()) == std::nullopt);
  clock.advance(9999ms);
  CHECK(limiter.admit(clock.now()) == std::nullopt);
  clock.advance(1ms);
  CHECK(limiter.admit(clock.now()) == 8u);
  CHECK(limiter.admit(clock.now()) == 0u);
  CHECK(limiter.admit(clock.now()) == std::nullopt);
  // Whoever does not wait for the next one is told at the interval's end.
  CHECK(limiter.interval_end() == clock.now() + 10s);
  CHECK(limiter.take_suppressed() == 1);
  CHECK(limiter.take_suppressed() == 0);
  clock.advance(10s);
  CHECK(limiter.admit(clock.now()) == 0u);
}

TEST_CASE("timestamps are RFC 3339 in UTC with milliseconds") {
  const auto day = [](int y, unsigned m, unsigned d) {
    return WallTime(
        std::chrono::sys_days{std::chrono::year{y} / static_cast<int>(m) / static_cast<int>(d)});
  };
  CHECK(timestamp(WallTime{}) == "1970-01-01T00:00:00.000Z");
  CHECK(timestamp(day(2028, 2, 29) + 23h + 59min + 59s + 7ms) == "2028-02-29T23:59:59.007Z");
  CHECK(timestamp(WallTime{} - 1ms) == "1969-12-31T23:59:59.999Z");
}

TEST_CASE("what the kernel says of this process is plausible") {
  const double now =
      std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  const ProcessStats before = read_process_stats();
  CHECK(before.resident_bytes > 1'000'000);
  CHECK(before.open_fds >= 3);
  CHECK(before.max_fds >= static_cast<double>(before.open_fds));
  CHECK(process_start_time() > now - 3600);
  CHECK(process_start_time() < now + 1);

  UniqueFd opened(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  CHECK(read_process_stats().open_fds == before.open_fds + 1);
  volatile std::uint64_t sink = 0;
  while (read_process_stats().cpu_seconds <= before.cpu_seconds) sink = sink + 1;
}

TEST_CASE("the process metrics and the version are exported") {
  Metrics metrics;
  export_process(metrics, "1.2.3");
  CHECK(metrics.value(Family::BuildInfo, {{"version", "1.2.3"}}) == 1);
  CHECK(metrics.value(Family::ProcessStartTime) == process_start_time());
  CHECK(metrics.value(Family::ProcessResidentMemory) > 1'000'000);
  CHECK(metrics.value(Family::ProcessOpenFds) >= 3);
  CHECK(metrics.value(Family::ProcessMaxFds) > 0);
}
