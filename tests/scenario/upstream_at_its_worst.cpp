// Nothing stored, and an upstream that fails more often than not, counts its
// requests, or is slow now and then: every client gets its 200.
#include <doctest/doctest.h>

#include <algorithm>

#include "stage.h"

using namespace holdfast::scenario;

namespace {

void all_are_right(const Daemon& daemon, const std::vector<std::string>& ips,
                   std::size_t concurrency) {
  const Tally tally = look_up_all(daemon, ips, concurrency);
  INFO(tally.first_problem);
  CHECK(tally.wrong == 0);
  CHECK(tally.ok == ips.size());
}

void all_are_right_under(const std::string& faults) {
  const Folder folder;
  Upstream upstream({"--faults", faults, "--latency", "20ms", "--seed", "7"});
  Daemon daemon(folder, upstream.url());
  all_are_right(daemon, test_ips(), 50);
  CHECK(daemon.stop() == 0);
}

}  // namespace

TEST_CASE("cold, 50 % of every fault, 50 at a time: all 200") {
  all_are_right_under("mixed=0.5");
}
TEST_CASE("cold, 70 % of every fault, 50 at a time: all 200") {
  all_are_right_under("mixed=0.7");
}

TEST_CASE("cold, half of all told 429 at random, 50 at a time: all 200") {
  all_are_right_under("429=0.5");
}

TEST_CASE("a limit of 50 requests/s is found: 300 cold keys are all 200, few are told 429") {
  const Folder folder;
  Upstream upstream({"--requests-per-second", "50", "--latency", "20ms"});
  Daemon daemon(folder, upstream.url());
  all_are_right(daemon, test_ips(300), 50);
  const std::string stats = upstream.stats();
  INFO(stats);
  // How few depends on when the machine lets them go: policies on a virtual clock hold the tenth.
  CHECK(upstream.count("rate_limited") * 4 < upstream.count("requests"));
}

TEST_CASE("an attempt in twenty takes 5 s: hedges answer, and no client waits for one") {
  const Folder folder;
  Upstream upstream({"--latency", "20ms", "--latency-tail", "0.05=5s", "--seed", "7"});
  // Only a hedge can spare a client those 5 s.
  Daemon daemon(folder, upstream.url(), {{"ATTEMPT_TIMEOUT", "9s"}});
  const auto ips = test_ips(300);
  const Tally tally = look_up_all(daemon, ips, 20);
  INFO(tally.first_problem);
  CHECK(tally.ok == ips.size());
  const auto waited =
      std::count_if(tally.responses.begin(), tally.responses.end(),
                    [](const Response& response) { return response.duration.count() >= 5; });
  CHECK(waited == 0);
  CHECK(daemon.metric("holdfast_upstream_hedges_total{result=\"won\"}") > 0);
  // 300 attempts; a hedge, or a retry past it, for the slow ones alone.
  CHECK(upstream.count("requests") <= 400);
}
