// ConcurrencyLimit finds how many attempts an origin handles at once. When latency rises
// because more is sent, the surplus only queues at the origin, and what of the limit was
// not used comes off it; while latency holds and the limit is used, it goes up by its
// square root per round of replies. After the gradient algorithm of Netflix'
// concurrency-limits, with three differences:
//
// - It begins at the top: an upstream that is well must not notice that there is a limit.
//   After an outage it begins low.
// - How long answers take is compared with those of attempts that had the origin (nearly) to
//   themselves. If these take longer, too, it is the upstream that has become slower and not
//   we who ask for too much.
// - It never goes below what the last answers used while answers come: that much is
//   handled, evidently. Only silence takes it lower.
//
// Medians, not means: with some attempts taking seconds by chance, a mean would throttle
// everybody. One origin; one thread.
#pragma once

#include <algorithm>
#include <vector>

#include "base/clock.h"

namespace holdfast::upstream {

class ConcurrencyLimit {
 public:
  struct Settings {
    int initial = 12;  // after an outage
    int max = 64;      // UPSTREAM_CONCURRENCY
    // The median may grow to this multiple of the unloaded one unpunished.
    double tolerance = 2.0;
    // What goes beyond any number that was answered so far is sent one by one, this far
    // apart: all that are in flight run into a rate limit that nobody told us of. Over a
    // distance this is nothing, next door it is as long as an answer takes.
    base::Duration unproven_spacing = std::chrono::milliseconds(2);
  };

  explicit ConcurrencyLimit(Settings settings);

  int limit() const { return static_cast<int>(limit_); }
  // When another may be sent beside `in_flight`: now or earlier if at once, max() if only
  // after one of them has ended.
  base::SteadyTime free_at(int in_flight) const;

  void sent(base::SteadyTime now, int in_flight);  // with it
  // One was refused for the rate: what was proven is not.
  void refused() { proven_ = std::min(settings_.initial, settings_.max); }

  // An attempt ended: with an answer after `latency`, having been sent as the
  // `in_flight`th at that time, or without one in time.
  void answered(base::Duration latency, int in_flight);
  void timed_out();

  // After an outage: start low again.
  void restart();

 private:
  void end_round_if_full();

  Settings settings_;
  double limit_;
  base::Duration unloaded_{};  // what answers take with few in flight; 0: not known
  std::vector<base::Duration> round_;
  std::vector<base::Duration> light_;  // of the round, those sent with few in flight
  int timeouts_ = 0;
  int proven_;  // so many in flight have been answered
  base::SteadyTime next_unproven_{};
  int most_answered_ = 0;  // in flight when one that was answered in this round was sent
};

}  // namespace holdfast::upstream
