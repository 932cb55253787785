#include "daemon/status_line.h"

#include <doctest/doctest.h>

using namespace std::chrono_literals;
using namespace holdfast::daemon;
using holdfast::base::SteadyTime;
using holdfast::observe::HealthState;

namespace {

StatusFacts facts() {
  StatusFacts facts;
  facts.ports = "3000";
  facts.stored = 1000;
  facts.recent = {51234, 51234};
  return facts;
}

}  // namespace

TEST_CASE("the status line says where, what of, and how well") {
  CHECK(status_line(facts()) ==
        "serving on 3000; upstream up; 1000 stored; 100 % 200s of 51234 in the last minute");
}

TEST_CASE("one answer missing of many is not 100 %") {
  StatusFacts nearly = facts();
  nearly.recent.ok = 51233;
  CHECK(status_line(nearly).find("99.9 % 200s") != std::string::npos);
}

TEST_CASE("the status line says what is not well") {
  StatusFacts bad = facts();
  bad.upstream = HealthState::Down;
  bad.store = HealthState::Degraded;
  bad.recent = {};
  bad.reload_error = "holdfast.toml:3: unknown key \"prot\"\n; did you mean port?";
  CHECK(status_line(bad) ==
        "serving on 3000; upstream down; 1000 stored (store degraded); no lookups in the last "
        "minute; last reload failed: holdfast.toml:3: unknown key \"prot\"?; did you mean port?");
}

TEST_CASE("while draining the line says what is left to do") {
  StatusFacts draining = facts();
  draining.draining = true;
  draining.in_flight = 3;
  CHECK(status_line(draining) == "draining; 3 requests in flight");
}

TEST_CASE("recent answers are those of the last minute") {
  RecentAnswers answers;
  SteadyTime now{1h};
  CHECK(answers.last_minute().all == 0);
  answers.note(now, {100, 90});
  CHECK(answers.last_minute().all == 0);
  for (std::uint64_t i = 1; i <= 40; ++i) answers.note(now += 3s, {100 + i * 10, 90 + i * 10});
  CHECK(answers.last_minute().all == 200);
  CHECK(answers.last_minute().ok == 200);
  answers.note(now += 1h, {500, 490});
  CHECK(answers.last_minute().all == 0);
}
