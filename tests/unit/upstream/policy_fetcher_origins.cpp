// What PolicyFetcher does about its origins: breakers, and the probes of those set aside.
#include <doctest/doctest.h>

#include "simulated_upstream.h"
#include "upstream/policy_fetcher.h"

namespace holdfast::upstream {

using namespace std::chrono_literals;
using test::Fault;
using test::World;

TEST_CASE("while the breaker is open, who has something to fall back on does not wait") {
  World world;
  world.upstream.always[0] = Fault::Refused;
  world.fetch_all(1, 1, 1s);
  REQUIRE(world.fetcher.status().origins[0].breaker != Breaker::State::Closed);
  FetchRequest request;
  request.request.target = "/stored";
  request.deadline = world.now() + 10s;
  request.may_park = false;
  std::optional<FetchEnd> end;
  world.fetcher.start(std::move(request), [&](FetchResult result) { end = result.end; });
  world.scheduler.run_ready();
  CHECK(end == FetchEnd::BreakerOpen);
  CHECK(world.upstream.by_target["/stored"] == 0);
}

TEST_CASE("an open breaker finds out that its upstream is back without any traffic") {
  World world;
  world.upstream.always[0] = Fault::Refused;
  world.fetch_all(1, 1, 1s);
  world.upstream.always.clear();
  const base::WallTime back = world.scheduler.clock().wall();
  world.scheduler.advance(3s);
  const OriginStatus origin = world.fetcher.status().origins[0];
  CHECK(origin.breaker == Breaker::State::Closed);
  // What is told of it later: when it opened and why, and when it closed.
  REQUIRE(origin.breaker_history.size() == 2);
  CHECK(origin.breaker_history[0].to == Breaker::State::Open);
  CHECK(origin.breaker_history[0].last_error.starts_with("connect"));
  CHECK(origin.breaker_history[0].at < back);
  CHECK(origin.breaker_history[1].to == Breaker::State::Closed);
  CHECK(origin.breaker_history[1].at > back);
}

TEST_CASE("of a breaker that keeps opening the latest changes are kept, and no more") {
  World world;
  for (int i = 0; i < 20; ++i) {
    world.fetcher.force_breaker(0, Breaker::Forced::Open);
    world.scheduler.advance(1s);
    world.fetcher.force_breaker(0, Breaker::Forced::No);
    world.scheduler.advance(1s);
  }
  const auto history = world.fetcher.status().origins[0].breaker_history;
  REQUIRE(history.size() == 32);
  CHECK(history.back().to == Breaker::State::Closed);
  CHECK(history.back().at - history.front().at == 31s);
}

TEST_CASE("an idle upstream is probed if a target is set, and an outage is known beforehand") {
  Settings settings;
  settings.probe.target = "/health";
  World world(1, settings);
  world.scheduler.advance(95s);
  CHECK(world.upstream.by_target["/health"] == 3);
  world.upstream.always[0] = Fault::Error500;
  world.scheduler.advance(60s);
  CHECK(world.fetcher.status().origins[0].breaker != Breaker::State::Closed);
  world.upstream.always.clear();
  world.scheduler.advance(5s);
  CHECK(world.fetcher.status().origins[0].breaker == Breaker::State::Closed);
  World quiet;
  quiet.scheduler.advance(10min);
  CHECK(quiet.upstream.attempts == 0);
}

TEST_CASE("a health check that answers without content is no outage") {
  Settings settings;
  settings.probe.target = "/health";
  World world(1, settings);
  world.upstream.always[0] = Fault::NoContent;
  world.scheduler.advance(10min);
  CHECK(world.fetcher.status().origins[0].breaker == Breaker::State::Closed);
  CHECK(world.fetcher.status().origins[0].last_success.has_value());

  // But it is no answer to a client's question, nor does it end an outage.
  World other;
  other.upstream.always[0] = Fault::NoContent;
  for (int i = 0; i < 50; ++i) other.fetch("/" + std::to_string(i));
  other.settle();
  CHECK(other.answered() == 0);
  CHECK(other.fetcher.status().origins[0].breaker != Breaker::State::Closed);
  other.scheduler.advance(1min);
  CHECK(other.fetcher.status().origins[0].breaker != Breaker::State::Closed);
}

TEST_CASE("how fast a health check answers says nothing of what clients ask for") {
  Settings settings;
  settings.probe.target = "/health";
  World world(1, settings);
  world.upstream.median = 1ms;
  world.scheduler.advance(30min);
  CHECK(world.upstream.by_target["/health"] > 50);
  CHECK(world.fetcher.status().origins[0].suspect_after == settings.answer_times.unknown);
  // So a lookup that takes long is waited for, and answered by the first attempt.
  world.upstream.median = 1s;
  world.upstream.sigma = 0;
  world.fetch("/a");
  world.settle();
  CHECK(world.answered() == 1);
  CHECK(world.upstream.by_target["/a"] == 1);
}

TEST_CASE("a breaker forced open answers at once, and forced closed never refuses") {
  World world;
  world.fetcher.force_breaker(0, Breaker::Forced::Open);
  world.fetch("/a");
  world.scheduler.run_ready();
  CHECK(world.outcomes.ends[FetchEnd::BreakerOpen] == 1);
  CHECK(world.fetcher.status().origins[0].forced);
  world.fetcher.force_breaker(0, Breaker::Forced::No);
  world.fetch("/b");
  world.settle();
  CHECK(world.answered() == 1);
}

TEST_CASE("probes, too, wait for a slot, and none is forgotten for it") {
  Settings settings;
  settings.origins = {"a", "b"};
  settings.concurrency = 1;
  settings.probe.target = "/health";
  settings.probe.interval = 1s;
  settings.hedge.mode = HedgePolicy::Mode::Off;
  World world(1, settings);
  world.upstream.always[0] = Fault::Refused;
  world.upstream.always[1] = Fault::Hang;
  for (int i = 0; i < 20; ++i) world.fetch("/" + std::to_string(i), 20s);
  world.scheduler.advance(20s);
  CHECK(world.upstream.most_in_flight == 1);
  world.upstream.always.clear();
  world.scheduler.advance(30s);
  CHECK(world.upstream.most_in_flight == 1);
  for (const auto& origin : world.fetcher.status().origins) {
    CHECK(origin.breaker == Breaker::State::Closed);
    CHECK(origin.last_success.has_value());
  }
}

TEST_CASE("after a stall of the loop no probe is sent for a client whose time is up") {
  World world;
  world.upstream.always[0] = Fault::Refused;
  world.fetch("/a", 5s);
  world.scheduler.advance(900ms);
  REQUIRE(world.fetcher.status().parked == 1);
  const int before = world.upstream.by_target["/a"];
  world.scheduler.manual_clock().advance(10s);
  std::vector<base::Duration> timeouts;
  world.upstream.on_start = [&](const Sending& sending) { timeouts.push_back(sending.timeout); };
  world.settle();
  world.scheduler.advance(5s);
  CHECK(world.upstream.by_target["/a"] > before);  // probes with nobody behind
  for (const base::Duration timeout : timeouts) CHECK(timeout > 100ms);
}

TEST_CASE("a key that always fails does not keep the breaker open as its only probe") {
  World world;
  for (int i = 0; i < 10; ++i) {
    const std::string bad = "/bad/" + std::to_string(i);
    world.upstream.always_to[bad] = Fault::Error500;
    world.fetch(bad);
  }
  while (world.fetcher.status().parked < 10) REQUIRE(world.scheduler.step());
  world.fetch("/good");
  REQUIRE(world.fetcher.status().parked == 11);
  world.scheduler.advance(1s);  // a probe, maybe two
  CHECK(world.answered() == 1);
  CHECK(world.upstream.by_target["/good"] == 1);

  // Nor if nothing is known of any of them: a whole answer says that somebody is there again.
  World other;
  other.upstream.always[0] = Fault::Refused;
  other.fetch("/first", 1s);
  other.settle();
  REQUIRE(other.fetcher.status().origins[0].breaker != Breaker::State::Closed);
  other.upstream.by_target.clear();
  for (const char* bad : {"/bad/1", "/bad/2", "/bad/3"}) {
    other.upstream.always_to[bad] = Fault::Error500;
    other.fetch(bad);
  }
  other.upstream.always.clear();
  other.fetch("/good");
  while (other.upstream.attempts < 2) REQUIRE(other.scheduler.step());
  other.scheduler.advance(2s);
  CHECK(other.answered() == 1);
  CHECK(other.fetcher.status().origins[0].breaker == Breaker::State::Closed);
}
TEST_CASE("a redirect is told at once, and not asked for again") {
  World world;
  world.upstream.always[0] = Fault::Redirect;
  world.fetch_all(20, 1);
  CHECK(world.outcomes.ends[FetchEnd::Refused] == 20);
  CHECK(world.upstream.attempts == 20);
  CHECK(world.results[0].outcome == Outcome::Redirected);
  REQUIRE(world.results[0].attempts.size() == 1);
  CHECK(world.results[0].attempts[0].detail == "status 301, Location: https://elsewhere.example/");
  OriginStatus origin = world.fetcher.status().origins[0];
  CHECK(origin.breaker == Breaker::State::Closed);
  CHECK(origin.redirect == world.results[0].attempts[0].detail);
  CHECK(origin.last_error_status == 301);
  world.upstream.always.clear();
  world.fetch_all(1, 1);
  CHECK(world.fetcher.status().origins[0].redirect.empty());
  // From now on one may be about one request.
  world.upstream.always[0] = Fault::Redirect;
  world.fetch_all(2, 1);
  CHECK(world.fetcher.status().origins[0].redirect.empty());
  world.fetch_all(1, 1);
  CHECK_FALSE(world.fetcher.status().origins[0].redirect.empty());
}

TEST_CASE("where one origin redirects, another that answers is asked") {
  Settings settings;
  settings.origins = {"a", "b"};
  World world(1, settings);
  world.upstream.always[0] = Fault::Redirect;
  world.fetch_all(50, 2);
  CHECK(world.answered() == 50);
}

TEST_CASE("who is not asked any more, but answers, is not told to be silent") {
  for (const bool answers : {true, false}) {
    CAPTURE(answers);
    World world;
    world.upstream.always[0] = answers ? Fault::Error503 : Fault::Refused;
    world.fetch_all(60, 6, 1s);
    REQUIRE(world.fetcher.status().origins[0].breaker != Breaker::State::Closed);
    const Fetcher::FetchId id = world.fetch("/parked", 300ms);
    const FetchResult so_far = world.fetcher.so_far(id);
    CHECK(so_far.end == FetchEnd::StayedDown);
    CHECK(so_far.last_error_status == (answers ? 503 : 0));
    world.settle();
    const FetchResult& result = world.results.back();
    CHECK(result.last_error_status == (answers ? 503 : 0));
    CHECK(result.last_error.starts_with(answers ? "5xx: status 503" : "connect"));
  }
}

TEST_CASE("an origin whose clock is off is known for it") {
  World world;
  world.upstream.clock_ahead = 3600s;
  world.fetch_all(4, 1);
  CHECK_FALSE(world.fetcher.status().origins[0].clock_ahead);
  world.fetch_all(1, 1);
  CHECK(world.fetcher.status().origins[0].clock_ahead == 3600s);
}

TEST_CASE("keys that fail at both origins do not have the second one set aside") {
  Settings settings;
  settings.origins = {"first", "second"};
  World world(1, settings);
  // What the second has answered.
  world.upstream.faults_of[0] = {{Fault::Error500, 0.3}};
  world.fetch_all(100, 5);
  world.upstream.faults_of.clear();
  world.scheduler.advance(11s);
  const auto first_to_fail = world.upstream.by_origin[1];
  for (int i = 0; i < 30; ++i) {
    const std::string bad = "/bad/" + std::to_string(i);
    world.upstream.always_to[bad] = Fault::Error500;
    world.fetch(bad);
    for (int good = 0; good < 10; ++good) world.fetch(bad + "/good/" + std::to_string(good));
    world.scheduler.advance(100ms);
  }
  world.settle();
  CHECK(world.fetcher.status().origins[1].breaker_history.empty());
  CHECK(world.upstream.by_origin[1] >= first_to_fail + 20);
  CHECK(world.answered() == 400);
}

TEST_CASE("what a witness has explained has no origin set aside by the next thing that happens") {
  Settings settings;
  settings.origins = {"first", "second"};
  World world(1, settings);
  world.upstream.faults_of[0] = {{Fault::Error500, 0.3}};
  world.fetch_all(100, 5);
  // Here and there one is lost on the way.
  world.upstream.faults_of[0] = {{Fault::Reset, 0.08}};
  world.upstream.faults_of[1] = {{Fault::Reset, 0.08}};
  world.scheduler.advance(11s);
  for (int i = 0; i < 30; ++i) {
    const std::string bad = "/bad/" + std::to_string(i);
    world.upstream.always_to[bad] = Fault::Error500;
    world.fetch(bad);
    for (int good = 0; good < 10; ++good) world.fetch(bad + "/good/" + std::to_string(good));
    world.scheduler.advance(100ms);
  }
  world.settle();
  CHECK(world.fetcher.status().origins[1].breaker_history.empty());
  CHECK(world.answered() == 400);
}

}  // namespace holdfast::upstream
