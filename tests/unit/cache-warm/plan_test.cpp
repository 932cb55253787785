#include "plan.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <set>

using namespace holdfast;
using namespace holdfast::warm;
using namespace std::chrono_literals;
using Kind = Verdict::Kind;
using Ask = Step::Ask;

namespace {

struct Fixture {
  void make(std::size_t addresses, PlanSettings settings = {}) {
    plan.emplace(addresses, settings, random, now);
  }
  std::vector<Step> take() {
    std::vector<Step> steps;
    while (const auto step = plan->next(now)) steps.push_back(*step);
    return steps;
  }
  Step take_one() {
    const auto step = plan->next(now);
    REQUIRE(step.has_value());
    return *step;
  }
  void end(const Step& step, Kind kind, std::chrono::seconds retry_after = 0s, int status = 0) {
    Verdict verdict;
    verdict.kind = kind;
    verdict.status = status;
    verdict.reason = "as scripted";
    verdict.retry_after = retry_after;
    plan->end(step, verdict, now);
  }
  // To when the plan wants to be asked again.
  void pass() {
    REQUIRE(plan->wake() != base::SteadyTime::max());
    now = std::max(now, plan->wake());
  }

  // Runs to the end, or until it gives up: `upstream` says whether it answers a fetch.
  void run_with(const std::function<bool(const Step&)>& upstream, int status = 502) {
    while (!plan->finished() && !plan->gave_up(now)) {
      const auto steps = take();
      if (steps.empty()) pass();
      for (const Step& step : steps) {
        if (step.ask == Ask::Probe) {
          end(step, Kind::NotStored);
        } else if (upstream(step)) {
          end(step, Kind::Fetched);
        } else {
          end(step, status == 503 ? Kind::Pause : Kind::TryAgain, 1s, status);
        }
      }
      now += 10ms;
    }
  }

  base::Random random{7};
  base::SteadyTime now{1h};
  std::optional<Plan> plan;
};

}  // namespace

TEST_CASE_FIXTURE(Fixture, "what is stored is skipped, what is not is fetched, each once") {
  make(3);
  const auto probes = take();
  REQUIRE(probes.size() == 3);
  for (const Step& probe : probes) CHECK(probe.ask == Ask::Probe);
  end(probes[0], Kind::Fresh);
  end(probes[1], Kind::NotStored);
  end(probes[2], Kind::NotStored);
  const auto fetches = take();
  REQUIRE(fetches.size() == 2);
  for (const Step& fetch : fetches) CHECK(fetch.ask == Ask::Fetch);
  end(fetches[0], Kind::Fetched);
  end(fetches[1], Kind::NotFound);
  CHECK(plan->finished());
  CHECK(plan->counts().there == 1);
  CHECK(plan->counts().fetched == 1);
  CHECK(plan->counts().not_found == 1);
  CHECK(plan->counts().stored() == 3);
  CHECK(plan->counts().requests == 5);
  CHECK(plan->counts().retries == 0);
}

TEST_CASE_FIXTURE(Fixture, "never more at a time than allowed") {
  make(100, {.concurrency = 4});
  CHECK(take().size() == 4);
  CHECK(plan->wake() == base::SteadyTime::max());
}

TEST_CASE_FIXTURE(Fixture, "the rate holds for fetches alone") {
  make(10, {.concurrency = 10, .fetches_per_second = 2});
  for (const Step& probe : take()) end(probe, Kind::NotStored);
  const auto started = now;
  for (int i = 0; i < 10; ++i) {
    pass();
    const auto steps = take();
    REQUIRE(steps.size() == 1);
    end(steps[0], Kind::Fetched);
  }
  CHECK(now - started == 4500ms);
}

TEST_CASE_FIXTURE(Fixture, "a failed fetch is tried again, later each time, and then given up") {
  PlanSettings settings;
  settings.attempts = 4;
  settings.backoff_first = 1s;
  make(1, settings);
  end(take_one(), Kind::NotStored);
  for (const auto longest : {1s, 2s, 4s}) {
    const auto before = now;
    end(take_one(), Kind::TryAgain);
    CHECK(take().empty());
    pass();
    CHECK(now - before >= longest / 2);
    CHECK(now - before <= longest);
  }
  end(take_one(), Kind::TryAgain);
  CHECK(plan->finished());
  CHECK(plan->counts().failed == 1);
  CHECK(plan->counts().retries == 3);
  REQUIRE(plan->failures().size() == 1);
  CHECK(plan->failures()[0].reason == "as scripted");
}

