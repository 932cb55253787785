// What clients of a route of mode rfc9111 get, to the letter: a real server in front, and an
// upstream that the test plays.
#include "http_stack.h"

using namespace holdfast;
using namespace holdfast::proxy::test;
using Got = HttpStack::Got;
using Says = HttpStack::Says;

namespace {

const std::string kDate = "Wed, 31 Dec 2025 23:59:58 GMT";  // two seconds before the test's clock
const std::string kModified = "Mon, 01 Dec 2025 00:00:00 GMT";
const Says kTen{200,
                {{"Date", kDate},
                 {"Content-Type", "text/plain"},
                 {"ETag", "\"e\""},
                 {"Last-Modified", kModified},
                 {"Cache-Control", "max-age=60"},
                 {"X-Odd", "1"}},
                "0123456789"};

bool is_hit(const http::test::Answer& answer) {
  return answer.head.find("Cache-Status: holdfast; hit") != std::string::npos;
}

}  // namespace

TEST_CASE("a hit has the fields as they came, and each of ours once") {
  HttpStack stack;
  Says says = kTen;
  says.fields.push_back({"Via", "1.0 up"});
  says.fields.push_back({"Cache-Status", "up; hit"});
  says.fields.push_back({"X-Request-ID", "theirs"});
  says.fields.push_back({"Age", "5"});
  says.fields.push_back({"Content-Length", "10"});
  says.fields.push_back({"Connection", "X-Hop"});
  says.fields.push_back({"X-Hop", "1"});
  stack.says(says);
  const http::test::Answer first = stack.get("/a");
  CHECK(first.status == 200);
  CHECK(first.body == "0123456789");
  CHECK(first.field("Age") == "5");
  CHECK(first.head.find("Cache-Status: holdfast; fwd=uri-miss; fwd-status=200; stored; ttl=55") !=
        std::string::npos);
  stack.pass(10s);
  const http::test::Answer hit = stack.get("/a", "X-Request-ID: mine\r\n");
  CHECK(hit.status == 200);
  CHECK(hit.body == "0123456789");
  CHECK(hit.field("Age") == "15");
  CHECK(hit.field("Date") == kDate);
  CHECK(hit.field("Content-Type") == "text/plain");
  CHECK(hit.field("ETag") == "\"e\"");
  CHECK(hit.field("Cache-Control") == "max-age=60");
  CHECK(hit.field("X-Odd") == "1");
  CHECK(hit.field("X-Request-ID") == "mine");
  CHECK(hit.field("Content-Length") == "10");
  CHECK(hit.field("X-Hop") == "(none)");
  CHECK(hit.field("Connection") == "(none)");
  // Ours last: who is nearer to the client stands behind (RFC 9110, 7.6.3; RFC 9211, 2).
  CHECK(count_of(hit, "Via: ") == 2);
  CHECK(hit.head.find("Via: 1.0 up") < hit.head.find("Via: 1.1 holdfast\r\n"));
  CHECK(count_of(hit, "Cache-Status: ") == 2);
  CHECK(hit.head.find("Cache-Status: up; hit") <
        hit.head.find("Cache-Status: holdfast; hit; ttl=45\r\n"));
  CHECK(stack.got().size() == 1);
}

TEST_CASE("what an answer does not say, nobody says for it; but when it came") {
  HttpStack stack;
  stack.says({200, {{"Cache-Control", "max-age=60"}}, "x"});
  stack.get("/a");
  stack.pass(10s);
  const http::test::Answer hit = stack.get("/a");
  CHECK(is_hit(hit));
  for (const char* name : {"Content-Type", "ETag", "Last-Modified", "Vary", "Content-Encoding"}) {
    CHECK(hit.field(name) == "(none)");
  }
  CHECK(hit.field("Date") == "Thu, 01 Jan 2026 00:00:00 GMT");
  CHECK(hit.field("Cache-Control") == "max-age=60");
}

