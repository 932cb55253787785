#include "cache/freshness.h"

#include <algorithm>

namespace holdfast::cache {

using std::chrono::seconds;

namespace {

// A clock that is put right moves by less.
constexpr std::chrono::hours kLargestStepBack{1};

}  // namespace

bool is_dated_ahead(const StoredResponse& stored, base::WallTime now) {
  return stored.response_time - kLargestStepBack > now;
}

Freshness freshness(const StoredResponse& stored, base::WallTime now) {
  // RFC 9111, 4.2.3: current_age = corrected_initial_age + resident_time.
  const seconds resident = now > stored.response_time
                               ? std::chrono::floor<seconds>(now - stored.response_time)
                               : seconds(0);
  Freshness result;
  result.age = stored.initial_age + resident;
  // Its age is anybody's guess, and it would be fresh until that date.
  if (is_dated_ahead(stored, now)) {
    result.age = std::max(result.age, stored.freshness_lifetime);
  }
  seconds lifetime = stored.freshness_lifetime;
  if (stored.marked_stale()) {
    // Nothing was left of it from then on.
    const seconds until = std::chrono::floor<seconds>(stored.stale_since() - stored.response_time);
    lifetime = std::min({lifetime, stored.initial_age + std::max(until, seconds(0)),
                         std::max(result.age, seconds(0))});
  }
  result.ttl = lifetime - result.age;
  result.ttl_at_first = stored.freshness_lifetime - stored.initial_age;
  // RFC 9111, 4.2: fresh while the lifetime is greater than the age. RFC 5861
  // counts its windows from the end of the lifetime; both start there.
  const seconds staleness = -result.ttl;
  if (result.ttl > seconds(0)) {
    result.use = Use::Fresh;
  } else if (staleness < stored.stale_while_revalidate) {
    result.use = Use::StaleWhileRevalidate;
  } else if (staleness < stored.stale_if_error) {
    result.use = Use::StaleIfError;
  } else {
    result.use = Use::Unusable;
  }
  return result;
}

StoredPtr without_lifetime(const StoredResponse& stored, base::WallTime now) {
  StoredParts parts = stored;
  parts.freshness_lifetime = std::min(parts.freshness_lifetime, freshness(stored, now).age);
  parts.upstream_etag.clear();
  parts.upstream_last_modified.clear();
  return make_stored(std::move(parts));
}

}  // namespace holdfast::cache
