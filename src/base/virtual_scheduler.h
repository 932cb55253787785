// VirtualScheduler is a Scheduler on a ManualClock: nothing happens until the
// test moves time, and then in a fixed order. One thread.
#pragma once

#include <deque>

#include "base/timer_queue.h"

namespace holdfast::base {

class VirtualScheduler final : public Scheduler {
 public:
  const Clock& clock() const override { return clock_; }
  ManualClock& manual_clock() { return clock_; }

  TimerId call_at(SteadyTime when, Callback callback) override {
    return timers_.add(when, std::move(callback));
  }
  void cancel(TimerId id) override { timers_.cancel(id); }
  void post(Callback callback) override { posted_.push_back(std::move(callback)); }

  // Runs the first thing that is due now, posted work first. False: nothing is.
  bool run_one() {
    if (posted_.empty()) return timers_.run_one(now());
    const Callback callback = std::move(posted_.front());
    posted_.pop_front();
    callback();
    return true;
  }

  // Runs everything that is due now.
  void run_ready() {
    while (run_one()) {
    }
  }

  // Moves time forward, stopping at each timer on the way. What runs may move
  // the clock too, as a call that blocks does; the timers it kept are then late.
  void advance(Duration by) {
    const SteadyTime end = now() + by;
    run_ready();
    for (auto next = timers_.next(); next && *next <= end; next = timers_.next()) {
      wait_until(*next);
      run_ready();
    }
    wait_until(end);
  }

  // Moves time to the next thing to do and runs that alone. False: there is none.
  bool step() {
    const auto at = next();
    if (!at) return false;
    wait_until(*at);
    return run_one();
  }

  // When something will happen by itself; none if the loop is idle.
  std::optional<SteadyTime> next() const {
    return posted_.empty() ? timers_.next() : std::optional(now());
  }

 private:
  void wait_until(SteadyTime when) {
    if (when > now()) clock_.advance(when - now());
  }

  ManualClock clock_;
  TimerQueue timers_;
  std::deque<Callback> posted_;
};

}  // namespace holdfast::base
