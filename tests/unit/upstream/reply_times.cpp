#include "upstream/reply_times.h"

#include <doctest/doctest.h>

#include "base/http_date.h"
#include "upstream/clock_watch.h"

namespace holdfast::upstream {
namespace {

using namespace std::chrono_literals;

const base::WallTime kNow = std::chrono::sys_days{std::chrono::year{2026} / 6 / 1};

std::string date(std::chrono::seconds from_now) {
  return base::format_http_date(kNow + from_now);
}

}  // namespace

TEST_CASE("a wait is told in seconds or as a moment, and is a day at most") {
  const std::pair<std::string, std::chrono::seconds> cases[] = {
      {"7", 7s},      {"0", 0s},       {"99999999", 24h}, {"99999999999999999999", 24h},
      {date(7s), 7s}, {date(-7s), 0s}, {date(100h), 24h}, {"", 0s},
      {"-5", 0s},     {"soon", 0s},    {"7.5", 0s},
  };
  for (const auto& each : cases) {
    CAPTURE(each.first);
    CHECK(wait_told({{"Retry-After", each.first}}, kNow) == each.second);
  }
  CHECK_FALSE(wait_told({{"Date", date(0s)}}, kNow));
}

// An hour ahead it made us tell clients 3602 s.
TEST_CASE("a moment to wait for counts by the clock of who names it") {
  for (const std::chrono::seconds ahead : {0s, 3600s, -3600s, 86400s * 400}) {
    CAPTURE(ahead.count());
    CHECK(wait_told({{"Date", date(ahead)}, {"Retry-After", date(ahead + 2s)}}, kNow) == 2s);
  }
  // What a cache kept for a minute of the two was said a minute ago.
  CHECK(wait_told({{"Date", date(-60s)}, {"Age", "60"}, {"Retry-After", date(60s)}}, kNow) == 60s);
  CHECK(wait_told({{"Date", "yesterday"}, {"Retry-After", date(9s)}}, kNow) == 9s);
  CHECK(wait_told({{"Date", date(3600s)}, {"Retry-After", "9"}}, kNow) == 9s);
}

TEST_CASE("an answer's Date tells its sender's clock, unless a cache has kept it") {
  CHECK(clock_ahead({{"Date", date(3600s)}}, kNow + 400ms) == 3600s);
  CHECK(clock_ahead({{"date", date(-90s)}}, kNow) == -90s);
  CHECK_FALSE(clock_ahead({{"Date", date(-90s)}, {"Age", "90"}}, kNow));
  CHECK_FALSE(clock_ahead({{"Date", "now"}}, kNow));
  CHECK_FALSE(clock_ahead({}, kNow));
}

TEST_CASE("a clock is off once several answers agree on it, and right once several do") {
  ClockWatch watch;
  for (int i = 0; i < 4; ++i) CHECK_FALSE(watch.heard(3600s + std::chrono::seconds(i % 2)));
  CHECK_FALSE(watch.off());
  CHECK(watch.heard(3600s));
  CHECK(watch.off() == 3600s);
  CHECK_FALSE(watch.heard(3600s));
  for (int i = 0; i < 4; ++i) CHECK_FALSE(watch.heard(-29s));
  CHECK(watch.off());
  CHECK(watch.heard(30s));
  CHECK_FALSE(watch.off());
}

TEST_CASE("answers of any age, and one server in two, say nothing of a clock") {
  ClockWatch watch;
  for (int i = 1; i < 100; ++i) {
    CHECK_FALSE(watch.heard(-std::chrono::seconds(31 + i * 97 % 500)));
    CHECK_FALSE(watch.heard(i % 3 == 0 ? 0s : 3600s));
  }
  CHECK_FALSE(watch.off());
}

}  // namespace holdfast::upstream
