// Origin is one upstream base URL with everything we have learned of it. It
// passes each attempt's start and end on to the policies. One thread.
#pragma once

#include <string>

#include "base/scheduler.h"
#include "upstream/judge.h"
#include "upstream/settings.h"
#include "upstream/status.h"

namespace holdfast::upstream {

class Origin {
 public:
  Origin(std::size_t index, const Settings& settings, base::Random& random, base::SteadyTime now);

  const std::size_t index;
  const std::string name;
  Breaker breaker;
  Pacer pacer;
  ConcurrencyLimit concurrency;
  AttemptTimeout timeout;
  DependencyProbe probe;
  int in_flight = 0;
  Breaker::State announced = Breaker::State::Closed;  // last state told to logs and metrics
  base::Timer breaker_timer;
  base::Timer idle_timer;
  bool bare_probe_in_flight = false;

  void attempt_sent(base::SteadyTime now);
  // An attempt ended. A probe's word goes to the breaker as a probe's. `typical`: it
  // asked for what clients ask for, so that how long it took says something of them.
  void attempt_ended(const base::Clock& clock, base::SteadyTime sent_at, const Verdict& verdict,
                     const Reply& reply, bool probe, bool typical);
  // ... by our doing: it says nothing, but its slot is free.
  void attempt_cancelled(base::SteadyTime now, bool probe, bool overtaken);

  // The breaker opened or closed.
  void note_breaker(base::WallTime at);

  // Timeout for the next probe; of every few, one is long enough for an upstream that
  // wakes up slowly.
  base::Duration probe_timeout() const;

  OriginStatus status(const base::Clock& clock);

 private:
  const Settings& settings_;
  const base::SteadyTime made_;
  std::optional<base::WallTime> last_success_;
  std::optional<base::WallTime> last_error_at_;
  std::string last_error_;
  std::vector<BreakerChange> breaker_history_;
};

}  // namespace holdfast::upstream
