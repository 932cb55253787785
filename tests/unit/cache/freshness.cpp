#include "cache/freshness.h"

#include <doctest/doctest.h>

namespace holdfast::cache {
namespace {

using namespace std::chrono_literals;

const base::WallTime kReceived{std::chrono::sys_days{std::chrono::year{2026} / 3 / 1}};

StoredPtr stored_with(std::chrono::seconds initial_age, std::chrono::seconds lifetime,
                      std::chrono::seconds revalidate = 0s, std::chrono::seconds on_error = 0s) {
  return make_stored({.response_time = kReceived,
                      .initial_age = initial_age,
                      .freshness_lifetime = lifetime,
                      .stale_while_revalidate = revalidate,
                      .stale_if_error = on_error});
}

TEST_CASE("the age is the initial age and the time since, in whole seconds") {
  const auto stored = stored_with(7s, 100s);
  CHECK(freshness(*stored, kReceived).age == 7s);
  CHECK(freshness(*stored, kReceived + 1999ms).age == 8s);
  CHECK(freshness(*stored, kReceived + 50s).age == 57s);
  CHECK(freshness(*stored, kReceived + 50s).ttl == 43s);
}

TEST_CASE("fresh ends when the age reaches the lifetime") {
  const auto stored = stored_with(10s, 60s, 5s, 20s);
  CHECK(freshness(*stored, kReceived + 49999ms).use == Use::Fresh);
  CHECK(freshness(*stored, kReceived + 50s).use == Use::StaleWhileRevalidate);
  CHECK(freshness(*stored, kReceived + 54s).use == Use::StaleWhileRevalidate);
  CHECK(freshness(*stored, kReceived + 55s).use == Use::StaleIfError);
  CHECK(freshness(*stored, kReceived + 69s).use == Use::StaleIfError);
  CHECK(freshness(*stored, kReceived + 70s).use == Use::Unusable);
  CHECK(freshness(*stored, kReceived + 70s).ttl == -20s);
}

TEST_CASE("a lifetime of zero is never fresh, and usable only where a window says so") {
  CHECK(freshness(*stored_with(0s, 0s), kReceived).use == Use::Unusable);
  CHECK(freshness(*stored_with(0s, 0s, 1s, 0s), kReceived).use == Use::StaleWhileRevalidate);
  CHECK(freshness(*stored_with(0s, 0s, 0s, 1s), kReceived).use == Use::StaleIfError);
}

TEST_CASE("a wall clock that stepped back gives the initial age, never a negative one") {
  const auto stored = stored_with(3s, 60s);
  for (const auto by : {1s, 600s, 3600s}) {
    CAPTURE(by.count());
    const auto at = freshness(*stored, kReceived - by);
    CHECK(at.age == 3s);
    CHECK(at.ttl == 57s);
    CHECK(at.use == Use::Fresh);
  }
}

TEST_CASE("what claims to come from far in the future is not fresh until then") {
  // The clock was years ahead when it came, say, and is right again.
  const auto now = kReceived - std::chrono::hours(24 * 400);
  const auto stored = stored_with(3s, 60s, 5s, 20s);
  CHECK(freshness(*stored, now).use == Use::StaleWhileRevalidate);
  CHECK(freshness(*stored, now).age == 60s);
  CHECK(freshness(*stored, now).ttl == 0s);
  CHECK(freshness(*stored, kReceived - 3601s).use == Use::StaleWhileRevalidate);
  CHECK(freshness(*stored_with(3s, 60s, 0s, 20s), now).use == Use::StaleIfError);
  CHECK(freshness(*stored_with(3s, 60s), now).use == Use::Unusable);
  CHECK(freshness(*stored_with(90s, 60s, 50s), now).age == 90s);
}

TEST_CASE("the longest lifetimes and the far ends of time do not overflow") {
  const auto stored = stored_with(std::chrono::seconds::max(), std::chrono::seconds::max(),
                                  std::chrono::seconds::max(), std::chrono::seconds::max());
  CHECK(freshness(*stored, base::WallTime::min()).age >= 0s);
  CHECK(freshness(*stored, base::WallTime::max()).use == Use::Unusable);
}

}  // namespace
}  // namespace holdfast::cache
