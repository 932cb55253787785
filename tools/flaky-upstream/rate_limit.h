// RateLimit allows at most N requests in any second, as a metered API does.
// Exact (a sliding window, not a bucket), so that a test of a pacer may be. One
// thread.
#pragma once

#include <cstdint>
#include <deque>

#include "base/clock.h"

namespace holdfast::flaky {

class RateLimit {
 public:
  // 0: no limit. What was allowed before counts against the new limit as well.
  void set(std::uint64_t requests_per_second) { limit_ = requests_per_second; }
  std::uint64_t limit() const { return limit_; }

  // True if a request at `now` is within the limit; it is then counted.
  bool allow(base::SteadyTime now) {
    while (!allowed_.empty() && allowed_.front() <= now - std::chrono::seconds(1)) {
      allowed_.pop_front();
    }
    if (limit_ != 0 && allowed_.size() >= limit_) return false;
    allowed_.push_back(now);
    return true;
  }

  void forget() { allowed_.clear(); }

 private:
  std::uint64_t limit_ = 0;
  std::deque<base::SteadyTime> allowed_;
};

}  // namespace holdfast::flaky
