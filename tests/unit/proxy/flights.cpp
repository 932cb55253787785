#include "flights_fixture.h"

using namespace holdfast;
using namespace holdfast::proxy;
using namespace holdfast::proxy::test;

TEST_CASE_FIXTURE(Fixture, "a miss is fetched, stored in memory and store, and answered") {
  const auto first = ask("8.8.8.8");
  REQUIRE(fetcher.fetches.size() == 1);
  CHECK(fetcher.fetches.at(1).request.request.target == "/geoip/8.8.8.8");
  CHECK_FALSE(answers[first].has_value());
  fetcher.end(1, answered("8.8.8.8"));

  REQUIRE(answers[first].has_value());
  CHECK(answers[first]->rung == Rung::Fetched);
  CHECK(answers[first]->stored);
  CHECK_FALSE(answers[first]->collapsed);
  CHECK(answers[first]->content->body == body_for("8.8.8.8"));
  CHECK(memory.find("lookup/8.8.8.8") == answers[first]->content);
  CHECK(store.rows.at("lookup/8.8.8.8") == answers[first]->content);
  CHECK(flights->stats().flights == 0);
  CHECK(flights->stats().waiters == 0);
}

TEST_CASE_FIXTURE(Fixture, "the validator of a flight is the route's, for the flight's own key") {
  ask("8.8.8.8");
  upstream::Reply reply;
  reply.status = 200;
  reply.body = body_for("8.8.8.8");
  CHECK(fetcher.fetches.at(1).request.validate(reply).outcome == Outcome::Ok);
  reply.body = body_for("8.8.4.4");
  CHECK(fetcher.fetches.at(1).request.validate(reply).outcome == Outcome::WrongContent);
}

TEST_CASE_FIXTURE(Fixture, "only a miss with nothing stored waits for an upstream that is down") {
  have("1.1.1.1");
  pass(24h * 9);
  ask("1.1.1.1");
  CHECK_FALSE(fetcher.fetches.at(fetcher.last).request.may_park);
  ask("8.8.8.8");
  CHECK(fetcher.fetches.at(fetcher.last).request.may_park);
}

TEST_CASE_FIXTURE(Fixture, "identical requests share one flight, and all but the first say so") {
  for (int i = 0; i < 500; ++i) ask("8.8.8.8");
  ask("8.8.4.4");
  CHECK(fetcher.fetches.size() == 2);
  CHECK(flights->stats().waiters == 501);
  fetcher.end(1, answered("8.8.8.8"));
  CHECK_FALSE(answers[0]->collapsed);
  for (std::size_t i = 1; i < 500; ++i) {
    REQUIRE(answers[i].has_value());
    CHECK(answers[i]->collapsed);
    CHECK(answers[i]->content == answers[0]->content);
  }
  CHECK_FALSE(answers[500].has_value());
}

TEST_CASE_FIXTURE(Fixture, "what the store has is answered from there and brought into memory") {
  have("8.8.8.8");
  memory.clear();
  const auto again = ask("8.8.8.8");
  REQUIRE(answers[again].has_value());
  CHECK(answers[again]->rung == Rung::Fresh);
  CHECK(memory.find("lookup/8.8.8.8") != nullptr);
  CHECK(fetcher.fetches.empty());
}

TEST_CASE_FIXTURE(Fixture, "a flight carries the fields of the client that started it, once") {
  const upstream::Fields trace{{"traceparent", "00-1"}};
  const auto ignore = [](const Answer&) {};
  flights->join(*route, "lookup/8.8.8.8", loop.now() + 10s, 0s, ignore, trace);
  flights->join(*route, "lookup/8.8.8.8", loop.now() + 10s, 0s, ignore, {{"traceparent", "00-2"}});
  REQUIRE(fetcher.fetches.size() == 1);
  const auto& fields = fetcher.fetches.at(1).request.request.fields;
  REQUIRE(upstream::find_field(fields, "traceparent") != nullptr);
  CHECK(*upstream::find_field(fields, "traceparent") == "00-1");
  CHECK(upstream::find_field(fields, "accept") != nullptr);
  fetcher.end(1, answered("8.8.8.8"));
  // The refresh behind a stale answer is nobody's request.
  pass(25h);
  flights->join(*route, "lookup/8.8.8.8", loop.now() + 10s, 0s, ignore, trace);
  REQUIRE(fetcher.fetches.size() == 1);
  CHECK(upstream::find_field(fetcher.fetches.begin()->second.request.request.fields,
                             "traceparent") == nullptr);
  fetcher.end(fetcher.last, answered("8.8.8.8"));
}

