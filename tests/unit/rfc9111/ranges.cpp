#include "rfc9111/ranges.h"

#include <doctest/doctest.h>

using namespace holdfast::rfc9111;

namespace {

using List = std::vector<ByteRange>;

struct Asked {
  const char* range;
  std::uint64_t length;
  Ranged verdict;
  List ranges;
};

}  // namespace

TEST_CASE("ranges are those of the content there is") {
  for (const Asked& row : {
           Asked{"bytes=0-1", 10, Ranged::Partial, {{0, 1}}},
           {"Bytes=0-0", 10, Ranged::Partial, {{0, 0}}},
           {"bytes=5-", 10, Ranged::Partial, {{5, 9}}},
           {"bytes=5-99", 10, Ranged::Partial, {{5, 9}}},
           {"bytes=5-99999999999999999999999999", 10, Ranged::Partial, {{5, 9}}},
           {"bytes=-3", 10, Ranged::Partial, {{7, 9}}},
           {"bytes=-99", 10, Ranged::Partial, {{0, 9}}},
           {"bytes= 0-1 ,, 8-", 10, Ranged::Partial, {{0, 1}, {8, 9}}},
           // in the client's order, unless some touch
           {"bytes=8-9,0-1", 10, Ranged::Partial, {{8, 9}, {0, 1}}},
           {"bytes=8-9,0-1,2-3", 10, Ranged::Partial, {{0, 3}, {8, 9}}},
           {"bytes=0-5,3-4,-1", 10, Ranged::Partial, {{0, 5}, {9, 9}}},
           {"bytes=0-4,5-9", 10, Ranged::Partial, {{0, 9}}},
           {"bytes=0-,0-,0-", 10, Ranged::Partial, {{0, 9}}},
           // what is not there is left out, unless nothing is
           {"bytes=10-,0-1", 10, Ranged::Partial, {{0, 1}}},
           {"bytes=10-", 10, Ranged::Unsatisfiable, {}},
           {"bytes=99999999999999999999-", 10, Ranged::Unsatisfiable, {}},
           {"bytes=-0", 10, Ranged::Unsatisfiable, {}},
           {"bytes=0-", 0, Ranged::Unsatisfiable, {}},
           {"bytes=-5", 0, Ranged::Whole, {}},
           // none that count
           {"", 10, Ranged::Whole, {}},
           {"lines=0-1", 10, Ranged::Whole, {}},
           {"bytes", 10, Ranged::Whole, {}},
           {"bytes=", 10, Ranged::Whole, {}},
           {"bytes=,", 10, Ranged::Whole, {}},
           {"bytes =0-1", 10, Ranged::Whole, {}},
           {"bytes=1-0", 10, Ranged::Whole, {}},
           {"bytes=0-1,1-0", 10, Ranged::Whole, {}},
           {"bytes=a-1", 10, Ranged::Whole, {}},
           {"bytes=0-1x", 10, Ranged::Whole, {}},
           {"bytes=--1", 10, Ranged::Whole, {}},
           {"bytes=-", 10, Ranged::Whole, {}},
           {"bytes=5", 10, Ranged::Whole, {}},
           {"bytes=0 - 1", 10, Ranged::Whole, {}},
       }) {
    CAPTURE(row.range);
    const Ranges found = ranges_of(row.range, row.length);
    CHECK(found.verdict == row.verdict);
    CHECK(found.ranges == row.ranges);
  }
}

TEST_CASE("more ranges than anybody means are answered with the whole") {
  std::string range = "bytes=0-0";
  for (std::size_t i = 1; i < kMostRanges; ++i)
    range += "," + std::to_string(2 * i) + "-" + std::to_string(2 * i);
  CHECK(ranges_of(range, 1000).ranges.size() == kMostRanges);
  CHECK(ranges_of(range + ",900-", 1000).verdict == Ranged::Whole);
}

TEST_CASE("Content-Range is read strictly") {
  CHECK((parse_content_range("bytes 4-8/10") == ContentRange{{4, 8}, 10}));
  CHECK((parse_content_range("BYTES 4-8/*") == ContentRange{{4, 8}, std::nullopt}));
  for (const char* value :
       {"", "bytes", "bytes */10", "bytes 4-8", "bytes 8-4/10", "bytes 4-10/10", "bytes=4-8/10",
        "lines 4-8/10", "bytes 4-/10", "bytes -8/10", "bytes 4-8/", "bytes 4-8/x", "bytes 4-8/10,",
        "bytes 4 -8/10", "bytes  4-8/10", "bytes 0-18446744073709551615/*", "bytes 4/8-10"}) {
    CAPTURE(value);
    CHECK(!parse_content_range(value));
  }
  CHECK(to_text({{4, 8}, 10}) == "bytes 4-8/10");
  CHECK(to_text({{4, 8}, std::nullopt}) == "bytes 4-8/*");
}

