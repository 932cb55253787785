// RollingCount counts events over the last `slices` x `slice`, to the precision
// of one slice. Constant memory, amortised constant time. One thread; time is an
// argument and must not go back.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/clock.h"

namespace holdfast::upstream {

class RollingCount {
 public:
  RollingCount(base::Duration slice, std::size_t slices) : slice_(slice), counts_(slices, 0) {}

  void add(base::SteadyTime now, std::uint64_t amount = 1) {
    advance(now);
    counts_[static_cast<std::size_t>(newest_) % counts_.size()] += amount;
    sum_ += amount;
  }

  std::uint64_t sum(base::SteadyTime now) {
    advance(now);
    return sum_;
  }

  // The largest slice of the window.
  std::uint64_t peak(base::SteadyTime now) {
    advance(now);
    return *std::max_element(counts_.begin(), counts_.end());
  }

  void clear() {
    std::fill(counts_.begin(), counts_.end(), 0);
    sum_ = 0;
  }

 private:
  void advance(base::SteadyTime now) {
    const auto current = now.time_since_epoch() / slice_;
    const auto size = static_cast<base::Duration::rep>(counts_.size());
    if (current - newest_ >= size) {
      clear();
    } else {
      for (auto i = newest_ + 1; i <= current; ++i) {
        auto& slot = counts_[static_cast<std::size_t>(i) % counts_.size()];
        sum_ -= slot;
        slot = 0;
      }
    }
    newest_ = std::max(newest_, current);
  }

  base::Duration slice_;
  std::vector<std::uint64_t> counts_;
  std::uint64_t sum_ = 0;
  base::Duration::rep newest_ = 0;  // number of the latest slice since the clock's epoch
};

}  // namespace holdfast::upstream
