#include "rfc9111/fields.h"

#include <doctest/doctest.h>

using namespace holdfast;
using namespace holdfast::rfc9111;

TEST_CASE("all end-to-end fields are kept as they came, in their order") {
  const upstream::Fields fields{{"Date", "d"},
                                {"x-Test", "  a,b "},
                                {"Set-Cookie", "a=1"},
                                {"Set-Cookie", "b=2"},
                                {"Empty", ""},
                                {"ETag", "\"\xfc: x\""},
                                {"CDN-Cache-Control", "max-age=1"}};
  const std::string lines = end_to_end_lines(fields);
  CHECK(lines ==
        "Date: d\r\nx-Test:   a,b \r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nEmpty: \r\n"
        "ETag: \"\xfc: x\"\r\nCDN-Cache-Control: max-age=1\r\n");
  const upstream::Fields again = fields_of(lines);
  REQUIRE(again.size() == fields.size());
  for (std::size_t i = 0; i < fields.size(); ++i) {
    CHECK(again[i].name == fields[i].name);
    CHECK(again[i].value == fields[i].value);
  }
}

TEST_CASE("fields of the connection, framing, and what could end its line are not kept") {
  const std::vector<std::string> left_out{"secret"};
  for (const char* name :
       {"Connection", "keep-alive", "TE", "Trailer", "Transfer-Encoding", "Upgrade",
        "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authentication-Info",
        "Proxy-Authorization", "Content-Length", "Age", "A", "B", "Secret", "", "Na me", "X:"}) {
    CAPTURE(name);
    const upstream::Fields fields{{"connection", "close, a"}, {"Connection", "b"}, {name, "close"}};
    CHECK(end_to_end_lines(fields, left_out).empty());
  }
  for (const char* value : {"a\r\nb: c", "a\nb", "a\rb", "\x01", "\x7f"}) {
    CAPTURE(value);
    CHECK(end_to_end_lines({{"X", value}}).empty());
  }
  CHECK(end_to_end_lines({{"X", std::string("a\0b", 3)}}).empty());
  CHECK(end_to_end_lines({{"X", "a\tb"}}) == "X: a\tb\r\n");
  CHECK(is_of_connection("UPGRADE"));
  CHECK(!is_of_connection("Upgrade-Insecure-Requests"));
}

TEST_CASE("a line is found by any case, and lines of one name are joined") {
  const std::string lines = "A: 1\r\nAb: 2\r\na: 3\r\nC: \r\n";
  CHECK(find_line(lines, "a") == "1");
  CHECK(find_line(lines, "aB") == "2");
  CHECK(find_line(lines, "c") == "");
  CHECK(!find_line(lines, "b"));
  CHECK(!find_line("", "a"));
  CHECK(joined_lines(lines, "A") == "1, 3");
  CHECK(!joined_lines(lines, "x"));
  CHECK(joined_lines(fields_of(lines), "A") == "1, 3");
}

TEST_CASE("an answer without Date is dated by its arrival") {
  std::string lines = "A: 1\r\n";
  add_date_if_absent(lines, base::WallTime{});
  CHECK(lines == "A: 1\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n");
  const std::string before = lines;
  add_date_if_absent(lines, base::WallTime{} + std::chrono::hours(1));
  CHECK(lines == before);
}

TEST_CASE("an update replaces all lines of a name, and what it does not say stays") {
  const std::string stored = "Date: 1\r\nA: 1\r\na: 2\r\nB: 3\r\nContent-Type: text/plain\r\n";
  CHECK(
      merged(stored,
             {{"date", "2"}, {"A", "4"}, {"Content-Type", "text/html"}, {"C", "5"}, {"A", "6"}}) ==
      "B: 3\r\ndate: 2\r\nA: 4\r\nContent-Type: text/html\r\nC: 5\r\nA: 6\r\n");
  CHECK(merged(stored, {}) == stored);
  const std::vector<std::string> left_out{"a"};
  CHECK(merged(stored, {{"A", "4"}, {"B", "4"}}, left_out) ==
        "Date: 1\r\nA: 1\r\na: 2\r\nContent-Type: text/plain\r\nB: 4\r\n");
}

TEST_CASE(
    "an update does not touch what describes the stored content, nor brings the connection's") {
  const std::string stored =
      "Content-Encoding: gzip\r\nContent-Range: bytes 0-1/5\r\nContent-MD5: x\r\n"
      "Content-Digest: a\r\nDigest: b\r\nRepr-Digest: c\r\nETag: \"x\"\r\n";
  CHECK(merged(stored, {{"Content-Encoding", "br"},
                        {"Content-Range", "bytes 0-0/1"},
                        {"Content-MD5", "y"},
                        {"content-digest", "y"},
                        {"Digest", "y"},
                        {"Repr-Digest", "y"},
                        {"ETag", "W/\"x\""},
                        {"Content-Length", "10"},
                        {"Age", "5"},
                        {"Connection", "Z"},
                        {"Z", "1"},
                        {"Bad", "a\r\nb"}}) == stored);
  CHECK(merged("Last-Modified: x\r\n", {{"ETag", "W/\"x\""}}) ==
        "Last-Modified: x\r\nETag: W/\"x\"\r\n");
}

TEST_CASE("a 304 repeats what a cache needs, and not what describes the content") {
  CHECK(lines_for_304("Cache-Control: a\r\nContent-Type: b\r\nContent-Location: c\r\nDate: d\r\n"
                      "ETag: e\r\nExpires: f\r\nVary: g\r\nLast-Modified: h\r\nX: i\r\n"
                      "CDN-Cache-Control: j\r\nVia: k\r\nCache-Status: l\r\nContent-Language: m\r\n"
                      "Set-Cookie: n\r\nvary: o\r\n") ==
        "Cache-Control: a\r\nContent-Location: c\r\nDate: d\r\nETag: e\r\nExpires: f\r\nVary: g\r\n"
        "CDN-Cache-Control: j\r\nVia: k\r\nCache-Status: l\r\nvary: o\r\n");
  CHECK(lines_for_304("Last-Modified: h\r\nX: i\r\n") == "Last-Modified: h\r\n");
}
