// What lies between us and an upstream that is well is not the upstream's illness: set-up,
// connections that died, dark addresses, names that move, other people's certificates.
#include <doctest/doctest.h>

#include <map>
#include <string>
#include <vector>

#include "simulated_upstream.h"
#include "upstream/policy_fetcher.h"

namespace holdfast::upstream {
namespace {

using namespace std::chrono_literals;
using test::Fault;
using test::World;
using Path = test::SimulatedNetwork::Path;

Settings named() {
  Settings settings;
  settings.named = {true};
  return settings;
}

// Answered by then, and from the moment it was asked for.
base::Duration time_of(World& world, const std::string& key, base::Duration deadline = 10s) {
  const base::SteadyTime begun = world.now();
  base::Duration took = base::Duration::max();
  world.fetch(key, deadline, Priority::Miss, [&] { took = world.now() - begun; });
  world.settle();
  return took;
}

}  // namespace

TEST_CASE("new connections after an idle time are waited for: no race, and no breaker") {
  World world;
  world.upstream.median = 5ms;
  world.upstream.network.round_trip = 150ms;
  world.upstream.network.tls = 300ms;
  world.upstream.network.idle_limit = 60s;
  world.fetch_all(40, 1);
  world.scheduler.advance(65s);
  world.outcomes.latencies.clear();
  for (int i = 0; i < 40; ++i) world.fetch("/again/" + std::to_string(i));
  world.settle();
  CHECK(world.answered() == 80);
  CHECK(world.upstream.attempts == 80);
  CHECK(world.breaker_opened() == 0);
  CHECK(world.outcomes.percentile(1) < 1s);
}

TEST_CASE("an upstream that closes after each answer is asked no more often for it") {
  World world;
  world.upstream.median = 5ms;
  world.upstream.network.round_trip = 100ms;
  world.upstream.network.tls = 100ms;
  world.fetch_all(60, 1);
  world.upstream.network.keeps_connections = false;
  world.fetch_all(60, 4);
  CHECK(world.answered() == 120);
  CHECK(world.upstream.attempts == 120);
}

TEST_CASE("kept connections that have gone mute cost one race, and are not used again") {
  for (const bool at_once : {true, false}) {
    CAPTURE(at_once);
    World world;
    world.upstream.median = 5ms;
    world.upstream.network.round_trip = 20ms;
    world.fetch_all(60, 20);
    world.outcomes.latencies.clear();
    world.upstream.network.mute_all();
    const base::SteadyTime begun = world.now();
    if (at_once) {
      for (int i = 0; i < 17; ++i) world.fetch("/mute/" + std::to_string(i));
      world.settle();
    } else {
      CHECK(time_of(world, "/mute/first") < 500ms);
      CHECK(world.upstream.distrusted[""] >= 1);
      for (int i = 1; i < 17; ++i) CHECK(time_of(world, "/mute/" + std::to_string(i)) < 60ms);
    }
    CHECK(world.answered() == 77);
    CHECK(world.now() - begun < 1500ms);
    CHECK(world.outcomes.percentile(1) < 500ms);
    CHECK(world.upstream.distrusted[""] >= 1);
    CHECK(world.breaker_opened() == 0);
  }
}

TEST_CASE("one answer that never comes, beside others that do, speaks for itself alone") {
  World world;
  world.upstream.median = 5ms;
  world.upstream.network.round_trip = 20ms;
  world.fetch_all(100, 5);
  world.upstream.always_to["/hangs"] = Fault::Hang;
  world.fetch("/hangs");
  world.upstream.always_to.clear();  // its race is answered
  world.arrive(50, 1s);
  world.settle();
  CHECK(world.upstream.by_target["/hangs"] == 2);
  CHECK(world.answered() == world.started);
  CHECK(world.upstream.distrusted.empty());
}

TEST_CASE("a dark address costs its head start once, and is used again when it is back") {
  World world(1, named());
  world.upstream.median = 5ms;
  world.upstream.network.round_trip = 20ms;
  world.upstream.network.paths["a"] = Path::Dark;
  world.fetcher.addresses(0, {"a", "b"});
  const base::Duration first = time_of(world, "/first");
  CHECK(first > 250ms);
  CHECK(first < 350ms);
  for (int i = 0; i < 30; ++i) {
    CHECK(time_of(world, "/" + std::to_string(i)) < 80ms);
    world.scheduler.advance(1s);
  }
  CHECK(world.upstream.network.connections_to["a"] - world.upstream.knocks["a"] == 1);
  CHECK(world.upstream.knocks["a"] >= 4);
  CHECK(world.fetcher.status().origins[0].addresses[0].dark);
  world.upstream.network.paths.clear();
  world.scheduler.advance(61s);
  CHECK_FALSE(world.fetcher.status().origins[0].addresses[0].dark);
  std::string address;
  world.upstream.on_start = [&](const Sending& sending) { address = sending.address; };
  CHECK(time_of(world, "/back") < 80ms);
  CHECK(address == "a");
  CHECK(world.breaker_opened() == 0);
}

TEST_CASE("the only address is waited for while it is dark, and asked again when it is not") {
  World world(1, named());
  world.upstream.median = 5ms;
  world.upstream.network.round_trip = 20ms;
  world.fetcher.addresses(0, {"a"});
  world.fetch_all(20, 4);
  world.upstream.network.forget_connections();
  world.upstream.network.paths["a"] = Path::Dark;
  for (int i = 0; i < 20; ++i) world.fetch("/dark/" + std::to_string(i));
  world.scheduler.advance(3s);
  CHECK(world.answered() == 20);
  world.upstream.network.paths.clear();
  const base::SteadyTime back = world.now();
  world.settle();
  CHECK(world.answered() == 40);
  CHECK(world.now() - back < 2s);
  CHECK(world.breaker_opened() == 0);
}

TEST_CASE("set-ups that are stuck since before others were answered say nothing of now") {
  World world;
  world.upstream.network.tls = 300ms;
  for (int i = 0; i < 8; ++i) {
    world.upstream.slow["/stuck/" + std::to_string(i)] = 3s;
    world.fetch("/stuck/" + std::to_string(i), 20s);
  }
  // Their second attempts are in the handshake when all connections go mute.
  world.scheduler.advance(2400ms);
  REQUIRE(world.upstream.attempts == 16);
  world.upstream.network.mute_all();
  world.scheduler.advance(1s);
  CHECK(time_of(world, "/another") < 500ms);
  CHECK(world.answered() == 9);
  CHECK(world.breaker_opened() == 0);
}

TEST_CASE("refused at all of its addresses, an origin is down; at one of them, it is not") {
  World down(1, named());
  down.upstream.network.paths = {{"a", Path::Refuses}, {"b", Path::Refuses}};
  down.fetcher.addresses(0, {"a", "b"});
  for (int i = 0; i < 10; ++i) down.fetch("/" + std::to_string(i), 2s);
  down.scheduler.advance(1s);
  CHECK(down.breaker_opened() >= 1);
  CHECK(down.upstream.attempts < 40);

  World half(1, named());
  half.upstream.network.paths = {{"a", Path::Refuses}};
  half.fetcher.addresses(0, {"a", "b"});
  half.fetch_all(200, 10);
  CHECK(half.answered() == 200);
  CHECK(half.breaker_opened() == 0);
  CHECK(half.fetcher.status().origins[0].error_rate.value_or(0) == 0);
  CHECK(half.upstream.attempts <= 210);
  // The time it takes to find out, and no pause.
  CHECK(half.outcomes.percentile(1) < 150ms);
}

TEST_CASE("nothing is sent before a name is known, and then all at once") {
  World world(1, named());
  world.upstream.median = 5ms;
  int looked_up = 0;
  world.fetcher.on_unreachable([&](std::size_t) { ++looked_up; });
  for (int i = 0; i < 30; ++i) world.fetch("/" + std::to_string(i));
  world.scheduler.advance(2s);
  CHECK(world.upstream.attempts == 0);
  CHECK(looked_up > 0);
  world.fetcher.addresses(0, {"a"});
  const base::SteadyTime known = world.now();
  world.settle();
  CHECK(world.answered() == 30);
  CHECK(world.upstream.attempts == 30);
  // One by one for a moment, while nothing is proven.
  CHECK(world.now() - known < 150ms);
  CHECK(world.breaker_opened() == 0);
}

TEST_CASE("a name that nobody knows is named as the reason") {
  World world(1, named());
  world.fetcher.name_trouble(0, "no such name");
  world.fetch("/a", 2s);
  world.settle();
  REQUIRE(world.results.size() == 1);
  CHECK(world.results[0].end == FetchEnd::Deadline);
  CHECK(world.results[0].outcome == Outcome::Dns);
  CHECK(world.results[0].reply.detail == "no such name");
  CHECK(world.upstream.attempts == 0);
  CHECK(world.breaker_opened() == 0);
}

TEST_CASE("what is late at an address that the name has left is raced at once") {
  World world(1, named());
  world.upstream.median = 5ms;
  world.upstream.network.round_trip = 20ms;
  world.fetcher.addresses(0, {"old"});
  world.fetch_all(40, 4);
  world.upstream.network.paths["old"] = Path::Dark;
  for (int i = 0; i < 4; ++i) world.fetch("/moved/" + std::to_string(i));
  world.scheduler.advance(300ms);
  const base::SteadyTime moved = world.now();
  world.fetcher.addresses(0, {"new"});
  world.settle();
  CHECK(world.answered() == 44);
  CHECK(world.now() - moved < 100ms);
  CHECK(world.upstream.network.connections_to["new"] == 4);
}

TEST_CASE("somebody else's certificate ends a fetch at once, and is looked at again now and then") {
  World world;
  world.upstream.network.round_trip = 20ms;
  world.upstream.network.tls = 10ms;
  world.upstream.network.paths[""] = Path::WrongCertificate;
  const base::SteadyTime begun = world.now();
  for (int i = 0; i < 10; ++i) world.fetch("/" + std::to_string(i));
  world.settle();
  CHECK(world.now() - begun < 100ms);
  CHECK(world.outcomes.ends[FetchEnd::Refused] == 10);
  for (const FetchResult& result : world.results) CHECK(result.outcome == Outcome::Certificate);
  CHECK(world.fetcher.status().origins[0].certificate_refused);
  CHECK(world.breaker_opened() == 0);
  // Who asks in the next minutes is told so, at the cost of a handshake now and then.
  int before = world.upstream.attempts;
  world.arrive(10, 5min);
  world.settle();
  CHECK(world.outcomes.ends[FetchEnd::Refused] == world.started);
  CHECK(world.upstream.attempts - before >= 5);
  CHECK(world.upstream.attempts - before <= 5 * 60 / 5 + 3);
  world.upstream.network.paths.clear();
  world.arrive(10, 6s);
  before = world.answered();
  CHECK(before > 0);
  CHECK_FALSE(world.fetcher.status().origins[0].certificate_refused);
  world.arrive(10, 1s);
  world.settle();
  CHECK(world.answered() - before >= 10);
}

TEST_CASE("an origin whose certificate is right is asked instead of one whose is not") {
  Settings settings;
  settings.origins = {"a", "b"};
  settings.named = {true, true};
  World world(1, settings);
  world.upstream.network.round_trip = 20ms;
  world.upstream.network.paths["10.0.0.1"] = Path::WrongCertificate;
  world.fetcher.addresses(0, {"10.0.0.1"});
  world.fetcher.addresses(1, {"10.0.0.2"});
  world.fetch_all(100, 4);
  CHECK(world.answered() == 100);
  CHECK(world.upstream.by_origin[0] <= 6);
  CHECK(world.fetcher.status().origins[0].certificate_refused);
  CHECK_FALSE(world.fetcher.status().origins[1].certificate_refused);

  // One address of several may be somebody else's.
  World other(1, named());
  other.upstream.network.round_trip = 20ms;
  other.upstream.network.paths["a"] = Path::WrongCertificate;
  other.fetcher.addresses(0, {"a", "b"});
  other.fetch_all(100, 4);
  CHECK(other.answered() == 100);
  CHECK_FALSE(other.fetcher.status().origins[0].certificate_refused);
}

TEST_CASE("a fetch does not go back to where it could not connect while there is another way") {
  World world(1, named());
  world.upstream.network.round_trip = 20ms;
  world.fetcher.addresses(0, {"192.0.2.1", "192.0.2.2", "192.0.2.3"});
  world.upstream.network.paths["192.0.2.1"] = Path::Dark;
  world.upstream.network.paths["192.0.2.2"] = Path::Dark;
  // Their time is too short to count against anybody, and then somebody joins who has more.
  const Fetcher::FetchId fetch = world.fetch("/a", 380ms);
  world.scheduler.advance(300ms);
  world.fetcher.extend(fetch, world.now() + 5s, Priority::Miss);
  world.settle();
  CHECK(world.answered() == 1);
  CHECK(world.upstream.network.connections_to["192.0.2.1"] == 1);
  CHECK(world.upstream.network.connections_to["192.0.2.2"] == 1);
}

}  // namespace holdfast::upstream