TEST_CASE("a client that has it already is told so, by a 304 without what is of the content") {
  HttpStack stack;
  stack.says(kTen);
  stack.get("/a");
  const std::string since = "If-Modified-Since: " + kModified + "\r\n";
  for (const std::string& fields :
       {std::string("If-None-Match: \"e\"\r\n"), std::string("If-None-Match: W/\"e\"\r\n"),
        std::string("If-None-Match: \"x\", W/\"e\"\r\n"), std::string("If-None-Match: *\r\n"),
        std::string("If-None-Match: \"x\"\r\nIf-None-Match: \"e\"\r\n"), since,
        "If-None-Match: \"e\"\r\nIf-Modified-Since: " + kDate + "\r\nRange: bytes=0-1\r\n"}) {
    CAPTURE(fields);
    for (const char* method : {"GET", "HEAD"}) {
      const http::test::Answer answer = stack.ask(method, "/a", fields);
      CHECK(answer.status == 304);
      CHECK(answer.body.empty());
      CHECK(answer.field("ETag") == "\"e\"");
      CHECK(answer.field("Date") == kDate);
      CHECK(answer.field("Cache-Control") == "max-age=60");
      CHECK(answer.field("Age") == "2");
      CHECK(answer.field("Via") == "1.1 holdfast");
      CHECK(is_hit(answer));
      CHECK(count_of(answer, "X-Request-ID: ") == 1);
      for (const char* name : {"Content-Type", "Content-Length", "X-Odd", "Last-Modified"}) {
        CHECK(answer.field(name) == "(none)");
      }
    }
  }
  for (const std::string& fields :
       {std::string("If-None-Match: \"x\"\r\n"), "If-None-Match: \"x\"\r\n" + since,
        std::string("If-Modified-Since: Sun, 30 Nov 2025 00:00:00 GMT\r\n"),
        std::string("If-Modified-Since: yesterday\r\n")}) {
    CAPTURE(fields);
    CHECK(stack.get("/a", fields).status == 200);
  }
  CHECK(stack.got().size() == 1);
  // Of what has to be fetched first, too: the upstream is asked for all of it.
  CHECK(stack.get("/b", "If-None-Match: \"e\"\r\n").status == 304);
  CHECK(stack.got().back().field("If-None-Match") == "(none)");
  CHECK(stack.get("/b").body == "0123456789");
  CHECK(stack.got().size() == 2);
}

TEST_CASE("ranges of what is stored are cut here") {
  HttpStack stack;
  stack.says(kTen);
  stack.get("/a");
  const auto ranged = [&](const std::string& range, const std::string& more = {}) {
    http::test::Answer answer = stack.get("/a", "Range: " + range + "\r\n" + more);
    CHECK(is_hit(answer));
    CHECK(count_of(answer, "Date: ") == 1);
    CHECK(answer.field("Content-Length") == std::to_string(answer.body.size()));
    return answer;
  };
  const auto is = [](const http::test::Answer& answer, const std::string& range,
                     const std::string& body) {
    CHECK(answer.status == 206);
    CHECK(answer.field("Content-Range") == "bytes " + range + "/10");
    CHECK(answer.body == body);
    CHECK(answer.field("Content-Type") == "text/plain");
    CHECK(answer.field("ETag") == "\"e\"");
  };
  is(ranged("bytes=2-4"), "2-4", "234");
  is(ranged("bytes=-3"), "7-9", "789");
  is(ranged("bytes=7-"), "7-9", "789");
  is(ranged("bytes=8-99"), "8-9", "89");
  is(ranged("bytes=0-1", "If-Range: \"e\"\r\n"), "0-1", "01");
  is(ranged("bytes=0-1", "If-Range: " + kModified + "\r\n"), "0-1", "01");

  const http::test::Answer several = ranged("bytes=0-0, 8-");
  CHECK(several.status == 206);
  CHECK(several.field("Content-Range") == "(none)");
  const std::string type = several.field("Content-Type");
  REQUIRE(type.starts_with("multipart/byteranges; boundary="));
  CHECK(several.body.find("Content-Range: bytes 0-0/10\r\n\r\n0\r\n") != std::string::npos);
  CHECK(several.body.find("Content-Range: bytes 8-9/10\r\n\r\n89\r\n") != std::string::npos);

  const http::test::Answer none = ranged("bytes=10-");
  CHECK(none.status == 416);
  CHECK(none.field("Content-Range") == "bytes */10");
  CHECK(none.field("Content-Type") == "(none)");
  for (const char* range : {"bytes=", "bytes=4-2", "lines=1-2"}) {
    CHECK(ranged(range).body == "0123456789");
  }
  for (const char* other : {"If-Range: \"x\"\r\n", "If-Range: W/\"e\"\r\n",
                            "If-Range: Tue, 02 Dec 2025 00:00:00 GMT\r\n"}) {
    const http::test::Answer whole = ranged("bytes=0-1", other);
    CHECK(whole.status == 200);
    CHECK(whole.body == "0123456789");
  }
  const http::test::Answer head = stack.ask("HEAD", "/a", "Range: bytes=2-4\r\n");
  CHECK(head.status == 200);
  CHECK(head.field("Content-Length") == "10");
  CHECK(stack.got().size() == 1);
}

