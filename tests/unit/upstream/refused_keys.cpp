#include "upstream/refused_keys.h"

#include <doctest/doctest.h>

#include <deque>

#include "base/random.h"
#include "rounds.h"

namespace holdfast::upstream {
namespace {

using namespace std::chrono_literals;
using holdfast::test::of_seeds;

const base::SteadyTime kFirstTurn{1h};
constexpr auto kTurn = 10ms;

// Attempts one by one, each answered before the next: of so many keys at a time, each asked for in
// turn until it is let through.
struct Turns {
  RefusedKeys refused{{}};
  base::SteadyTime now = kFirstTurn;
  std::size_t next_key = 1000;

  void ask(std::size_t key, bool lets_through) {
    now += kTurn;
    if (lets_through) {
      refused.let_through(now - kTurn / 2, now, key);
    } else {
      refused.refused(now - kTurn / 2, now, key);
    }
  }
  void ask_new(bool lets_through) { ask(next_key++, lets_through); }
};

}  // namespace

TEST_CASE("a key that is refused while others are let through is refused for itself") {
  Turns turns;
  for (int i = 0; i < 5; ++i) {
    turns.ask(1, false);
    CHECK_FALSE(turns.refused.is_keys_own(1));
    for (int k = 0; k < 3; ++k) turns.ask_new(true);
  }
  turns.ask(1, false);
  CHECK(turns.refused.sticks());
  CHECK(turns.refused.is_keys_own(1));
  // Once is no retry.
  turns.ask(2, false);
  CHECK_FALSE(turns.refused.is_keys_own(2));
  CHECK(turns.refused.share() < 0.3);
  // One that is let through has no trouble.
  turns.ask(1, true);
  CHECK_FALSE(turns.refused.is_keys_own(1));
}

TEST_CASE("bad keys count together, though most of what is asked for is bad") {
  Turns turns;
  int refusals = 0;
  // Six keys of ten are bad, and each of those is asked for three times.
  std::deque<std::size_t> bad;
  for (std::size_t i = 0; i < 120 && !turns.refused.sticks(); ++i) {
    const bool good = i % 10 < 4;
    if (good) {
      turns.ask_new(true);
      continue;
    }
    bad.push_back(i);
    if (bad.size() > 3) bad.pop_front();
    for (const std::size_t key : bad) {
      turns.ask(key, false);
      ++refusals;
    }
  }
  CHECK(turns.refused.sticks());
  CHECK(refusals < 200);
}

TEST_CASE("what refuses at random, or lets a part through, refuses nobody for himself") {
  for (const double share : {0.1, 0.5, 0.9}) {
    for (int seed = 1; seed <= of_seeds(20); ++seed) {
      CAPTURE(share);
      CAPTURE(seed);
      base::Random random(seed);
      Turns turns;
      std::deque<std::size_t> waiting;
      for (std::size_t key = 0; key < 20; ++key) waiting.push_back(key);
      turns.next_key = 20;
      for (int i = 0; i < 5000; ++i) {
        const std::size_t key = waiting.front();
        waiting.pop_front();
        const bool lets_through = random.uniform() >= share;
        turns.ask(key, lets_through);
        waiting.push_back(lets_through ? turns.next_key++ : key);
        REQUIRE_FALSE(turns.refused.is_surely_keys_own(key));
      }
    }
  }
}

TEST_CASE("while nobody is let through nobody is refused for himself") {
  Turns turns;
  for (int i = 0; i < 300; ++i) turns.ask_new(true);
  for (int i = 0; i < 500; ++i) {
    turns.ask(static_cast<std::size_t>(i % 20), false);
    CHECK_FALSE(turns.refused.sticks());
  }
  // The next window of the limiter: now they are let through, all of them.
  for (std::size_t key = 0; key < 20; ++key) {
    turns.ask(key, true);
    turns.ask_new(true);
    CHECK_FALSE(turns.refused.sticks());
  }
}

TEST_CASE("what was found of keys ends where retries are let through again, and with time") {
  Turns turns;
  for (int i = 0; i < 10; ++i) {
    turns.ask(1, false);
    for (int k = 0; k < 3; ++k) turns.ask_new(true);
  }
  REQUIRE(turns.refused.sticks());
  for (std::size_t key = 2; key < 5; ++key) {
    turns.ask(key, false);
    turns.ask(key, true);
  }
  CHECK_FALSE(turns.refused.sticks());
  turns.now += 1min;
  turns.ask(1, false);
  CHECK_FALSE(turns.refused.is_keys_own(1));
}

TEST_CASE("nothing is known of a key that is asked for alone, unless a retry was let through") {
  Turns turns;
  turns.ask_new(true);
  turns.ask(1, false);
  CHECK_FALSE(turns.refused.is_open_question(1));
  turns.ask(1, false);
  CHECK(turns.refused.is_open_question(1));
  turns.ask_new(true);
  CHECK_FALSE(turns.refused.is_open_question(1));
  turns.ask(1, false);
  CHECK(turns.refused.is_open_question(1));
  // Of a limit, that is.
  turns.ask(2, false);
  turns.ask(2, true);
  turns.ask(1, false);
  CHECK_FALSE(turns.refused.is_open_question(1));
}

}  // namespace holdfast::upstream
