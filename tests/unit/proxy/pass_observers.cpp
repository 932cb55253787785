// What passing a request through does to what is stored, from a client's side.
#include "http_stack.h"

using namespace holdfast;
using namespace holdfast::proxy::test;
using Got = HttpStack::Got;
using Says = HttpStack::Says;

namespace {

const upstream::Fields kMinute{{"Cache-Control", "max-age=60"}};
upstream::Fields minute(upstream::Fields more) {
  more.push_back(kMinute.front());
  return more;
}

struct Site : HttpStack {
  // Each path's GET is answered with its own name and Foo, by a lifetime; other methods with what
  // is given here.
  explicit Site(Says other = {}) { replies(std::move(other)); }
  void replies(const Says& other) {
    says([other](const Got& got) {
      const bool reads = got.method == "GET" || got.method == "HEAD";
      if (!reads) return other;
      return Says{200, minute({{"Vary", "Foo"}}), got.target + got.field("Foo")};
    });
  }
  void have(const std::string& path) {
    get(path);
    get(path, "Foo: 1\r\n");
  }
  // Of both variants: 0 to 2.
  int stored(const std::string& path) {
    int count = 0;
    for (const char* foo : {"", "Foo: 1\r\n"}) {
      const std::string only = "Cache-Control: only-if-cached\r\n";
      const http::test::Answer answer = get(path, foo + only);
      if (answer.status == 200) ++count;
    }
    return count;
  }
};

// Bytes of "0123456789" by Range, as a server that knows ranges answers.
Says ranged(const Got& got, const std::string& etag) {
  const std::string content = "0123456789";
  const std::string range = got.field("Range");
  const std::string if_range = got.field("If-Range");
  if (range == "(none)" || (if_range != "(none)" && if_range != etag)) {
    return {200, minute({{"ETag", etag}}), content};
  }
  const std::size_t first = std::stoul(range.substr(6));
  const std::string to = range.substr(range.find('-') + 1);
  const std::size_t last = to.empty() ? 9 : std::stoul(to);
  return {206,
          minute({{"ETag", etag},
                  {"Content-Range",
                   "bytes " + std::to_string(first) + "-" + std::to_string(last) + "/10"}}),
          content.substr(first, last - first + 1)};
}

}  // namespace

TEST_CASE("a POST takes away what is stored of its target and of what it names, all variants") {
  Site site({201, {{"Location", "/made"}, {"Content-Location", "http://a/also?x=1"}}, "ok"});
  for (const char* path : {"/a", "/made", "/also?x=1", "/also", "/other"}) site.have(path);
  CHECK(site.ask("POST", "/a", {}, "change").status == 201);
  CHECK(site.got().back().content == "change");
  for (const char* path : {"/a", "/made", "/also?x=1"}) {
    CAPTURE(path);
    CHECK(site.stored(path) == 0);
  }
  CHECK(site.stored("/also") == 2);
  CHECK(site.stored("/other") == 2);
}

TEST_CASE("other methods do so too, safe ones and errors do not, nor what names another origin") {
  Site site({204, {{"Location", "http://elsewhere/other"}}, {}});
  for (const char* path : {"/a", "/b", "/c", "/other"}) site.have(path);
  for (const int status : {400, 404, 500}) {
    site.replies({status, {{"Location", "/b"}}, "no"});
    CHECK(site.ask("POST", "/a").status == status);
  }
  site.replies({200, {{"Location", "/b"}}, "looked"});
  for (const char* method : {"OPTIONS", "PROPFIND"}) site.ask(method, "/a");
  CHECK(site.stored("/a") == 2);
  CHECK(site.stored("/b") == 2);
  site.replies(
      {204, {{"Location", "http://elsewhere/other"}, {"Content-Location", "//a:81/b"}}, {}});
  CHECK(site.ask("DELETE", "/a").status == 204);
  CHECK(site.ask("PUT", "/c", "Content-Length: 0\r\n").status == 204);
  CHECK(site.stored("/a") == 0);
  CHECK(site.stored("/b") == 2);
  CHECK(site.stored("/c") == 0);
  CHECK(site.stored("/other") == 2);
}

TEST_CASE(
    "a POST that says its answer is the target's own, and for how long, answers the next GET") {
  const Says itself{200, minute({{"Content-Location", "/a"}, {"X-Made", "1"}}), "posted"};
  const auto next = [](Site& site) { return site.get("/a", "Cache-Control: only-if-cached\r\n"); };
  {
    Site site(itself);
    site.have("/a");
    CHECK(site.ask("POST", "/a").body == "posted");
    const http::test::Answer answer = next(site);
    CHECK(answer.status == 200);
    CHECK(answer.body == "posted");
    CHECK(answer.field("X-Made") == "1");
  }
  for (const char* fields : {"Authorization: me\r\n", "Cache-Control: no-store\r\n"}) {
    CAPTURE(fields);
    Site site(itself);
    CHECK(site.ask("POST", "/a", fields).body == "posted");
    CHECK(next(site).status == 504);
  }
  for (const Says& other :
       {Says{201, itself.fields, "posted"}, Says{200, {{"Content-Location", "/a"}}, "posted"},
        Says{200, minute({{"Content-Location", "/b"}}), "posted"}, Says{200, kMinute, "posted"},
        Says{200, itself.fields, std::string(HttpStack::kMostBytes + 1, 'x')}}) {
    Site site(other);
    CHECK(site.ask("POST", "/a").status == other.status);
    CHECK(next(site).status == 504);
  }
  // A PUT's answer is no representation to a GET (RFC 9110, 9.3.4).
  Site site(itself);
  CHECK(site.ask("PUT", "/a", "Content-Length: 0\r\n").body == "posted");
  CHECK(next(site).status == 504);
}

