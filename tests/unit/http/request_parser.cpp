#include "http/request_parser.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace holdfast::http;
using Outcome = RequestParser::Outcome;

namespace {

struct Parsed {
  Outcome outcome = Outcome::Incomplete;
  RequestHead head;
  Refusal refusal;
  std::string_view field(Known name) const { return head.request.field(name); }
};

// Views in the result live until the next call.
Parsed parse(std::string_view input, RequestParser::Limits limits = {}) {
  static std::unique_ptr<RequestParser> parser;
  static std::string bytes;
  parser = std::make_unique<RequestParser>(limits);
  bytes = input;
  Parsed out;
  std::size_t checked = 0;
  out.outcome = parser->parse(bytes, checked, out.head);
  if (out.outcome == Outcome::Refused) out.refusal = parser->refusal();
  return out;
}

// The status that the head made of these field lines is refused with; 0 if not.
int status_with(std::string_view fields, std::string_view version = "HTTP/1.1") {
  const auto p =
      parse("GET / " + std::string(version) + "\r\nHost: a\r\n" + std::string(fields) + "\r\n");
  if (p.outcome == Outcome::Complete) return 0;
  return p.outcome == Outcome::Refused ? p.refusal.status : -1;
}

int status_of(std::string_view input) {
  const auto p = parse(input);
  if (p.outcome == Outcome::Complete) return 0;
  return p.outcome == Outcome::Refused ? p.refusal.status : -1;
}

int status_of_line(std::string_view line) {
  return status_of(std::string(line) + "\r\nHost: a\r\n\r\n");
}

}  // namespace

TEST_CASE("a plain request is read whole") {
  const std::string_view input =
      "GET /lookup/8.8.8.8?x=%20y HTTP/1.1\r\nHost: example.org:3000\r\n"
      "If-None-Match: \"a\"\r\nUser-Agent: t\r\nX-Request-ID:  r1 \t\r\n"
      "Traceparent: 00-1\r\nAccept-Encoding: gzip\r\nEmpty:\r\n"
      "If-Modified-Since: Tue, 01 Sep 2026 00:00:00 GMT\r\n\r\n";
  const auto p = parse(std::string(input) + "GET /next");
  REQUIRE(p.outcome == Outcome::Complete);
  CHECK(p.head.bytes == input.size());
  CHECK(p.head.request.method == Method::Get);
  CHECK(p.head.request.method_name == "GET");
  CHECK(p.head.request.path == "/lookup/8.8.8.8");
  CHECK(p.head.request.query == "x=%20y");
  CHECK(p.field(Known::Host) == "example.org:3000");
  CHECK(p.field(Known::IfNoneMatch) == "\"a\"");
  CHECK(p.field(Known::IfModifiedSince) == "Tue, 01 Sep 2026 00:00:00 GMT");
  CHECK(p.field(Known::XRequestId) == "r1");
  CHECK(p.field(Known::Traceparent) == "00-1");
  CHECK(p.field(Known::AcceptEncoding) == "gzip");
  CHECK(p.field(Known::ContentType).data() == nullptr);
  CHECK(p.head.framing == Framing::None);
  CHECK(p.head.keep_alive);
  CHECK(!p.head.http10);
}

TEST_CASE("what follows the head may be anything") {
  CHECK(status_of(std::string_view("GET / HTTP/1.1\r\nHost: a\r\n\r\n\0\x01\n\r\r", 33)) == 0);
}

TEST_CASE("every proper prefix of a head is incomplete, and what was checked is not lost") {
  const std::string input =
      "POST /a/b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nAccept-Encoding: gzip\r\n\r\n";
  RequestParser parser({});
  std::size_t checked = 0;
  RequestHead head;
  for (std::size_t size = 0; size < input.size(); ++size) {
    // A copy of its own, so that reading past its end is found by the sanitizer.
    const std::vector<char> prefix(input.begin(), input.begin() + static_cast<long>(size));
    CAPTURE(size);
    CHECK(parser.parse({prefix.data(), size}, checked, head) == Outcome::Incomplete);
    CHECK(checked <= size);
  }
  CHECK(parser.parse(input, checked, head) == Outcome::Complete);
  CHECK(checked == 0);
  CHECK(head.request.path == "/a/b");
  CHECK(head.content_length == 3);
}