TEST_CASE_FIXTURE(Fixture, "a store that cannot read is a store that has nothing") {
  store.broken = true;
  const auto first = ask("8.8.8.8");
  REQUIRE(fetcher.fetches.size() == 1);
  fetcher.end(1, answered("8.8.8.8"));
  CHECK(answers[first]->rung == Rung::Fetched);
}

TEST_CASE_FIXTURE(Fixture, "stale-while-revalidate answers at once and refreshes once") {
  have("8.8.8.8");
  pass(25h);
  const auto first = ask("8.8.8.8");
  REQUIRE(answers[first].has_value());
  CHECK(answers[first]->rung == Rung::StaleWhileRevalidate);
  REQUIRE(fetcher.fetches.size() == 1);
  CHECK(fetcher.fetches.begin()->second.request.priority == upstream::Priority::Refresh);
  flights->refresh(*route, "lookup/8.8.8.8");
  CHECK(fetcher.fetches.size() == 1);
  fetcher.end(fetcher.last, answered("8.8.8.8"));
  CHECK(cache::freshness(*memory.find("lookup/8.8.8.8"), loop.clock().wall()).use ==
        cache::Use::Fresh);
  flights->refresh(*route, "lookup/8.8.8.8");  // fresh again: nothing to do
  CHECK(fetcher.fetches.empty());
}

TEST_CASE_FIXTURE(Fixture, "a failed refresh keeps what is stored, and the key rests") {
  have("8.8.8.8");
  const auto before = memory.find("lookup/8.8.8.8");
  pass(25h);
  flights->refresh(*route, "lookup/8.8.8.8");
  fetcher.end(fetcher.last, failed(FetchEnd::GaveUp, Outcome::ServerError, 503));
  CHECK(memory.find("lookup/8.8.8.8") == before);
  CHECK(store.rows.at("lookup/8.8.8.8") == before);
  flights->refresh(*route, "lookup/8.8.8.8");
  CHECK(fetcher.fetches.empty());
  pass(3s);
  flights->refresh(*route, "lookup/8.8.8.8");
  CHECK(fetcher.fetches.size() == 1);
}

TEST_CASE_FIXTURE(Fixture, "the cause tells a failure that repeats once, with how often") {
  const auto first = ask("8.8.8.8");
  FetchResult result = failed(FetchEnd::Deadline, Outcome::ServerError, 503);
  const upstream::AttemptRecord failure = result.attempts.front();
  result.attempts.assign(3, failure);
  result.attempts.insert(result.attempts.begin(), {.outcome = Outcome::Timeout});
  result.attempts.push_back({.outcome = Outcome::Cancelled});
  result.attempts.push_back(failure);
  fetcher.end(fetcher.last, result);
  REQUIRE(answers[first].has_value());
  CHECK(answers[first]->cause == "timeout; 5xx: as scripted (4 times)");
}

TEST_CASE_FIXTURE(Fixture, "stale-if-error waits for the fetch, and answers when that fails") {
  have("8.8.8.8");
  pass(24h * 9);
  const auto first = ask("8.8.8.8");
  CHECK_FALSE(answers[first].has_value());
  fetcher.end(fetcher.last, failed(FetchEnd::Deadline, Outcome::ServerError, 503));
  REQUIRE(answers[first].has_value());
  CHECK(answers[first]->rung == Rung::StaleIfError);
  CHECK(answers[first]->upstream_status == 503);
  CHECK(answers[first]->cause == "5xx: as scripted");
  // While the key rests the stale answer comes at once, without a fetch.
  const auto second = ask("8.8.8.8");
  REQUIRE(answers[second].has_value());
  CHECK(answers[second]->rung == Rung::StaleIfError);
  CHECK_FALSE(answers[second]->forwarded);
  CHECK(fetcher.fetches.empty());
}

