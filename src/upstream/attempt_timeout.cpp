#include "upstream/attempt_timeout.h"

#include <algorithm>

namespace holdfast::upstream {
namespace {

constexpr int kMostDoublings = 10;

}  // namespace

void AttemptTimeout::succeeded(base::Duration took) {
  window_.add(took);
  in_a_row_ = 0;
}

base::Duration AttemptTimeout::next(base::Duration left) const {
  const auto start = learned();
  if (!start) return settings_.ceiling;
  const int doublings =
      std::min(in_a_row_ / std::max(1, settings_.timeouts_that_double), kMostDoublings);
  if (doublings > 0) return std::min(*start * (1 << doublings), settings_.ceiling);
  const base::Duration slow = *window_.percentile(settings_.quantile);
  return std::min(*start, std::max({left / settings_.share, slow, settings_.floor}));
}

std::optional<base::Duration> AttemptTimeout::learned() const {
  if (window_.count() < settings_.min_samples) return std::nullopt;
  const base::Duration slow = *window_.percentile(settings_.quantile);
  const auto stretched = std::chrono::duration_cast<base::Duration>(slow * settings_.headroom);
  return std::clamp(stretched, settings_.floor, settings_.ceiling);
}

}  // namespace holdfast::upstream
