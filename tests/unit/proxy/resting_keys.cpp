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
    keys.failed("a", now, random, "failed");
    CHECK(keys.resting("a", now + length / 2 - 1ms));
    CHECK_FALSE(keys.resting("a", now + length));
    CHECK_FALSE(keys.resting("b", now));
    now += length;
  }
}

TEST_CASE("a success ends the rest and its growth") {
  RestingKeys keys({.first = 2s, .most = 60s, .max_keys = 10});
  base::Random random(1);
  keys.failed("a", kStart, random, "failed");
  keys.failed("a", kStart, random, "failed");
  keys.succeeded("a");
  CHECK_FALSE(keys.resting("a", kStart));
  keys.failed("a", kStart, random, "failed");
  CHECK_FALSE(keys.resting("a", kStart + 2s));
}

TEST_CASE("the number of remembered keys is bounded") {
  RestingKeys keys({.first = 2s, .most = 60s, .max_keys = 100});
  base::Random random(1);
  for (int i = 0; i < 10'000; ++i) {
    keys.failed(std::to_string(i), kStart + i * 10ms, random, "failed");
    CHECK(keys.size() <= 100);
  }
  CHECK(keys.resting("9999", kStart + 9999 * 10ms));
}

TEST_CASE("what is told of a key ends with its rest, and a rest without an answer tells nothing") {
  RestingKeys keys({.first = 2s, .most = 60s, .max_keys = 10});
  base::Random random(1);
  Answer answer;
  answer.status = 502;
  answer.detail = "as it was";
  answer.forwarded = true;
  keys.failed("a", kStart, random, "failed", answer);
  const auto told = keys.told("a", kStart);
  REQUIRE(told.has_value());
  CHECK(told->status == 502);
  CHECK(told->detail == "as it was");
  CHECK_FALSE(told->forwarded);
  CHECK(told->retry_after >= 1s);
  CHECK(told->retry_after <= 2s);
  CHECK_FALSE(keys.told("b", kStart).has_value());
  CHECK_FALSE(keys.told("a", kStart + 2s).has_value());
  keys.failed("a", kStart, random, "failed");
  CHECK(keys.resting("a", kStart));
  CHECK_FALSE(keys.told("a", kStart).has_value());
}

TEST_CASE("a key is missing since it was first said to be, until it is there again") {
  RestingKeys keys({.first = 2s, .most = 60s, .max_keys = 10});
  base::Random random(1);
  CHECK_FALSE(keys.missing_since("a").has_value());
  keys.missing("a", kStart, random);
  keys.failed("a", kStart + 10s, random, "failed");
  keys.missing("a", kStart + 20s, random);
  CHECK(keys.missing_since("a") == kStart);
  keys.succeeded("a");
  CHECK_FALSE(keys.missing_since("a").has_value());
}

TEST_CASE("a key rests as long as the upstream told, up to the longest rest") {
  base::Random random(1);
  RestingKeys keys({.first = 2s, .most = 60s, .max_keys = 10});
  keys.not_before("unknown", kStart, 10s);
  CHECK_FALSE(keys.resting("unknown", kStart));
  keys.failed("key", kStart, random, "failed");
  keys.not_before("key", kStart, 10s);
  CHECK(keys.resting("key", kStart + 9s));
  CHECK_FALSE(keys.resting("key", kStart + 10s));
  keys.not_before("key", kStart, 1h);
  CHECK(keys.resting("key", kStart + 59s));
  CHECK_FALSE(keys.resting("key", kStart + 61s));
}
