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

TEST_CASE(
    "white space before the first field is a problem, and behind a line that is none is not") {
  for (const char* line : {" Content-Length: 1\r\n", "\t\r\n"}) {
    ReplyHead head(1000);
    CHECK_FALSE(take_all(head, 200, {"HTTP/1.1 200 OK\r\n", line}));
    CHECK(head.problem() == "the head's first field begins with white space");
  }
  ReplyHead head(1000);
  CHECK(take_all(head, 200, {"HTTP/1.1 200 OK\r\n", "none\r\n", " X: 1\r\n", "\r\n"}));
  CHECK(head.fields().empty());
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

TEST_CASE("an interim head is told at its last line, the first few of them, and never 100 or 101") {
  ReplyHead head(1000);
  CHECK(head.take("HTTP/1.1 103 Early Hints\r\n", 103));
  CHECK(head.take("Link: </a>\r\n", 103));
  CHECK_FALSE(head.interim());
  CHECK(head.take("\r\n", 103));
  CHECK(head.interim());
  REQUIRE(head.fields().size() == 1);
  CHECK(head.fields()[0].value == "</a>");
  CHECK(take_all(head, 100, {"HTTP/1.1 100 Continue\r\n", "\r\n"}));
  CHECK_FALSE(head.interim());
  int told = 1;
  for (int i = 0; i < 20; ++i) {
    CHECK(take_all(head, 102, {"HTTP/1.1 102 Processing\r\n", "\r\n"}));
    told += head.interim() ? 1 : 0;
  }
  CHECK(told == 8);
  CHECK(take_all(head, 200, {"HTTP/1.1 200 OK\r\n", "ETag: \"a\"\r\n", "\r\n"}));
  CHECK_FALSE(head.interim());
  CHECK(head.whole());
  REQUIRE(head.fields().size() == 1);
  CHECK(head.fields()[0].name == "ETag");
  ReplyHead switched(1000);
  CHECK_FALSE(take_all(switched, 101, {"HTTP/1.1 101 Switching Protocols\r\n", "\r\n"}));
  CHECK_FALSE(switched.interim());
  // All of them together are bounded.
  ReplyHead small(100);
  bool taken = true;
  for (int i = 0; i < 20 && taken; ++i) {
    taken = take_all(small, 103, {"HTTP/1.1 103 Early Hints\r\n", "Link: </a>\r\n", "\r\n"});
  }
  CHECK_FALSE(taken);
  CHECK(small.too_large());
}

TEST_CASE("a status line is the first line of a head, and no other") {
  ReplyHead head(1000);
  CHECK(take_all(head, 200,
                 {"HTTP/1.1 200 OK\r\n", "Content-Length: 1\r\n", "HTTP/1.1 200 OK: \r\n"}));
  CHECK_FALSE(take_all(head, 200, {"Content-Length: 2\r\n", "\r\n"}));
  CHECK(head.problem() != "");
}

TEST_CASE("a status without content may say of its length what it likes") {
  for (const long status : {204L, 304L, 200L, 404L}) {
    CAPTURE(status);
    ReplyHead head(1000);
    const bool without = status == 204 || status == 304;
    CHECK(take_all(head, status, {"HTTP/1.1 200\r\n", "Content-Length: 1, 2\r\n", "\r\n"}) ==
          without);
    CHECK(head.whole());
    CHECK(!head.problem().empty() == !without);
  }
}

TEST_CASE("a line that begins with CR and is not the empty one leaves the head's end open") {
  for (const long status : {100L, 200L, 304L}) {
    CAPTURE(status);
    ReplyHead head(1000);
    CHECK_FALSE(take_all(head, status, {"HTTP/1.1 200\r\n", "A: b\r\n", "\rno-store: x\r\n"}));
    CHECK(head.problem() != "");
    CHECK_FALSE(head.whole());
  }
}

TEST_CASE("of what libcurl takes for a status line, only what is one begins a head") {
  const std::pair<const char*, bool> cases[] = {
      {"HTTP/1.1 200 OK\r\n", true},
      {"HTTP/1.0 200 \n", true},
      {"HTTP/1.1 200\r\n", true},  // many leave the space out
      {"HTTP/1.1 200 Tout\tva bi\xe9n\r\n", true},
      {"HTTP/1.1 200HTTP/1.1 200 OK\r\n", false},
      {"HTTP/1.1 2000 OK\r\n", false},
      {"HTTP/1.1  200 OK\r\n", false},
      {"HTTP/1.1\t200 OK\r\n", false},
      {"HTTP/1.1 200\tOK\r\n", false},
      {"HTTP/1.1 20 OK\r\n", false},
      {"HTTP/1.1 200 O\rK\r\n", false},
      {"HTTP/1.1 200 O\x01K\r\n", false},
      {"HTTP/1.1 200 OK\r\r\n", false},
      {"HTTP/1.2 200 OK\r\n", false},
      {"http/1.1 200 OK\r\n", false},
      {" HTTP/1.1 200 OK\r\n", false},
      {"HTTP/2 200 \r\n", false},
      {"\r\n", false},
  };
  for (const auto& each : cases) {
    CAPTURE(each.first);
    ReplyHead head(1000);
    CHECK(head.take(each.first, 0) == each.second);
    CHECK(head.take("\r\n", 200) == each.second);
    ReplyHead behind(1000);
    CHECK(take_all(behind, 103, {"HTTP/1.1 103 Early Hints\r\n", "\r\n"}));
    CHECK(behind.take(each.first, 103) == each.second);
  }
  ReplyHead http2(1000);
  CHECK(http2.take("HTTP/2 200 \r\n", 0, true));
  CHECK(http2.take("\r\n", 200));
}

TEST_CASE("chunked is all that a Transfer-Encoding may say, and overrides a length") {
  const std::pair<const char*, bool> cases[] = {
      {"chunked", true},           {"Chunked", true},    {", chunked ,", true},
      {"chunked, chunked", false}, {"identity", false},  {"", false},
      {"chunked, gzip", false},    {"xchunked", false},  {"gzip, chunked", false},
      {"chunked;x=\"1\"", false},  {"chunked x", false},
  };
  for (const auto& each : cases) {
    CAPTURE(each.first);
    const std::string line = "Transfer-Encoding: " + std::string(each.first) + "\r\n";
    for (const char* other : {"Content-Length: 1\r\n", "A: b\r\n"}) {
      ReplyHead head(1000);
      CHECK(take_all(head, 200, {"HTTP/1.1 200 OK\r\n", line.c_str(), other, "\r\n"}) ==
            each.second);
      CHECK(head.problem().empty() == each.second);
      CHECK(head.chunked());
    }
    ReplyHead old(1000);
    CHECK_FALSE(take_all(old, 200, {"HTTP/1.0 200 OK\r\n", line.c_str(), "\r\n"}));
    ReplyHead none(1000);
    CHECK(take_all(none, 304, {"HTTP/1.0 304 X\r\n", line.c_str(), "\r\n"}));
    CHECK_FALSE(none.chunked());
  }
  ReplyHead two(1000);
  CHECK_FALSE(take_all(two, 200,
                       {"HTTP/1.1 200 OK\r\n", "Transfer-Encoding: chunked\r\n",
                        "Transfer-Encoding: chunked\r\n", "\r\n"}));
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
