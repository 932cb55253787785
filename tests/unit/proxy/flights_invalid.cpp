// What the upstream says though the route's rules refuse it, where the route passes that on
// (`on_invalid`).
#include "flights_fixture.h"
#include "flights_http_fixture.h"
#include "http_stack.h"

using namespace holdfast;
using namespace holdfast::proxy;
using namespace holdfast::proxy::test;

namespace {

constexpr const char* kPage = "<html>down for a moment</html>";

FetchResult invalid(FetchEnd end = FetchEnd::KeyFails, upstream::Fields fields = {},
                    int status = 200) {
  FetchResult result = failed(end, Outcome::InvalidBody, status);
  upstream::Reply reply;
  reply.status = status;
  reply.body = kPage;
  reply.fields = std::move(fields);
  reply.fields.push_back({"Content-Type", "text/html"});
  result.last_invalid = std::make_shared<const upstream::Reply>(std::move(reply));
  return result;
}

struct Invalid : Fixture {
  Invalid() { use(true); }
  void use(bool passes) {
    flights.reset();
    RoutePlan plan = lookup_plan(storing);
    plan.pass_invalid = passes;
    plan.offline = [](std::string_view subject) {
      return subject == "192.0.2.1" ? std::optional<std::string>(body_for(subject)) : std::nullopt;
    };
    route = std::make_unique<Route>(std::move(plan));
    make({});
  }
  const Answer& end(std::size_t number, FetchResult result) {
    fetcher.end(fetcher.last, std::move(result));
    REQUIRE(answers[number].has_value());
    return *answers[number];
  }
};

}  // namespace

TEST_CASE_FIXTURE(Invalid, "what is not right is passed on as it came, and stored nowhere") {
  const std::size_t first = ask("8.8.8.8");
  CHECK(fetcher.fetches.at(fetcher.last).request.keeps_invalid);
  const std::size_t second = ask("8.8.8.8");
  const Answer& answer = end(first, invalid(FetchEnd::KeyFails, {{"Server", "x"}}, 203));
  CHECK(answer.rung == Rung::Fetched);
  CHECK(answer.invalid());
  CHECK_FALSE(answer.may_store);
  CHECK_FALSE(answer.stored);
  REQUIRE(answer.content);
  CHECK(answer.content->status == 203);
  CHECK(answer.content->body == kPage);
  CHECK(answer.content->fields == "Content-Type: text/html\r\n");
  CHECK(answer.upstream_status == 203);
  CHECK(answer.cause == "invalid_body: as scripted");
  // Who takes no such content is told this.
  CHECK(answer.status == 502);
  // It is the same upstream's answer to the same request.
  REQUIRE(answers[second].has_value());
  CHECK(answers[second]->content == answer.content);
  CHECK(answers[second]->collapsed);
  CHECK(store.rows.empty());
  CHECK(memory.find("lookup/8.8.8.8") == nullptr);

  // Nothing of it is told to who comes later: the upstream may be right again.
  const std::size_t later = ask("8.8.8.8");
  CHECK_FALSE(answers[later].has_value());
  CHECK(end(later, answered("8.8.8.8")).stored);
}

TEST_CASE_FIXTURE(Invalid, "without the key it is an error of ours, and nobody keeps it") {
  use(false);
  const std::size_t number = ask("8.8.8.8");
  CHECK_FALSE(fetcher.fetches.at(fetcher.last).request.keeps_invalid);
  FetchResult result = invalid();
  result.last_invalid = nullptr;  // as nobody asked for it
  CHECK(end(number, std::move(result)).status == 502);
}

TEST_CASE_FIXTURE(Invalid, "wrong is worse than stale, and than an answer of our own") {
  have("8.8.8.8");
  pass(25h + 8 * 24h);
  const std::size_t number = ask("8.8.8.8");
  const Answer& stale = end(number, invalid());
  CHECK(stale.rung == Rung::StaleIfError);
  CHECK(stale.content->body == body_for("8.8.8.8"));

  const std::size_t own = ask("192.0.2.1");
  CHECK(end(own, invalid()).rung == Rung::Offline);

  // Too old to be used at all, it does not stand in.
  pass(60 * 24h);
  const std::size_t old = ask("8.8.8.8");
  const Answer& passed = end(old, invalid(FetchEnd::GaveUp));
  CHECK(passed.invalid());
  CHECK(passed.was_stale);
  CHECK(store.rows.at("lookup/8.8.8.8")->body == body_for("8.8.8.8"));
}

TEST_CASE_FIXTURE(Invalid, "what it says last of us or of the request goes before it") {
  FetchResult refused = invalid(FetchEnd::Refused);
  refused.outcome = Outcome::Unauthorized;
  refused.reply.status = 401;
  CHECK(end(ask("8.8.8.8"), std::move(refused)).rung == Rung::Error);
  FetchResult bad = invalid(FetchEnd::Answered);
  bad.outcome = Outcome::ClientError;
  bad.reply.status = 400;
  CHECK(end(ask("8.8.4.4"), std::move(bad)).rung == Rung::Error);
}

