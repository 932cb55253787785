#include "upstream/reply_head.h"

#include <doctest/doctest.h>

#include <initializer_list>
#include <string>
#include <utility>

namespace holdfast::upstream {
namespace {

// False once a line was refused.
bool take_all(ReplyHead& head, long status, std::initializer_list<const char*> lines) {
  for (const char* line : lines) {
    if (!head.take(line, status)) return false;
  }
  return true;
}

}  // namespace

TEST_CASE("a head is whole at its last line, and trailers are none of it") {
  ReplyHead head(1000);
  CHECK(take_all(head, 200, {"HTTP/1.1 200 OK\r\n", "ETag : \t\"a\" \r\n", "X-None:\r\n"}));
  CHECK_FALSE(head.whole());
  CHECK(head.take("\r\n", 200));
  CHECK(head.whole());
  CHECK(take_all(head, 200, {"HTTP/1.1 200 OK\r\n", "Content-Length: 1\r\n", "\r\n"}));
  CHECK(head.whole());
  REQUIRE(head.fields().size() == 2);
  CHECK(head.fields()[0].name == "ETag");
  CHECK(head.fields()[0].value == "\"a\"");
  CHECK(head.fields()[1].value.empty());
}

TEST_CASE("interim heads are forgotten, with what they say of lengths") {
  ReplyHead head(1000);
  CHECK(take_all(head, 103, {"HTTP/1.1 103 Early Hints\r\n", "Content-Length : x\r\n", "\r\n"}));
  CHECK_FALSE(head.whole());
  CHECK(take_all(head, 200, {"HTTP/1.1 200 OK\n", "Content-Length: 1\n", "\n"}));
  CHECK(head.whole());
  REQUIRE(head.fields().size() == 1);
  CHECK(head.fields()[0].value == "1");
}

TEST_CASE("a status line is the first line of a head, and no other") {
  ReplyHead head(1000);
  CHECK(take_all(head, 200,
                 {"HTTP/1.1 200 OK\r\n", "Content-Length: 1\r\n", "HTTP/1.1 200 OK: \r\n"}));
  CHECK_FALSE(take_all(head, 200, {"Content-Length: 2\r\n", "\r\n"}));
  CHECK(head.unframed());
}

TEST_CASE("a status without content may say of its length what it likes") {
  for (const long status : {204L, 304L, 200L, 404L}) {
    CAPTURE(status);
    ReplyHead head(1000);
    const bool without = status == 204 || status == 304;
    CHECK(take_all(head, status, {"HTTP/1.1 xxx\r\n", "Content-Length: 1, 2\r\n", "\r\n"}) ==
          without);
    CHECK(head.whole());
    CHECK(head.unframed() == !without);
  }
}

TEST_CASE("a line that begins with CR and is not the empty one leaves the head's end open") {
  for (const long status : {100L, 200L, 304L}) {
    CAPTURE(status);
    ReplyHead head(1000);
    CHECK_FALSE(take_all(head, status, {"HTTP/1.1 xxx\r\n", "A: b\r\n", "\rno-store: x\r\n"}));
    CHECK(head.broken());
    CHECK_FALSE(head.whole());
  }
}

TEST_CASE("only chunked, as the last coding, makes up for what Content-Length says") {
  const std::pair<const char*, bool> cases[] = {
      {"chunked", true},   {"Chunked", true}, {"gzip, chunked", true},  {"chunked;x=\"1\"", true},
      {"identity", false}, {"", false},       {"chunked, gzip", false}, {"xchunked", false},
  };
  for (const auto& each : cases) {
    CAPTURE(each.first);
    const std::string line = "Transfer-Encoding: " + std::string(each.first) + "\r\n";
    ReplyHead both(1000);
    CHECK(take_all(both, 200,
                   {"HTTP/1.1 200 OK\r\n", line.c_str(), "Content-Length: 1\r\n", "\r\n"}) ==
          each.second);
    ReplyHead alone(1000);
    CHECK(take_all(alone, 200, {"HTTP/1.1 200 OK\r\n", line.c_str(), "\r\n"}));
  }
  ReplyHead two(1000);
  CHECK_FALSE(take_all(two, 200,
                       {"HTTP/1.1 200 OK\r\n", "Transfer-Encoding: chunked\r\n",
                        "Transfer-Encoding: identity\r\n", "Content-Length: 1\r\n", "\r\n"}));
}

TEST_CASE("a coding in a form that libcurl does not read has not been undone") {
  const std::pair<const char*, bool> cases[] = {
      {"Content-Encoding : gzip\r\n", true},      {"Content-Encoding: gzip\r\n", false},
      {"Content-Encoding : identity\r\n", false}, {"Content-Encoding :\r\n", false},
      {"Content-Language : gzip\r\n", false},
  };
  for (const auto& each : cases) {
    CAPTURE(each.first);
    ReplyHead head(1000);
    CHECK(take_all(head, 200, {"HTTP/1.1 200 OK\r\n", each.first, "\r\n"}));
    CHECK(head.coding_missed() == each.second);
  }
  ReplyHead folded(1000);
  CHECK(
      take_all(folded, 200, {"HTTP/1.1 200 OK\r\n", "Content-Encoding:\r\n", " gzip\r\n", "\r\n"}));
  CHECK(folded.coding_missed());
  ReplyHead interim(1000);
  CHECK(take_all(interim, 103, {"HTTP/1.1 103 \r\n", "Content-Encoding : gzip\r\n", "\r\n"}));
  CHECK(take_all(interim, 200, {"HTTP/1.1 200 OK\r\n", "\r\n"}));
  CHECK_FALSE(interim.coding_missed());
}

TEST_CASE("all lines count for the limit, those of interim heads and trailers too") {
  ReplyHead head(40);
  CHECK(take_all(head, 100, {"HTTP/1.1 100 \r\n", "\r\n"}));  // 17 bytes
  CHECK(take_all(head, 200, {"HTTP/1.1 200 \r\n", "\r\n"}));  // 34
  CHECK(head.take("X: 1\r\n", 200));                          // 40
  CHECK_FALSE(head.too_large());
  CHECK_FALSE(head.take("\n", 200));
  CHECK(head.too_large());
}

}  // namespace holdfast::upstream