TEST_CASE_FIXTURE(Fixture, "a Retry-After longer than the backoff is waited for") {
  make(1);
  end(take_one(), Kind::NotStored);
  const auto before = now;
  end(take_one(), Kind::TryAgain, 20s);
  pass();
  CHECK(now - before == 20s);
}

TEST_CASE_FIXTURE(Fixture, "what is hopeless is not asked again") {
  make(1);
  end(take_one(), Kind::Hopeless);
  CHECK(plan->finished());
  CHECK(plan->counts().failed == 1);
}

TEST_CASE_FIXTURE(Fixture, "a hit to a fetch counts as refreshed only when a probe says so") {
  make(2);
  for (const Step& probe : take()) end(probe, Kind::NotStored);
  for (const Step& fetch : take()) end(fetch, Kind::Fresh);
  CHECK_FALSE(plan->finished());
  now += 1min;
  const auto probes = take();
  REQUIRE(probes.size() == 2);
  CHECK(probes[0].ask == Ask::Probe);
  end(probes[0], Kind::Fresh);
  CHECK(plan->counts().fetched == 1);
  // The other one stays due whatever is done.
  end(probes[1], Kind::NotStored);
  while (!plan->finished()) {
    for (const Step& step : take()) {
      end(step, step.ask == Ask::Fetch ? Kind::Fresh : Kind::NotStored);
    }
    if (!plan->finished()) pass();
  }
  CHECK(plan->counts().kept == 1);
  CHECK(plan->counts().stored() == 2);
}

TEST_CASE_FIXTURE(Fixture, "a refresh that keeps failing ends as kept, which is stored") {
  make(1);
  end(take_one(), Kind::NotStored);
  while (!plan->finished()) {
    for (const Step& step : take()) end(step, Kind::Stale);
    if (!plan->finished()) pass();
  }
  CHECK(plan->counts().kept == 1);
  CHECK(plan->counts().requests == 9);
}

TEST_CASE_FIXTURE(Fixture, "overload pauses everything, one request tries, then twice as many") {
  make(100, {.concurrency = 8});
  auto steps = take();
  for (const Step& step : steps) end(step, Kind::NotStored);
  steps = take();
  REQUIRE(steps.size() == 8);
  const auto before = now;
  for (const Step& step : steps) end(step, Kind::Pause, 3s);
  CHECK(take().empty());
  CHECK(plan->pause_reason(now) == "as scripted");
  pass();
  CHECK(now - before == 3s);
  CHECK(plan->pause_reason(now).empty());
  steps = take();
  REQUIRE(steps.size() == 1);
  CHECK(steps[0].ask == Ask::Fetch);
  // Eight refusals at once were one pause; the next one is longer.
  const auto second = now;
  end(steps[0], Kind::Pause);
  pass();
  CHECK(now - second >= 500ms);
  CHECK(now - second <= 1s);
  std::size_t expected = 1;
  for (int round = 0; round < 4; ++round) {
    steps = take();
    CHECK(steps.size() == expected);
    expected = std::min<std::size_t>(8, steps.size() * 2);
    // One success at a time opens the window; the rest come back later.
    end(steps[0], Kind::Fetched);
    for (std::size_t i = 1; i < steps.size(); ++i) end(steps[i], Kind::TryAgain);
  }
  // No pause counted against an address.
  CHECK(plan->counts().failed == 0);
}

TEST_CASE_FIXTURE(Fixture, "it gives up when told to wait and nothing gets on for long") {
  make(1);
  end(take_one(), Kind::NotStored);
  const auto started = now;
  while (!plan->gave_up(now)) {
    for (const Step& step : take()) end(step, Kind::Pause, 1s);
    pass();
    REQUIRE(now - started < 10min);
  }
  CHECK(now - started >= 2min);
  CHECK_FALSE(plan->finished());
  CHECK(plan->last_trouble() == "as scripted");
}

TEST_CASE_FIXTURE(Fixture, "a slow rate is no reason to give up") {
  make(2, {.fetches_per_second = 0.001});
  for (const Step& probe : take()) end(probe, Kind::NotStored);
  end(take_one(), Kind::Fetched);
  now += 10min;
  CHECK_FALSE(plan->gave_up(now));
}

TEST_CASE_FIXTURE(Fixture, "a check fetches nothing") {
  make(2, {.check_only = true});
  const auto probes = take();
  end(probes[0], Kind::Fresh);
  end(probes[1], Kind::NotStored);
  CHECK(plan->finished());
  CHECK(plan->counts().there == 1);
  CHECK(plan->counts().missing == 1);
  CHECK(plan->counts().failed == 0);
}

