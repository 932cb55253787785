// Nothing stored and the upstream gone for ten seconds, while clients go on asking
// for 200 new keys a second: it is probed and no more, every client hears in time,
// and the first answer comes with the first probe after its return.
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>

#include "stage.h"

using namespace holdfast::scenario;

namespace {

using Clock = std::chrono::steady_clock;

constexpr double kPerSecond = 200;
constexpr std::size_t kDuring = 2000;  // ten seconds
constexpr std::size_t kAfter = 1000;   // five more
constexpr double kDeadline = 3;
// Probes are 1 s and jitter apart, or one that hangs takes ATTEMPT_TIMEOUT.
constexpr double kProbeInterval = 2;
// For the machine: processes that did not get their turn.
constexpr double kSlack = 5;

void outage(const std::string& knob, const std::string& gone, const std::string& back) {
  const Folder folder;
  Upstream upstream({"--latency", "20ms"});
  Daemon daemon(folder, upstream.url(), {{"REQUEST_DEADLINE", "3s"}});
  REQUIRE(look_up_all(daemon, test_ips(100), 10).ok == 100);

  const auto ips = other_ips(kDuring + kAfter);
  const double before = daemon.metric_sum("holdfast_upstream_attempts_total");
  double attempts = 0;
  Clock::time_point returned;
  upstream.tell(knob, gone);
  const Clock::time_point left = Clock::now();
  const Tally result =
      tally(ips, ask_at_rate(lookups(daemon, ips), kPerSecond, [&](std::size_t next) {
              if (next != kDuring) return;
              attempts = daemon.metric_sum("holdfast_upstream_attempts_total") - before;
              upstream.tell(knob, back);
              returned = Clock::now();
            }));

  CAPTURE(gone);
  // Those it took to be sure (40 failures, and what was in flight), then probes:
  // 250 ms apart at first, growing to 1 s. A busy machine may take longer for it all.
  const double seconds = std::chrono::duration<double>(returned - left).count();
  CAPTURE(seconds);
  CHECK(attempts <= 40 + 64 + 2 * seconds);
  CHECK(result.wrong == 0);
  double first = 1e9;
  for (std::size_t i = 0; i < ips.size(); ++i) {
    const Response& response = result.responses[i];
    CAPTURE(response.error);
    CHECK(response.status != 0);
    CHECK(response.duration.count() < kDeadline + kSlack);
    if (response.status != 200) {
      CHECK(response.status >= 502);
      CHECK(response.status <= 504);
      CHECK(response.field("Retry-After") != "");
      continue;
    }
    const std::chrono::duration<double> after = response.answered_at - returned;
    CHECK(after.count() > -1);
    first = std::min(first, after.count());
  }
  CHECK(first < kProbeInterval + kSlack);
  // And all is well again.
  CHECK(look_up_all(daemon, test_ips(300), 10).ok == 300);
}

}  // namespace

TEST_CASE("ten seconds without an upstream, its connections refused") {
  outage("mode", "down", "up");
}
TEST_CASE("ten seconds without an upstream, it accepts and never answers") {
  outage("mode", "blackhole", "up");
}
TEST_CASE("ten seconds without an upstream, it answers 500") {
  outage("faults", "500=1", "none");
}
