#include "upstream/refusal_trial.h"

#include <doctest/doctest.h>

#include <string_view>

namespace holdfast::upstream {
namespace {

using namespace std::chrono_literals;
using Finding = RefusalTrial::Verdict;

// Replies to requests at one rate: '.' was let through, 'x' refused.
struct Trial {
  RefusalTrial trial;
  base::SteadyTime now{1h};
  double rate = 100;
  double chance = 0;

  explicit Trial(bool climbing = false) { trial.begin(climbing); }

  // The first verdict that is not Open.
  Finding replies(std::string_view all) {
    for (const char reply : all) {
      now += std::chrono::duration_cast<base::Duration>(std::chrono::duration<double>(1 / rate));
      const Finding verdict = trial.replied(now, reply == 'x', rate, chance);
      if (verdict != Finding::Open) return verdict;
    }
    return Finding::Open;
  }
  void slow_down(double to) {
    rate = to;
    trial.slowed_down();
  }
};

constexpr std::string_view kHalf =
    "x"
    ".x.x.x.x.x.x";
constexpr std::string_view kThird =
    "x"
    "..x..x..x..x";

}  // namespace

TEST_CASE("nothing refused at the lower rate: it was a limit") {
  Trial trial;
  CHECK(trial.replies(".....") == Finding::Open);
  CHECK(trial.trial.on());
  CHECK_FALSE(trial.trial.holds_rate(trial.rate));
  CHECK(trial.replies(".") == Finding::Limit);
  CHECK(trial.trial.share() == 0);
  CHECK_FALSE(trial.trial.on());
  CHECK(trial.replies("xxxxxxxxxxxx") == Finding::Open);
}

TEST_CASE("refusals that go on are measured, from the first one on, at a rate that is held") {
  Trial trial;
  CHECK(trial.replies("...") == Finding::Open);
  CHECK(trial.replies(kHalf.substr(0, 12)) == Finding::Open);
  CHECK(trial.trial.holds_rate(trial.rate));
  CHECK(trial.replies(kHalf.substr(12)) == Finding::SlowDown);
  CHECK(trial.trial.share() == doctest::Approx(0.5));
}

TEST_CASE("a limit that was measured too high refuses nothing once it is measured again") {
  Trial trial;
  REQUIRE(trial.replies(kHalf) == Finding::SlowDown);
  trial.slow_down(40);
  CHECK(trial.replies("......") == Finding::Limit);
  Trial later;
  REQUIRE(later.replies(kHalf) == Finding::SlowDown);
  later.slow_down(40);
  CHECK(later.replies("x...........x") == Finding::Limit);
}

TEST_CASE("a share that stays as it was is chance") {
  Trial trial;
  REQUIRE(trial.replies(kHalf) == Finding::SlowDown);
  trial.slow_down(40);
  CHECK(trial.replies(kHalf) == Finding::Chance);
  CHECK(trial.trial.share() == doctest::Approx(0.5));
}

TEST_CASE("so short a time that a limiter may have saved up a burst for it proves nothing") {
  Trial trial;
  trial.rate = 1000;
  REQUIRE(trial.replies(kHalf) == Finding::SlowDown);
  trial.slow_down(400);
  CHECK(trial.replies(kHalf) == Finding::SlowDown);
  trial.slow_down(40);
  CHECK(trial.replies(kHalf) == Finding::Chance);
}

TEST_CASE("a share that fell, but not to nothing, is looked at longer, and measured again") {
  Trial trial;
  REQUIRE(trial.replies("x.xxxxx.xxxxx") == Finding::SlowDown);
  trial.slow_down(40);
  CHECK(trial.replies(kThird) == Finding::Open);
  CHECK(trial.replies("..x..x..x..x") == Finding::SlowDown);
  CHECK(trial.trial.share() == doctest::Approx(8.0 / 24));
}

TEST_CASE("chance that is known, and a limit: what is refused at both rates is the chance") {
  Trial trial;
  trial.chance = 0.5;
  REQUIRE(trial.replies(kHalf) == Finding::SlowDown);
  trial.slow_down(40);
  CHECK(trial.replies(kHalf) == Finding::Both);
}

TEST_CASE("next to everything refused is no chance, but takes twice as long to say so") {
  Trial trial;
  CHECK(trial.replies("x.xxxxxxxxxxx") == Finding::Open);
  CHECK(trial.replies("xxxxxxxxxxxx") == Finding::Limit);
  Trial nothing;
  CHECK(nothing.replies("xxxxxxxxxxxxx") == Finding::Limit);
}

TEST_CASE("refusals in a row and then none are a limiter's that counts in long windows") {
  Trial trial;
  REQUIRE(trial.replies("xxxxxxx......") == Finding::Open);
  CHECK(trial.trial.on());
  CHECK(trial.replies("............") == Finding::Limit);
}

TEST_CASE("in a climb chance refuses as before, a limit ever more") {
  for (const bool limit : {true, false}) {
    CAPTURE(limit);
    Trial trial(true);
    trial.rate = 4;
    CHECK(trial.replies(kHalf) == Finding::Open);
    CHECK_FALSE(trial.trial.holds_rate(8));
    CHECK(trial.trial.holds_rate(12));
    CHECK(trial.trial.on());
    trial.rate = 8;
    Finding verdict = Finding::Open;
    for (int i = 0; i < 4 && verdict == Finding::Open; ++i, trial.rate *= 2) {
      verdict = trial.replies(limit ? "xx.xxx.xxxx." : ".x.x.x.x.x.x");
    }
    CHECK(verdict == (limit ? Finding::TooFast : Finding::Chance));
  }
}

TEST_CASE("what may turn out to be chance is suspected as soon as something is let through") {
  Trial trial;
  CHECK(trial.replies("xxx") == Finding::Open);
  CHECK(trial.trial.suspected() == 0);
  CHECK(trial.replies(".") == Finding::Open);
  CHECK(trial.trial.suspected() == doctest::Approx(2.0 / 3));
  trial.trial.end();
  CHECK(trial.trial.suspected() == 0);
}

}  // namespace holdfast::upstream