TEST_CASE("a purge while something is passed through keeps what comes of it out") {
  for (const std::string method : {"POST", "GET"}) {
    for (const std::string purged : {"all/a", "all/b"}) {
      CAPTURE(method);
      CAPTURE(purged);
      HttpStack stack;
      stack.says([&](const Got& got) {
        return got.method == "POST" ? Says{200, minute({{"Content-Location", "/a"}}), "0123456789"}
                                    : ranged(got, "\"e\"");
      });
      stack.hold();
      http::test::Client one = stack.client();
      one.send(method + " /a HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nRange: bytes=0-4\r\n\r\n");
      REQUIRE(stack.eventually([&] { return stack.got().size() == 1; }));
      stack.purge(purged);
      stack.release();
      CHECK(one.read().status < 300);
      stack.turns();
      const http::test::Answer next =
          stack.get("/a", "Range: bytes=1-2\r\nCache-Control: only-if-cached\r\n");
      CHECK(next.status == (purged == "all/a" ? 504 : 206));
    }
  }
}

TEST_CASE("a part that was passed through answers for what it has, and is completed") {
  HttpStack stack;
  stack.says([](const Got& got) { return ranged(got, "\"e\""); });
  const http::test::Answer first = stack.get("/a", "Range: bytes=0-4\r\n");
  CHECK(first.status == 206);
  CHECK(first.body == "01234");
  CHECK(first.field("Cache-Status") == "holdfast; fwd=uri-miss; fwd-status=206");
  const http::test::Answer within = stack.get("/a", "Range: bytes=1-2\r\n");
  CHECK(within.status == 206);
  CHECK(within.body == "12");
  CHECK(within.field("Content-Range") == "bytes 1-2/10");
  CHECK(within.field("Content-Length") == "2");
  CHECK(within.field("Cache-Status") == "holdfast; hit; ttl=60");
  const http::test::Answer several = stack.get("/a", "Range: bytes=0-0, 2-2\r\n");
  CHECK(several.status == 206);
  CHECK(several.field("Content-Range") == "(none)");
  CHECK(several.body.find("Content-Range: bytes 2-2/10\r\n\r\n2\r\n") != std::string::npos);
  CHECK(stack.got().size() == 1);
  const http::test::Answer all = stack.get("/a");
  CHECK(all.status == 200);
  CHECK(all.body == "0123456789");
  CHECK(all.field("Content-Range") == "(none)");
  CHECK(all.field("Content-Length") == "10");
  CHECK_FALSE(stack.got().back().passed);
  CHECK(stack.got().back().field("Range") == "bytes=5-");
  CHECK(stack.get("/a").field("Cache-Status").starts_with("holdfast; hit"));
  CHECK(stack.get("/a", "Range: bytes=4-5\r\n").body == "45");
  CHECK(stack.got().size() == 2);
}

TEST_CASE("it is not completed by what has another validator, or none that is strong") {
  for (const std::string now : {"\"f\"", "W/\"e\""}) {
    CAPTURE(now);
    HttpStack stack;
    stack.says([](const Got& got) { return ranged(got, "\"e\""); });
    stack.get("/a", "Range: bytes=0-4\r\n");
    stack.says([now](const Got& got) {
      Got careless = got;  // of If-Range
      std::erase_if(careless.fields, [](const auto& field) { return field.name == "If-Range"; });
      Says says = ranged(careless, now);
      for (char& c : says.content) c = static_cast<char>(c - '0' + 'a');
      return says;
    });
    const http::test::Answer all = stack.get("/a");
    CHECK(all.status == 200);
    CHECK(all.body == "abcdefghij");
  }
  HttpStack stack;
  stack.says([](const Got& got) { return ranged(got, "W/\"e\""); });
  stack.get("/a", "Range: bytes=0-4\r\n");
  CHECK(stack.get("/a").body == "0123456789");
  CHECK(stack.got().back().field("Range") == "(none)");
}

TEST_CASE("a HEAD that is passed freshens what is stored, or drops it") {
  const upstream::Fields strict{{"ETag", "\"e\""},
                                {"Cache-Control", "max-age=10, must-revalidate"}};
  for (const upstream::Fields& told :
       {minute({{"ETag", "\"e\""}, {"Content-Length", "10"}}), minute({{"ETag", "\"f\""}}),
        minute({{"ETag", "\"e\""}, {"Content-Length", "9"}})}) {
    HttpStack stack;
    stack.says([&](const Got& got) {
      return Says{200, got.method == "HEAD" ? told : strict, "0123456789"};
    });
    stack.get("/a");
    stack.pass(20s);
    const http::test::Answer head = stack.ask("HEAD", "/a");
    CHECK(head.field("Cache-Status") == "holdfast; fwd=stale; fwd-status=200");
    CHECK(head.field("Age") == "(none)");
    const bool same = told.size() == 3 && told[1].value == "10";
    const http::test::Answer next = stack.get("/a");
    CHECK(next.body == "0123456789");
    CHECK(next.field("Cache-Status").starts_with("holdfast; hit") == same);
    CHECK(stack.got().back().method == (same ? "HEAD" : "GET"));
    CHECK(stack.got().back().field("If-None-Match") == "(none)");
  }
}
