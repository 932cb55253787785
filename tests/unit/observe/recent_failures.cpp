#include "observe/recent_failures.h"

#include <doctest/doctest.h>

using namespace holdfast::observe;
using namespace std::chrono_literals;

TEST_CASE("failures of the same kind and cause are one, with a count, and the latest come first") {
  holdfast::base::ManualClock clock;
  RecentFailures failures;
  const auto start = clock.wall();
  failures.note({502, "5xx", "a", 3}, clock.wall());
  clock.advance(1s);
  failures.note({504, "timeout", "b", 2}, clock.wall());
  clock.advance(1s);
  failures.note({502, "5xx", "c", 4}, clock.wall());
  failures.note({200, "5xx", "d", 1}, clock.wall());
  const auto latest = failures.latest();
  REQUIRE(latest.size() == 3);
  CHECK(latest[0].status == 200);
  CHECK(latest[1].status == 502);
  CHECK(latest[1].count == 2);
  CHECK(latest[1].first == start);
  CHECK(latest[1].last == start + 2s);
  CHECK(latest[1].request_id == "c");
  CHECK(latest[1].attempts == 4);
  CHECK(latest[2].cause == "timeout");
}

TEST_CASE("however many failures there are, a bounded number of bounded size is kept") {
  holdfast::base::ManualClock clock;
  RecentFailures failures;
  for (int i = 0; i < 1000; ++i) {
    failures.note({502, std::to_string(i) + std::string(10'000, 'x'), "id", 1}, clock.wall());
  }
  const auto latest = failures.latest();
  REQUIRE(latest.size() == RecentFailures::kKept);
  CHECK(latest.front().cause.starts_with("999x"));
  CHECK(latest.back().cause.starts_with("980x"));
  CHECK(latest.front().cause.size() == RecentFailures::kLongestCause);
}