TEST_CASE("methods are told apart, case matters, and an unknown one is 501") {
  CHECK(parse("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").head.request.method == Method::Head);
  CHECK(parse("POST / HTTP/1.1\r\nHost: a\r\n\r\n").head.request.method == Method::Post);
  CHECK(parse("OPTIONS / HTTP/1.1\r\nHost: a\r\n\r\n").head.request.method == Method::Options);
  for (const char* other : {"PUT", "DELETE", "PATCH", "TRACE", "PURGE", "PROPFIND"}) {
    const auto p = parse(std::string(other) + " / HTTP/1.1\r\nHost: a\r\n\r\n");
    CAPTURE(other);
    CHECK(p.outcome == Outcome::Complete);
    CHECK(p.head.request.method == Method::Other);
    CHECK(p.head.request.method_name == other);
  }
  CHECK(status_of_line("get / HTTP/1.1") == 501);
  CHECK(status_of_line("BREW / HTTP/1.1") == 501);
  CHECK(status_of_line("GETX / HTTP/1.1") == 501);
  CHECK(status_of_line("CONNECT a:443 HTTP/1.1") == 501);
  CHECK(status_of_line(std::string(500, 'A') + " / HTTP/1.1") == 501);
  CHECK(status_of(std::string(9000, 'A')) == 501);
}

TEST_CASE("a request line with anything but single spaces is malformed") {
  for (const char* line :
       {"GET  / HTTP/1.1", "GET /  HTTP/1.1", "GET / HTTP/1.1 ", " GET / HTTP/1.1",
        "GET\t/\tHTTP/1.1", "GET /\tHTTP/1.1", "GET /", "GET", "GET HTTP/1.1", "GET / a HTTP/1.1",
        "G(T / HTTP/1.1", "/ HTTP/1.1", "GET / http/1.1", "GET / HTTP/11", "GET / HTTP/1.",
        "GET / HTTP/1.1x", "GET / HTTP/01.1", "GET / XTTP/1.1", "GET /HTTP/1.1"}) {
    CAPTURE(line);
    CHECK(status_of_line(line) == 400);
  }
}

TEST_CASE("versions other than 1.0 and 1.1 are 505") {
  CHECK(status_of_line("GET / HTTP/2.0") == 505);
  CHECK(status_of_line("GET / HTTP/1.2") == 505);
  CHECK(status_of_line("GET / HTTP/0.9") == 505);
  CHECK(status_of("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") == 505);
}

TEST_CASE("a target in absolute form is reduced to path and query, and names the host") {
  const auto at = [](std::string_view target, std::string_view method = "GET") {
    return parse(std::string(method) + " " + std::string(target) +
                 " HTTP/1.1\r\nHost: field\r\n\r\n");
  };
  auto p = at("http://target:80/a/b?c=http://d");
  CHECK(p.head.request.path == "/a/b");
  CHECK(p.head.request.query == "c=http://d");
  CHECK(p.field(Known::Host) == "target:80");
  CHECK(at("HTTPS://[::1]/x").head.request.path == "/x");
  CHECK(at("http://a").head.request.path == "/");
  p = at("http://a?q");
  CHECK(p.head.request.path == "/");
  CHECK(p.head.request.query == "q");
  CHECK(at("http://a", "OPTIONS").head.request.path == "*");
  CHECK(at("http://a/", "OPTIONS").head.request.path == "/");
  for (const char* bad : {"http:///a", "http://", "http://u@h/", "ftp://a/", "http:/a", "a/b", "x",
                          "://a/", "http://a:b/", "http://[::1/", "http://[]/", "mailto:a"}) {
    CAPTURE(bad);
    CHECK(at(bad).outcome == Outcome::Refused);
    CHECK(at(bad).refusal.status == 400);
  }
}

TEST_CASE("the asterisk is a target for OPTIONS alone") {
  CHECK(parse("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").head.request.path == "*");
  CHECK(status_of_line("GET * HTTP/1.1") == 400);
}

TEST_CASE("a target with a fragment, or bytes outside visible ASCII, is malformed") {
  CHECK(status_of_line("GET /a#b HTTP/1.1") == 400);
  CHECK(status_of_line("GET /\x80 HTTP/1.1") == 400);
  CHECK(status_of_line("GET /\xc3\xa4 HTTP/1.1") == 400);
  CHECK(status_of_line("GET /\x7f HTTP/1.1") == 400);
  CHECK(status_of(std::string("GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", 28)) == 400);
  CHECK(status_of_line("GET /%00%0d%0a HTTP/1.1") == 0);
}

