// Routes of a settings file, through the real daemon: which one takes a request, what it asks, what
// it believes, keeps and passes on. One daemon has them all.
#include <doctest/doctest.h>

#include "stage.h"

using namespace holdfast::scenario;

namespace {

std::string upstream_section(const Upstream& upstream, const std::string& more = "") {
  return "[upstream.registry]\nurls = [\"" + upstream.url() + "\"]\n" + more;
}

std::string route(const std::string& name, const std::string& match, const std::string& more) {
  return "[[route]]\nname = \"" + name + "\"\nmatch = \"" + match +
         "\"\nupstream = \"registry\"\n" + more + "\n";
}

std::string says(const std::string& name) {
  return api_says("registry", "/packages/" + name);
}

// That the upstream was asked for it so often.
std::uint64_t asked(Upstream& upstream, const std::string& name) {
  return upstream.count("requests", "/packages/" + name);
}

}  // namespace

TEST_CASE("the most specific route takes a request, whatever the order; who takes none says why") {
  const Folder folder;
  Upstream upstream({"--api", "registry"});
  Daemon daemon = routed(
      folder,
      upstream_section(upstream) + route("rest", "/p/{all:rest}", "target = \"/packages/rest\"") +
          route("any", "/p/{name}", "target = \"/packages/any-{name}\"") +
          route("int", "/p/{id:int}", "target = \"/packages/int-{id}\"") +
          route("literal", "/p/special", "target = \"/packages/literal\"") +
          route("host", "/p/{name}", "host = \"one.example\"\ntarget = \"/packages/one-{name}\"") +
          route("typed", "/typed/{id:int}", "target = \"/packages/{id}\"\nmethods = [\"GET\"]"));
  struct Case {
    std::string path, name;
    std::vector<std::string> fields;
  };
  for (const Case& c : {Case{"/p/special", "literal", {}}, Case{"/p/%73pecial", "literal", {}},
                        Case{"/p/17", "int-17", {}}, Case{"/p/017", "any-017", {}},
                        Case{"/p/other", "any-other", {}}, Case{"/p/a/b", "rest", {}},
                        Case{"/p/", "rest", {}}, Case{"/p/17", "one-17", {"Host: one.example"}},
                        Case{"/p/17", "one-17", {"Host: ONE.example:99"}},
                        Case{"/p/a/b", "rest", {"Host: one.example"}},
                        Case{"/p/17", "int-17", {"Host: two.example"}}}) {
    CAPTURE(c.path);
    CAPTURE(c.name);
    const Response response = ask({daemon.url(c.path), "GET", c.fields});
    CHECK(response.status == 200);
    CHECK(response.body == says(c.name));
  }
  CHECK(asked(upstream, "literal") == 1);
  CHECK(asked(upstream, "one-17") == 1);

  const Response posted = ask({daemon.url("/p/special"), "POST", {}, "{}"});
  CHECK(posted.status == 405);
  CHECK(posted.field("Allow") == "GET, HEAD, OPTIONS");
  const Response headed = ask({daemon.url("/typed/1"), "HEAD"});
  CHECK(headed.status == 405);
  CHECK(headed.field("Allow") == "GET, OPTIONS");
  const Response untyped = get(daemon.url("/typed/one"));
  CHECK(untyped.status == 400);
  CHECK(untyped.field("Content-Type") == "application/problem+json");
  CHECK(get(daemon.url("/p")).status == 404);
  CHECK(get(daemon.url("/p/..%2Fx")).status == 400);
  CHECK(daemon.metric("holdfast_requests_total{route=\"typed\",code=\"400\",cache=\"error\"}") ==
        1);
  CHECK(daemon.metric("holdfast_requests_total{route=\"host\",code=\"200\",cache=\"miss\"}") == 1);
  CHECK(daemon.stop() == 0);
}

