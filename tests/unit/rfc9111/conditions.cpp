#include "rfc9111/conditions.h"

#include <doctest/doctest.h>

#include <string>

using namespace holdfast;
using namespace holdfast::rfc9111;

namespace {

constexpr const char* kDay1 = "Mon, 01 Jun 2026 00:00:00 GMT";
constexpr const char* kDay2 = "Tue, 02 Jun 2026 00:00:00 GMT";
constexpr const char* kDay3 = "Wed, 03 Jun 2026 00:00:00 GMT";
const base::WallTime kCame =
    base::WallTime{std::chrono::sys_days{std::chrono::year{2026} / 6 / 2}} +
    std::chrono::milliseconds(900);

std::string line(const char* name, const char* value) {
  return std::string(name) + ": " + value + "\r\n";
}

bool has_it(const Conditions& conditions, const std::string& lines, int status = 200) {
  return evaluate(conditions, status, lines, kCame) == Precondition::NotModified;
}

}  // namespace

TEST_CASE("If-None-Match is a list of tags, compared weakly, or everything") {
  struct Row {
    const char* asked;
    const char* etag;
    bool matches;
  };
  for (const Row& row : {
           Row{"\"abcdef\"", "\"abcdef\"", true},
           {"\"abcdef\"", "\"abcdeg\"", false},
           {"\"ABCDEF\"", "\"abcdef\"", false},
           {"W/\"abcdef\"", "\"abcdef\"", true},
           {"\"abcdef\"", "W/\"abcdef\"", true},
           {"\"abcdef\", \"1234\", \"5678\"", "\"abcdef\"", true},
           {"\"1234\", W/\"abcdef\" , \"5678\"", "\"abcdef\"", true},
           {"\"1234\",\"5678\",\"abcdef\"", "\"abcdef\"", true},
           {"\"a,b\"", "\"a,b\"", true},
           {"\"x, abc, y\"", "\"abc\"", false},
           {"\"x, abc, y\"", "abc", false},
           {"\"abcdef\xfc\"", "\"abcdef\xfc\"", true},
           {"\"\"", "\"\"", true},
           {"*", "\"x\"", true},
           {" * ", "\"x\"", true},
           // no tags, but some send them
           {"abcdef", "\"abcdef\"", true},
           {"abcdef", "abcdef", true},
           {"\"abcdef\"", "abcdef", true},
           {"1, abcdef", "W/\"abcdef\"", true},
           {"w/\"abcdef\"", "w/\"abcdef\"", true},
           {"W\\\"abcdef\"", "W\\\"abcdef\"", true},
           {"W\"abcdef\"", "W\"abcdef\"", true},
           {"abc", "\"abcdef\"", false},
           {"\"abcdef", "\"abcdef\"", false},
       }) {
    CAPTURE(row.asked);
    CAPTURE(row.etag);
    CHECK(has_it({.if_none_match = row.asked}, line("ETag", row.etag)) == row.matches);
  }
  CHECK(has_it({.if_none_match = "*"}, ""));
  CHECK(!has_it({.if_none_match = "\"x\""}, ""));
  CHECK(!has_it({.if_none_match = "\"\""}, line("ETag", "")));
  CHECK(!has_it({}, line("ETag", "\"x\"")));
}

TEST_CASE("If-Modified-Since counts only without If-None-Match") {
  const std::string lines = line("ETag", "\"x\"") + line("Last-Modified", kDay1);
  CHECK(has_it({.if_none_match = "\"x\"", .if_modified_since = "nonsense"}, lines));
  CHECK(!has_it({.if_none_match = "\"y\"", .if_modified_since = kDay3}, lines));
}

