#include "proxy/resting_keys.h"

#include <doctest/doctest.h>

using namespace holdfast;
using namespace holdfast::proxy;
using namespace std::chrono_literals;

namespace {
const base::SteadyTime kStart{1h};
}

TEST_CASE("a key rests after a failure, longer after each, up to the most") {
  RestingKeys keys({.first = 2s, .most = 8s, .max_keys = 10});
  base::Random random(1);
  CHECK_FALSE(keys.resting("a", kStart));
  base::SteadyTime now = kStart;
  for (const base::Duration length : {2s, 4s, 8s, 8s}) {
    keys.failed("a", now, random);
    CHECK(keys.resting("a", now + length / 2 - 1ms));
    CHECK_FALSE(keys.resting("a", now + length));
    CHECK_FALSE(keys.resting("b", now));
    now += length;
  }
}

TEST_CASE("a success ends the rest and its growth") {
  RestingKeys keys({.first = 2s, .most = 60s, .max_keys = 10});
  base::Random random(1);
  keys.failed("a", kStart, random);
  keys.failed("a", kStart, random);
  keys.succeeded("a");
  CHECK_FALSE(keys.resting("a", kStart));
  keys.failed("a", kStart, random);
  CHECK_FALSE(keys.resting("a", kStart + 2s));
}

TEST_CASE("the number of remembered keys is bounded") {
  RestingKeys keys({.first = 2s, .most = 60s, .max_keys = 100});
  base::Random random(1);
  for (int i = 0; i < 10'000; ++i) {
    keys.failed(std::to_string(i), kStart + i * 10ms, random);
    CHECK(keys.size() <= 100);
  }
  CHECK(keys.resting("9999", kStart + 9999 * 10ms));
}