TEST_CASE("each kind of validation finds its fault, and the next attempt's answer is right") {
  const Folder folder;
  Upstream upstream({"--api", "registry", "--oversized-bytes", "100000"});
  const auto checked = [](const std::string& name, const std::string& validate,
                          const std::string& more = "") {
    return route(
        name, "/" + name + "/{name}",
        "target = \"/packages/" + name + "-{name}\"\nvalidate = { " + validate + " }\n" + more);
  };
  Daemon daemon =
      routed(folder,
             upstream_section(upstream) + checked("json", "json = true") +
                 checked("require", "require = [\"/name:string\", \"/version:string\"]") +
                 // What it speaks of is "ab", and not the "b" of the path.
                 route("equal", "/equal/{name}",
                       "target = \"/packages/{name}\"\nvalidate.equal = { \"/name\" = \"name\" }") +
                 checked("reject", "reject_if = { \"/deprecated\" = [true] }", "attempts = 4") +
                 checked("type", "json = false, content_type = \"application/json\"") +
                 checked("min", "json = false, min_body = 10") + checked("none", "json = false") +
                 checked("large", "json = true") +
                 checked("small", "json = true", "max_body = \"50KiB\"") +
                 checked("once", "json = true", "attempts = 1"),
             one_attempt());
  struct Case {
    std::string route, fault;
  };
  for (const Case& c : {Case{"json", "malformed"}, Case{"json", "bom"}, Case{"json", "html"},
                        Case{"json", "empty"}, Case{"json", "html404"},
                        Case{"require", "missing-fields"}, Case{"require", "not-an-object"},
                        Case{"type", "html"}, Case{"min", "empty"}, Case{"small", "oversized"}}) {
    const std::string name = c.route + "-" + c.fault;
    CAPTURE(name);
    upstream.script("/packages/" + name, c.fault + ",ok");
    const Response response = get(daemon.url("/" + c.route + "/" + c.fault));
    CHECK(response.status == 200);
    CHECK(response.body == says(name));
    CHECK(asked(upstream, name) == 2);
  }
  upstream.script("/packages/b", "other-ip,ok");
  CHECK(get(daemon.url("/equal/b")).body == says("b"));
  CHECK(asked(upstream, "b") == 2);

  // What nothing is asked of is taken as it is, and called what the upstream calls it.
  upstream.script("/packages/none-page", "html");
  const Response page = get(daemon.url("/none/page"));
  CHECK(page.status == 200);
  CHECK(page.field("Content-Type") == "text/html; charset=utf-8");
  // Nor is a 404 of any kind doubted, where its content may be anything.
  upstream.script("/packages/none-gone", "html404");
  CHECK(get(daemon.url("/none/gone")).status == 404);
  upstream.script("/packages/large-1", "oversized");
  CHECK(get(daemon.url("/large/1")).body.size() > 100000);

  // Rejected for what they say, as often as they are asked for.
  std::size_t rejected = 0;
  for (int i = 0; i < 30; ++i) {
    const std::string name = "reject-" + std::to_string(i);
    const bool deprecated = contains(says(name), "\"deprecated\":true");
    rejected += deprecated ? 1 : 0;
    if (deprecated && rejected > 2) continue;
    const Response response = get(daemon.url("/reject/" + std::to_string(i)));
    CAPTURE(name);
    CHECK(response.status == (deprecated ? 502 : 200));
    CHECK(asked(upstream, name) <= 4);
  }
  CHECK(rejected > 2);

  // No more attempts than the route has.
  upstream.script("/packages/once-1", "500,ok");
  const Response failed = get(daemon.url("/once/1"));
  CHECK(failed.status == 502);
  CHECK(contains(failed.body, "status 500"));
  CHECK(asked(upstream, "once-1") == 1);
  CHECK(get(daemon.url("/once/1")).status == 200);
  CHECK(daemon.stop() == 0);
}

