// TimerQueue orders callbacks by time. It has no clock and no thread of its own:
// a loop asks it what is due. Equal times run in the order they were added.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

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

  bool empty() const { return heap_.empty(); }

 private:
  // A place for a callback; an id is a place and how often it was given out.
  struct Slot {
    Scheduler::Callback callback;
    std::uint32_t times_used = 0;
    std::uint32_t position = 0;  // in heap_, while it is pending
    bool pending = false;
  };
  struct Entry {
    SteadyTime when;
    std::uint64_t order = 0;  // in which they were added
    std::uint32_t slot = 0;

    bool operator<(const Entry& other) const {
      return when != other.when ? when < other.when : order < other.order;
    }
  };

  void place(const Entry& entry, std::size_t position);
  void sift(std::size_t position);
  void erase(std::size_t position);
  Scheduler::Callback take_first();

  std::vector<Entry> heap_;  // the earliest first
  std::vector<Slot> slots_;
  std::vector<std::uint32_t> free_;
  std::uint64_t last_order_ = 0;
};

}  // namespace holdfast::base