TEST_CASE("a byte that may not be is found wherever it stands") {
  for (const std::size_t size : {1U, 7U, 8U, 9U, 17U}) {
    for (std::size_t at = 0; at < size; ++at) {
      for (int c = 0; c < 256; ++c) {
        std::string text(size, 'a');
        text[at] = static_cast<char>(c);
        CAPTURE(size);
        CAPTURE(at);
        CAPTURE(c);
        const bool good_in_target = c > 0x20 && c < 0x7f && c != '#';
        CHECK(status_of_line("GET /" + text + " HTTP/1.1") == (good_in_target ? 0 : 400));
        const bool good_in_value = c == '\t' || (c >= 0x20 && c != 0x7f);
        CHECK(status_with("X:" + text + "\r\n") == (good_in_value ? 0 : 400));
      }
    }
  }
}

TEST_CASE("HTTP/1.1 needs exactly one valid Host") {
  CHECK(status_of("GET / HTTP/1.1\r\n\r\n") == 400);
  CHECK(status_of("GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n") == 400);
  CHECK(status_of("GET http://a/ HTTP/1.1\r\n\r\n") == 400);
  for (const char* good : {"a", "a.b-c_d", "a:80", "a:", "127.0.0.1:3000", "[::1]", "[::1]:80",
                           "%41", "a%2Db", "xn--bcher-kva.example"}) {
    CAPTURE(good);
    CHECK(status_of("GET / HTTP/1.1\r\nHost: " + std::string(good) + "\r\n\r\n") == 0);
  }
  // RFC 9110, 7.2: of a target that has no authority.
  CHECK(status_of("GET / HTTP/1.1\r\nHost:\r\n\r\n") == 0);
  CHECK(status_of("OPTIONS * HTTP/1.1\r\nHost: \t \r\n\r\n") == 0);
  CHECK(status_of("GET / HTTP/1.1\r\nHost:\r\nHost:\r\n\r\n") == 400);
  CHECK(status_of("GET / HTTP/1.1\r\nHost:\r\nHost: a\r\n\r\n") == 400);
  CHECK(status_of("GET http:///x HTTP/1.1\r\nHost:\r\n\r\n") == 400);
  CHECK(parse("GET http://a/ HTTP/1.1\r\nHost:\r\n\r\n").field(Known::Host) == "a");
  for (const char* bad : {"a b", "a/b", "a@b", "a,b c", "a:b", "a:80:80", "a:123456", "[::1", "[]",
                          "[::1]x", "[g]", ":80", "%4", "%zz", "a\"b", "a\xc3"}) {
    CAPTURE(bad);
    CHECK(status_of("GET / HTTP/1.1\r\nHost: " + std::string(bad) + "\r\n\r\n") == 400);
  }
}

TEST_CASE("HTTP/1.0 needs no Host, but not two and not an invalid one") {
  CHECK(status_of("GET / HTTP/1.0\r\n\r\n") == 0);
  CHECK(status_of("GET / HTTP/1.0\r\nHost: a\r\n\r\n") == 0);
  CHECK(status_of("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n") == 400);
  CHECK(status_of("GET / HTTP/1.0\r\nHost: a b\r\n\r\n") == 400);
}

TEST_CASE("Connection decides whether the connection stays") {
  const auto keeps = [](std::string_view version, std::string_view fields) {
    return parse("GET / " + std::string(version) + "\r\nHost: a\r\n" + std::string(fields) + "\r\n")
        .head.keep_alive;
  };
  CHECK(keeps("HTTP/1.1", ""));
  CHECK(!keeps("HTTP/1.1", "Connection: close\r\n"));
  CHECK(!keeps("HTTP/1.1", "Connection: x, CLOSE ,y\r\n"));
  CHECK(!keeps("HTTP/1.1", "Connection: keep-alive\r\nConnection: close\r\n"));
  CHECK(keeps("HTTP/1.1", "Connection: closed\r\n"));
  CHECK(!keeps("HTTP/1.0", ""));
  CHECK(keeps("HTTP/1.0", "Connection: Keep-Alive\r\n"));
  CHECK(!keeps("HTTP/1.0", "Connection: keep-alive, close\r\n"));
}