TEST_CASE("a HEAD is answered by what a GET brought, or passed; it stores nothing") {
  HttpStack stack;
  stack.says(kTen);
  const http::test::Answer passed = stack.ask("HEAD", "/a");
  CHECK(passed.status == 200);
  CHECK(passed.head.find("fwd=uri-miss") != std::string::npos);
  CHECK(stack.got().back().method == "HEAD");
  stack.get("/a");
  CHECK(stack.got().back().method == "GET");
  const http::test::Answer hit = stack.ask("HEAD", "/a");
  CHECK(hit.status == 200);
  CHECK(is_hit(hit));
  CHECK(hit.field("Content-Length") == "10");
  CHECK(hit.field("Content-Type") == "text/plain");
  CHECK(stack.got().size() == 2);
}

TEST_CASE("what is for the origin to judge, or to be kept by nobody, is passed through") {
  HttpStack stack;
  stack.says(kTen);
  stack.get("/a");
  const std::pair<std::string, std::string> rows[] = {
      {"Cache-Control: no-store\r\n", "client-no-store"},
      {"If-Match: \"e\"\r\n", "precondition"},
      {"If-Unmodified-Since: Mon, 01 Dec 2025 00:00:00 GMT\r\n", "precondition"}};
  for (const auto& row : rows) {
    const std::string& fields = row.first;
    const std::string& word = row.second;
    CAPTURE(fields);
    for (const char* path : {"/a", "/b"}) {
      const http::test::Answer answer = stack.get(path, fields);
      CHECK(answer.body == "0123456789");
      CHECK(answer.field("Cache-Status") == "holdfast; fwd=bypass; fwd-status=200; detail=" + word);
      const Got got = stack.got().back();
      CHECK(got.passed);
      const std::string name = fields.substr(0, fields.find(':'));
      CHECK(got.field(name.c_str()) + "\r\n" == fields.substr(name.size() + 2));
    }
  }
  CHECK(stack.got().size() == 7);
  CHECK_FALSE(is_hit(stack.get("/b")));  // it is stored by now
  CHECK(is_hit(stack.get("/b")));
}

TEST_CASE("what a field's other spelling brought is for nobody else") {
  HttpStack stack;
  stack.says([](const Got& got) {
    Says says = kTen;
    says.fields.push_back({"Vary", "Accept-Language"});
    // As CGI reads it.
    if (got.field("Accept_Language") != "(none)") says.content = "zehn";
    if (got.field("If_None_Match") != "(none)") says = {304, {{"ETag", "\"e\""}}, {}};
    return says;
  });
  const http::test::Answer odd = stack.get("/a", "Accept_Language: de\r\n");
  CHECK(odd.body == "zehn");
  CHECK(odd.field("Cache-Status") == "holdfast; fwd=bypass; fwd-status=200; detail=ambiguous");
  CHECK(stack.get("/a", "If_None_Match: \"e\"\r\n").status == 304);
  CHECK(stack.get("/a").body == "0123456789");
  // What is stored answers it all the same.
  CHECK(is_hit(stack.get("/a", "Accept_Language: de\r\n")));
  // Nor is it refreshed by such a one.
  CHECK(stack.get("/a", "Accept_Language: de\r\nCache-Control: no-cache\r\n").body == "zehn");
  CHECK(stack.get("/a").body == "0123456789");
}

TEST_CASE("a Host that is in no key is not told upstream, where it would be in the answer") {
  HttpStack stack;
  stack.says(kTen);
  stack.get("/a", "X-Forwarded-Host: evil\r\n");
  stack.ask("HEAD", "/b");
  for (const Got& got : stack.got()) {
    CAPTURE(got.method);
    CHECK(got.field("X-Forwarded-Host") == "(none)");
    CHECK(got.field("Forwarded").find("host") == std::string::npos);
  }
}

