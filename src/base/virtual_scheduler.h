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

  // Runs everything that is due now, posted work first.
  void run_ready() {
    for (;;) {
      if (!posted_.empty()) {
        Callback callback = std::move(posted_.front());
        posted_.pop_front();
        callback();
      } else if (!timers_.run_one(now())) {
        return;
      }
    }
  }

  // Moves time forward, stopping at each timer on the way.
  void advance(Duration by) {
    const SteadyTime end = now() + by;
    run_ready();
    for (auto next = timers_.next(); next && *next <= end; next = timers_.next()) {
      clock_.advance(*next - now());
      run_ready();
    }
    clock_.advance(end - now());
  }

  // When something will happen by itself; none if the loop is idle.
  std::optional<SteadyTime> next() const {
    return posted_.empty() ? timers_.next() : std::optional(now());
  }

 private:
  ManualClock clock_;
  TimerQueue timers_;
  std::deque<Callback> posted_;
};

}  // namespace holdfast::base
