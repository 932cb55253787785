#include "observe/health.h"

#include <doctest/doctest.h>
#include <simdjson.h>

#include <atomic>
#include <memory>
#include <thread>

using namespace holdfast::observe;
using namespace std::chrono_literals;
using holdfast::base::ManualClock;
using Role = Dependency::Role;

TEST_CASE("the best state of a role is that of the dependency that works best") {
  ManualClock clock;
  Health health(clock);
  CHECK(health.best(Dependency::Role::Origin) == HealthState::Ok);
  Dependency& one = health.add("one", Dependency::Role::Origin);
  Dependency& other = health.add("other", Dependency::Role::Origin);
  health.add("store", Dependency::Role::Supporting);
  one.set_state(HealthState::Down);
  CHECK(health.best(Dependency::Role::Origin) == HealthState::Ok);
  other.set_state(HealthState::Degraded);
  CHECK(health.best(Dependency::Role::Origin) == HealthState::Degraded);
  other.set_state(HealthState::Down);
  CHECK(health.best(Dependency::Role::Origin) == HealthState::Down);
  CHECK(health.best(Dependency::Role::Supporting) == HealthState::Ok);
}

TEST_CASE("overall: an outage is degraded while the cache can answer, down when it cannot") {
  ManualClock clock;
  Health health(clock);
  Dependency& one = health.add("upstream:a", Role::Origin);
  Dependency& two = health.add("upstream:b", Role::Origin);
  bool stored = true;
  health.set_cache_answers([&] { return stored; });
  health.set_listening(true);
  CHECK(health.overall() == HealthState::Ok);

  one.set_state(HealthState::Down, "breaker open");
  CHECK(health.overall() == HealthState::Degraded);
  stored = false;  // the other origin still answers
  CHECK(health.overall() == HealthState::Degraded);
  two.set_state(HealthState::Down, "breaker open");
  CHECK(health.overall() == HealthState::Down);
  stored = true;
  CHECK(health.overall() == HealthState::Degraded);
  one.set_state(HealthState::Ok);
  two.set_state(HealthState::Ok);
  CHECK(health.overall() == HealthState::Ok);
}

TEST_CASE("a store that is down only degrades") {
  ManualClock clock;
  Health health(clock);
  health.add("upstream", Role::Origin);
  health.set_listening(true);
  health.add("store", Role::Supporting).set_state(HealthState::Down, "disk full");
  CHECK(health.overall() == HealthState::Degraded);
}

TEST_CASE("readiness: listening and not draining, whatever the upstream does") {
  ManualClock clock;
  Health health(clock);
  health.add("upstream", Role::Origin).set_state(HealthState::Down);
  health.set_cache_answers([] { return true; });
  CHECK(!health.ready());
  CHECK(health.overall() == HealthState::Down);
  health.set_listening(true);
  CHECK(health.ready());
  health.set_draining();
  CHECK(!health.ready());
  CHECK(health.overall() == HealthState::Degraded);
}

TEST_CASE("turning clients away degrades, and is said") {
  ManualClock clock;
  Health health(clock);
  health.set_listening(true);
  CHECK(health.json().find(R"("overloaded":false)") != std::string::npos);
  health.set_overloaded(true);
  CHECK(health.overall() == HealthState::Degraded);
  CHECK(health.ready());  // what is stored is answered all the same
  CHECK(health.json().find(R"("overloaded":true)") != std::string::npos);
  health.set_overloaded(false);
  CHECK(health.overall() == HealthState::Ok);
}

TEST_CASE("since is when the state changed, not when it was last confirmed") {
  ManualClock clock;
  Health health(clock);
  Dependency& store = health.add("store", Role::Supporting);
  clock.advance(10s);
  store.set_state(HealthState::Degraded, "slow");
  clock.advance(10s);
  store.set_state(HealthState::Degraded, "slower");
  std::string json;
  store.append_json(json);
  CHECK(json.find(R"("state":"degraded","since":"2026-01-01T00:00:10.000Z","reason":"slower")") !=
        std::string::npos);
}

TEST_CASE("the JSON names every dependency with what happened and its facts") {
  ManualClock clock;
  Health health(clock);
  Dependency& upstream = health.add("upstream:\"x\"", Role::Origin);
  upstream.fact("breaker", [] { return Dependency::Fact(std::string("open")); });
  upstream.fact("error_rate", [] { return Dependency::Fact(0.25); });
  upstream.fact("queue", [] { return Dependency::Fact(std::int64_t{7}); });
  health.add("store", Role::Supporting);
  upstream.succeeded();
  clock.advance(1500ms);
  upstream.failed("reset by peer\n");

  simdjson::dom::parser parser;
  simdjson::dom::element page;
  REQUIRE(parser.parse(health.json()).get(page) == simdjson::SUCCESS);
  CHECK(std::string_view(page["status"]) == "down");
  CHECK(bool(page["ready"]) == false);
  CHECK(bool(page["cache_answers"]) == false);
  auto first = page["dependencies"].at(0);
  CHECK(std::string_view(first["name"]) == "upstream:\"x\"");
  CHECK(std::string_view(first["last_success"]) == "2026-01-01T00:00:00.000Z");
  CHECK(std::string_view(first["last_error"]["at"]) == "2026-01-01T00:00:01.500Z");
  CHECK(std::string_view(first["last_error"]["error"]) == "reset by peer\n");
  CHECK(std::string_view(first["breaker"]) == "open");
  CHECK(double(first["error_rate"]) == 0.25);
  CHECK(std::int64_t(first["queue"]) == 7);
  auto second = page["dependencies"].at(1);
  CHECK(second["reason"].is_null());
  CHECK(second["last_success"].is_null());
  CHECK(second["last_error"].is_null());
}

TEST_CASE("a dependency may be told of while another thread asks") {
  ManualClock clock;
  Health health(clock);
  Dependency& upstream = health.add("upstream", Role::Origin);
  health.set_listening(true);
  std::atomic<bool> done{false};
  std::thread owner([&] {
    for (int i = 0; i < 5000; ++i) {
      upstream.failed("timeout");
      upstream.set_state(i % 2 == 0 ? HealthState::Down : HealthState::Ok, "breaker");
      upstream.succeeded();
    }
    done = true;
  });
  simdjson::dom::parser parser;
  while (!done) CHECK(parser.parse(health.json()).error() == simdjson::SUCCESS);
  owner.join();
  CHECK(health.overall() == HealthState::Ok);
}

TEST_CASE("dependencies come and go while others ask; one that is gone is asked no more") {
  ManualClock clock;
  Health health(clock);
  health.set_listening(true);
  health.add("stays", Role::Supporting);
  std::atomic<bool> over{false};
  std::thread asks([&] {
    while (!over) {
      health.json();
      health.overall();
      health.best(Role::Origin);
    }
  });
  for (int i = 0; i < 300; ++i) {
    auto fact = std::make_unique<std::int64_t>(i);
    const Dependency& comes = health.add("comes", Role::Origin,
                                         {{"number", [&fact] { return Dependency::Fact(*fact); }}});
    if (i == 0) CHECK(health.json().find("\"number\":0") != std::string::npos);
    health.remove(comes);
    fact.reset();
  }
  over = true;
  asks.join();
  CHECK(health.json().find("comes") == std::string::npos);
  CHECK(health.overall() == HealthState::Ok);
}