TEST_CASE("If-Modified-Since is compared with Last-Modified, else Date, else the arrival") {
  struct Row {
    const char* since;
    std::string lines;
    bool not_modified;
  };
  for (const Row& row : {
           Row{kDay2, line("Last-Modified", kDay2), true},
           {kDay3, line("Last-Modified", kDay2), true},
           {kDay1, line("Last-Modified", kDay2) + line("Date", kDay1), false},
           {"Tuesday, 02-Jun-26 00:00:00 GMT", line("Last-Modified", kDay2), true},
           {"Tue Jun  2 00:00:00 2026", line("Last-Modified", kDay2), true},
           {kDay2, line("Date", kDay2), true},
           {kDay1, line("Date", kDay2), false},
           {kDay2, line("Last-Modified", "x") + line("Date", kDay2), true},
           {kDay2, "", true},
           {kDay1, "", false},
           {"nonsense", line("Last-Modified", kDay1), false},
           {"Tue, 02 Jun 2026 00:00:00 GMT, Tue, 02 Jun 2026 00:00:00 GMT",
            line("Last-Modified", kDay1), false},
       }) {
    CAPTURE(row.since);
    CAPTURE(row.lines);
    CHECK(has_it({.if_modified_since = row.since}, row.lines) == row.not_modified);
  }
}

TEST_CASE("preconditions say nothing of an answer that is no 2xx") {
  const std::string lines = line("ETag", "\"x\"");
  for (const int status : {301, 404, 500}) {
    CHECK(!has_it({.if_none_match = "\"x\""}, lines, status));
    CHECK(!has_it({.if_modified_since = kDay3}, lines, status));
  }
  CHECK(has_it({.if_none_match = "\"x\""}, lines, 206));
}

TEST_CASE("a HEAD's answer is of what is stored unless something of it differs") {
  const std::string stored = line("ETag", "\"x\"") + line("Last-Modified", kDay1);
  const auto same = [&](const upstream::Fields& fields) {
    return compare_head(stored, 5, fields) == HeadVerdict::Same;
  };
  CHECK(same({}));
  CHECK(same({{"ETag", "\"x\""}, {"Last-Modified", kDay1}, {"Content-Length", "5"}}));
  CHECK(!same({{"ETag", "\"y\""}}));
  CHECK(!same({{"ETag", "W/\"x\""}}));
  CHECK(!same({{"Last-Modified", kDay2}}));
  CHECK(!same({{"Content-Length", "6"}}));
  CHECK(!same({{"Content-Length", "5, 5"}}));
  CHECK(!same({{"Content-Length", ""}}));
  CHECK(compare_head("", 5, {{"ETag", "\"x\""}}) == HeadVerdict::Changed);
  CHECK(compare_head("", 5, {{"Last-Modified", kDay1}}) == HeadVerdict::Changed);
}

TEST_CASE("parts are combined only by a strong validator that both have") {
  const std::string strong = line("ETag", "\"x\"");
  const std::string weak = line("ETag", "W/\"x\"");
  const std::string dated = line("Last-Modified", kDay1) + line("Date", kDay2);
  CHECK(share_strong_validator(strong, strong));
  CHECK(!share_strong_validator(strong, line("ETag", "\"y\"")));
  CHECK(!share_strong_validator(weak, weak));
  CHECK(!share_strong_validator(strong, ""));
  CHECK(!share_strong_validator(strong + dated, dated));
  CHECK(share_strong_validator(dated, dated));
  CHECK(!share_strong_validator(dated, line("Last-Modified", kDay1) + line("Date", kDay1)));
  CHECK(!share_strong_validator(dated, line("Last-Modified", kDay1)));
  CHECK(!share_strong_validator("", ""));
  CHECK(!share_strong_validator(line("ETag", "x"), line("ETag", "x")));
}

TEST_CASE("If-Range holds for the strong tag, or the strong date to the letter") {
  const std::string etag = line("ETag", "\"x\"");
  const std::string dated = line("Last-Modified", kDay1) + line("Date", kDay2);
  CHECK(if_range_holds("", ""));
  CHECK(if_range_holds("\"x\"", etag));
  CHECK(!if_range_holds("\"y\"", etag));
  CHECK(!if_range_holds("W/\"x\"", etag));
  CHECK(!if_range_holds("W/\"x\"", line("ETag", "W/\"x\"")));
  CHECK(!if_range_holds("x", etag));
  CHECK(!if_range_holds("\"x\"", dated));
  CHECK(if_range_holds(kDay1, dated));
  CHECK(!if_range_holds(kDay2, dated));
  CHECK(!if_range_holds("Monday, 01-Jun-26 00:00:00 GMT", dated));
  CHECK(!if_range_holds(kDay1, line("Last-Modified", kDay1) + line("Date", kDay1)));
  CHECK(!if_range_holds(kDay1, line("Last-Modified", kDay1)));
}