TEST_CASE_FIXTURE(Fixture, "the cause is the chain of failures, each told once with how often") {
  const auto first = ask("8.8.8.8");
  FetchResult result = failed(FetchEnd::Deadline, Outcome::Connect);
  result.attempts.push_back(result.attempts.back());
  result.attempts.push_back(result.attempts.back());
  upstream::AttemptRecord other;
  other.outcome = Outcome::Cancelled;
  result.attempts.push_back(other);
  other.outcome = Outcome::Timeout;
  result.attempts.push_back(other);
  other.outcome = Outcome::Connect;
  result.attempts.push_back(other);
  fetcher.end(1, std::move(result));
  CHECK(answers[first]->cause == "connect: as scripted (3 times); timeout; connect");
}

TEST_CASE_FIXTURE(Fixture, "a slow upstream costs a stale answer no more than the patience") {
  have("8.8.8.8");
  pass(24h * 9);
  const auto first = ask("8.8.8.8");
  pass(249ms);
  CHECK_FALSE(answers[first].has_value());
  pass(1ms);
  REQUIRE(answers[first].has_value());
  CHECK(answers[first]->rung == Rung::StaleIfError);
  const auto late = ask("8.8.8.8");  // the flight is still up, its patience over
  REQUIRE(answers[late].has_value());
  CHECK(answers[late]->rung == Rung::StaleIfError);
  // The flight still fills the cache.
  fetcher.end(fetcher.last, answered("8.8.8.8"));
  CHECK(cache::freshness(*memory.find("lookup/8.8.8.8"), loop.clock().wall()).use ==
        cache::Use::Fresh);
}

TEST_CASE_FIXTURE(Fixture, "past STALE_IF_ERROR nothing stale is served") {
  have("8.8.8.8");
  pass(24h * 32);
  const auto first = ask("8.8.8.8");
  fetcher.end(fetcher.last, failed(FetchEnd::Deadline, Outcome::Connect));
  CHECK(answers[first]->rung == Rung::Error);
  CHECK(answers[first]->status == 502);
}

TEST_CASE_FIXTURE(Fixture,
                  "a waiter leaves at its own deadline and the flight goes on for the others") {
  const auto early = ask("8.8.8.8", 1s);
  const auto late = ask("8.8.8.8", 10s);
  CHECK(fetcher.fetches.at(1).request.deadline >= loop.now() + 9s);
  pass(1s);
  REQUIRE(answers[early].has_value());
  CHECK(answers[early]->status == 504);
  CHECK_FALSE(answers[late].has_value());
  fetcher.end(1, answered("8.8.8.8"));
  CHECK(answers[late]->rung == Rung::Fetched);
}

TEST_CASE_FIXTURE(Fixture, "an answer is there before the deadline even if the fetch never ends") {
  const auto first = ask("8.8.8.8", 10s);
  pass(10s - 1ms);
  REQUIRE(answers[first].has_value());
  CHECK(answers[first]->status == 504);
  CHECK(flights->stats().waiters == 0);
  fetcher.end(1, answered("8.8.8.8"));  // nobody waits: it still fills the cache
  CHECK(memory.find("lookup/8.8.8.8") != nullptr);
}

TEST_CASE_FIXTURE(Fixture, "each way to fail has its status and says when to come back") {
  struct Case {
    FetchEnd end;
    Outcome outcome;
    int status;
  };
  for (const Case& c : {Case{FetchEnd::Deadline, Outcome::ServerError, 502},
                        Case{FetchEnd::Deadline, Outcome::Timeout, 504},
                        Case{FetchEnd::Deadline, Outcome::Connect, 502},
                        Case{FetchEnd::Deadline, Outcome::InvalidBody, 502},
                        Case{FetchEnd::Deadline, Outcome::RateLimited, 503},
                        Case{FetchEnd::Deadline, Outcome::Local, 503},
                        Case{FetchEnd::StayedDown, Outcome::Timeout, 504},
                        Case{FetchEnd::StayedDown, Outcome::Connect, 502},
                        Case{FetchEnd::BreakerOpen, Outcome::Connect, 503},
                        Case{FetchEnd::CrowdedOut, Outcome::Connect, 503},
                        Case{FetchEnd::Overloaded, Outcome::Timeout, 503},
                        Case{FetchEnd::Refused, Outcome::Unauthorized, 502},
                        Case{FetchEnd::Answered, Outcome::ClientError, 502}}) {
    const auto number = ask("8.8.8.8");
    fetcher.end(fetcher.last, failed(c.end, c.outcome));
    REQUIRE(answers[number].has_value());
    CHECK(answers[number]->rung == Rung::Error);
    CHECK(answers[number]->status == c.status);
    CHECK(answers[number]->retry_after == 7s);
    CHECK_FALSE(answers[number]->detail.empty());
  }
  CHECK(memory.find("lookup/8.8.8.8") == nullptr);
  CHECK(store.rows.empty());
}