TEST_CASE("whatever the daemon answers, every address ends, and is counted once") {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    CAPTURE(seed);
    base::Random random(seed);
    base::SteadyTime now{1h};
    PlanSettings settings;
    settings.concurrency = 1 + static_cast<unsigned>(random.below(8));
    settings.attempts = 1 + static_cast<unsigned>(random.below(5));
    settings.give_up_after = 24h;
    if (random.below(2) == 0) settings.fetches_per_second = 5;
    Plan plan(50, settings, random, now);
    std::vector<Step> open;
    while (!plan.finished()) {
      while (const auto step = plan.next(now)) open.push_back(*step);
      REQUIRE(open.size() <= settings.concurrency);
      if (open.empty()) {
        REQUIRE(plan.wake() != base::SteadyTime::max());
        REQUIRE(plan.wake() > now);
        now = plan.wake();
        continue;
      }
      const std::size_t which = random.below(open.size());
      const Step step = open[which];
      open.erase(open.begin() + static_cast<std::ptrdiff_t>(which));
      Verdict verdict;
      verdict.kind = static_cast<Kind>(random.below(8));
      if (verdict.kind == Kind::NotStored && step.ask == Ask::Fetch) verdict.kind = Kind::Fetched;
      plan.end(step, verdict, now);
    }
    CHECK(open.empty());
    CHECK(plan.counts().settled() == 50);
  }
}

TEST_CASE_FIXTURE(Fixture,
                  "where most of what was asked for is unknown, the path is wrong, rather") {
  const auto run = [this](std::size_t unknown, std::size_t fetched) {
    make(unknown + fetched, {.concurrency = 1000});
    const auto probes = take();
    for (const Step& probe : probes) end(probe, Kind::NotStored);
    const auto fetches = take();
    REQUIRE(fetches.size() == unknown + fetched);
    for (std::size_t i = 0; i < fetches.size(); ++i) {
      end(fetches[i], i < unknown ? Kind::NotFound : Kind::Fetched);
    }
    return plan->counts().mostly_unknown();
  };
  CHECK(run(20, 0));
  CHECK(run(21, 20));
  CHECK_FALSE(run(19, 0));
  CHECK_FALSE(run(20, 20));
}

TEST_CASE_FIXTURE(Fixture,
                  "behind an upstream that is gone it gives up after a while, and says why") {
  for (const int status : {502, 504}) {
    make(100000);
    const base::SteadyTime started = now;
    std::set<std::uint32_t> asked;
    run_with(
        [&](const Step& step) {
          asked.insert(step.item);
          return false;
        },
        status);
    CHECK(plan->gave_up(now));
    CHECK(now - started >= 2min);
    CHECK(now - started < 4min);
    CHECK(asked.size() >= 50);
    // It rested: the upstream was not asked for all of them.
    CHECK(asked.size() < 500);
    CHECK(plan->counts().failed == 0);
    CHECK(plan->last_trouble().find("in a row got no answer of the upstream's, the last "
                                    "error: as scripted") != std::string::npos);
  }
}

TEST_CASE_FIXTURE(Fixture,
                  "an outage shorter than that is waited out, and costs no address anything") {
  make(2000);
  const base::SteadyTime back = now + 100s;
  run_with([&](const Step&) { return now >= back; });
  CHECK(plan->finished());
  CHECK(plan->counts().fetched == 2000);
  CHECK(now - back < 1min);
}

TEST_CASE_FIXTURE(Fixture, "a tenth of failures, or nine tenths, never ends a run") {
  for (const unsigned one_in : {10U, 2U}) {
    make(20000, {.attempts = 2});
    run_with([&](const Step& step) { return step.item % 10 < (one_in == 10 ? 9 : 1); });
    CHECK(plan->finished());
    CHECK(plan->counts().fetched == (one_in == 10 ? 18000 : 2000));
  }
}

TEST_CASE_FIXTURE(Fixture, "forty bad addresses in a row are bad addresses") {
  make(1000, {.attempts = 2});
  run_with([&](const Step& step) { return step.item < 100 || step.item >= 140; });
  CHECK(plan->finished());
  CHECK(plan->counts().failed == 40);
}

TEST_CASE_FIXTURE(Fixture, "told to keep going it asks for all, though nothing is answered") {
  make(300, {.attempts = 2, .keep_going = true});
  run_with([](const Step&) { return false; });
  CHECK(plan->finished());
  CHECK(plan->counts().failed == 300);
}
