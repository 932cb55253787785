// What the upstream says of a request itself, where the route passes that to clients; Set-Cookie
// and lifetimes by status, which a route says too.
#include "flights_fixture.h"
#include "proxy/stored_judge.h"

using namespace holdfast;
using namespace holdfast::proxy;
using namespace holdfast::proxy::test;

namespace {

constexpr const char* kWord = R"({"error":"latitude is missing"})";

FetchResult refused(int status, std::string body = kWord, upstream::Fields fields = {}) {
  FetchResult result = failed(FetchEnd::Answered, Outcome::ClientError, status);
  result.reply.body = std::move(body);
  result.reply.fields = std::move(fields);
  return result;
}

struct Passing : Fixture {
  Passing() {
    storing.pass_client_errors = true;
    use(storing);
  }
  void use(const StoringPolicy& policy) {
    flights.reset();
    route = lookup_route(policy);
    make({});
  }
  const Answer& answer_to(FetchResult result) {
    const std::size_t number = ask("8.8.8.8");
    fetcher.end(fetcher.last, std::move(result));
    REQUIRE(answers[number].has_value());
    return *answers[number];
  }
};

}  // namespace

TEST_CASE_FIXTURE(Passing, "a 4xx about the request reaches who asked as it came") {
  for (const int status : {400, 402, 409, 422, 451}) {
    CAPTURE(status);
    const Answer& answer = answer_to(
        refused(status, kWord, {{"Content-Type", "application/problem+json"}, {"Server", "x"}}));
    CHECK(answer.rung == Rung::Fetched);
    CHECK_FALSE(answer.may_store);
    REQUIRE(answer.content);
    CHECK(answer.content->status == status);
    CHECK(answer.content->body == kWord);
    CHECK(answer.content->fields == "Content-Type: application/problem+json\r\n");
    CHECK(store.rows.empty());
    pass(6s);
  }
}

TEST_CASE_FIXTURE(Passing, "it is asked for once in a while, however many want to know") {
  answer_to(refused(400));
  const auto fetches = fetcher.last;
  const std::size_t second = ask("8.8.8.8");
  REQUIRE(answers[second].has_value());
  CHECK(answers[second]->rung == Rung::Fresh);
  CHECK(answers[second]->content->status == 400);
  CHECK(fetcher.last == fetches);
  pass(6s);
  ask("8.8.8.8");
  CHECK(fetcher.last == fetches + 1);
  flights->abandon_all();
}

TEST_CASE_FIXTURE(Passing, "nor for longer than it says itself, whatever it says") {
  const auto asked_again_after = [&](const upstream::Fields& fields, base::Duration time) {
    flights->purge("lookup/8.8.8.8");
    answer_to(refused(400, kWord, fields));
    pass(time);
    const auto fetches = fetcher.last;
    const std::size_t number = ask("8.8.8.8");
    const bool again = fetcher.last != fetches;
    if (again) fetcher.end(fetcher.last, refused(400));
    CHECK(answers[number].has_value());
    return again;
  };
  CHECK_FALSE(asked_again_after({{"Cache-Control", "max-age=2"}}, 1s));
  CHECK(asked_again_after({{"Cache-Control", "max-age=2"}}, 2s));
  CHECK(asked_again_after({{"Cache-Control", "max-age=2"}, {"Age", "2"}}, 0s));
  CHECK(asked_again_after({{"Cache-Control", "no-cache"}}, 0s));
  CHECK(asked_again_after({{"Expires", "0"}}, 0s));
  CHECK_FALSE(asked_again_after({{"Cache-Control", "max-age=60"}}, 4s));
  CHECK(asked_again_after({{"Cache-Control", "max-age=60"}}, 5s));
}

TEST_CASE_FIXTURE(Passing, "one that may not be shared is for who asked") {
  for (const upstream::Fields& fields : {upstream::Fields{{"Cache-Control", "no-store"}},
                                         {{"Cache-Control", "private"}},
                                         {{"Vary", "*"}}}) {
    CHECK(answer_to(refused(400, kWord, fields)).content->status == 400);
    CHECK(memory.find("lookup/8.8.8.8") == nullptr);
  }
}