TEST_CASE_FIXTURE(Fixture, "an error names what decided, and nobody who answers is called down") {
  const auto detail = [&](FetchResult result) {
    const auto number = ask("8.8.8.8");
    fetcher.end(fetcher.last, std::move(result));
    return answers[number]->detail;
  };
  FetchResult result = failed(FetchEnd::Refused, Outcome::Redirected, 301);
  result.attempts[0].status = 301;
  result.attempts[0].detail = "status 301, Location: https://b.example/";
  CHECK(detail(result) ==
        "the upstream is not where it is configured to be: it redirects "
        "(status 301, Location: https://b.example/)");
  result = failed(FetchEnd::Deadline, Outcome::ServerError, 503);
  result.attempts[0].status = 503;
  result.attempts[0].detail = "status 503";
  result.attempts.push_back({.outcome = Outcome::Cancelled});
  CHECK(detail(result) == "the upstream kept failing (status 503)");
  for (const FetchEnd end : {FetchEnd::BreakerOpen, FetchEnd::CrowdedOut, FetchEnd::StayedDown}) {
    result = failed(end, Outcome::ServerError);
    CHECK(detail(result).starts_with("the upstream is down"));
    result.last_error = "5xx: status 503";
    result.last_error_status = 503;
    CHECK(detail(result).starts_with("the upstream answers, but keeps failing (5xx: status 503)"));
  }
}

TEST_CASE_FIXTURE(Fixture, "the error says what happened, also to who leaves before the others") {
  const auto early = ask("8.8.8.8", 1s);
  const auto late = ask("8.8.8.8", 10s);
  fetcher.fetches.at(1).so_far = failed(FetchEnd::StayedDown, Outcome::Connect);
  pass(1s);
  REQUIRE(answers[early].has_value());
  CHECK(answers[early]->status == 502);
  CHECK(answers[early]->detail == "the upstream is down, and was not back in time");
  CHECK(answers[early]->cause == "connect: as scripted");
  CHECK(answers[early]->attempts == 3);
  CHECK(answers[early]->retry_after == 7s);
  FetchResult result = failed(FetchEnd::StayedDown, Outcome::Timeout);
  result.attempts_sent = 0;
  fetcher.end(1, std::move(result));
  CHECK(answers[late]->status == 504);
  CHECK(answers[late]->detail == "the upstream is down, and was not back in time");

  const auto never_asked = ask("8.8.8.8");
  fetcher.end(2, {});
  CHECK(answers[never_asked]->status == 504);
  CHECK(answers[never_asked]->detail == "no time was left to ask the upstream");
}

// A fetch hands its result over in a later turn of the loop than it has it in.
TEST_CASE_FIXTURE(Fixture, "an answer that is on its way is waited for, at the deadline too") {
  const auto number = ask("8.8.8.8", 1s);
  FetchResult arrived = answered("8.8.8.8");
  arrived.reply.body.clear();
  fetcher.fetches.at(1).so_far = std::move(arrived);
  pass(960ms);
  CHECK_FALSE(answers[number].has_value());
  fetcher.end(1, answered("8.8.8.8"));
  REQUIRE(answers[number].has_value());
  CHECK(answers[number]->rung == Rung::Fetched);

  pass(24h * 9);
  const auto stale = ask("8.8.8.8");
  fetcher.fetches.at(2).so_far = answered("8.8.8.8");
  pass(250ms);
  CHECK_FALSE(answers[stale].has_value());
  fetcher.end(2, answered("8.8.8.8"));
  CHECK(answers[stale]->rung == Rung::Fetched);
}

TEST_CASE_FIXTURE(Fixture, "what the store could not say when a flight began still saves it") {
  have("8.8.8.8");
  pass(24h * 9);
  memory.clear();
  store.broken = true;
  const auto waits = ask("8.8.8.8");
  CHECK_FALSE(answers[waits].has_value());
  store.broken = false;
  memory.put_if_absent("lookup/8.8.8.8", store.rows.at("lookup/8.8.8.8"));  // warming up
  fetcher.end(fetcher.last, failed(FetchEnd::Deadline, Outcome::Timeout));
  REQUIRE(answers[waits].has_value());
  CHECK(answers[waits]->rung == Rung::StaleIfError);
}