TEST_CASE("a content is framed by one Content-Length or by chunked") {
  auto p = parse("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 00012\r\n\r\n");
  CHECK(p.head.framing == Framing::Length);
  CHECK(p.head.content_length == 12);
  p = parse("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n");
  CHECK(p.head.framing == Framing::Chunked);
  p = parse("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
  CHECK(p.head.framing == Framing::None);
}

TEST_CASE("repeated and malformed lengths are 400, even where all agree") {
  CHECK(status_with("Content-Length: 5\r\nContent-Length: 5\r\n") == 400);
  CHECK(status_with("Content-Length: 0\r\nContent-Length: 0\r\n") == 400);
  CHECK(status_with("Content-Length: 5\r\nContent-Length: 6\r\n") == 400);
  for (const char* bad : {"", "5, 5", "5,5", "-5", "+5", "0x5", "5a", "a", "5 5", "1e3", "5;",
                          "99999999999999999999", "1234567890123456789", "18446744073709551616"}) {
    CAPTURE(bad);
    CHECK(status_with("Content-Length: " + std::string(bad) + "\r\n") == 400);
  }
}

TEST_CASE("Content-Length together with Transfer-Encoding is 400") {
  CHECK(status_with("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n") == 400);
  CHECK(status_with("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n") == 400);
  CHECK(status_with("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n") == 400);
}

TEST_CASE("other transfer codings are 501, ambiguous ones 400") {
  CHECK(status_with("Transfer-Encoding: gzip, chunked\r\n") == 501);
  CHECK(status_with("Transfer-Encoding: foo\r\n") == 501);
  CHECK(status_with("Transfer-Encoding: identity\r\n") == 501);
  CHECK(status_with("Transfer-Encoding: xchunked\r\n") == 501);
  CHECK(status_with("Transfer-Encoding: chunked, chunked\r\n") == 400);
  CHECK(status_with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n") == 400);
  CHECK(status_with("Transfer-Encoding:\r\n") == 400);
  CHECK(status_with("Transfer-Encoding: chunked\r\n", "HTTP/1.0") == 400);
  // Chunked, but not at the end.
  const int not_last = status_with("Transfer-Encoding: chunked, gzip\r\n");
  CHECK((not_last == 400 || not_last == 501));
}

TEST_CASE("folded lines, bare line ends, spaces before colons and control bytes are 400") {
  CHECK(status_with("A: b\r\n c\r\n") == 400);
  CHECK(status_with("A: b\r\n\tc\r\n") == 400);
  CHECK(status_with(" A: b\r\n") == 400);
  CHECK(status_with("A: b\n") == 400);
  CHECK(status_with("A: b\rC: d\r\n") == 400);
  CHECK(status_with("A: b\r\r\n") == 400);
  CHECK(status_with("A : b\r\n") == 400);
  CHECK(status_with("A\t: b\r\n") == 400);
  CHECK(status_with(": b\r\n") == 400);
  CHECK(status_with("A\r\n") == 400);
  CHECK(status_with("A(b): c\r\n") == 400);
  CHECK(status_with("A\x80: c\r\n") == 400);
  CHECK(status_with(std::string_view("A: b\0c\r\n", 8)) == 400);
  CHECK(status_with(std::string_view("A\0: b\r\n", 7)) == 400);
  CHECK(status_with("A: \x01\r\n") == 400);
  CHECK(status_with("A: \x7f\r\n") == 400);
  CHECK(status_of("GET / HTTP/1.1\nHost: a\n\n") == 400);
  CHECK(status_of("GET / HTTP/1.1\r\nHost: a\r\n\n") == 400);
  CHECK(status_of("GET / HTTP/1.1\r\nHost: a\n\r\n") == 400);
  CHECK(status_of("GET / HTTP/1.1\rHost: a\r\n\r\n") == 400);
  // Bytes above ASCII are old but legal in a value, as is HTAB.
  CHECK(status_with("A: \xc3\xa4\tb\r\n") == 0);
}

TEST_CASE("what can become no good head is refused before it is complete") {
  CHECK(status_of(std::string_view("\x16\x03\x01\x02\x00\x01", 6)) == 400);  // a TLS hello
  CHECK(status_of("GET /a\n") == 400);
  CHECK(status_of("nonsense\r\n") == 400);
  CHECK(status_of("GET / HTTP/7.0\r\n") == 505);
  CHECK(status_of("GET /a\rb") == 400);
  CHECK(status_of("GET / HTTP/1.1\r\nHost: a\r\n fold\r\n") == 400);
  CHECK(status_of("GET / HTTP/1.1\r\nHost : a\r\n") == 400);
  CHECK(status_of("GET / HTTP/1.1\r\n\r") == -1);
}

TEST_CASE("targets too long are 414, with and without their end") {
  const RequestParser::Limits limits{.head_bytes = 4000, .target_bytes = 100, .fields = 10};
  const auto of = [&](std::string_view input) {
    const auto p = parse(input, limits);
    return p.outcome == Outcome::Complete  ? 0
           : p.outcome == Outcome::Refused ? p.refusal.status
                                           : -1;
  };
  CHECK(of("GET /" + std::string(99, 'a') + " HTTP/1.1\r\nHost: a\r\n\r\n") == 0);
  CHECK(of("GET /" + std::string(100, 'a') + " HTTP/1.1\r\nHost: a\r\n\r\n") == 414);
  CHECK(of("GET /" + std::string(1000, 'a') + " HTTP/1.1\r\nHost: a\r\n\r\n") == 414);
  CHECK(of("GET /" + std::string(300, 'a')) == 414);
  CHECK(of("GET /" + std::string(50, 'a')) == -1);
}

TEST_CASE("heads too large and too many fields are 431") {
  const RequestParser::Limits limits{.head_bytes = 400, .target_bytes = 100, .fields = 5};
  const auto of = [&](std::string_view input) {
    const auto p = parse(input, limits);
    return p.outcome == Outcome::Complete  ? 0
           : p.outcome == Outcome::Refused ? p.refusal.status
                                           : -1;
  };
  const std::string start = "GET / HTTP/1.1\r\nHost: a\r\n";
  const std::string line = "A: " + std::string(400 - start.size() - 7, 'x') + "\r\n";
  CHECK(of(start + line + "\r\n") == 0);  // 400 bytes
  CHECK(of(start + "x" + line + "\r\n") == 431);
  CHECK(of(start + "A: " + std::string(1000, 'x')) == 431);
  CHECK(of(start + "A:1\r\nA:2\r\nA:3\r\nA:4\r\n\r\n") == 0);
  CHECK(of(start + "A:1\r\nA:2\r\nA:3\r\nA:4\r\nA:5\r\n\r\n") == 431);
}

TEST_CASE("the list fields that somebody reads are joined over their lines") {
  const auto p = parse(
      "GET / HTTP/1.1\r\nIf-None-Match: \"a\"\r\nHost: a\r\nif-none-match: \"b\"\r\n"
      "IF-NONE-MATCH: \"c\"\r\nCache-Control: no-cache\r\nCache-Control: max-age=0\r\n"
      "X-Request-ID: 1\r\nX-Request-ID: 2\r\nAccept-Encoding:\r\nAccept-Encoding: gzip\r\n"
      "If-Modified-Since: a\r\nIf-Modified-Since: b\r\n"
      "Content-Encoding: identity\r\nContent-Encoding: gzip\r\n\r\n");
  REQUIRE(p.outcome == Outcome::Complete);
  CHECK(p.field(Known::IfNoneMatch) == "\"a\", \"b\", \"c\"");
  CHECK(p.field(Known::CacheControl) == "no-cache, max-age=0");
  CHECK(p.field(Known::XRequestId) == "1");
  CHECK(p.field(Known::AcceptEncoding).find("gzip") != std::string_view::npos);
  CHECK(p.field(Known::IfModifiedSince) == "a, b");
  CHECK(p.field(Known::ContentEncoding) == "identity, gzip");
}

TEST_CASE("an empty field is there, an absent one is not") {
  for (const char* line : {"If-None-Match:\r\n", "If-None-Match: \t \r\n"}) {
    const auto p = parse("GET / HTTP/1.1\r\nHost: a\r\n" + std::string(line) + "\r\n");
    REQUIRE(p.outcome == Outcome::Complete);
    CHECK(p.field(Known::IfNoneMatch).empty());
    CHECK(p.field(Known::IfNoneMatch).data() != nullptr);
    CHECK(p.field(Known::IfModifiedSince).data() == nullptr);
  }
}

TEST_CASE("Expect: 100-continue counts only with content, in HTTP/1.1; others are 417") {
  const auto expects = [](std::string_view version, std::string_view fields) {
    return parse("POST / " + std::string(version) + "\r\nHost: a\r\n" + std::string(fields) +
                 "\r\n")
        .head.expects_continue;
  };
  CHECK(expects("HTTP/1.1", "Content-Length: 1\r\nExpect: 100-Continue\r\n"));
  CHECK(expects("HTTP/1.1", "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n"));
  CHECK(!expects("HTTP/1.1", "Expect: 100-continue\r\n"));
  CHECK(!expects("HTTP/1.0", "Content-Length: 1\r\nExpect: 100-continue\r\n"));
  CHECK(status_with("Expect: 200-ok\r\n") == 417);
}