TEST_CASE("a Content-Range that does not fit its content counts only leniently") {
  struct Row {
    const char* value;
    std::uint64_t bytes;
    std::optional<ContentRange> strict;
    std::optional<ContentRange> lenient;
  };
  for (const Row& row : {
           Row{"bytes 4-8/10", 5, ContentRange{{4, 8}, 10}, ContentRange{{4, 8}, 10}},
           {"bytes 5-9/10", 5, ContentRange{{5, 9}, 10}, ContentRange{{5, 9}, 10}},
           {"bytes 4-9/10", 5, std::nullopt, ContentRange{{4, 8}, 9}},
           {"bytes 0-4/10", 5, ContentRange{{0, 4}, 10}, ContentRange{{0, 4}, 10}},
           {"bytes 0-3/10", 5, std::nullopt, ContentRange{{0, 4}, 10}},
           {"bytes 4-6/7", 5, std::nullopt, ContentRange{{4, 8}, 9}},
           {"bytes 4-6/*", 5, std::nullopt, ContentRange{{4, 8}, std::nullopt}},
           {"bytes 6-4/10", 2, std::nullopt, ContentRange{{6, 7}, 10}},
           {"bytes 0-0/0", 1, std::nullopt, ContentRange{{0, 0}, 1}},
           {"bytes 4-8/10", 0, std::nullopt, std::nullopt},
           {"bytes */10", 5, std::nullopt, std::nullopt},
           {"bytes 18446744073709551615-18446744073709551615/*", 1, std::nullopt, std::nullopt},
       }) {
    CAPTURE(row.value);
    CHECK((content_range_of(row.value, row.bytes, false) == row.strict));
    CHECK((content_range_of(row.value, row.bytes, true) == row.lenient));
  }
}

TEST_CASE("a 206 says all that is stored but what is true of the whole only") {
  CHECK(partial_lines("Date: d\r\nContent-MD5: x\r\ncontent-range: y\r\nContent-Digest: z\r\n"
                      "Repr-Digest: r\r\nA: 1\r\n",
                      {{4, 8}, 10}) ==
        "Date: d\r\nRepr-Digest: r\r\nA: 1\r\nContent-Range: bytes 4-8/10\r\n");
  CHECK(unsatisfied_lines(10) == "Content-Range: bytes */10\r\n");
}

TEST_CASE("several ranges are parts of a multipart") {
  const List ranges{{6, 7}, {4, 4}};
  const Multipart both =
      multipart_of("Content-Type: text/plain\r\nA: 1\r\n", "4567", 4, 10, ranges, "B");
  CHECK(both.lines == "A: 1\r\nContent-Type: multipart/byteranges; boundary=B\r\n");
  CHECK(both.content ==
        "--B\r\nContent-Type: text/plain\r\nContent-Range: bytes 6-7/10\r\n\r\n67\r\n"
        "--B\r\nContent-Type: text/plain\r\nContent-Range: bytes 4-4/10\r\n\r\n4\r\n--B--\r\n");
  CHECK(multipart_of("", "4567", 4, 10, ranges, "B").content.starts_with("--B\r\nContent-Range"));
}

TEST_CASE("a stored part answers for the ranges that are in it") {
  const ContentRange stored{{4, 8}, 9};
  CHECK((contained(stored, "bytes=6-8") == List{{6, 8}}));
  CHECK((contained(stored, "bytes=6-") == List{{6, 8}}));
  CHECK((contained(stored, "bytes=-1") == List{{8, 8}}));
  CHECK((contained(stored, "bytes=-5") == List{{4, 8}}));
  CHECK((contained(stored, "bytes=8-8,4-5") == List{{8, 8}, {4, 5}}));
  CHECK(!contained(stored, "bytes=3-5"));
  CHECK(!contained(stored, "bytes=-6"));
  CHECK(!contained(stored, "bytes=6-7,0-0"));
  CHECK(!contained(stored, "bytes=20-"));
  CHECK(!contained(stored, ""));
  CHECK(!contained({{4, 8}, 10}, "bytes=6-"));
  CHECK(!contained({{4, 8}, std::nullopt}, "bytes=6-7"));
}

TEST_CASE("what a stored part lacks can be asked for if it is one range") {
  CHECK(missing_range({{0, 4}, 10}) == "bytes=5-");
  CHECK(missing_range({{4, 9}, 10}) == "bytes=0-3");
  CHECK(!missing_range({{4, 8}, 10}));
  CHECK(!missing_range({{0, 9}, 10}));
  CHECK(!missing_range({{0, 4}, std::nullopt}));
}

TEST_CASE("parts are joined if there is no gap between them and they agree") {
  const Part start{0, 6, "012"};
  const auto whole = joined(start, {3, 6, "345"});
  REQUIRE(whole);
  CHECK(whole->content == "012345");
  CHECK(whole->whole());
  CHECK(joined({3, 6, "345"}, start)->content == "012345");
  CHECK(joined(start, {1, 6, "1234"})->content == "01234");
  CHECK(!joined(start, {1, 6, "1234"})->whole());
  CHECK(joined({0, 6, "01234"}, {1, 6, "12"})->content == "01234");
  CHECK(!joined(start, {4, 6, "45"}));
  CHECK(!joined(start, {3, 7, "345"}));
  CHECK(!joined(start, {2, 6, "x345"}));
  CHECK(!joined(start, {3, 6, "3456"}));
}