TEST_CASE_FIXTURE(Fixture, "an upstream 404 is stored for NEGATIVE_TTL") {
  const auto first = ask("8.8.8.8");
  FetchResult result = failed(FetchEnd::Answered, Outcome::ClientError, 404);
  fetcher.end(1, std::move(result));
  CHECK(answers[first]->rung == Rung::Fetched);
  CHECK(answers[first]->content->status == 404);
  const auto second = ask("8.8.8.8");
  CHECK(answers[second]->rung == Rung::Fresh);
  pass(6min);
  ask("8.8.8.8");
  CHECK(fetcher.fetches.size() == 1);
}

TEST_CASE_FIXTURE(Fixture, "a stored validator makes a refresh conditional, and a 304 freshens") {
  have("8.8.8.8", {{"ETag", "\"v1\""}});
  const auto before = memory.find("lookup/8.8.8.8");
  pass(25h);
  flights->refresh(*route, "lookup/8.8.8.8");
  const auto& fields = fetcher.fetches.at(fetcher.last).request.request.fields;
  REQUIRE(upstream::find_field(fields, "If-None-Match"));
  CHECK(*upstream::find_field(fields, "If-None-Match") == "\"v1\"");
  FetchResult result;
  result.end = FetchEnd::Answered;
  result.outcome = Outcome::NotModified;
  result.reply.status = 304;
  fetcher.end(fetcher.last, std::move(result));
  const auto after = memory.find("lookup/8.8.8.8");
  CHECK(after != before);
  CHECK(after->body == before->body);
  CHECK(cache::freshness(*after, loop.clock().wall()).use == cache::Use::Fresh);
  CHECK(metrics.value(observe::Family::Refreshes, {{"result", "freshened"}}) == 1);
}

TEST_CASE_FIXTURE(
    Fixture,
    "a refresh is counted once, behind an answer or not, and where nothing is stored now") {
  const auto count = [&](const char* result) {
    return metrics.value(observe::Family::Refreshes, {{"result", result}});
  };
  ask("8.8.8.8");
  fetcher.end(fetcher.last, answered("8.8.8.8"));
  CHECK(count("replaced") == 0);  // a miss
  pass(25h);
  ask("8.8.8.8");  // refreshed behind
  fetcher.end(fetcher.last, answered("8.8.8.8"));
  CHECK(count("replaced") == 1);
  pass(24h * 9);
  ask("8.8.8.8");  // while the client waits
  fetcher.end(fetcher.last, failed(FetchEnd::Deadline, Outcome::ServerError, 503));
  CHECK(count("failed") == 1);
  // A worker saw it stale; it is gone when the origin loop comes to refresh it.
  memory.clear();
  store.rows.clear();
  pass(2min);
  flights->refresh(*route, "lookup/8.8.8.8");
  fetcher.end(fetcher.last, failed(FetchEnd::GaveUp, Outcome::ServerError, 503));
  CHECK(count("failed") == 2);
  flights->refresh(*route, "lookup/8.8.8.8");
  fetcher.end(fetcher.last, answered("8.8.8.8"));
  CHECK(count("replaced") == 2);
}

TEST_CASE_FIXTURE(Fixture, "what may not be stored goes to who asked, and the others ask on") {
  for (const char* forbids : {"no-store", "private"}) {
    CAPTURE(forbids);
    answers.clear();
    const std::string ip = forbids == std::string("private") ? "8.8.8.8" : "8.8.4.4";
    const auto first = ask(ip);
    const auto second = ask(ip, 5s);
    const auto third = ask(ip);
    fetcher.end(fetcher.last, answered(ip, {{"Cache-Control", forbids}}));
    REQUIRE(answers[first].has_value());
    CHECK(answers[first]->content->body == body_for(ip));
    CHECK_FALSE(answers[first]->stored);
    CHECK_FALSE(answers[second].has_value());
    CHECK_FALSE(answers[third].has_value());
    CHECK(flights->stats().waiters == 2);
    REQUIRE(fetcher.fetches.size() == 2);
    CHECK(fetcher.fetches.begin()->second.request.deadline < loop.now() + 5s);
    // Nor does whoever comes next wait for them, as nobody gains by it.
    const auto later = ask(ip);
    REQUIRE(fetcher.fetches.size() == 3);
    const auto end_first = [&] {
      fetcher.end(fetcher.fetches.begin()->first, answered(ip, {{"Cache-Control", forbids}}));
    };
    end_first();
    CHECK(answers[second]->content->body == body_for(ip));
    CHECK_FALSE(answers[second]->collapsed);
    CHECK_FALSE(answers[third].has_value());
    end_first();
    end_first();
    CHECK(answers[third].has_value());
    CHECK(answers[later].has_value());
    CHECK(fetcher.fetches.empty());
    CHECK(flights->stats().flights == 0);
    CHECK(flights->stats().waiters == 0);
    CHECK(memory.find("lookup/" + ip) == nullptr);
    CHECK(store.rows.empty());
  }
}