TEST_CASE("only-if-cached never reaches the upstream") {
  HttpStack stack;
  stack.says(kTen);
  const std::string only = "Cache-Control: only-if-cached\r\n";
  const http::test::Answer none = stack.get("/a", only);
  CHECK(none.status == 504);
  CHECK(none.field("Content-Type") == "application/problem+json");
  CHECK(stack.got().empty());
  stack.get("/a");
  CHECK(stack.get("/a", only).body == "0123456789");
  CHECK(stack.get("/a", "Cache-Control: only-if-cached, no-store\r\n").status == 200);
  CHECK(stack.get("/a", "Cache-Control: only-if-cached, max-age=1\r\n").status == 504);
  CHECK(stack.ask("HEAD", "/b", only).status == 504);
  CHECK(stack.get("/b", only + "Range: bytes=0-1\r\n").status == 504);
  CHECK(stack.got().size() == 1);
}

TEST_CASE("a client's no-cache is one to the upstream, by either field") {
  HttpStack stack;
  stack.says(kTen);
  stack.get("/a");
  stack.says([](const Got& got) {
    return got.field("If-None-Match") == "\"e\"" ? Says{304, {{"ETag", "\"e\""}}, {}} : kTen;
  });
  for (const char* fields : {"Cache-Control: no-cache\r\n", "Pragma: no-cache\r\n"}) {
    const http::test::Answer answer = stack.get("/a", fields);
    CHECK(answer.body == "0123456789");
    CHECK(answer.field("Cache-Status") ==
          "holdfast; fwd=request; fwd-status=304; stored; ttl=60; detail=client-no-cache");
  }
  // By what else it may say of a fresh one.
  stack.pass(2s);
  CHECK(stack.get("/a", "Cache-Control: max-age=1\r\n")
            .field("Cache-Status")
            .ends_with("; fwd=request; fwd-status=304; stored; ttl=60; detail=client-max-age"));
  CHECK(stack.get("/a", "Cache-Control: min-fresh=61\r\n")
            .field("Cache-Status")
            .ends_with("; fwd=request; fwd-status=304; stored; ttl=60; detail=client-min-fresh"));
  CHECK(is_hit(stack.get("/a", "Cache-Control: max-age=9\r\nPragma: no-cache\r\n")));
  CHECK(stack.got().size() == 5);
}

TEST_CASE("a stale one is refreshed behind by the fields of who got it") {
  HttpStack stack;
  stack.says([](const Got& got) {
    return Says{200,
                {{"Vary", "Foo"}, {"Cache-Control", "max-age=10, stale-while-revalidate=60"}},
                "for " + got.field("Foo")};
  });
  stack.get("/a", "Foo: 1\r\n");
  stack.get("/a", "Foo: 2\r\n");
  stack.pass(15s);
  const http::test::Answer stale = stack.get("/a", "foo: 2\r\nIf-None-Match: \"x\"\r\n");
  CHECK(stale.body == "for 2");
  CHECK(stale.field("Age") == "15");
  CHECK(stale.field("Cache-Status") == "holdfast; hit; ttl=-5; detail=stale-while-revalidate");
  REQUIRE(stack.eventually([&] { return stack.got().size() == 3; }));
  CHECK(stack.got().back().field("Foo") == "2");
  CHECK(stack.got().back().field("If-None-Match") == "(none)");
  stack.turns();
  CHECK(stack.get("/a", "Foo: 2\r\n").field("Age") == "0");
  CHECK(stack.get("/a", "Foo: 1\r\n").field("Age") == "15");
}

TEST_CASE("what is too large to keep is passed through, at once the next time") {
  HttpStack stack;
  stack.says({200, {{"Cache-Control", "max-age=60"}}, std::string(HttpStack::kMostBytes + 1, 'x')});
  for (int i = 0; i < 2; ++i) {
    const http::test::Answer answer = stack.get("/a");
    CHECK(answer.status == 200);
    CHECK(answer.body.size() == HttpStack::kMostBytes + 1);
    CHECK(answer.field("Cache-Status") == "holdfast; fwd=bypass; fwd-status=200; detail=too-large");
  }
  const std::vector<Got> got = stack.got();
  REQUIRE(got.size() == 3);
  CHECK_FALSE(got[0].passed);
  CHECK(got[1].passed);
  CHECK(got[2].passed);
  stack.says({200, {{"Cache-Control", "max-age=60"}}, std::string(HttpStack::kMostBytes, 'x')});
  stack.get("/b");
  CHECK(is_hit(stack.get("/b")));
}

