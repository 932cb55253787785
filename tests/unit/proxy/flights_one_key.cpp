// What a final or repeated bad answer for one key means for what is stored of it, and for those
// who ask for it next.
#include "flights_fixture.h"

using namespace holdfast;
using namespace holdfast::proxy;
using namespace holdfast::proxy::test;

namespace {

FetchResult missing(upstream::Fields fields = {}) {
  FetchResult result = failed(FetchEnd::Answered, Outcome::ClientError, 404);
  result.reply.fields = std::move(fields);
  return result;
}

const upstream::Fields kNoStore{{"Cache-Control", "no-store"}};

}  // namespace

TEST_CASE("a 404 is the API's own if it is a JSON object, whatever it is called") {
  const auto route = holdfast::proxy::test::lookup_route();
  const auto judge = [&](int status, const char* body) {
    upstream::Reply reply;
    reply.status = status;
    reply.fields.push_back({"Content-Type", "text/html"});
    reply.body = body;
    return route->validate("lookup/8.8.8.8", reply).outcome;
  };
  for (const int status : {404, 410}) {
    CHECK(judge(status, R"({"error":"no data"})") == Outcome::Ok);
    CHECK(judge(status, "{}") == Outcome::Ok);
    for (const char* body : {"<html>", "", "[]", "\"no\"", "{", "{} {}"}) {
      CAPTURE(body);
      CHECK(judge(status, body) == Outcome::InvalidBody);
    }
  }
  CHECK(judge(200, "{}") == Outcome::InvalidBody);
}

TEST_CASE_FIXTURE(Fixture, "a 404 replaces a usable 200 when it is said again a minute later") {
  for (const auto& fields : {upstream::Fields{}, kNoStore}) {
    have("8.8.8.8");
    const auto before = memory.find("lookup/8.8.8.8");
    pass(25h);
    flights->refresh(*route, "lookup/8.8.8.8");
    fetcher.end(fetcher.last, missing(fields));
    CHECK(memory.find("lookup/8.8.8.8") == before);
    CHECK(store.rows.at("lookup/8.8.8.8") == before);
    CHECK(flights->resting("lookup/8.8.8.8"));
    // Once more, but too soon.
    pass(30s);
    flights->refresh(*route, "lookup/8.8.8.8");
    fetcher.end(fetcher.last, missing(fields));
    CHECK(memory.find("lookup/8.8.8.8") == before);
    // What failed otherwise meanwhile says nothing.
    pass(20s);
    flights->refresh(*route, "lookup/8.8.8.8");
    fetcher.end(fetcher.last, failed(FetchEnd::GaveUp, Outcome::Timeout));
    pass(60s);
    flights->refresh(*route, "lookup/8.8.8.8");
    fetcher.end(fetcher.last, missing(fields));
    const auto after = memory.find("lookup/8.8.8.8");
    CHECK((fields.empty() ? after && after->status == 404 : after == nullptr));
    flights->purge("lookup/8.8.8.8");
  }
}

TEST_CASE_FIXTURE(Fixture, "who asks while a 404 is doubted gets what is stored") {
  have("8.8.8.8");
  pass(24h * 9);
  const auto first = ask("8.8.8.8");
  fetcher.end(fetcher.last, missing());
  REQUIRE(answers[first].has_value());
  CHECK(answers[first]->rung == Rung::StaleIfError);
  CHECK(answers[first]->content->status == 200);
  CHECK(answers[first]->upstream_status == 404);
  const auto second = ask("8.8.8.8");
  CHECK(answers[second]->rung == Rung::StaleIfError);
  CHECK(fetcher.fetches.empty());
  // A success ends the doubt.
  pass(10s);
  ask("8.8.8.8");
  fetcher.end(fetcher.last, answered("8.8.8.8"));
  pass(24h * 9);
  const auto later = ask("8.8.8.8");
  fetcher.end(fetcher.last, missing());
  CHECK(answers[later]->rung == Rung::StaleIfError);
}

TEST_CASE_FIXTURE(Fixture, "a 404 replaces at once what may not be used any more, or a 404") {
  have("8.8.8.8");
  pass(24h * 40);
  const auto first = ask("8.8.8.8");
  fetcher.end(fetcher.last, missing());
  CHECK(answers[first]->rung == Rung::Fetched);
  CHECK(answers[first]->content->status == 404);
  pass(6min);
  const auto second = ask("8.8.8.8");
  fetcher.end(fetcher.last, missing());
  CHECK(answers[second]->rung == Rung::Fetched);
}

