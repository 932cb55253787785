// How long to wait before trying again: exponential with full jitter, that is
// uniform between nothing and a bound that doubles (Brooker, "Exponential
// Backoff and Jitter", AWS 2015; the same formula is in gRFC A6).
//
// The bound is also a share of the time that is left. A client that waits ten
// seconds for an upstream that fails seven times of ten needs some forty tries
// to be sure of an answer, and a backoff that grows to a second would leave it
// fifteen. With a share of 1/16, each wait costs 1/32 of what is left on average,
// so tries get closer as the deadline nears, and there is always room for one.
#pragma once

#include <algorithm>

#include "base/random.h"

namespace holdfast::upstream {

struct BackoffSettings {
  base::Duration base = std::chrono::milliseconds(25);  // RETRY_BASE
  base::Duration cap = std::chrono::seconds(1);         // RETRY_CAP
  int share = 16;                                       // at most 1/share of the time left
};

// `failures` counts the attempts that failed so far: 1 before the first retry.
inline base::Duration backoff_bound(const BackoffSettings& settings, int failures,
                                    base::Duration left) {
  // Past 2^20 times the base, any cap has long been reached.
  const int doublings = std::clamp(failures - 1, 0, 20);
  const base::Duration exponential = settings.base >= settings.cap ? settings.cap
                                     : settings.cap / settings.base >= (1 << doublings)
                                         ? settings.base * (1 << doublings)
                                         : settings.cap;
  return std::clamp(left / settings.share, base::Duration::zero(), exponential);
}

inline base::Duration backoff(const BackoffSettings& settings, int failures, base::Duration left,
                              base::Random& random) {
  return random.up_to(backoff_bound(settings, failures, left));
}

}  // namespace holdfast::upstream