TEST_CASE(
    "fields and lifetimes are the route's: cookies, ttl_by_status, request_set, response_set") {
  const Folder folder;
  Upstream upstream({"--api", "registry"});
  upstream.tell("fields", "Set-Cookie: sid=1; Path=/\nSet-Cookie: b=2\nContent-Language: en");
  const auto cookies = [](const std::string& what) {
    return route(what, "/" + what + "/{name}",
                 "target = \"/packages/{name}\"\nset_cookie = \"" + what + "\"");
  };
  Daemon daemon =
      routed(folder,
             upstream_section(upstream) + cookies("pass") + cookies("strip") + cookies("store") +
                 route("times", "/times/{name}",
                       "target = \"/packages/{name}\"\nset_cookie = \"strip\"\n"
                       "ttl_by_status = { \"200\" = \"100s\", \"404\" = \"10s\" }\n"
                       "request_set = { Accept = \"application/json\", X-Client = \"holdfast\" }\n"
                       "request_remove = [\"traceparent\"]\n"
                       "response_set = { X-Served-By = \"us\" }\n"
                       "response_remove = [\"Content-Language\"]"),
             one_attempt());
  const auto cookies_of = [](const Response& response) {
    return response.field("Set-Cookie") + (contains(response.head, "b=2") ? " and b" : "");
  };
  for (int i = 1; i <= 3; ++i) {
    const Response passed = get(daemon.url("/pass/p"));
    CHECK(cookies_of(passed) == "sid=1; Path=/ and b");
    CHECK(contains(passed.field("Cache-Control"), "no-store"));
    CHECK(asked(upstream, "p") == static_cast<std::uint64_t>(i));
    CHECK(cookies_of(get(daemon.url("/strip/q"))) == "");
    CHECK(asked(upstream, "q") == 1);
    CHECK(cookies_of(get(daemon.url("/store/r"))) == "sid=1; Path=/ and b");
    CHECK(asked(upstream, "r") == 1);
  }

  const std::string trace = "traceparent: 00-0123456789abcdef0123456789abcdef-0123456789abcdef-01";
  const Response timed = ask({daemon.url("/times/t"), "GET", {trace}});
  CHECK(timed.body == says("t"));
  CHECK(timed.field("X-Served-By") == "us");
  CHECK(timed.field("Content-Language") == "");
  CHECK(seconds_left(timed) >= 85);
  CHECK(seconds_left(timed) <= 110);
  const Response missing = get(daemon.url("/times/missing-t"));
  CHECK(missing.status == 404);
  CHECK(missing.field("X-Served-By") == "us");
  CHECK(seconds_left(missing) <= 11);
  std::string heard = upstream.heard();
  heard = heard.substr(heard.find("/packages/t"));
  CHECK(contains(heard, "X-Client: holdfast"));
  CHECK(contains(heard, "Accept: application/json"));
  CHECK(!contains(heard, "0123456789abcdef"));
  (void)ask({daemon.url("/strip/u"), "GET", {trace}});
  CHECK(contains(upstream.heard(), "0123456789abcdef"));
  CHECK(daemon.stop() == 0);
}

TEST_CASE("a batch of a route's own: integers, its member's name, its key fields") {
  const Folder folder;
  Upstream upstream({"--api", "registry"});
  Upstream search({"--api", "search"});
  Daemon daemon = routed(
      folder,
      upstream_section(upstream) + "[upstream.search]\nurls = [\"" + search.url() + "\"]\n" +
          route("item", "/item/{id:int}",
                "target = \"/packages/{id}\"\nbatch = \"/items\"\n"
                "validate.equal = { \"/name\" = \"id\" }") +
          route("named", "/named/{name}",
                "target = \"/packages/{name}\"\nbatch = \"/all/named\"\n"
                "validate.equal = { \"/name\" = \"name\" }") +
          "[[route]]\nname = \"words\"\nmatch = \"/word/{word}\"\ntarget = \"/search?q={word}\"\n"
          "upstream = \"search\"\nbatch = \"/words\"\nkey_fields = [\"accept-language\"]\n");
  const auto post = [&](const std::string& path, const std::string& body,
                        std::vector<std::string> fields = {}) {
    fields.emplace_back("Content-Type: application/json");
    return ask({daemon.url(path), "POST", std::move(fields), body});
  };
  const Response items = post("/items", R"([1, "2", -3, "x", 1])");
  CHECK(items.status == 200);
  CHECK(contains(items.body,
                 "[" + says("1") + "," + says("2") + "," + says("-3") + ",{\"id\":\"x\","));
  CHECK(contains(items.body, "\"status\":400}," + says("1") + "]"));
  CHECK(asked(upstream, "1") == 1);
  CHECK(get(daemon.url("/item/1")).body == says("1"));
  CHECK(asked(upstream, "1") == 1);
  CHECK(post("/items?x", "[1]").status == 400);
  CHECK(contains(post("/items", "[1.5]").body, "element 0 is no integer"));
  CHECK(contains(post("/items", "{}").body, "not a JSON array of integers"));
  const Response wrong = ask({daemon.url("/items"), "PUT", {}, "[]"});
  CHECK(wrong.status == 405);
  CHECK(contains(wrong.field("Allow"), "POST"));

  // An error names what was asked for as the client wrote it.
  const Response named = post("/all/named", "[\"@a/b c\",\"missing-\xc3\xa9\",\"caf\xc3\xa9\"]");
  CHECK(contains(named.body, "[" + says("%40a%2Fb%20c") + ",{\"name\":\"missing-\xc3\xa9\","));
  CHECK(contains(named.body, "\"status\":404}," + says("caf%C3%A9") + "]"));

  for (const std::string language : {"de", "fr"}) {
    const std::string one = api_says("search", "/search?q=a", language);
    CHECK(post("/words", "[\"a\"]", {"Accept-Language: " + language}).body == "[" + one + "]");
    CHECK(ask({daemon.url("/word/a"), "GET", {"Accept-Language: " + language}}).body == one);
  }
  CHECK(search.count("requests") == 2);
  CHECK(daemon.stop() == 0);
}