TEST_CASE("answers without content are framed as such, and stored like others") {
  HttpStack stack;
  stack.says([](const Got& got) {
    const int status = got.target == "/204" ? 204 : 200;
    return Says{status, {{"Cache-Control", "max-age=60"}, {"ETag", "\"e\""}}, {}};
  });
  http::test::Client one = stack.client();
  for (int round = 0; round < 2; ++round) {
    // One connection: whatever follows an answer is another one's.
    const http::test::Answer none = one.ask(http::test::get("/204"));
    CHECK(none.status == 204);
    CHECK(none.field("Content-Length") == "(none)");
    CHECK(none.field("Transfer-Encoding") == "(none)");
    CHECK(is_hit(none) == (round == 1));
    const http::test::Answer empty = one.ask(http::test::get("/200"));
    CHECK(empty.status == 200);
    CHECK(empty.field("Content-Length") == "0");
    const http::test::Answer unchanged =
        one.ask(http::test::get("/200", "If-None-Match: \"e\"\r\n"));
    CHECK(unchanged.status == 304);
    CHECK(unchanged.field("Content-Length") == "(none)");
    CHECK(unchanged.field("Transfer-Encoding") == "(none)");
  }
  CHECK(one.ask(http::test::get("/200", "Range: bytes=0-0\r\n")).status == 416);
  CHECK(stack.got().size() == 2);
}

TEST_CASE("what comes from a source of our own has a Date like all else") {
  HttpStack stack;
  stack.says({503, {}, "down"});
  const http::test::Answer answer = stack.get("/offline");
  CHECK(answer.status == 200);
  CHECK(answer.body == "[1]");
  CHECK(answer.field("Date") == "Thu, 01 Jan 2026 00:00:00 GMT");
  CHECK(answer.field("Cache-Status").ends_with("detail=offline"));
}

TEST_CASE("an error of the upstream's is its client's to read, and a stored answer comes first") {
  HttpStack stack;
  stack.says({503, {{"X-Why", "busy"}}, "come back later"});
  const http::test::Answer error = stack.get("/a");
  CHECK(error.status == 503);
  CHECK(error.body == "come back later");
  CHECK(error.field("X-Why") == "busy");
  stack.says(kTen);
  stack.get("/b");
  stack.says({503, {}, "come back later"});
  stack.pass(100s);
  const http::test::Answer stale = stack.get("/b");
  CHECK(stale.status == 200);
  CHECK(stale.body == "0123456789");
  CHECK(stale.field("Age") == "102");
  CHECK(stale.field("Cache-Status").ends_with("detail=stale-if-error"));
}

TEST_CASE("the log says by which word nothing is kept, or what is stored does not do") {
  HttpStack stack;
  // The detail of the one line that this adds.
  auto logged_of = [&stack, seen = std::size_t{0}](const http::test::Answer& answer) mutable {
    const std::string all = stack.logged();
    const std::string line = all.substr(seen);
    seen = all.size();
    const std::string key = "\"detail\":\"";
    const std::size_t at = line.find(key);
    REQUIRE(at != std::string::npos);
    CHECK(line.find(key, at + 1) == std::string::npos);
    const std::size_t start = at + key.size();
    const std::string word = line.substr(start, line.find('"', start) - start);
    // No other word than the client is told.
    const std::string status = answer.field("Cache-Status");
    CHECK((word.empty() ? status.find("detail") == std::string::npos
                        : status.ends_with("; detail=" + word)));
    return word;
  };
  stack.says({200, {{"Cache-Control", "private"}}, "mine"});
  CHECK(logged_of(stack.get("/private")) == "private");
  CHECK(logged_of(stack.get("/through", "Cache-Control: no-store\r\n")) == "client-no-store");
  stack.says(kTen);
  CHECK(logged_of(stack.get("/a")).empty());
  CHECK(logged_of(stack.get("/a", "Cache-Control: no-cache\r\n")) == "client-no-cache");
  CHECK(logged_of(stack.ask("POST", "/a")).empty());
  stack.says({200, {}, std::string(HttpStack::kMostBytes + 1, 'x')});
  CHECK(logged_of(stack.get("/large")) == "too-large");
}
