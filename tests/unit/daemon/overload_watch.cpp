#include "daemon/overload_watch.h"

#include <doctest/doctest.h>

using namespace holdfast;
using namespace holdfast::daemon;
using namespace std::chrono_literals;
using observe::Family;
using observe::HealthState;

namespace {

struct Fixture {
  Fixture() { health.set_listening(true); }

  base::ManualClock clock;
  observe::Log log;
  observe::Health health{clock};
  OverloadWatch watch{health, log};

  void look_after(base::Duration time, std::uint64_t turned_away) {
    clock.advance(time);
    watch.look(turned_away, clock.now());
  }
};

}  // namespace

TEST_CASE_FIXTURE(Fixture, "turning clients away is overload, until nobody was for a while") {
  look_after(0s, 0);
  CHECK_FALSE(health.overloaded());
  look_after(500ms, 3);
  CHECK(health.overloaded());
  look_after(9s, 3);
  CHECK(health.overloaded());
  look_after(500ms, 4);  // and again
  look_after(OverloadWatch::kPatience - 1ms, 4);
  CHECK(health.overloaded());
  look_after(1ms, 4);
  CHECK_FALSE(health.overloaded());
  CHECK(health.overall() == HealthState::Ok);
  look_after(500ms, 5);
  CHECK(health.overall() == HealthState::Degraded);
}

TEST_CASE("those turned away for want of room are counted, not those who want too much") {
  observe::Metrics metrics;
  observe::Shard& shard = metrics.shard();
  const auto count = [&](Family family, const char* reason) {
    shard.add(metrics.counter(family, {{"reason", reason}}));
  };
  count(Family::ConnectionsRefused, "client_connections");
  count(Family::ConnectionsRefused, "credentials");
  count(Family::RequestsLimited, "client_rate");
  count(Family::RequestsRejected, "malformed");
  CHECK(turned_away(metrics) == 0);
  count(Family::ConnectionsRefused, "connections");
  count(Family::ConnectionsRefused, "descriptors");
  count(Family::RequestsRejected, "overload");
  count(Family::RequestsLimited, "waiters");
  count(Family::RequestsLimited, "queued");
  count(Family::RequestsLimited, "parked");
  CHECK(turned_away(metrics) == 6);
}
