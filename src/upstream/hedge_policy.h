// HedgePolicy says when a second attempt should be sent beside one that is not even
// suspect yet, and keeps such attempts to a small share of all (Dean and Barroso, "The
// Tail at Scale", 2013). One thread.
#pragma once

#include <algorithm>

#include "base/clock.h"
#include "upstream/answer_times.h"

namespace holdfast::upstream {

class HedgePolicy {
 public:
  enum class Mode { Off, Fixed, Percentile };

  struct Settings {
    Mode mode = Mode::Percentile;                           // HEDGE
    base::Duration delay = std::chrono::milliseconds(100);  // Fixed
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
  // When to hedge is left to what is seen of the upstream.
  bool by_itself() const { return settings_.mode == Mode::Percentile; }

  // A race keeps to what was set in so many words: never beside a request, or not so soon.
  base::Duration race_not_before() const {
    switch (settings_.mode) {
      case Mode::Off:
        return base::Duration::max();
      case Mode::Fixed:
        return settings_.delay;
      case Mode::Percentile:
        break;
    }
    return base::Duration::zero();
  }

  // So long after a request was sent, hedge it; max() while nothing is known. `answers`: of
  // where it went; `round_trip` to there, zero if unknown: a lost packet is waited for, or
  // a lossy network would be asked for twice of everything it loses.
  base::Duration delay(const AnswerTimes& answers, base::Duration round_trip) const {
    if (settings_.mode == Mode::Fixed) return settings_.delay;
    const LatencyWindow& window = answers.window();
    if (window.count() < settings_.min_samples) return base::Duration::max();
    const auto multiple = base::scaled(answers.usual(), settings_.median_multiple);
    return std::max({*window.percentile(settings_.quantile), multiple, settings_.shortest,
                     answers.usual() + retransmission(round_trip)});
  }

  void attempt_sent() { tokens_ = std::min(settings_.burst, tokens_ + settings_.share); }
  bool has_token() const { return tokens_ >= 1.0; }
  void hedge_sent() { tokens_ -= 1.0; }

 private:
  Settings settings_;
  double tokens_;
};

}  // namespace holdfast::upstream