TEST_CASE_FIXTURE(Invalid, "one that may not be shared is for who asked") {
  for (const char* said : {"no-store", "private"}) {
    CAPTURE(said);
    const std::size_t first = ask("8.8.8.8");
    const auto fetch = fetcher.last;
    const std::size_t second = ask("8.8.8.8");
    REQUIRE(fetcher.last == fetch);
    fetcher.end(fetch, invalid(FetchEnd::GaveUp, {{"Cache-Control", said}}));
    REQUIRE(answers[first].has_value());
    CHECK(answers[first]->invalid());
    CHECK_FALSE(answers[second].has_value());
    REQUIRE(fetcher.last == fetch + 1);
    CHECK(end(second, answered("8.8.8.8")).rung == Rung::Fetched);
    flights->purge_all();
    use(true);
  }
}

TEST_CASE_FIXTURE(Invalid, "whose time is up gets what there is by then, and the flight goes on") {
  const std::size_t first = ask("8.8.8.8", 10s);
  const std::size_t second = ask("8.8.8.8", 20s);
  const FetchResult so_far = invalid(FetchEnd::Deadline);
  fetcher.fetches.at(fetcher.last).so_far = so_far;
  pass(10s);
  REQUIRE(answers[first].has_value());
  CHECK(answers[first]->invalid());
  CHECK_FALSE(answers[second].has_value());
  CHECK(end(second, answered("8.8.8.8")).content->body == body_for("8.8.8.8"));

  // What is for who asked first, the next one does not get for want of time.
  const std::size_t slow = ask("8.8.4.4", 30s);
  const std::size_t hasty = ask("8.8.4.4", 10s);
  fetcher.fetches.at(fetcher.last).so_far =
      invalid(FetchEnd::Deadline, {{"Cache-Control", "private"}});
  pass(10s);
  REQUIRE(answers[hasty].has_value());
  CHECK(answers[hasty]->rung == Rung::Error);
  CHECK(end(slow, answered("8.8.4.4")).rung == Rung::Fetched);
}

TEST_CASE_FIXTURE(HttpFixture,
                  "of mode rfc9111 it is for who asked, and nobody behind us keeps it") {
  RoutePlan plan = http_plan(storing);
  plan.pass_invalid = true;
  flights.reset();
  route = std::make_unique<Route>(std::move(plan));
  make({});
  const auto first = get("/a");
  const auto second = get("/a");
  FetchResult result = invalid(FetchEnd::GaveUp, {{"Cache-Control", "max-age=600"},
                                                  {"Expires", "0"},
                                                  {"CDN-Cache-Control", "max-age=1"},
                                                  {"ETag", "\"e\""}});
  result.last_refused = result.last_invalid;
  fetcher.end(fetcher.last, result);
  CHECK(body(first) == kPage);
  CHECK(answers[first]->invalid());
  CHECK(answers[first]->content->fields.find("max-age") == std::string::npos);
  CHECK(answers[first]->content->fields.find("Expires") == std::string::npos);
  CHECK(answers[first]->content->fields.find("Cache-Control: no-store\r\n") != std::string::npos);
  CHECK(answers[first]->content->fields.find("ETag: \"e\"\r\n") != std::string::npos);
  CHECK(answers[second]->rung == Rung::Error);
  CHECK(answers[second]->status == 502);
  CHECK(store.rows.empty());

  // What the upstream said last is what it says.
  const auto third = get("/a");
  upstream::Reply down;
  down.status = 503;
  down.body = "down";
  result.last_refused = std::make_shared<const upstream::Reply>(down);
  fetcher.end(fetcher.last, result);
  CHECK(body(third) == "down");
}

TEST_CASE("what is passed on though it is wrong is sent whole, and confirms nothing") {
  RoutePlan plan = HttpStack::plan();
  plan.pass_invalid = true;
  plan.body.json = true;
  HttpStack stack(std::move(plan));
  stack.says({200,
              {{"Cache-Control", "max-age=60"}, {"ETag", "\"e\""}, {"Content-Type", "text/html"}},
              "<html>"});
  for (const char* fields : {"", "If-None-Match: \"e\"\r\n"}) {
    const http::test::Answer answer = stack.get("/a", fields);
    CHECK(answer.status == 200);
    CHECK(answer.body == "<html>");
    CHECK(answer.field("Content-Type") == "text/html");
    CHECK(answer.field("Cache-Control") == "no-store");
    CHECK(answer.field("Cache-Status") ==
          "holdfast; fwd=uri-miss; fwd-status=200; detail=invalid-body");
  }
  CHECK(stack.got().size() == 2);
}