TEST_CASE_FIXTURE(Fixture, "who asked for what may not be stored and left is not stood in for") {
  const auto first = ask("8.8.8.8", 1s);
  const auto second = ask("8.8.8.8", 9s);
  pass(1s);
  REQUIRE(answers[first].has_value());
  fetcher.end(1, answered("8.8.8.8", {{"Cache-Control", "private"}}));
  CHECK_FALSE(answers[second].has_value());
  fetcher.end(2, answered("8.8.8.8"));
  CHECK(answers[second]->stored);
}

TEST_CASE_FIXTURE(Fixture, "what may be stored again is waited for together again") {
  const auto ask_and_forbid = [&](std::size_t fetches) {
    ask("8.8.8.8");
    ask("8.8.8.8");
    CHECK(fetcher.fetches.size() == fetches);
    while (!fetcher.fetches.empty()) {
      fetcher.end(fetcher.fetches.begin()->first,
                  answered("8.8.8.8", {{"Cache-Control", "no-store"}}));
    }
  };
  ask_and_forbid(1);
  ask_and_forbid(2);
  pass(2min);
  ask_and_forbid(1);
  ask("8.8.8.8");
  fetcher.end(fetcher.last, answered("8.8.8.8", {{"Cache-Control", "max-age=1"}}));
  flights->purge("lookup/8.8.8.8");
  ask("8.8.8.8");
  ask("8.8.8.8");
  CHECK(fetcher.fetches.size() == 1);
}

// RFC 9211, 2.6.
TEST_CASE_FIXTURE(Fixture, "an answer is called stored only if memory or the store took it") {
  const std::string large(cache::MemoryCache::Settings{}.limit_bytes, 'x');
  const auto fetch = [&](const std::string& padding) {
    const auto number = ask("8.8.8.8");
    FetchResult result = answered("8.8.8.8");
    result.reply.body += padding;
    fetcher.end(fetcher.last, std::move(result));
    REQUIRE(answers[number].has_value());
    CHECK(answers[number]->rung == Rung::Fetched);
    CHECK(answers[number]->may_store);
    memory.clear();
    return answers[number]->stored;
  };
  store.full = true;
  CHECK(fetch({}));           // in memory
  CHECK_FALSE(fetch(large));  // too large for that
  store.full = false;
  CHECK(fetch(large));
}

TEST_CASE_FIXTURE(
    Fixture, "beyond the bound on waiters a miss is told to come back, a stale hit is served") {
  have("1.1.1.1");
  pass(24h * 9);
  Flights::Settings settings;
  settings.max_waiters = 2;
  make(settings);
  ask("8.8.8.8");
  ask("8.8.8.8");
  const auto third = ask("8.8.8.8");
  REQUIRE(answers[third].has_value());
  CHECK(answers[third]->status == 503);
  CHECK(answers[third]->retry_after >= 1s);
  const auto stale = ask("1.1.1.1");
  REQUIRE(answers[stale].has_value());
  CHECK(answers[stale]->rung == Rung::StaleIfError);
  CHECK(metrics.value(Family::FlightWaiters) == 2);
  CHECK(metrics.value(Family::FlightWaitersLimit) == 2);
  CHECK(limited("waiters") == 1);
  // Another bound holds for whoever comes from then on.
  settings.max_waiters = 3;
  flights->take(settings);
  CHECK_FALSE(answers[ask("8.8.8.8")].has_value());
  CHECK(answers[ask("8.8.8.8")].has_value());
  CHECK(metrics.value(Family::FlightWaitersLimit) == 3);
}

