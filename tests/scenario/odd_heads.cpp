// Heads and paths as in what is publicly known of request smuggling and web cache poisoning, sent
// to the real daemon before a route that takes every path. Each one is refused before anything
// goes upstream, or the upstream sees exactly what the answer is kept for: who asks for what the
// upstream saw, in plain words, gets that stored answer.
#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "raw_client.h"
#include "raw_server.h"
#include "stage.h"

using namespace holdfast::scenario;
using holdfast::upstream::test::RawServer;

namespace {

// What must not come out at the other side, wherever it was put.
constexpr std::string_view kMark = "smuggled";

// Says which target it was asked for.
bool echo(const RawServer::Peer& peer) {
  const std::string& head = peer.head();
  const auto from = head.find(' ') + 1;
  std::string target = head.substr(from, head.find(' ', from) - from);
  std::replace(target.begin(), target.end(), '"', '\'');
  const std::string body = "{\"target\":\"" + target + "\"}";
  peer.send("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " +
            std::to_string(body.size()) + "\r\n\r\n" + body);
  return true;
}

enum class Fate { Refused, Either };

struct Attack {
  std::string bytes;
  Fate fate = Fate::Either;
};

// {NUL} stands for what a string literal would end at.
std::string with_nul(std::string text) {
  constexpr std::string_view kName = "{NUL}";
  for (auto at = text.find(kName); at != std::string::npos; at = text.find(kName)) {
    text.replace(at, kName.size(), 1, '\0');
  }
  return text;
}

std::string with_fields(const std::string& fields, const std::string& behind = "") {
  static int number = 0;
  return "GET /field/" + std::to_string(++number) + " HTTP/1.1\r\nHost: a.example\r\n" + fields +
         "\r\n" + behind;
}

// A second request hidden in the content of one that is framed in two ways.
const std::string kHidden = "GET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n";

std::vector<Attack> framings() {
  std::vector<Attack> all;
  // RFC 9112, 6.1 and 6.3: both framings, codings nobody knows, and lengths that are none.
  for (const std::string coding : {"chunked", "Chunked", "chunked, identity", "identity, chunked",
                                   "gzip, chunked", "chunked, chunked", "xchunked", "\"chunked\"",
                                   "chunked;q=1", "identity", "\tchunked", "chunked\t",
                                   "\x0b"
                                   "chunked",
                                   "chunked\x0b", ",chunked", "chunked,", "chunked{NUL}x"}) {
    all.push_back({with_fields("Content-Length: 4\r\nTransfer-Encoding: " + coding + "\r\n",
                               "0\r\n\r\n" + kHidden),
                   Fate::Refused});
  }
  for (const std::string field :
       {"Transfer-Encoding : chunked", "Transfer-Encoding\t: chunked",
        " Transfer-Encoding: chunked", "\tTransfer-Encoding: chunked",
        "Transfer-Encoding:\n chunked", "Transfer-Encoding:\r\n chunked",
        "Transfer-Encoding;: chunked", "X: y\rTransfer-Encoding: chunked",
        "X: y\nTransfer-Encoding: chunked", "Transfer-Encoding{NUL}: chunked",
        "\x0bTransfer-Encoding: chunked", "Transfer-Encoding", "Transfer-Encoding chunked",
        "Transfer-\rEncoding: chunked"}) {
    all.push_back({with_fields("Content-Length: 4\r\n" + field + "\r\n", "0\r\n\r\n" + kHidden)});
  }
  all.push_back({with_fields("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
                             "0\r\n\r\n" + kHidden),
                 Fate::Refused});
  all.push_back({with_fields("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
                             "0\r\n\r\n" + kHidden),
                 Fate::Refused});
  for (const std::string length :
       {"+4", "-4", "0x4", "4 4", "4, 5", "4;", "4.0", "\"4\"", "4a", "", "99999999999999999999",
        "18446744073709551620", "4\x0b", "٤", "4_0", "1e1", "0x", "- 0", "4,"}) {
    all.push_back(
        {with_fields("Content-Length: " + length + "\r\n", "abcd" + kHidden), Fate::Refused});
  }
  all.push_back(
      {with_fields("Content-Length: 4\r\nContent-Length: 0\r\n", "abcd" + kHidden), Fate::Refused});
  all.push_back(
      {with_fields("Content-Length: 0\r\nContent-Length: 4\r\n", "abcd" + kHidden), Fate::Refused});
  all.push_back({with_fields("Content-Length: 0, 4\r\n", "abcd" + kHidden), Fate::Refused});
  // Fields of no meaning, but where a server makes variables of their names.
  all.push_back({with_fields("Content_Length: 4\r\n")});
  all.push_back({with_fields("Content-Length: 4\r\nTransfer_Encoding: chunked\r\n", "abcd")});
  all.push_back({with_fields("content-length : 4\r\n", "abcd"), Fate::Refused});
  // A length before which the hidden request lies.
  all.push_back(
      {with_fields("Content-Length: " + std::to_string(kHidden.size()) + "\r\n", kHidden)});
  // Chunks that are read in two ways (RFC 9112, 7.1).
  for (const std::string chunks :
       {"0 \r\n\r\n", "0x0\r\n\r\n", "-0\r\n\r\n", "+0\r\n\r\n", "4\nabcd\r\n0\r\n\r\n",
        "4\r\nabcd0\r\n\r\n", "4\rabcd\r\n0\r\n\r\n", "5\r\nabcd\r\n0\r\n\r\n",
        "3\r\nabcd\r\n0\r\n\r\n", "ffffffffffffffff4\r\nabcd\r\n0\r\n\r\n", "\r\n0\r\n\r\n",
        "4;a=\nx\r\nabcd\r\n0\r\n\r\n", "g\r\nabcd\r\n0\r\n\r\n", "10000000000000000\r\n",
        "4\r\r\nabcd\r\n0\r\n\r\n", ";\r\n\r\n"}) {
    all.push_back({with_fields("Transfer-Encoding: chunked\r\n", chunks + kHidden), Fate::Refused});
  }
  // Trailers are nobody's fields.
  all.push_back({with_fields("Transfer-Encoding: chunked\r\n",
                             "0\r\nHost: smuggled.example\r\nContent-Length: 9\r\n\r\n")});
  all.push_back({"GET /http10/1 HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + kHidden,
                 Fate::Refused});
  all.push_back(
      {"GET /http10/2 HTTP/1.0\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
       "0\r\n\r\n" +
           kHidden,
       Fate::Refused});
  return all;
}

std::vector<Attack> lines() {
  std::vector<Attack> all;
  const std::string host = "\r\nHost: a.example\r\n\r\n";
  for (const std::string line : {"GET  /line/1 HTTP/1.1",
                                 "GET /line/2  HTTP/1.1",
                                 "GET\t/line/3 HTTP/1.1",
                                 "GET /line/4\tHTTP/1.1",
                                 " GET /line/5 HTTP/1.1",
                                 "GET /line/6 HTTP/1.1 ",
                                 "GET /line/7 HTTP/1.1\t",
                                 "GET /line/8",
                                 "GET /line/9 HTTP/2.0",
                                 "GET /line/10 HTTP/1.2",
                                 "GET /line/11 HTTP/0.9",
                                 "GET /line/12 HTTP/01.1",
                                 "GET /line/13 http/1.1",
                                 "GET /line/14 HTTP/1.1.1",
                                 "GET /line/15 HTTP/1,1",
                                 "GET /line/16 HTTP /1.1",
                                 "GET /line/17 X HTTP/1.1",
                                 "GE T /line/18 HTTP/1.1",
                                 "GET /line/19 HTTPS/1.1",
                                 "G{NUL}T /line/20 HTTP/1.1",
                                 "GET /line/21{NUL} HTTP/1.1",
                                 "GET line/22 HTTP/1.1",
                                 "GET ?line=23 HTTP/1.1",
                                 "GET #line-24 HTTP/1.1",
                                 "GET /line/25\rX HTTP/1.1",
                                 "GET /line/26 HTTP/1.1\rX: y",
                                 "GET \\line\\27 HTTP/1.1",
                                 "GET @smuggled.example/28 HTTP/1.1",
                                 "GET :80/line/29 HTTP/1.1",
                                 "get /line/30 HTTP/1.1",
                                 "GET\x0b/line/31 HTTP/1.1",
                                 "{GET} /line/32 HTTP/1.1",
                                 "GET,POST /line/33 HTTP/1.1",
                                 "PRI * HTTP/2.0",
                                 "CONNECT smuggled.example:443 HTTP/1.1",
                                 "TRACE /line/36 HTTP/1.1"}) {
    all.push_back({line + host, Fate::Refused});
  }
  // Absolute form names a host of its own (RFC 9112, 3.2.2).
  for (const std::string target : {"http://smuggled.example",
                                   "http://smuggled.example/abs/2",
                                   "http://user@smuggled.example/abs/3",
                                   "http:///abs/4",
                                   "http:/abs/5",
                                   "http:abs/6",
                                   "HTTP://a.example/abs/7",
                                   "https://smuggled.example/abs/8",
                                   "ftp://smuggled.example/abs/9",
                                   "http://a.example:99999/abs/10",
                                   "http://a.example:x/abs/11",
                                   "http://[::1/abs/12",
                                   "//b.example/abs/13",
                                   "///abs/14",
                                   "http://a.example\\@b.example/abs/15",
                                   "http://a.example?abs=16",
                                   "http://a.example#abs-17",
                                   "file:///etc/passwd",
                                   "http://a.example/abs/19#x",
                                   "gopher://a.example/_smuggled"}) {
    all.push_back({"GET " + target + " HTTP/1.1" + host});
  }
  for (const std::string lines :
       {"", "Host: a.example\r\nHost: smuggled.example\r\n", "Host : a.example\r\n",
        " Host: a.example\r\n", "Host: a.example, smuggled.example\r\n",
        "Host: a.example smuggled.example\r\n", "Host: a.example/smuggled\r\n",
        "Host: user@a.example\r\n", "Host: a.example:port\r\n",

        "Host: a.example{NUL}smuggled\r\n", "Host: [::1\r\n", "Host: a.example?smuggled\r\n",
        "Host: a.example#smuggled\r\n", "Host: a.example\\smuggled\r\n", "Host: a.exa\tmple\r\n",
        "Host: a.example:80:80\r\n", "Host: <smuggled>\r\n", "Host: a.example\r\n smuggled\r\n",
        "Host:\x0b"
        "a.example\r\n"}) {
    all.push_back({"GET /host/" + std::to_string(all.size()) + " HTTP/1.1\r\n" + lines + "\r\n",
                   Fate::Refused});
  }
  // A number that is no port is digits all the same.
  all.push_back({"GET /host/port HTTP/1.1\r\nHost: a.example:99999\r\n\r\n"});
  // Ends of lines and of heads.
  for (const std::string& request : std::vector<std::string>{
           "GET /end/1 HTTP/1.1\nHost: a.example\n\n",
           "GET /end/2 HTTP/1.1\r\nHost: a.example\n\r\n",
           "GET /end/3 HTTP/1.1\r\nHost: a.example\r\n\n" + kHidden,
           "GET /end/4 HTTP/1.1\r\nHost: a.example\r\r\n\r\n",
           "\rGET /end/5 HTTP/1.1\r\nHost: a.example\r\n\r\n",
           "\nGET /end/6 HTTP/1.1\r\nHost: a.example\r\n\r\n",
           "GET /end/7 HTTP/1.1\r\nHost: a.example\r\nX: y\r\n smuggled: z\r\n\r\n",
           "GET /end/8 HTTP/1.1\r\nHost: a.example\r\n: smuggled\r\n\r\n",
           "GET /end/9 HTTP/1.1\r\nHost: a.example\r\nX\r\n\r\n",
           "GET /end/10 HTTP/1.1\r\nHost: a.example\r\nX y: smuggled\r\n\r\n",
           "GET /end/11 HTTP/1.1\r\nHost: a.example\r\nX: a\x01b\r\n\r\n",
           "GET /end/12 HTTP/1.1\r\nHost: a.example\r\nX(y): smuggled\r\n\r\n",
           "GET /end/13 HTTP/1.1\r\nHost: a.example\r\n\xc3\xa9: smuggled\r\n\r\n"}) {
    all.push_back({request});
  }
  return all;
}

// Fields that others believe, and that end up in what is kept for all.
std::vector<Attack> poisons() {
  std::vector<Attack> all;
  for (const std::string field : {"X-Forwarded-Host: smuggled.example",
                                  "X-Forwarded-Scheme: smuggled",
                                  "X-Forwarded-Proto: smuggled",
                                  "X-Forwarded-For: smuggled",
                                  "X-Forwarded-Port: 1; smuggled",
                                  "X-Forwarded-Prefix: /smuggled",
                                  "X-Forwarded-Server: smuggled",
                                  "X-Forwarded-Path: /smuggled",
                                  "Forwarded: host=smuggled",
                                  "X-Host: smuggled",
                                  "X-HTTP-Host-Override: smuggled",
                                  "X-Original-URL: /smuggled",
                                  "X-Rewrite-URL: /smuggled",
                                  "X-Original-Host: smuggled",
                                  "X-HTTP-Method-Override: smuggled",
                                  "X-HTTP-Method: smuggled",
                                  "X-Method-Override: smuggled",
                                  "X-Real-IP: smuggled",
                                  "X-Client-IP: smuggled",
                                  "True-Client-IP: smuggled",
                                  "CF-Connecting-IP: smuggled",
                                  "Via: 1.1 smuggled",
                                  "Max-Forwards: 0",
                                  "Range: bytes=smuggled",
                                  "Range: bytes=0-0",
                                  "If-Range: \"smuggled\"",
                                  "Authorization: Bearer smuggled",
                                  "Cookie: a=smuggled",
                                  "Proxy: http://smuggled.example",
                                  "Proxy-Authorization: smuggled",
                                  "Expect: smuggled",
                                  "Connection: Host, smuggled",
                                  "Connection: close, Authorization",
                                  "Keep-Alive: smuggled",
                                  "Upgrade: smuggled",
                                  "Connection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: smuggled",
                                  "TE: trailers, smuggled",
                                  "Trailer: smuggled",
                                  "Accept: smuggled/smuggled",
                                  "Accept-Encoding: smuggled",
                                  "Accept-Language: smuggled",
                                  "User-Agent: smuggled",
                                  "Referer: http://smuggled.example/",
                                  "Origin: http://smuggled.example",
                                  "X-Request-Id: smu ggled",
                                  "traceparent: 00-smuggled",
                                  "tracestate: smuggled",
                                  "Fastly-Client-IP: smuggled",
                                  "Cache-Control: smuggled",
                                  "Pragma: smuggled",
                                  "X-Timer: smuggled",
                                  "Surrogate-Key: smuggled",
                                  "Surrogate-Capability: smuggled",
                                  "X-WAP-Profile: http://smuggled.example",
                                  "Content-Type: smuggled",
                                  "Content-Encoding: smuggled",
                                  "Destination: smuggled",
                                  "X-Accel-Redirect: /smuggled",
                                  "X-Cache-Key: smuggled",
                                  "Front-End-Https: smuggled",
                                  "Translate: f"}) {
    all.push_back({with_fields(field + "\r\n")});
  }
  // More, and larger ones, than a head may have.
  std::string many;
  for (int i = 0; i < 200; ++i) many += "X-" + std::to_string(i) + ": smuggled\r\n";
  all.push_back({with_fields(many), Fate::Refused});
  all.push_back({with_fields("X-Large: " + std::string(20'000, 's') + "\r\n"), Fate::Refused});
  return all;
}

std::vector<Attack> paths() {
  std::vector<Attack> all;
  const auto add = [&all](const std::string& target, Fate fate = Fate::Either) {
    all.push_back({"GET " + target + " HTTP/1.1\r\nHost: a.example\r\n\r\n", fate});
  };
  for (const char* refused : {"/path/../smuggled",
                              "/path/./x",
                              "/path/%2e%2e/smuggled",
                              "/path/.%2e/smuggled",
                              "/path/%2e./smuggled",
                              "/path/..%2fsmuggled",
                              "/path/..%5csmuggled",
                              "/path/..\\smuggled",
                              "/path\\x",
                              "/path/%00",
                              "/path/x%00.json",
                              "/path/%0d%0aX: smuggled",
                              "/path/%0a",
                              "/path/%7f",
                              "/path/%",
                              "/path/%2",
                              "/path/%zz",
                              "/path/%u002e",
                              "/path/..;/smuggled",
                              "/path/..;x=1/y",
                              "/path/%2e%2e;/smuggled",
                              "/path/.",
                              "/path/..",
                              "/..",
                              "/.",
                              "/path/x/%2E%2e",
                              "/path/a#b",
                              "/path/\x01",
                              "/path/\x7f",
                              "/path/%09",
                              "/path/%1f"}) {
    add(refused, Fate::Refused);
  }
  for (const char* either : {"/path//x",
                             "//path/x",
                             "/path/x//",
                             "/path/%2f",
                             "/path/%2F%2f",
                             "/path/%5c",
                             "/path/%252e%252e/x",
                             "/path/%25%32%65",
                             "/path/...",
                             "/path/a;.."
                             "",
                             "/path/a%20b",
                             "/path/a+b",
                             "/path/a%2Bb",
                             "/path/%41%62",
                             "/path/~%7E",
                             "/path/%C3%A9",
                             "/path/\xc3\xa9",
                             "/path/%ff",
                             "/path/\xff",
                             "/path/%c0%ae%c0%ae/x",
                             "/path/%e2%88%95",
                             "/path/x;jsessionid=1",
                             "/path/x.css;y",
                             "/path/x%3Fa=b",
                             "/path/x%23y",
                             "/path/x%26y",
                             "/path/<x>",
                             "/path/%3cx%3e",
                             "/path/{x}",
                             "/path/a|b",
                             "/path/^",
                             "/path/`",
                             "/path/\"",
                             "/path/'",
                             "/path/a:b",
                             "/path/@",
                             "/path/a=b",
                             "/path/a&b",
                             "/path/a,b",
                             "/path/a!b",
                             "/path/a*b",
                             "/path/(a)",
                             "/path/$a",
                             "/path/a%0",
                             "/path/x/",
                             "/path/X",
                             "/path/x?",
                             "/path/x?a",
                             "/path/x?a=1&a=2",
                             "/path/x?a=1;b=2",
                             "/path/x?&",
                             "/path/x?a=%00",
                             "/path/x?a=%0d%0aX:%20smuggle",
                             "/path/x?a=b#c",
                             "/path/x?a=\\",
                             "/path/x??",
                             "/path/x?a[]=1",
                             "/path/x?a%5B%5D=1",
                             "/path/x?%61=1",
                             "/path/x?a=/../y",
                             "/path/x?a=%2e%2e",
                             "/path/x?utm_content=1",
                             "/path/x?_=1",
                             "/path/x?a=\xff",
                             "/path/x?a=%u0061",
                             "/path/x?a=%",
                             "/path/x?callback=<x>"}) {
    add(either);
  }
  return all;
}

// Every answer there is, until the daemon has nothing more to say.
std::vector<RawClient::Answer> answers(std::uint16_t port, const std::string& bytes) {
  RawClient client(port);
  client.send(bytes);
  client.half_close();
  std::vector<RawClient::Answer> all;
  for (RawClient::Answer one = client.read(); one.status != 0; one = client.read()) {
    all.push_back(std::move(one));
  }
  return all;
}

}  // namespace

TEST_CASE("an odd head is refused, or seen by the upstream exactly as it is kept") {
  const Folder folder;
  RawServer upstream(echo);
  Daemon daemon = routed(folder,
                         "[upstream.any]\nurls = [\"" + upstream.url() +
                             "\"]\n[[route]]\nname = \"any\"\nmatch = \"/{all:rest}\"\n"
                             "upstream = \"any\"\n",
                         one_attempt());
  std::size_t tried = 0, refused = 0, seen = 0;
  for (const auto& attacks : {framings(), lines(), poisons(), paths()}) {
    for (const Attack& attack : attacks) {
      CAPTURE(attack.bytes);
      ++tried;
      const std::size_t before = upstream.heads().size();
      const auto said = answers(daemon.port(), with_nul(attack.bytes));
      auto heads = upstream.heads();
      heads.erase(heads.begin(), heads.begin() + static_cast<std::ptrdiff_t>(before));
      const auto good = std::count_if(said.begin(), said.end(),
                                      [](const auto& answer) { return answer.status == 200; });
      // One head, one answer at most; what was hidden in it is no request of its own.
      CHECK(said.size() <= 1);
      CHECK(heads.size() <= static_cast<std::size_t>(good));
      for (const std::string& head : heads) {
        CHECK(head.find(kMark) == std::string::npos);
        CHECK(head.find("Content-Length") == std::string::npos);
        CHECK(head.find("Transfer-Encoding") == std::string::npos);
        CHECK(head.find("\r\nHost: 127.0.0.1:") != std::string::npos);
      }
      if (good == 0) {
        for (const auto& answer : said) {
          CHECK(answer.status >= 400);
          CHECK(answer.head.find("application/problem+json") != std::string::npos);
        }
        ++refused;
        continue;
      }
      CHECK(attack.fate == Fate::Either);
      ++seen;
      // Asked for plainly, what the upstream saw is what is kept: nobody asks it again.
      const std::string& body = said.front().body;
      REQUIRE(body.starts_with("{\"target\":\""));
      const std::string target = body.substr(11, body.size() - 13);
      const std::size_t asked = upstream.heads().size();
      const auto plain = answers(daemon.port(), get_request(target));
      REQUIRE(plain.size() == 1);
      CHECK(plain.front().status == 200);
      CHECK(plain.front().body == body);
      CHECK(upstream.heads().size() == asked);
    }
  }
  CHECK(tried > 200);
  CHECK(refused > 100);
  CHECK(seen > 50);
  CHECK(daemon.stop() == 0);
}
