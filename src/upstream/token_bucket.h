// TokenBucket meters a rate with a burst. One thread; time is an argument.
#pragma once

#include <algorithm>
#include <chrono>

#include "base/clock.h"

namespace holdfast::upstream {

class TokenBucket {
 public:
  // Starts full.
  TokenBucket(double per_second, double burst)
      : per_second_(per_second), burst_(burst), tokens_(burst) {}

  bool has(base::SteadyTime now) {
    fill(now);
    // Not "< 1": the filling is in doubles, and next() rounds up only to the clock's tick.
    return tokens_ >= 1.0 - 1e-6;
  }
  void take(base::SteadyTime now) {
    fill(now);
    tokens_ -= 1.0;
  }
  // When there will be a token; `now` if there is one.
  base::SteadyTime next(base::SteadyTime now) {
    if (has(now)) return now;
    if (per_second_ <= 0) return base::SteadyTime::max();
    const std::chrono::duration<double> wait((1.0 - tokens_) / per_second_);
    return now + std::chrono::ceil<base::Duration>(std::min(wait, kLongest));
  }
  void set(base::SteadyTime now, double per_second, double burst) {
    fill(now);
    per_second_ = per_second;
    burst_ = burst;
    tokens_ = std::min(tokens_, burst);
  }

 private:
  static constexpr std::chrono::duration<double> kLongest = std::chrono::hours(1);

  void fill(base::SteadyTime now) {
    if (now > filled_) {
      const std::chrono::duration<double> passed = now - filled_;
      tokens_ = std::min(burst_, tokens_ + passed.count() * per_second_);
    }
    filled_ = std::max(filled_, now);
  }

  double per_second_;
  double burst_;
  double tokens_;
  base::SteadyTime filled_{};
};

}  // namespace holdfast::upstream