TEST_CASE_FIXTURE(
    Passing, "one that may not be shared is for who asked, and not for those who waited along") {
  storing.set_cookie = StoringPolicy::SetCookie::Pass;
  use(storing);
  const upstream::Fields kinds[] = {{{"Set-Cookie", "session=1"}},
                                    {{"Cache-Control", "private"}},
                                    {{"Cache-Control", "no-store"}}};
  for (const upstream::Fields& fields : kinds) {
    const std::size_t first = ask("8.8.8.8");
    const auto fetch = fetcher.last;
    const std::size_t second = ask("8.8.8.8");
    REQUIRE(fetcher.last == fetch);
    fetcher.end(fetch, refused(400, kWord, fields));
    REQUIRE(answers[first].has_value());
    CHECK(answers[first]->content->status == 400);
    CHECK_FALSE(answers[second].has_value());
    REQUIRE(fetcher.last == fetch + 1);
    fetcher.end(fetcher.last, refused(422));
    REQUIRE(answers[second].has_value());
    CHECK(answers[second]->content->status == 422);
    CHECK(answers[second]->content->fields.find("Set-Cookie") == std::string::npos);
    flights->purge_all();
    use(storing);
  }
}

TEST_CASE_FIXTURE(Passing, "what is about us, or is not the API's own word, is an error of ours") {
  for (const int status : {407, 421, 426}) {
    CAPTURE(status);
    CHECK(answer_to(refused(status)).status == 502);
    pass(2min);
  }
  CHECK(answer_to(refused(400, "<html>400 Bad Request</html>")).status == 502);
  pass(2min);
  CHECK(answer_to(failed(FetchEnd::Refused, Outcome::Unauthorized, 403)).status == 502);
}

TEST_CASE_FIXTURE(Passing, "a usable stored answer goes before it, and stays") {
  have("8.8.8.8");
  pass(25h + 8 * 24h);
  const Answer& answer = answer_to(refused(400));
  CHECK(answer.rung == Rung::StaleIfError);
  CHECK(memory.find("lookup/8.8.8.8")->status == 200);
}

TEST_CASE_FIXTURE(Passing, "a 404 is stored with the upstream's own content, and known again") {
  FetchResult missing =
      refused(404, R"({"error":"no such package"})", {{"Content-Type", "application/json"}});
  const Answer& answer = answer_to(missing);
  CHECK(answer.stored);
  const auto stored = store.rows.at("lookup/8.8.8.8");
  CHECK(stored->body == R"({"error":"no such package"})");
  CHECK(objection_to(*route, "lookup/8.8.8.8", *stored).empty());
  const auto problem = lookup_route();
  CHECK_FALSE(objection_to(*problem, "lookup/8.8.8.8", *stored).empty());
}

TEST_CASE_FIXTURE(Fixture, "where a route does not pass it, a 400 is an error of ours") {
  const std::size_t number = ask("8.8.8.8");
  fetcher.end(fetcher.last, refused(400));
  CHECK(answers[number]->rung == Rung::Error);
  CHECK(answers[number]->status == 502);
  CHECK(memory.find("lookup/8.8.8.8") == nullptr);
}

