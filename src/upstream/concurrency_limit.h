// ConcurrencyLimit finds how many attempts an origin handles at once. When
// latency rises as more is sent, the surplus only queues at the origin, and
// the limit comes down; while latency holds and the limit is used, it goes up by
// its square root per round of replies. After the gradient algorithm of Netflix'
// concurrency-limits. Medians, not means: with some attempts taking seconds
// by chance, a mean would throttle everybody. One origin; one thread.
#pragma once

#include <vector>

#include "base/clock.h"

namespace holdfast::upstream {

class ConcurrencyLimit {
 public:
  struct Settings {
    int initial = 12;  // low: the first to notice a rate limit are all those in flight
    int max = 64;      // UPSTREAM_CONCURRENCY
    // The median may grow to this multiple of the long-term one unpunished.
    double tolerance = 2.0;
    base::Duration idle = std::chrono::seconds(1);  // unused so long, it falls back
  };

  explicit ConcurrencyLimit(Settings settings);

  int limit() const { return static_cast<int>(limit_); }

  // An attempt was sent; `in_flight` includes it.
  void sent(base::SteadyTime now, int in_flight);
  // An attempt ended: with an answer after `latency`, or without one in time.
  void answered(base::Duration latency);
  void timed_out();

  // After an outage: start low again.
  void restart();

 private:
  void end_round_if_full();

  Settings settings_;
  double limit_;
  base::Duration usual_{};  // long-term median, an exponential average; 0: none yet
  std::vector<base::Duration> round_;
  int timeouts_ = 0;
  int most_in_flight_ = 0;
  base::SteadyTime last_used_{};
};

}  // namespace holdfast::upstream
