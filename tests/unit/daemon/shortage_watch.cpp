#include "daemon/shortage_watch.h"

#include <doctest/doctest.h>

#include <memory>

#include "config/routing.h"

#include "daemon/descriptors.h"

using namespace holdfast;
using namespace holdfast::daemon;
using namespace std::chrono_literals;

TEST_CASE("a shortage is told when it begins and when nothing was lacking for a while") {
  const base::ManualClock clock;
  observe::Health health(clock);
  observe::Dependency& resources = health.add("resources", observe::Dependency::Role::Supporting);
  observe::Log log;
  ShortageWatch watch(resources, log);
  base::SteadyTime now{1h};

  watch.look({0, 0, 0}, now);
  CHECK(resources.state() == observe::HealthState::Ok);
  watch.look({3, 0, 0}, now += 500ms);
  CHECK(resources.state() == observe::HealthState::Degraded);
  CHECK(resources.reason().find("descriptors") != std::string::npos);
  watch.look({9, 0, 0}, now += 500ms);
  watch.look({9, 2, 0}, now += 500ms);
  CHECK(resources.reason().find("ports") != std::string::npos);
  watch.look({9, 2, 0}, now += 10s);
  CHECK(resources.state() == observe::HealthState::Ok);
  CHECK(resources.reason().empty());
}

TEST_CASE("what we need ourselves comes off the descriptors before clients have theirs") {
  config::Settings settings;
  settings.bind = {"127.0.0.1", "::1"};
  settings.workers = 4;
  settings.max_connections = 10'000;
  auto routing = std::make_shared<config::Routing>();
  routing->upstreams.emplace_back().settings.api_urls = {"http://api.example"};
  routing->upstreams.front().settings.upstream_concurrency = 64;
  settings.routing = routing;
  CHECK(connections_within(65'536, 30, settings) == 10'000);
  std::size_t before = 0;
  for (const unsigned workers : {1U, 4U}) {
    settings.workers = workers;
    before = 0;
    for (const std::size_t limit : {64, 100, 200, 500, 1024, 4096, 10'000, 20'000}) {
      CAPTURE(limit);
      CAPTURE(workers);
      const std::size_t most = connections_within(limit, 30, settings);
      CHECK(most >= 1);
      CHECK(most >= before);
      CHECK(most <= 10'000);
      if (limit >= 1024 && limit <= 10'000) CHECK(most + 80 + 30 <= limit);
      before = most;
    }
  }
  settings.workers = 1;
  CHECK(connections_within(100, 26, settings) >= 15);
  CHECK(connections_within(100, 26, settings) <= 40);
  CHECK(connections_within(60, 30, settings) >= 5);
  CHECK(connections_within(0, 0, settings) == 1);
}
