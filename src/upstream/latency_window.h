// LatencyWindow remembers the latest durations and says their percentiles. By
// count, not by age: what was true of rare traffic an hour ago is still the best
// guess there is. One thread.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "base/clock.h"

namespace holdfast::upstream {

class LatencyWindow {
 public:
  explicit LatencyWindow(std::size_t capacity = 256) : capacity_(capacity) {}

  void add(base::Duration duration);
  std::size_t count() const { return samples_.size(); }

  // The nearest-rank percentile, q in (0, 1]; none of an empty window. May lag
  // by a few of the newest samples: the order is not recomputed for each.
  std::optional<base::Duration> percentile(double q) const;

 private:
  std::size_t capacity_;
  std::size_t next_ = 0;
  std::vector<base::Duration> samples_;  // a ring once full
  mutable std::vector<base::Duration> sorted_;
  mutable std::size_t unsorted_ = 0;  // samples that came since sorted_ was made
};

}  // namespace holdfast::upstream
