// TimerQueue orders callbacks by time. It has no clock and no thread of its own:
// a loop asks it what is due. Equal times run in the order they were added.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <unordered_map>

#include "base/call_watch.h"
#include "base/scheduler.h"

namespace holdfast::base {

class TimerQueue {
 public:
  Scheduler::TimerId add(SteadyTime when, Scheduler::Callback callback);
  void cancel(Scheduler::TimerId id);

  // When the earliest callback is due.
  std::optional<SteadyTime> next() const;

  // Runs what is due at `now`, earliest first. What those callbacks add runs at
  // the next call, so a timer that sets itself again cannot starve the loop. `calls`, if
  // it is not null, is told of the end of each.
  void run_due(SteadyTime now, CallWatch* calls = nullptr);

  // Runs the earliest callback only, if due. For stepping a simulation.
  bool run_one(SteadyTime now);

  bool empty() const { return by_time_.empty(); }

 private:
  using Key = std::pair<SteadyTime, Scheduler::TimerId>;
  std::map<Key, Scheduler::Callback> by_time_;
  std::unordered_map<Scheduler::TimerId, SteadyTime> times_;
  Scheduler::TimerId last_id_ = 0;
};

}  // namespace holdfast::base