TEST_CASE_FIXTURE(Fixture, "who is turned away is counted by what was full, and nobody else is") {
  have("1.1.1.1");
  pass(24h * 9);
  for (const FetchEnd end : {FetchEnd::Overloaded, FetchEnd::CrowdedOut, FetchEnd::BreakerOpen}) {
    ask("8.8.8.8");
    ask("8.8.8.8");
    fetcher.end(fetcher.last, failed(end, Outcome::Connect));
    ask("1.1.1.1");  // has something to fall back on
    fetcher.end(fetcher.last, failed(end, Outcome::Connect));
    pass(2min);  // or the key would rest
  }
  CHECK(limited("queued") == 2);
  CHECK(limited("parked") == 2);
  CHECK(limited("waiters") == 0);
}

TEST_CASE_FIXTURE(Fixture, "abandoning answers everybody and drops the fetches") {
  have("1.1.1.1");
  pass(24h * 9);
  const auto miss = ask("8.8.8.8");
  const auto stale = ask("1.1.1.1");
  flights->abandon_all();
  CHECK(fetcher.fetches.empty());
  CHECK(answers[miss]->status == 503);
  CHECK(answers[stale]->rung == Rung::StaleIfError);
}

TEST_CASE("min-fresh never asks for more than half of the freshness lifetime") {
  cache::Freshness freshness;
  freshness.use = cache::Use::Fresh;
  freshness.age = 10s;
  freshness.ttl = 90s;
  freshness.ttl_at_first = 100s;
  CHECK(fresh_enough(freshness, 0s));
  CHECK(fresh_enough(freshness, 90s));
  CHECK(fresh_enough(freshness, std::chrono::hours(9999)));
  freshness.age = 51s;
  freshness.ttl = 49s;
  CHECK(fresh_enough(freshness, 49s));
  CHECK_FALSE(fresh_enough(freshness, 50s));
  CHECK_FALSE(fresh_enough(freshness, std::chrono::hours(9999)));
  freshness.use = cache::Use::StaleWhileRevalidate;
  freshness.age = 101s;
  freshness.ttl = -1s;
  CHECK(fresh_enough(freshness, 0s));
  CHECK_FALSE(fresh_enough(freshness, 1s));
}

TEST_CASE_FIXTURE(Fixture, "what is not fresh enough is refreshed before the answer") {
  have("8.8.8.8", {{"Cache-Control", "max-age=1000"}});
  pass(600s);
  const auto easy = ask("8.8.8.8", 10s, 400s);
  CHECK(answers[easy]->rung == Rung::Fresh);
  CHECK(fetcher.fetches.empty());
  const auto wants = ask("8.8.8.8", 10s, 401s);
  CHECK_FALSE(answers[wants].has_value());
  fetcher.end(fetcher.last, answered("8.8.8.8", {{"Cache-Control", "max-age=1000"}}));
  CHECK(answers[wants]->rung == Rung::Fetched);
  CHECK(answers[wants]->stored);
  const auto again = ask("8.8.8.8", 10s, 401s);
  CHECK(answers[again]->rung == Rung::Fresh);
}

// Else each request for it would be one to the upstream, as its next answer is no younger.
TEST_CASE_FIXTURE(Fixture, "min-fresh asks for half of what an answer of some age had left, too") {
  have("8.8.8.8", {{"Cache-Control", "max-age=1000"}, {"Age", "800"}});
  const auto at_once = ask("8.8.8.8", 10s, 1000s);
  CHECK(answers[at_once].has_value());
  pass(100s);
  const auto halfway = ask("8.8.8.8", 10s, 1000s);
  CHECK(answers[halfway].has_value());
  CHECK(fetcher.fetches.empty());
  CHECK(flights->stored("lookup/8.8.8.8", 1000s).rung == Rung::Fresh);
  pass(1s);
  ask("8.8.8.8", 10s, 1000s);
  CHECK(fetcher.fetches.size() == 1);
}

