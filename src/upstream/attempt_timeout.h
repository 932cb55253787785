// AttemptTimeout says how long an attempt may last, from how long successful ones
// took lately: one that has run twice as long as 95 % of them did is probably
// lost, and the time is better spent on another. One origin; one thread.
//
// Only successes teach it, so a cut that is too short must heal by itself: when
// nothing but timeouts comes back, every few of them double it. Until then no
// attempt takes more than a share of the time its fetch has left, so that a few
// hangs cannot use up all of it.
#pragma once

#include <optional>

#include "base/clock.h"
#include "upstream/latency_window.h"

namespace holdfast::upstream {

class AttemptTimeout {
 public:
  struct Settings {
    // Never below: a garbage collection, a lost packet (the smallest TCP
    // retransmission timeout is 200 ms on Linux).
    base::Duration floor = std::chrono::milliseconds(200);
    base::Duration ceiling = std::chrono::seconds(2);  // ATTEMPT_TIMEOUT
    // Not the 99th: an upstream with a long tail would put it close to the
    // ceiling, and every hang would cost that. A good attempt cut off by twice the
    // 95th costs one retry.
    double quantile = 0.95;
    double headroom = 2.0;
    std::size_t min_samples = 8;   // before that, the ceiling
    int share = 6;                 // of the time left: at most 1/share, or what 95 % need
    int timeouts_that_double = 4;  // in a row, over all fetches
  };

  explicit AttemptTimeout(Settings settings) : settings_(settings) {}

  void succeeded(base::Duration took);
  void timed_out() { ++in_a_row_; }
  void failed_in_time() { in_a_row_ = 0; }  // it does answer

  // For a fetch with so much time left; the result may be longer than that.
  base::Duration next(base::Duration left) const;
  // For a fetch that has just begun.
  base::Duration typical() const { return next(base::Duration::max()); }
  // What successes alone say; nothing before there are enough of them.
  std::optional<base::Duration> learned() const;

  // The median of recent successes, zero if there is no history: an attempt with
  // less time than this is not worth starting.
  base::Duration usual() const { return window_.percentile(0.5).value_or(base::Duration::zero()); }
  const LatencyWindow& window() const { return window_; }

 private:
  Settings settings_;
  LatencyWindow window_;
  int in_a_row_ = 0;
};

}  // namespace holdfast::upstream
