#include "cache/freshness.h"

namespace holdfast::cache {

using std::chrono::seconds;

Freshness freshness(const StoredResponse& stored, base::WallTime now) {
  // RFC 9111, 4.2.3: current_age = corrected_initial_age + resident_time.
  const seconds resident = now > stored.response_time
                               ? std::chrono::floor<seconds>(now - stored.response_time)
                               : seconds(0);
  Freshness result;
  result.age = stored.initial_age + resident;
  result.ttl = stored.freshness_lifetime - result.age;
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

}  // namespace holdfast::cache
