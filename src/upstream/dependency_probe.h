// DependencyProbe decides when to ask an origin something on our own account: so
// that an outage is noticed before the first client runs into it, and its end
// while nobody asks. Asking costs quota, so an idle origin is probed only if a
// target is set. For an open breaker, whose probes must not depend on traffic,
// the last target a client asked for will do. One origin; one thread.
#pragma once

#include <string>

#include "base/clock.h"

namespace holdfast::upstream {

class DependencyProbe {
 public:
  struct Settings {
    std::string target;  // path and query; empty: idle origins are not probed
    base::Duration interval = std::chrono::seconds(30);       // without other traffic
    base::Duration retry_interval = std::chrono::seconds(2);  // after a failure
    int failures_to_trip = 3;                                 // in a row, of ours
  };

  DependencyProbe(const Settings& settings, base::SteadyTime now)
      : settings_(settings), next_(now + settings.interval) {}

  bool probes_when_idle() const { return !settings_.target.empty(); }
  base::SteadyTime next() const { return next_; }

  // An attempt ended, whoever's it was: the next is due an interval from now. One that
  // succeeded ends a row of failures; those that fail are the breaker's to count.
  void traffic(base::SteadyTime now, bool success) {
    next_ = now + settings_.interval;
    if (success) failures_ = 0;
  }
  // One of ours did.
  // True: so many failed that the breaker should open.
  bool ended(base::SteadyTime now, bool success) {
    failures_ = success ? 0 : failures_ + 1;
    next_ = now + (success ? settings_.interval : settings_.retry_interval);
    return failures_ >= settings_.failures_to_trip;
  }

  void remember(const std::string& target) { last_target_ = target; }
  // Empty: there is nothing to ask.
  const std::string& target() const {
    return settings_.target.empty() ? last_target_ : settings_.target;
  }

 private:
  Settings settings_;
  base::SteadyTime next_;
  std::string last_target_;
  int failures_ = 0;
};

}  // namespace holdfast::upstream
