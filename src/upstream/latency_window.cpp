#include "upstream/latency_window.h"

#include <algorithm>
#include <cmath>

namespace holdfast::upstream {

void LatencyWindow::add(base::Duration duration) {
  if (samples_.size() < capacity_) {
    samples_.push_back(duration);
  } else {
    samples_[next_] = duration;
    next_ = (next_ + 1) % capacity_;
  }
  ++unsorted_;
}

std::optional<base::Duration> LatencyWindow::percentile(double q) const {
  if (samples_.empty()) return std::nullopt;
  // A small window changes much with each sample, a large one hardly.
  if (unsorted_ > samples_.size() / 16) {
    sorted_ = samples_;
    std::sort(sorted_.begin(), sorted_.end());
    unsorted_ = 0;
  }
  const auto rank = static_cast<std::size_t>(std::ceil(q * static_cast<double>(sorted_.size())));
  return sorted_[std::clamp<std::size_t>(rank, 1, sorted_.size()) - 1];
}

}  // namespace holdfast::upstream
