#include "daemon/store_watch.h"

#include <doctest/doctest.h>

using namespace holdfast;
using namespace holdfast::daemon;
using namespace std::chrono_literals;
using observe::HealthState;
using State = cache::StoreStatus::State;

namespace {

struct WatchFixture {
  base::ManualClock clock;
  observe::Log log;
  observe::Dependency health{"store", observe::Dependency::Role::Supporting, clock};
  StoreWatch watch{health, log, false};
  cache::StoreStatus status{.state = State::Ok};

  void look_after(base::Duration time) {
    clock.advance(time);
    watch.look(status, clock.now());
  }
  std::string json() const {
    std::string out;
    health.append_json(out);
    return out;
  }
  bool says(const char* text) const { return json().find(text) != std::string::npos; }
};

}  // namespace

TEST_CASE_FIXTURE(WatchFixture,
                  "a writer that has work and does none is told, and that it goes on") {
  look_after(0s);
  status.queued = 3;
  look_after(500ms);
  CHECK(health.state() == HealthState::Ok);
  look_after(StoreWatch::kPatience - 1ms);
  CHECK(health.state() == HealthState::Ok);
  look_after(1ms);
  CHECK(health.state() == HealthState::Degraded);
  CHECK(says("makes no progress; 3 writes wait"));
  CHECK(says(R"("last_error":{"at":)"));
  status.queued = 2;
  status.committed = 1;
  look_after(500ms);
  CHECK(health.state() == HealthState::Ok);
}

TEST_CASE_FIXTURE(WatchFixture, "no store is well, and named by the setting that says so") {
  StoreWatch off(health, log, true);
  off.look({}, clock.now());
  CHECK(health.state() == HealthState::Ok);
  CHECK(says("STORE_PATH is off"));
}

TEST_CASE_FIXTURE(WatchFixture, "a writer with nothing to do is not stuck, however long") {
  status.committed = 5;
  for (int i = 0; i < 10; ++i) look_after(1h);
  CHECK(health.state() == HealthState::Ok);
  // Nor one that is found with work after a long time without a look.
  status.queued = 1;
  look_after(1h);
  CHECK(health.state() == HealthState::Ok);
}

TEST_CASE_FIXTURE(WatchFixture,
                  "commits are its successes, errors its failures, its state is its own word") {
  look_after(0s);
  CHECK(says(R"("last_success":null)"));
  CHECK(says(R"("last_error":null)"));
  status.committed = 1;
  look_after(500ms);
  CHECK_FALSE(says(R"("last_success":null)"));
  status.state = State::Degraded;
  status.reason = "disk full";
  status.write_errors = 1;
  look_after(500ms);
  CHECK(health.state() == HealthState::Degraded);
  CHECK(says(R"("error":"disk full")"));
  status.state = State::Off;
  status.reason = "not ours";
  look_after(500ms);
  CHECK(health.state() == HealthState::Down);
  CHECK(says(R"("reason":"not ours")"));
}

TEST_CASE("no store by the operator's wish is fine") {
  base::ManualClock clock;
  observe::Log log;
  observe::Dependency health("store", observe::Dependency::Role::Supporting, clock);
  StoreWatch watch(health, log, true);
  watch.look({.state = State::Off, .reason = "none"}, clock.now());
  CHECK(health.state() == HealthState::Ok);
}
