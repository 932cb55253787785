#include "base/http_date.h"

#include <doctest/doctest.h>

using namespace holdfast;
using namespace holdfast::base;
using namespace std::chrono_literals;

namespace {

base::WallTime at(int year, unsigned month, unsigned day, std::chrono::seconds time = 0s) {
  return base::WallTime(std::chrono::sys_days{std::chrono::year{year} / month / day}) + time;
}

}  // namespace

TEST_CASE("all three forms of a date mean the same instant") {
  const auto expected = at(1994, 11, 6, 8h + 49min + 37s);
  CHECK(parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT") == expected);
  CHECK(parse_http_date("Sunday, 06-Nov-94 08:49:37 GMT") == expected);
  CHECK(parse_http_date("Sun Nov  6 08:49:37 1994") == expected);
  CHECK(parse_http_date("Wed Nov 16 08:49:37 1994") == at(1994, 11, 16, 8h + 49min + 37s));
}

TEST_CASE("a two-digit year below 69 is of this century") {
  CHECK(parse_http_date("Monday, 01-Jan-68 00:00:00 GMT") == at(2068, 1, 1));
  CHECK(parse_http_date("Monday, 01-Jan-69 00:00:00 GMT") == at(1969, 1, 1));
}

TEST_CASE("leap days and leap seconds are read") {
  CHECK(parse_http_date("Thu, 29 Feb 2024 00:00:00 GMT") == at(2024, 2, 29));
  CHECK(!parse_http_date("Wed, 29 Feb 2023 00:00:00 GMT"));
  CHECK(parse_http_date("Sat, 31 Dec 2016 23:59:60 GMT") == at(2017, 1, 1));
}

TEST_CASE("what is not a date is none") {
  for (const char* text : {"",
                           "0",
                           "-1",
                           "Sun, 06 Nov 1994 08:49:37",
                           "Sun, 06 Nov 1994 08:49:37 UTC",
                           "Sun, 06 Nov 1994 08:49:37 GMT x",
                           "sun, 06 Nov 1994 08:49:37 GMT",
                           "Sun, 6 Nov 1994 08:49:37 GMT",
                           "Sun, 00 Nov 1994 08:49:37 GMT",
                           "Sun, 31 Nov 1994 08:49:37 GMT",
                           "Sun, 06 Foo 1994 08:49:37 GMT",
                           "Sun, 06 Nov 1994 24:00:00 GMT",
                           "Sun, 06 Nov 1994 08:60:00 GMT",
                           "Sun, 06 Nov 1994 08:49:61 GMT",
                           "Sun, 06 Nov -994 08:49:37 GMT",
                           "Sun, 06 Nov 19944 08:49:37 GMT",
                           "Sunday, 06-Nov-1994 08:49:37 GMT",
                           "Sun Nov 6 08:49:37 1994",
                           "Sun Nov  6 08:49:37 94",
                           "Sun, ",
                           "Sun",
                           ","}) {
    CAPTURE(text);
    CHECK(!parse_http_date(text));
  }
}

TEST_CASE("letters of any case are read where that is asked for, and nothing else is forgiven") {
  const auto expected = at(1994, 11, 6, 8h + 49min + 37s);
  for (const char* text : {"SUN, 06 nov 1994 08:49:37 gMT", "suNDay, 06-NOV-94 08:49:37 gmt",
                           "sun NOV  6 08:49:37 1994"}) {
    CAPTURE(text);
    CHECK(parse_http_date(text, DateCase::Any) == expected);
    CHECK(!parse_http_date(text));
  }
  for (const char* text : {"Sun, 06 Nov 1994 08:49:37 UTC", "Sun, 6 Nov 1994 08:49:37 GMT", "0",
                           "Sun 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 GM"}) {
    CAPTURE(text);
    CHECK(!parse_http_date(text, DateCase::Any));
  }
}

TEST_CASE("a date is written as IMF-fixdate and read back") {
  CHECK(format_http_date(at(1994, 11, 6, 8h + 49min + 37s)) == "Sun, 06 Nov 1994 08:49:37 GMT");
  CHECK(format_http_date(at(1970, 1, 1)) == "Thu, 01 Jan 1970 00:00:00 GMT");
  CHECK(format_http_date(at(2026, 12, 31, 23h + 59min + 59s) + 999ms) ==
        "Thu, 31 Dec 2026 23:59:59 GMT");
  for (auto time = at(1999, 12, 25); time < at(2001, 4, 1); time += 31h + 7s) {
    CHECK(parse_http_date(format_http_date(time)) == time);
  }
}
