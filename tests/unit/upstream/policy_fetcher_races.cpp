// A healthy upstream must look healthy, however far away or slow it is: races beside what is
// slow, and nothing cut.
#include <doctest/doctest.h>

#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "simulated_upstream.h"
#include "upstream/policy_fetcher.h"

namespace holdfast::upstream {
namespace {

using namespace std::chrono_literals;
using test::Fault;
using test::World;

// Nobody's request waits while there are connections.
void never_queues(World& world) {
  world.upstream.on_start = [&world](const Sending&) { CHECK(world.fetcher.status().queued == 0); };
}

}  // namespace

TEST_CASE("while nothing is known of an upstream it is asked once, however long it takes") {
  World world;
  world.upstream.median = 300ms;
  world.upstream.sigma = 0;
  world.fetch("/cold");
  world.settle();
  CHECK(world.answered() == 1);
  CHECK(world.upstream.attempts == 1);
}

TEST_CASE("HEDGE: off means one request at a time, a duration none before it") {
  Settings settings;
  settings.attempt_timeout = 60s;
  settings.hedge.mode = HedgePolicy::Mode::Off;
  for (const int most : {1, 2}) {
    World world(1, settings);
    world.fetch_all(50, 1);
    CHECK(world.upstream.attempts == 50);
    world.upstream.slow["/held"] = 8s;
    world.fetch("/held", 60s);
    world.scheduler.advance(3s);
    CHECK(world.upstream.attempts == 51);
    world.settle();
    CHECK(world.upstream.by_target["/held"] == most);
    CHECK(world.answered() == 51);
    settings.hedge = {.mode = HedgePolicy::Mode::Fixed, .delay = 5s};
  }
}

TEST_CASE("HEDGE=off: what never arrived on a connection that is dead goes out on a new one") {
  Settings settings;
  settings.hedge.mode = HedgePolicy::Mode::Off;
  World world(1, settings);
  world.fetch_all(50, 8);
  world.upstream.network.mute_all();
  for (int i = 0; i < 8; ++i) world.fetch("/after/" + std::to_string(i));
  world.settle();
  CHECK(world.answered() == 58);
  CHECK(world.outcomes.percentile(1) < 3s);
}

TEST_CASE("an upstream that becomes slower costs each request a race, until that is learned") {
  for (const base::Duration later : {300ms, 600ms}) {
    for (const int rate : {20, 200}) {
      CAPTURE(later / 1ms);
      CAPTURE(rate);
      Settings settings;
      settings.concurrency = 512;
      World world(1, settings);
      never_queues(world);
      world.upstream.median = 5ms;
      world.upstream.sigma = 0.1;
      world.arrive(rate, 10s);
      world.upstream.median = later;
      int before = world.upstream.attempts;
      world.arrive(rate, 1s);
      CHECK(world.upstream.attempts - before <= 2 * rate);
      world.arrive(rate, 2s);
      before = world.upstream.attempts;
      world.arrive(rate, 30s);
      world.settle();
      CHECK(world.upstream.attempts - before <= 30 * rate * 105 / 100);
      CHECK(world.answered() == world.started);
      CHECK(world.breaker_opened() == 0);
      // Answered by the first attempt: races win nothing here.
      CHECK(world.outcomes.percentile(1) <= later * 2);
    }
  }
}

TEST_CASE("keys that are always slow cost themselves two attempts, and others nothing") {
  for (const int rate : {20, 200}) {
    CAPTURE(rate);
    World world;
    never_queues(world);
    world.upstream.median = 5ms;
    const int count = 60 * rate;
    std::vector<std::string> slow;
    for (int i = 7; i < count; i += 20) {
      slow.push_back("/new/" + std::to_string(i));
      world.upstream.slow[slow.back()] = 1s;
    }
    world.arrive(rate, 60s);
    world.settle();
    CHECK(world.answered() == count);
    CHECK(world.breaker_opened() == 0);
    CHECK(world.outcomes.percentile(0.90) < 10ms);
    CHECK(world.outcomes.percentile(1) == 1s);
    int asked = 0;
    for (const std::string& key : slow) {
      CHECK(world.upstream.by_target[key] <= 3);
      asked += world.upstream.by_target[key];
    }
    CHECK(asked <= 2 * static_cast<int>(slow.size()) + 5);
    CHECK(world.upstream.attempts - asked <= (count - static_cast<int>(slow.size())) * 105 / 100);
  }
}

TEST_CASE("an upstream that takes seconds for everything works") {
  for (const base::Duration takes : {2100ms, 5000ms}) {
    CAPTURE(takes / 1ms);
    World world;
    world.upstream.median = takes;
    world.upstream.sigma = 0.05;
    world.arrive(5, 10s);
    world.arrive(5, 10s);
    const int before = world.upstream.attempts;
    world.arrive(5, 60s);
    world.settle();
    CHECK(world.answered() == world.started);
    CHECK(world.breaker_opened() == 0);
    CHECK(world.upstream.attempts - before <= 300 * 105 / 100);
  }
}

TEST_CASE("lost packets are waited for, not asked for again") {
  for (const std::uint64_t seed : {1, 2, 3}) {
    CAPTURE(seed);
    World world(seed);
    world.upstream.median = 5ms;
    world.upstream.network.round_trip = 60ms;
    world.upstream.network.tls = 1ms;
    world.upstream.network.loss = 0.02;
    world.fetch_all(1000, 20);
    CHECK(world.upstream.network.lost > 0);
    CHECK(world.answered() == 1000);
    CHECK(world.upstream.attempts <= 1050);
    CHECK(world.breaker_opened() == 0);
  }
}

TEST_CASE("what is slow holds no slot that others need") {
  Settings settings;
  settings.concurrency = 64;
  World world(1, settings);
  world.upstream.median = 5ms;
  // After an outage the limit starts low.
  world.upstream.always[0] = Fault::Refused;
  world.fetch_all(1, 1, 1s);
  world.upstream.always.clear();
  world.scheduler.advance(5s);
  const int limit = world.fetcher.status().origins[0].concurrency_limit;
  REQUIRE(limit < 20);
  world.fetch_all(20, 1);
  const int stuck = 20;
  for (int i = 0; i < stuck; ++i) {
    const std::string key = "/stuck/" + std::to_string(i);
    world.upstream.always_to[key] = Fault::Hang;
    world.fetch(key);
  }
  world.scheduler.advance(1s);
  const Status status = world.fetcher.status();
  CHECK(status.origins[0].in_flight == 0);
  CHECK(status.in_flight >= stuck);
  const base::SteadyTime begun = world.now();
  world.fetch("/other");
  world.scheduler.advance(50ms);
  CHECK(world.upstream.by_target["/other"] == 1);
  CHECK(world.fetcher.status().fetches == stuck);
  CHECK(world.now() - begun == 50ms);
}

TEST_CASE("where connections are short the slow ones give way, as nobody's failure") {
  Settings settings;
  settings.concurrency = 4;
  World world(1, settings);
  world.upstream.median = 5ms;
  world.fetch_all(100, 2);
  world.upstream.slow["/slow"] = 30s;
  world.fetch("/slow");
  world.scheduler.advance(500ms);
  REQUIRE(world.fetcher.status().in_flight == 2);  // a race, too
  // Others could do with one more than the connections that are left.
  bool over = false;
  std::function<void()> one = [&] {
    if (!over) world.fetch("/other/" + std::to_string(world.started), 10s, Priority::Miss, one);
  };
  for (int i = 0; i < 3; ++i) one();
  world.scheduler.advance(1400ms);
  CHECK(world.fetcher.status().queued == 1);
  CHECK(world.upstream.cancelled == 0);  // there is still hope for it
  world.scheduler.advance(1s);
  CHECK(world.fetcher.status().queued == 0);
  CHECK(world.upstream.cancelled == 1);
  CHECK(world.fetcher.status().in_flight == 4);
  CHECK(world.fetcher.status().origins[0].error_rate.value_or(0) == 0);
  over = true;
  world.settle();
  CHECK(world.answered() == world.started - 1);
  CHECK(world.breaker_opened() == 0);
  CHECK(world.upstream.most_in_flight <= 4);
}

TEST_CASE("what ends at a client's deadline counts against nobody") {
  World world;
  world.upstream.median = 5ms;
  world.fetch_all(20, 1);
  // Slow keys with less time than they take, and others that show that it is well.
  for (int i = 0; i < 500; ++i) {
    const std::string key = "/slow/" + std::to_string(i);
    world.upstream.slow[key] = 1s;
    world.fetch(key, 300ms);
    world.fetch("/" + std::to_string(1000 + i));
    world.scheduler.advance(50ms);
  }
  world.settle();
  CHECK(world.breaker_opened() == 0);
  CHECK(world.fetcher.status().origins[0].error_rate.value_or(0) == 0);
  CHECK(world.outcomes.ends[FetchEnd::Deadline] == 500);
}

TEST_CASE("an upstream that says nothing any more is found out, with short deadlines too") {
  for (const base::Duration length : {4s, 6s, 20s}) {
    for (const base::Duration deadline : {1s, 10s}) {
      CAPTURE(deadline / 1ms);
      CAPTURE(length / 1ms);
      World world;
      world.upstream.median = 5ms;
      world.arrive(50, 10s, deadline);
      world.upstream.always[0] = Fault::Hang;
      world.arrive(50, length, deadline);
      CHECK(world.breaker_opened() >= 1);
      world.upstream.always.clear();
      world.scheduler.advance(2s);
      // Though what hangs may hold all connections.
      CHECK(world.fetcher.status().origins[0].breaker == Breaker::State::Closed);
    }
  }
}

TEST_CASE("that all attempts end at ATTEMPT_TIMEOUT is said once, with the setting's name") {
  std::FILE* const file = std::tmpfile();
  REQUIRE(file != nullptr);
  Settings settings;
  settings.attempt_timeout = 1s;
  World world(1, settings, fileno(file));
  world.upstream.median = 1500ms;
  world.upstream.sigma = 0;
  world.arrive(5, 20s);
  world.settle();
  world.log.flush();
  std::rewind(file);
  std::string text;
  for (int c = std::fgetc(file); c != EOF; c = std::fgetc(file)) text += static_cast<char>(c);
  std::fclose(file);
  const auto first = text.find("attempts_end_at_timeout");
  REQUIRE(first != std::string::npos);
  CHECK(text.find("attempts_end_at_timeout", first + 1) == std::string::npos);
  CHECK(text.find("ATTEMPT_TIMEOUT", first) != std::string::npos);
}

}  // namespace holdfast::upstream
