// Scheduler is what a part needs of the loop it lives on: the time, timers and
// a way for other threads to hand it work. EventLoop is the real one, on
// libevent; VirtualScheduler runs on a ManualClock, for tests and simulation.
#pragma once

#include <cstdint>
#include <functional>
#include <utility>

#include "base/clock.h"

namespace holdfast::base {

class Scheduler {
 public:
  using Callback = std::function<void()>;
  using TimerId = std::uint64_t;  // 0 is no timer

  virtual ~Scheduler() = default;

  virtual const Clock& clock() const = 0;

  // Loop's own thread. Runs `callback` once, on the loop, not before `when`
  // and never inside this call.
  virtual TimerId call_at(SteadyTime when, Callback callback) = 0;
  // Loop's own thread. Afterwards the callback does not run. Unknown ids and 0 are fine.
  virtual void cancel(TimerId id) = 0;

  // Any thread. Runs `callback` on the loop, in the order posted. Work posted to
  // a loop that has stopped is destroyed without running.
  virtual void post(Callback callback) = 0;

  SteadyTime now() const { return clock().now(); }
};

// Timer owns at most one pending callback and cancels it when destroyed or set
// again. It stays where it was made: the pending callback points at it.
class Timer {
 public:
  Timer() = default;
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  ~Timer() { cancel(); }

  void set_at(Scheduler& scheduler, SteadyTime when, Scheduler::Callback callback) {
    cancel();
    scheduler_ = &scheduler;
    id_ = scheduler.call_at(when, [this, callback = std::move(callback)] {
      id_ = 0;  // first: the callback may set this timer again, or destroy it
      callback();
    });
  }
  void set_after(Scheduler& scheduler, Duration delay, Scheduler::Callback callback) {
    set_at(scheduler, scheduler.now() + delay, std::move(callback));
  }
  void cancel() {
    if (id_ != 0) scheduler_->cancel(std::exchange(id_, 0));
  }
  bool pending() const { return id_ != 0; }

 private:
  Scheduler* scheduler_ = nullptr;
  Scheduler::TimerId id_ = 0;
};

}  // namespace holdfast::base