TEST_CASE_FIXTURE(Fixture, "what may not be stored leaves what is, for when the upstream fails") {
  have("8.8.8.8");
  pass(25h);
  flights->refresh(*route, "lookup/8.8.8.8");
  fetcher.end(fetcher.last, answered("8.8.8.8", kNoStore));
  // Not at once, since the upstream says something else now ...
  const auto asks = ask("8.8.8.8");
  CHECK_FALSE(answers[asks].has_value());
  REQUIRE(fetcher.fetches.size() == 1);
  fetcher.end(fetcher.last, answered("8.8.8.8", kNoStore));
  CHECK(answers[asks]->rung == Rung::Fetched);
  CHECK_FALSE(answers[asks]->stored);
  // ... but rather than nothing.
  const auto fails = ask("8.8.8.8");
  fetcher.end(fetcher.last, failed(FetchEnd::Deadline, Outcome::ServerError, 500));
  CHECK(answers[fails]->rung == Rung::StaleIfError);
  CHECK(store.rows.contains("lookup/8.8.8.8"));
}

TEST_CASE_FIXTURE(Fixture, "a key with which something is wrong rests, and tells so") {
  struct Case {
    FetchEnd end;
    Outcome outcome;
    int status;
    bool rests;
  };
  for (const Case& c : {Case{FetchEnd::KeyFails, Outcome::ServerError, 500, true},
                        Case{FetchEnd::KeyFails, Outcome::InvalidBody, 200, true},
                        Case{FetchEnd::Answered, Outcome::ClientError, 400, true},
                        Case{FetchEnd::Answered, Outcome::ClientError, 451, true},
                        Case{FetchEnd::Refused, Outcome::Unauthorized, 403, true},
                        Case{FetchEnd::Refused, Outcome::Unauthorized, 401, false},
                        Case{FetchEnd::Refused, Outcome::Certificate, 0, false},
                        Case{FetchEnd::Deadline, Outcome::ServerError, 500, false},
                        Case{FetchEnd::BreakerOpen, Outcome::Connect, 0, false}}) {
    CAPTURE(static_cast<int>(c.end));
    CAPTURE(c.status);
    const auto first = ask("8.8.8.8");
    REQUIRE(fetcher.fetches.size() == 1);
    fetcher.end(fetcher.last, failed(c.end, c.outcome, c.status));
    CHECK(answers[first]->status >= 502);
    CHECK(answers[first]->forwarded);
    const auto next = ask("8.8.8.8");
    REQUIRE(answers[next].has_value() == c.rests);
    if (c.rests) {
      CHECK(answers[next]->status == answers[first]->status);
      CHECK(answers[next]->detail == answers[first]->detail);
      CHECK(answers[next]->upstream_status == c.status);
      CHECK(answers[next]->retry_after >= 1s);
      CHECK_FALSE(answers[next]->forwarded);
      CHECK(fetcher.fetches.empty());
      // A purge is a wish to have it asked for.
      flights->purge("lookup/8.8.8.8");
      ask("8.8.8.8");
    }
    REQUIRE(fetcher.fetches.size() == 1);
    fetcher.end(fetcher.last, answered("8.8.8.8"));
    flights->purge("lookup/8.8.8.8");
  }
  // Others are asked for, and it is again, after its rest.
  ask("1.1.1.1");
  fetcher.end(fetcher.last, failed(FetchEnd::KeyFails, Outcome::ServerError, 500));
  ask("1.1.1.2");
  CHECK(fetcher.fetches.size() == 1);
  pass(3s);
  ask("1.1.1.1");
  CHECK(fetcher.fetches.size() == 2);
}

TEST_CASE_FIXTURE(Fixture, "a 403 to a token that is refused is not about what was asked for") {
  FetchResult refusal = failed(FetchEnd::Refused, Outcome::Unauthorized, 403);
  refusal.token_refused = true;
  for (int i = 0; i < 2; ++i) {
    const auto asked = ask("8.8.8.8");
    REQUIRE(fetcher.fetches.size() == 1);
    fetcher.end(fetcher.last, refusal);
    CHECK(answers[asked]->status == 502);
  }
}

TEST_CASE_FIXTURE(Fixture, "keys that rest are asked for at once when the token has changed") {
  ask("8.8.8.8");
  fetcher.end(fetcher.last, failed(FetchEnd::Refused, Outcome::Unauthorized, 403));
  ask("8.8.8.8");
  REQUIRE(fetcher.fetches.empty());
  flights->forget_rests();
  ask("8.8.8.8");
  CHECK(fetcher.fetches.size() == 1);
}

TEST_CASE_FIXTURE(Fixture, "what an answer must be can be told after its flight") {
  ask("8.8.8.8");
  const auto validate = fetcher.fetches.at(1).request.validate;
  fetcher.end(1, answered("8.8.8.8"));
  upstream::Reply reply;
  reply.status = 200;
  reply.body = body_for("8.8.8.8");
  CHECK(validate(reply).outcome == Outcome::Ok);
}
