// Fetches for which every final status may be an answer.
#include <doctest/doctest.h>

#include "simulated_upstream.h"
#include "upstream/judge.h"

namespace holdfast::upstream {
namespace {

using namespace std::chrono_literals;
using test::Fault;
using test::World;

// 5xx and 429 are failures, all else an answer.
Verdict http_verdict(const Reply& reply) {
  if (reply.status >= 500) return {Outcome::ServerError, {}};
  if (reply.status == 429) return {Outcome::RateLimited, {}};
  return {};
}

FetchResult fetch_any(World& world, const std::string& target, base::Duration deadline = 10s) {
  FetchRequest request;
  request.request.target = target;
  request.request.verbatim = true;
  request.any_status = true;
  request.validate = &http_verdict;
  request.deadline = world.now() + deadline;
  std::optional<FetchResult> result;
  world.fetcher.start(std::move(request), [&](FetchResult made) { result = std::move(made); });
  while (!result) REQUIRE(world.scheduler.step());
  return *std::move(result);
}

// Of a whole answer it takes none.
FetchResult fetch_large(World& world, const std::string& target,
                        std::function<Verdict(const Reply&)> validate_large,
                        base::Duration deadline = 1s) {
  FetchRequest request;
  request.request.target = target;
  request.validate = [](const Reply&) { return Verdict{Outcome::InvalidBody, "whole"}; };
  request.validate_large = std::move(validate_large);
  request.deadline = world.now() + deadline;
  std::optional<FetchResult> result;
  world.fetcher.start(std::move(request), [&](FetchResult made) { result = std::move(made); });
  while (!result) REQUIRE(world.scheduler.step());
  return *std::move(result);
}

const Request kPlain{"/", {}};

}  // namespace

TEST_CASE("of any status the caller's verdict is the outcome, but of what is about the request") {
  int validated = 0;
  const auto validate = [&](const Reply& reply) {
    ++validated;
    return http_verdict(reply);
  };
  const auto outcome = [&](Reply reply, const Request& request = kPlain) {
    return judge_any(request, reply, validate).outcome;
  };
  for (const int status : {200, 204, 205, 206, 299, 300, 301, 308, 400, 401, 403, 404, 408, 425}) {
    CAPTURE(status);
    CHECK(outcome({.status = status}) == Outcome::Ok);
  }
  CHECK(outcome({.status = 429}) == Outcome::RateLimited);
  CHECK(outcome({.status = 500}) == Outcome::ServerError);
  CHECK(validated == 16);

  // Nothing that it may speak of.
  Reply to_token{.status = 401};
  to_token.with_token = true;
  CHECK(outcome(to_token) == Outcome::Unauthorized);
  to_token.status = 403;
  CHECK(outcome(to_token) == Outcome::Unauthorized);
  CHECK(outcome({.status = 304}) == Outcome::Unexpected);
  CHECK(outcome({.status = 101}) == Outcome::Unexpected);
  CHECK(outcome({.status = 600}) == Outcome::Unexpected);
  CHECK(outcome({.transport = Outcome::Truncated, .status = 200}) == Outcome::Truncated);
  CHECK(validated == 16);

  // Too large to be held is an answer, but a head without end is none, nor what is about our token.
  CHECK(outcome({.transport = Outcome::TooLarge, .status = 200}) == Outcome::Ok);
  CHECK(outcome({.transport = Outcome::TooLarge}) == Outcome::TooLarge);
  to_token.transport = Outcome::TooLarge;
  CHECK(outcome(to_token) == Outcome::TooLarge);
  CHECK(validated == 16);
}

TEST_CASE("a 304 confirms what was named, be it one of several") {
  const auto outcome = [](const char* named, const char* etag) {
    return judge_any({"/", {{"If-None-Match", named}}}, {.status = 304, .fields = {{"ETag", etag}}},
                     &http_verdict)
        .outcome;
  };
  CHECK(outcome("\"a\"", "\"a\"") == Outcome::NotModified);
  CHECK(outcome("\"a\", W/\"b\",\"c,d\"", "\"b\"") == Outcome::NotModified);
  CHECK(outcome("\"a\", W/\"b\",\"c,d\"", "W/\"c,d\"") == Outcome::NotModified);
  CHECK(outcome("\"a\", \"b\"", "\"c\"") == Outcome::Unexpected);
  CHECK(outcome("\"c,d\"", "\"d\"") == Outcome::Unexpected);
  CHECK(outcome("\"a\", \"b", "\"b\"") == Outcome::Unexpected);
}

TEST_CASE("whoever has no verdict of its own takes what is no failure by its status") {
  const auto outcome = [](int status) { return judge_any(kPlain, {.status = status}, {}).outcome; };
  CHECK(outcome(204) == Outcome::Ok);
  CHECK(outcome(302) == Outcome::Ok);
  CHECK(outcome(404) == Outcome::ClientError);
  CHECK(outcome(502) == Outcome::ServerError);
}

TEST_CASE("a reason has the status, and the caller's words if there are any") {
  const Reply reply{.status = 503};
  CHECK(judge_any(kPlain, reply, &http_verdict).reason == "status 503");
  const auto words = [](const Reply&) { return Verdict{Outcome::InvalidBody, "not this"}; };
  CHECK(judge_any(kPlain, reply, words).reason == "status 503: not this");
  CHECK(judge_any(kPlain, {.status = 200}, &http_verdict).reason.empty());
}

TEST_CASE("any status that the caller takes is an answer at the first attempt") {
  for (const Fault fault : {Fault::NoContent, Fault::Partial, Fault::Redirect, Fault::BadRequest,
                            Fault::Forbidden, Fault::Unauthorized, Fault::Gone}) {
    CAPTURE(static_cast<int>(fault));
    World world;
    world.upstream.always[0] = fault;
    const FetchResult result = fetch_any(world, "/a");
    CHECK(result.end == FetchEnd::Answered);
    CHECK(result.outcome == Outcome::Ok);
    CHECK(result.attempts_sent == 1);
    CHECK(result.reply.body == "answer to /a");
    CHECK(result.last_refused == nullptr);
    CHECK(world.fetcher.status().token != TokenState::State::Refused);
  }
}

TEST_CASE("what fails to the end is tried again, and its last whole answer is handed over") {
  World world;
  world.upstream.always[0] = Fault::Error503;
  FetchResult result = fetch_any(world, "/a", 2s);
  CHECK(result.end == FetchEnd::Deadline);
  CHECK(result.attempts_sent > 5);
  REQUIRE(result.last_refused != nullptr);
  CHECK(result.last_refused->status == 503);
  CHECK(result.last_refused->body == "answer to /a");
  CHECK(world.fetcher.status().origins[0].error_rate.value_or(0) == 1);

  // Of what comes after it without being whole nothing can be handed over.
  world.upstream.always[0] = Fault::Error500;
  world.upstream.on_start = [&](const Sending&) {
    if (world.upstream.by_target["/b"] > 0) world.upstream.always[0] = Fault::Reset;
  };
  result = fetch_any(world, "/b", 2s);
  CHECK(result.attempts_sent > 1);
  CHECK(result.reply.status == 0);
  REQUIRE(result.last_refused != nullptr);
  CHECK(result.last_refused->status == 500);
  CHECK(result.last_refused->body == "answer to /b");
}

TEST_CASE("what is not right is handed over where that is wanted, and only all of it") {
  const auto wrong = [](const Reply&) { return Verdict{Outcome::WrongContent, "another one"}; };
  for (const bool any_status : {false, true}) {
    for (const bool keeps : {false, true}) {
      CAPTURE(any_status);
      CAPTURE(keeps);
      World world;
      FetchRequest request;
      request.request.target = "/a";
      request.any_status = any_status;
      request.keeps_invalid = keeps;
      request.validate = wrong;
      request.max_attempts = 3;
      request.deadline = world.now() + 10s;
      std::optional<FetchResult> result;
      world.fetcher.start(std::move(request), [&](FetchResult made) { result = std::move(made); });
      while (!result) REQUIRE(world.scheduler.step());
      CHECK(result->end == FetchEnd::GaveUp);
      CHECK(result->attempts_sent == 3);
      // It counts as what it is all the same.
      CHECK(world.fetcher.status().origins[0].error_rate.value_or(0) == 1);
      REQUIRE((result->last_invalid != nullptr) == keeps);
      if (!keeps) continue;
      CHECK(result->last_invalid->status == 200);
      CHECK(result->last_invalid->body == "answer to /a");
      CHECK((result->last_invalid == result->last_refused) == any_status);
    }
  }
  const auto is = [](Reply reply) { return is_invalid(Outcome::InvalidBody, reply); };
  CHECK(is({.status = 200}));
  CHECK(is({.status = 203}));
  // A page for what is not there would tell clients that there is no such thing.
  CHECK_FALSE(is({.status = 404}));
  CHECK_FALSE(is({.transport = Outcome::InvalidBody, .status = 200}));  // in a coding unknown here
  CHECK_FALSE(is({.transport = Outcome::Truncated, .status = 200}));
  Reply open_ended{.status = 200};
  open_ended.open_ended = true;
  CHECK_FALSE(is(open_ended));
  CHECK_FALSE(is_invalid(Outcome::Ok, {.status = 200}));
  CHECK_FALSE(is_invalid(Outcome::Local, {.status = 200}));
}

TEST_CASE("an answer after a failure is the answer") {
  World world;
  world.upstream.always[0] = Fault::Error500;
  world.upstream.on_start = [&](const Sending&) {
    if (world.upstream.by_target["/a"] == 2) world.upstream.always[0] = Fault::Redirect;
  };
  const FetchResult result = fetch_any(world, "/a");
  CHECK(result.end == FetchEnd::Answered);
  CHECK(result.reply.status == 301);
  CHECK(result.reply.body == "answer to /a");
  CHECK(result.attempts_sent == 3);
}

TEST_CASE("a 304 that nobody asked for is no answer, and is not handed over as one") {
  World world;
  world.upstream.always[0] = Fault::Stray304;
  const FetchResult result = fetch_any(world, "/a", 1s);
  CHECK(result.end == FetchEnd::Deadline);
  CHECK(result.outcome == Outcome::Unexpected);
  CHECK(result.last_refused == nullptr);
}

TEST_CASE("what is too large to be held ends the fetch at once, and speaks well of the upstream") {
  World world;
  world.upstream.always[0] = Fault::TooLarge;
  for (int i = 0; i < 60; ++i) {
    const FetchResult result = fetch_any(world, "/" + std::to_string(i));
    CHECK(result.end == FetchEnd::TooLarge);
    CHECK(result.reply.status == 200);
    CHECK(result.attempts_sent == 1);
  }
  CHECK(world.fetcher.status().origins[0].breaker == Breaker::State::Closed);
  CHECK(world.fetcher.status().origins[0].error_rate.value_or(0) == 0);
  // To whoever takes whole answers alone it is a failure as ever.
  world.fetch("/a", 1s);
  world.settle();
  CHECK(world.results.at(0).outcome == Outcome::TooLarge);
  CHECK(world.results.at(0).attempts_sent > 1);
}

TEST_CASE("a 2xx that is too large to be held is an answer to whoever takes it by its head") {
  World world;
  world.upstream.always[0] = Fault::TooLarge;
  Verdict verdict;
  int asked = 0;
  const auto fetch = [&](const std::string& target) {
    return fetch_large(world, target, [&](const Reply& reply) {
      ++asked;
      CHECK(reply.status == 200);
      return verdict;
    });
  };
  for (int i = 0; i < 60; ++i) {
    const FetchResult result = fetch("/" + std::to_string(i));
    CHECK(result.end == FetchEnd::TooLarge);
    CHECK(result.attempts_sent == 1);
  }
  CHECK(asked == 60);
  CHECK(world.fetcher.status().origins[0].error_rate.value_or(0) == 0);
  verdict = {Outcome::InvalidBody, "not by its head"};
  const FetchResult refused = fetch("/refused");
  CHECK(refused.end != FetchEnd::TooLarge);
  CHECK(refused.outcome == Outcome::InvalidBody);
  CHECK(refused.attempts_sent > 1);
  CHECK(refused.attempts.back().detail == "status 200: not by its head");

  // Nor is another status one by that.
  const auto never = [](const Reply&) {
    FAIL("not asked");
    return Verdict{};
  };
  for (const int status : {206, 302, 404, 503}) {
    CHECK(judge(kPlain, {.transport = Outcome::TooLarge, .status = status}, {}, never).outcome ==
          Outcome::TooLarge);
  }
}

TEST_CASE("a breaker closes with an answer that is too large to be held, where it is taken") {
  World world;
  const auto takes = [](const Reply&) { return Verdict{}; };
  world.upstream.always[0] = Fault::Reset;
  for (int i = 0; i < 40; ++i) fetch_large(world, "/" + std::to_string(i), takes);
  REQUIRE(world.fetcher.status().origins[0].breaker != Breaker::State::Closed);
  world.upstream.always[0] = Fault::TooLarge;
  CHECK(fetch_large(world, "/back", takes, 10s).end == FetchEnd::TooLarge);
  CHECK(world.fetcher.status().origins[0].breaker == Breaker::State::Closed);
}

TEST_CASE("a breaker that nothing but such answers speaks for closes with one of them") {
  World world;
  world.upstream.always[0] = Fault::Reset;
  for (int i = 0; i < 40; ++i) fetch_any(world, "/" + std::to_string(i), 1s);
  REQUIRE(world.fetcher.status().origins[0].breaker != Breaker::State::Closed);
  world.upstream.always[0] = Fault::NoContent;
  const FetchResult result = fetch_any(world, "/back");
  CHECK(result.end == FetchEnd::Answered);
  CHECK(result.reply.status == 204);
  CHECK(world.fetcher.status().origins[0].breaker == Breaker::State::Closed);
}

TEST_CASE("interim answers are told outside the transfer, each before the answer") {
  World world;
  bool inside = false;
  world.upstream.on_start = [&](const Sending& sending) {
    REQUIRE(sending.on_interim);
    inside = true;
    sending.on_interim(103, {{"Link", "</a>"}});
    sending.on_interim(102, {});
    inside = false;
  };
  std::string story;
  FetchRequest request;
  request.request.target = "/a";
  request.any_status = true;
  request.deadline = world.now() + 10s;
  request.on_interim = [&](int status, const Fields& fields) {
    CHECK_FALSE(inside);
    story += std::to_string(status) + " " + std::to_string(fields.size()) + ", ";
  };
  const auto id =
      world.fetcher.start(std::move(request), [&](const FetchResult&) { story += "end"; });
  while (!story.ends_with("end")) REQUIRE(world.scheduler.step());
  CHECK(story == "103 1, 102 0, end");

  // Whoever is told may end the fetch.
  Fetcher::FetchId other = id;
  int told = 0;
  request = {};
  request.request.target = "/b";
  request.deadline = world.now() + 10s;
  request.on_interim = [&](int, const Fields&) {
    ++told;
    world.fetcher.cancel(other);
  };
  other = world.fetcher.start(std::move(request), [&](const FetchResult&) { told = 100; });
  while (world.scheduler.step()) {
  }
  CHECK(told == 1);
}

}  // namespace holdfast::upstream
