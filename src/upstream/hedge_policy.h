// HedgePolicy says when a second attempt should be sent beside one that is
// slow, and keeps such attempts to a small share of all (Dean and Barroso, "The
// Tail at Scale", 2013). One thread.
#pragma once

#include <algorithm>

#include "base/clock.h"
#include "upstream/latency_window.h"

namespace holdfast::upstream {

class HedgePolicy {
 public:
  enum class Mode { Off, Fixed, Percentile };

  struct Settings {
    Mode mode = Mode::Percentile;                           // HEDGE
    base::Duration delay = std::chrono::milliseconds(100);  // Fixed, or while there is no history
    double quantile = 0.95;
    // A percentile of successes alone is passed by that many healthy attempts
    // too. A multiple of the median keeps the share for those that are stuck.
    double median_multiple = 2.5;
    base::Duration shortest = std::chrono::milliseconds(2);
    std::size_t min_samples = 8;
    double share = 0.05;  // hedges per ordinary attempt
    double burst = 10.0;  // hedges saved up at most, and at the start
  };

  explicit HedgePolicy(Settings settings) : settings_(settings), tokens_(settings.burst) {}

  bool enabled() const { return settings_.mode != Mode::Off; }

  // After this much of an attempt, hedge it. `successes`: of its origin.
  base::Duration delay(const LatencyWindow& successes) const {
    if (settings_.mode == Mode::Fixed || successes.count() < settings_.min_samples) {
      return settings_.delay;
    }
    const auto multiple = std::chrono::duration_cast<base::Duration>(*successes.percentile(0.5) *
                                                                     settings_.median_multiple);
    return std::max({*successes.percentile(settings_.quantile), multiple, settings_.shortest});
  }

  void attempt_sent() { tokens_ = std::min(settings_.burst, tokens_ + settings_.share); }
  bool has_token() const { return tokens_ >= 1.0; }
  void hedge_sent() { tokens_ -= 1.0; }

 private:
  Settings settings_;
  double tokens_;
};

}  // namespace holdfast::upstream