TEST_CASE("a restart keeps what is stored, and a route that asks for something else starts anew") {
  const Folder folder;
  Upstream upstream({"--api", "registry"});
  const auto file = [&](const std::string& target) {
    return upstream_section(upstream) +
           route("kept", "/kept/{name}", "target = \"/packages/kept-{name}\"") +
           route("moved", "/moved/{name}", "target = \"/packages/" + target + "-{name}\"");
  };
  {
    Daemon daemon = routed(folder, file("old"));
    CHECK(get(daemon.url("/kept/a")).body == says("kept-a"));
    CHECK(get(daemon.url("/moved/a")).body == says("old-a"));
    CHECK(daemon.stop() == 0);
  }
  upstream.tell("mode", "down");
  {
    Daemon daemon = routed(folder, file("old"));
    CHECK(get(daemon.url("/kept/a")).body == says("kept-a"));
    CHECK(get(daemon.url("/moved/a")).body == says("old-a"));
    CHECK(daemon.stop() == 0);
  }
  upstream.tell("mode", "up");
  Daemon daemon = routed(folder, file("new"));
  CHECK(get(daemon.url("/kept/a")).body == says("kept-a"));
  CHECK(asked(upstream, "kept-a") == 1);
  CHECK(get(daemon.url("/moved/a")).body == says("new-a"));
  CHECK(daemon.stop() == 0);
  // What is stored does not keep to a rule that is new: it is as good as not there.
  upstream.tell("mode", "down");
  Daemon strict = routed(folder, upstream_section(upstream) +
                                     route("kept", "/kept/{name}",
                                           "target = \"/packages/kept-{name}\"\nattempts = 1\n"
                                           "validate = { require = [\"/never:string\"] }"));
  CHECK(get(strict.url("/kept/a")).status == 502);
  CHECK(strict.stop() == 0);
}

TEST_CASE("the Host that goes upstream: the URL's, the client's, or one that is set") {
  const Folder folder;
  Upstream upstream({"--api", "registry"});
  const auto section = [&](const std::string& name, const std::string& host) {
    return "[upstream." + name + "]\nurls = [\"" + upstream.url() + "\"]\nhost = \"" + host +
           "\"\n[[route]]\nname = \"" + name + "\"\nupstream = \"" + name + "\"\nmatch = \"/" +
           name + "/{name}\"\ntarget = \"/packages/" + name + "-{name}\"\n";
  };
  Daemon daemon = routed(folder,
                         section("url", "upstream") + section("client", "client") +
                             section("fixed", "api.example.com:8443"),
                         one_attempt());
  const auto hear = [&](const std::string& path, const std::string& host) {
    upstream.tell("reset", "");
    const Response response = ask({daemon.url(path), "GET", {"Host: " + host}});
    CHECK(response.status == 200);
    return upstream.heard();
  };
  CHECK(contains(hear("/url/a", "a.example"), "\"Host: " + upstream.url().substr(7) + "\""));
  CHECK(contains(hear("/fixed/a", "a.example"), "\"Host: api.example.com:8443\""));
  CHECK(contains(hear("/client/a", "A.example:81"), "\"Host: a.example:81\""));
  // Another Host may mean another answer.
  CHECK(contains(hear("/client/a", "b.example"), "\"Host: b.example\""));
  CHECK(upstream.count("requests") == 1);
  // The same again is not asked for.
  CHECK(contains(hear("/client/a", "b.example"), "[]"));
  CHECK(contains(hear("/url/a", "b.example"), "[]"));
  CHECK(daemon.stop() == 0);
}
