// A redirect is a fault of the configuration, unless something else says that it is not.
#include <doctest/doctest.h>

#include "simulated_upstream.h"
#include "upstream/policy_fetcher.h"

namespace holdfast::upstream {

using namespace std::chrono_literals;
using test::Fault;
using test::World;

TEST_CASE("a redirect now and then among answers costs nobody his answer") {
  World world(3);
  world.fetch("/first");
  world.settle();
  world.upstream.faults = {{Fault::Redirect, 0.02}};
  world.fetch_all(1000, 10);
  CHECK(world.answered() == 1001);
}

TEST_CASE("where nothing but redirects came the first one is told at once") {
  World world;
  world.upstream.always[0] = Fault::Redirect;
  world.fetch("/a");
  world.settle();
  CHECK(world.upstream.attempts == 1);
  CHECK(world.results.back().end == FetchEnd::Refused);
  CHECK(world.fetcher.status().origins[0].redirect != "");
}

TEST_CASE("an upstream that moved is asked three times for three keys, and then once for each") {
  World world;
  world.fetch("/before");
  world.settle();
  world.upstream.always[0] = Fault::Redirect;
  for (int i = 0; i < 10; ++i) {
    world.upstream.attempts = 0;
    world.fetch("/" + std::to_string(i));
    world.settle();
    CHECK(world.upstream.attempts == (i < 3 ? 3 : 1));
    CHECK(world.results.back().end == FetchEnd::Refused);
  }
  CHECK(world.fetcher.status().origins[0].redirect != "");
}

TEST_CASE("an upstream that says nothing right from the start is told with its reason at once") {
  World world;
  world.upstream.always[0] = Fault::Html;
  world.fetch("/a");
  // Its first client is still waiting.
  world.scheduler.advance(1s);
  CHECK(world.results.empty());
  const OriginStatus origin = world.fetcher.status().origins[0];
  CHECK(origin.answers_refused.find("status 200") == 0);
  CHECK(origin.answers_refused == origin.last_error.substr(origin.last_error.find("status")));
  world.upstream.always[0] = Fault::None;
  world.settle();
  CHECK(world.answered() == 1);
  CHECK(world.fetcher.status().origins[0].answers_refused == "");
}

TEST_CASE("what fails otherwise as well, or was right before, is not said to be refused at once") {
  World world;
  world.fetch("/before");
  world.settle();
  world.upstream.always[0] = Fault::Html;
  world.fetch("/a");
  world.scheduler.advance(100ms);
  CHECK(world.fetcher.status().origins[0].answers_refused == "");
  world.fetch_all(100, 10);
  CHECK(world.fetcher.status().origins[0].answers_refused != "");
  world.upstream.always[0] = Fault::Error500;
  world.fetch_all(100, 10);
  CHECK(world.fetcher.status().origins[0].answers_refused == "");
}

TEST_CASE("an origin that another one contradicts tells why it is set aside") {
  Settings settings;
  settings.origins = {"first", "second"};
  World world(1, settings);
  world.upstream.always[0] = Fault::BadRequest;
  world.fetch_all(100, 1);
  const OriginStatus first = world.fetcher.status().origins[0];
  CHECK(first.breaker != Breaker::State::Closed);
  CHECK(first.last_error.find("status 400") != std::string::npos);
  REQUIRE_FALSE(first.breaker_history.empty());
  CHECK(first.breaker_history.front().last_error != "");
}

}  // namespace holdfast::upstream
