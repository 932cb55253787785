// Routes whose upstream is never asked (`offline`).
#include "flights_fixture.h"
#include "flights_http_fixture.h"
#include "http_stack.h"
#include "proxy/response_fields.h"
#include "proxy/stored_only.h"

using namespace holdfast;
using namespace holdfast::proxy;
using namespace holdfast::proxy::test;

namespace {

std::string cache_status(const Answer& answer, base::WallTime now) {
  std::string lines;
  append_cache_status(lines, answer,
                      answer.content ? cache::freshness(*answer.content, now) : cache::Freshness{});
  return lines.substr(0, lines.find("\r\n"));
}

struct Offline : Fixture {
  // The same key and the same upstream, as a reload leaves them.
  void go(bool offline) {
    RoutePlan plan = lookup_plan(storing);
    plan.stored_only = offline;
    routes_before.push_back(std::move(route));
    route = std::make_unique<Route>(std::move(plan));
  }
  const Answer& answer_to(const std::string& ip, std::chrono::seconds min_fresh = 0s) {
    const auto fetches = fetcher.last;
    const std::size_t number = ask(ip, 10s, min_fresh);
    REQUIRE(answers[number].has_value());
    CHECK(fetcher.last == fetches);
    return *answers[number];
  }
  std::vector<std::unique_ptr<Route>> routes_before;
};

struct HttpOffline : HttpFixture {
  void go_offline() {
    RoutePlan plan = http_plan(storing);
    plan.stored_only = true;
    before = std::move(route);
    route = std::make_unique<Route>(std::move(plan));
  }
  void have(const std::string& path, upstream::Fields fields) {
    get(path);
    fetcher.end(fetcher.last, says(path, std::move(fields)));
  }
  const Answer& answer_to(const std::string& path, const Lines& fields = {}) {
    const auto fetches = fetcher.last;
    const auto number = get(path, fields);
    REQUIRE(answers[number].has_value());
    CHECK(fetcher.last == fetches);
    return *answers[number];
  }
  std::unique_ptr<Route> before;
};

}  // namespace

TEST_CASE_FIXTURE(Offline, "what is stored answers, however stale, and nobody is asked") {
  have("8.8.8.8");
  go(true);
  const auto fetches = fetcher.last;
  CHECK(answer_to("8.8.8.8").rung == Rung::Fresh);
  CHECK(answer_to("8.8.8.8", 100h).rung == Rung::Fresh);  // fresher there is none
  for (const base::Duration more : {25h, 8 * 24h, 40 * 24h, 400 * 24h}) {
    pass(more);
    for (const bool in_memory : {true, false}) {
      if (!in_memory) memory.erase("lookup/8.8.8.8");
      const Answer& answer = answer_to("8.8.8.8");
      REQUIRE(answer.content);
      CHECK(answer.content->body == body_for("8.8.8.8"));
      CHECK(answer.stored_only);
      const std::string status = cache_status(answer, loop.clock().wall());
      CHECK(status.starts_with("Cache-Status: holdfast; hit; ttl=-"));
      CHECK(status.ends_with("; detail=offline"));
    }
  }
  flights->refresh(*route, "lookup/8.8.8.8");
  CHECK(fetcher.last == fetches);
  CHECK(flights->stats().flights == 0);
}

TEST_CASE_FIXTURE(Offline, "what is not stored is 504 at once, and rests nowhere") {
  go(true);
  const Answer& answer = answer_to("8.8.8.8");
  CHECK(answer.rung == Rung::NotStored);
  CHECK(answer.status == 504);
  CHECK(answer.retry_after > 0s);
  CHECK(cache_status(answer, loop.clock().wall()) == "Cache-Status: holdfast; detail=offline");
  CHECK(cache_outcome(answer) == CacheOutcome::Absent);
  go(false);
  const std::size_t number = ask("8.8.8.8");
  CHECK_FALSE(answers[number].has_value());
  fetcher.end(fetcher.last, answered("8.8.8.8"));
  CHECK(answers[number]->content->status == 200);
}

TEST_CASE_FIXTURE(Offline, "what is never used stale is not used stale offline either") {
  have("8.8.8.8", {{"Cache-Control", "max-age=60, must-revalidate"}});
  const std::size_t gone = ask("8.8.4.4");
  FetchResult missing = answered("8.8.4.4");
  missing.outcome = Outcome::ClientError;
  missing.reply.status = 404;
  missing.reply.body = "{}";
  fetcher.end(fetcher.last, std::move(missing));
  REQUIRE(answers[gone].has_value());
  go(true);
  CHECK(answer_to("8.8.8.8").rung == Rung::Fresh);
  CHECK(answer_to("8.8.4.4").content->status == 404);
  pass(10min);
  CHECK(answer_to("8.8.8.8").status == 504);
  CHECK(answer_to("8.8.4.4").status == 504);
}

TEST_CASE_FIXTURE(HttpOffline, "RFC 9111, 4.2.4: disconnected, but where the upstream forbids it") {
  const upstream::Fields validator{{"ETag", "\"e\""}};
  have("/plain", {{"Cache-Control", "max-age=60"}});
  const char* const forbidding[] = {"max-age=60, must-revalidate", "max-age=60, proxy-revalidate",
                                    "s-maxage=60", "no-cache"};
  int number = 0;
  for (const char* said : forbidding) {
    have("/forbids/" + std::to_string(number++), {{"Cache-Control", said}, {"ETag", "\"e\""}});
  }
  go_offline();
  pass(400 * 24h);
  const Answer& stale = answer_to("/plain");
  REQUIRE(stale.content);
  CHECK(stale.content->body == "/plain");
  CHECK(cache_status(stale, loop.clock().wall()).ends_with("; detail=offline"));
  for (int i = 0; i < number; ++i) {
    CAPTURE(forbidding[i]);
    CHECK(answer_to("/forbids/" + std::to_string(i)).status == 504);
  }
  // Nobody can validate for who would rather have that.
  for (const char* wanted : {"no-cache", "max-age=0", "min-fresh=100"}) {
    CHECK(answer_to("/plain", {{"Cache-Control", wanted}}).content);
  }
  flights->refresh_http(*route, asked("/plain", {}));
  CHECK(flights->stats().flights == 0);
}

TEST_CASE("nothing of a route that is offline goes through to its upstream") {
  for (const bool offline : {false, true}) {
    CAPTURE(offline);
    RoutePlan plan = HttpStack::plan();
    plan.stored_only = offline;
    HttpStack stack(std::move(plan));
    stack.says({200, {{"Cache-Control", "max-age=60"}}, "x"});
    struct Case {
      const char *method, *fields;
    };
    for (const Case& c : {Case{"POST", ""}, Case{"DELETE", ""}, Case{"GET", ""}, Case{"HEAD", ""},
                          Case{"GET", "Range: bytes=0-0\r\n"}, Case{"GET", "If-Match: \"a\"\r\n"},
                          Case{"GET", "Cache-Control: no-store\r\n"}, Case{"GET", "X_Odd: 1\r\n"},
                          Case{"GET", "Cache-Control: only-if-cached\r\n"}}) {
      CAPTURE(c.method);
      CAPTURE(c.fields);
      const std::string path = "/" + std::to_string(c.fields[0]) + c.method;
      const http::test::Answer answer = stack.ask(c.method, path, c.fields, "content");
      if (!offline) continue;
      CHECK(answer.status == 504);
      CHECK(answer.field("Content-Type") == "application/problem+json");
      CHECK(answer.field("Retry-After") == "60");
      CHECK(answer.field("Cache-Status") == "holdfast; detail=offline");
    }
    CHECK(stack.got().empty() == offline);
  }
}