TEST_CASE_FIXTURE(Fixture, "a refresh for min-fresh that fails or is slow costs nobody the hit") {
  have("8.8.8.8", {{"Cache-Control", "max-age=1000"}});
  pass(600s);
  const auto slow = ask("8.8.8.8", 10s, 500s);
  const auto joined = ask("8.8.8.8", 10s, 500s);
  pass(250ms);
  for (const auto number : {slow, joined}) {
    REQUIRE(answers[number].has_value());
    CHECK(answers[number]->rung == Rung::Fresh);
    CHECK_FALSE(answers[number]->collapsed);
  }
  fetcher.end(fetcher.last, failed(FetchEnd::GaveUp, Outcome::ServerError, 503));
  const auto resting = ask("8.8.8.8", 10s, 500s);
  CHECK(answers[resting]->rung == Rung::Fresh);
  CHECK(fetcher.fetches.empty());
  pass(60s);
  const auto failing = ask("8.8.8.8", 10s, 500s);
  CHECK_FALSE(answers[failing].has_value());
  fetcher.end(fetcher.last, failed(FetchEnd::GaveUp, Outcome::ServerError, 503));
  CHECK(answers[failing]->rung == Rung::Fresh);
  CHECK(answers[failing]->content->status == 200);
}

TEST_CASE_FIXTURE(Fixture, "what may be used at once is, also while it is refreshed") {
  const upstream::Fields fields{{"Cache-Control", "max-age=1000, stale-while-revalidate=1000"}};
  have("8.8.8.8", fields);
  pass(600s);
  const auto wants = ask("8.8.8.8", 10s, 500s);
  memory.clear();  // what memory has no room for comes here each time
  const auto fresh = ask("8.8.8.8");
  REQUIRE(answers[fresh].has_value());
  CHECK(answers[fresh]->rung == Rung::Fresh);
  const auto joins = ask("8.8.8.8", 10s, 500s);
  CHECK_FALSE(answers[wants].has_value());
  CHECK_FALSE(answers[joins].has_value());
  fetcher.end(fetcher.last, answered("8.8.8.8", fields));

  pass(1001s);
  const auto first = ask("8.8.8.8");
  memory.clear();
  const auto second = ask("8.8.8.8");
  for (const auto number : {first, second}) {
    REQUIRE(answers[number].has_value());
    CHECK(answers[number]->rung == Rung::StaleWhileRevalidate);
    CHECK_FALSE(answers[number]->collapsed);
  }
  CHECK(fetcher.fetches.size() == 1);
}

TEST_CASE_FIXTURE(Fixture, "only-if-cached gets what is usable at once and never a fetch") {
  CHECK(flights->stored("lookup/8.8.8.8", 0s).rung == Rung::NotStored);
  CHECK(flights->stored("lookup/8.8.8.8", 0s).status == 504);
  have("8.8.8.8",
       {{"Cache-Control", "max-age=1000, stale-while-revalidate=1000, stale-if-error=5000"}});
  memory.clear();
  CHECK(flights->stored("lookup/8.8.8.8", 0s).rung == Rung::Fresh);
  pass(600s);
  CHECK(flights->stored("lookup/8.8.8.8", 400s).rung == Rung::Fresh);
  CHECK(flights->stored("lookup/8.8.8.8", 401s).rung == Rung::NotStored);
  pass(600s);
  CHECK(flights->stored("lookup/8.8.8.8", 0s).rung == Rung::StaleWhileRevalidate);
  CHECK(flights->stored("lookup/8.8.8.8", 1s).rung == Rung::NotStored);
  pass(1000s);
  CHECK(flights->stored("lookup/8.8.8.8", 0s).rung == Rung::NotStored);
  CHECK(fetcher.fetches.empty());
}

TEST_CASE_FIXTURE(Fixture,
                  "an upstream that forbids to store most of what it says is known for it") {
  const auto fetch = [&](int count, upstream::Fields fields) {
    for (int i = 0; i < count; ++i) {
      ask("8.8.8.8");
      fetcher.end(fetcher.last, answered("8.8.8.8", fields));
      flights->purge_all();
    }
  };
  const upstream::Fields forbids{{"Cache-Control", "private"}};
  fetch(19, forbids);
  CHECK_FALSE(flights->stats().forbidden_share);
  fetch(1, forbids);
  CHECK(flights->stats().forbidden_share == 1.0);
  fetch(75, {});
  CHECK_FALSE(flights->stats().forbidden_share);
  fetch(20, forbids);
  CHECK_FALSE(flights->stats().forbidden_share);
}
