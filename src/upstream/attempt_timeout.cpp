#include "upstream/attempt_timeout.h"

#include <algorithm>

namespace holdfast::upstream {

void AttemptTimeout::succeeded(base::Duration took) {
  window_.add(took);
  in_a_row_ = 0;
}

base::Duration AttemptTimeout::next(int timeouts) const {
  if (window_.count() < settings_.min_samples) return settings_.ceiling;
  const auto typical = std::chrono::duration_cast<base::Duration>(
      *window_.percentile(settings_.quantile) * settings_.headroom);
  const base::Duration start = std::min(std::max(typical, settings_.floor), settings_.ceiling);
  const int doublings = std::clamp(
      std::max(timeouts, in_a_row_ / std::max(1, settings_.timeouts_that_double)), 0, 10);
  return std::min(start * (1 << doublings), settings_.ceiling);
}

}  // namespace holdfast::upstream