TEST_CASE_FIXTURE(Passing, "Set-Cookie by the route's choice") {
  const upstream::Fields cookies{{"Set-Cookie", "a=1"}, {"Set-Cookie", "b=2"}};
  using SetCookie = StoringPolicy::SetCookie;
  storing.set_cookie = SetCookie::Pass;
  use(storing);
  const std::size_t first = ask("8.8.8.8");
  const std::size_t second = ask("8.8.8.8");
  fetcher.end(fetcher.last, answered("8.8.8.8", cookies));
  CHECK(answers[first]->content->fields.ends_with("Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n"));
  CHECK_FALSE(answers[first]->may_store);
  CHECK(store.rows.empty());
  // Who waited for another's gets one of his own.
  CHECK_FALSE(answers[second].has_value());
  fetcher.end(fetcher.last, answered("8.8.8.8"));
  CHECK(answers[second]->content->fields.find("Set-Cookie") == std::string::npos);
  flights->purge_all();

  storing.set_cookie = SetCookie::Strip;
  use(storing);
  CHECK(answer_to(answered("8.8.8.8", cookies)).stored);
  CHECK(store.rows.at("lookup/8.8.8.8")->fields.find("Set-Cookie") == std::string::npos);
  flights->purge_all();

  storing.set_cookie = SetCookie::Store;
  use(storing);
  CHECK(answer_to(answered("8.8.8.8", cookies)).stored);
  const auto stored = store.rows.at("lookup/8.8.8.8");
  CHECK(stored->fields.ends_with("Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n"));
  CHECK(objection_to(*route, "lookup/8.8.8.8", *stored).empty());
}

TEST_CASE_FIXTURE(Passing,
                  "a lifetime by status goes before the general ones, not before the upstream's") {
  storing.ttl_by_status = {{200, 10min}, {404, 7s}};
  use(storing);
  CHECK(answer_to(answered("8.8.8.8")).content->freshness_lifetime == 10min);
  flights->purge_all();
  CHECK(answer_to(refused(404)).content->freshness_lifetime == 7s);
  flights->purge_all();
  CHECK(answer_to(refused(410)).content->freshness_lifetime == storing.negative_ttl);
  flights->purge_all();
  CHECK(answer_to(answered("8.8.8.8", {{"Cache-Control", "max-age=60"}}))
            .content->freshness_lifetime == 60s);
}

TEST_CASE_FIXTURE(Passing, "fields that a route removes or sets are not kept of the upstream's") {
  storing.fields_removed = {"content-language", "last-modified"};
  use(storing);
  const upstream::Fields fields{{"Content-Type", "application/json"},
                                {"Content-Language", "de"},
                                {"Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT"}};
  CHECK(answer_to(answered("8.8.8.8", fields)).content->fields ==
        "Content-Type: application/json\r\n");
}

TEST_CASE_FIXTURE(Passing, "what a stricter rule would refuse is not answered from the store") {
  StoredJudge judge({lookup_plan()});
  const auto right = cache::make_stored(
      {.fields = "Content-Type: application/json\r\n", .body = body_for("8.8.8.8")});
  const auto wrong = cache::make_stored(
      {.fields = "Content-Type: application/json\r\n", .body = R"({"ip":"8.8.8.8"})"});
  CHECK(judge.takes("lookup/8.8.8.8", *right));
  CHECK_FALSE(judge.takes("lookup/8.8.8.8", *wrong));
  CHECK_FALSE(judge.takes("lookup/9.9.9.9", *right));
  CHECK_FALSE(judge.takes("gone~12345678/8.8.8.8", *right));
  CHECK(judge.takes("lookup/8.8.8.8", *cache::make_stored({.status = 404})));

  flights.emplace(Flights::Parts{loop, fetcher, memory, store, log, metrics, shard,
                                 [&](std::string_view key, const cache::StoredResponse& stored) {
                                   return judge.takes(key, stored);
                                 }},
                  Flights::Settings{}, 1);
  const auto fresh = [&](const cache::StoredPtr& like) {
    cache::StoredParts parts = *like;
    parts.response_time = loop.clock().wall();
    parts.freshness_lifetime = 1h;
    return cache::make_stored(std::move(parts));
  };
  store.rows["lookup/8.8.8.8"] = fresh(wrong);
  const std::size_t first = ask("8.8.8.8");
  CHECK_FALSE(answers[first].has_value());
  fetcher.end(fetcher.last, answered("8.8.8.8"));
  CHECK(answers[first]->rung == Rung::Fetched);
  memory.clear();
  store.rows["lookup/8.8.8.8"] = fresh(right);
  const std::size_t second = ask("8.8.8.8");
  REQUIRE(answers[second].has_value());
  CHECK(answers[second]->rung == Rung::Fresh);
}
