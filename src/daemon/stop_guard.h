// StopGuard sees to it that the process ends once it is told to, whatever hangs. It takes
// the process's signals, on a thread of its own, so that no loop that hangs can keep them
// from being heard; and if the process is still there when its time is up, it says so and
// ends it.
//
// Its functions are called on its thread.
#pragma once

#include <functional>
#include <mutex>
#include <thread>

#include "base/clock.h"
#include "base/signal_mask.h"
#include "base/unique_fd.h"

namespace holdfast::daemon {

class StopGuard {
 public:
  struct Actions {
    std::function<void(int signal)> on_signal;
    // The time is up. The process is to end here; if it does not, nothing else happens.
    std::function<void()> too_late;
  };

  // Throws std::runtime_error if the system has no descriptors left. SIGTERM and SIGINT
  // give the process `patience` to end. `mask` is of all signals to be taken.
  StopGuard(const base::SignalMask& mask, base::Duration patience, Actions actions);
  // The process ends by itself.
  ~StopGuard();
  StopGuard(const StopGuard&) = delete;
  StopGuard& operator=(const StopGuard&) = delete;

  // Any thread. Of a signal that comes from now on.
  void set_patience(base::Duration patience);
  // Any thread. The process has so long to end, from now; less if it had less already.
  void end_within(base::Duration patience);

 private:
  void run();
  void take_signals();

  const Actions actions_;
  base::UniqueFd signals_;
  base::UniqueFd wake_;
  std::mutex mutex_;
  base::Duration patience_;                              // guarded by mutex_
  base::SteadyTime deadline_ = base::SteadyTime::max();  // guarded by mutex_
  bool ended_ = false;                                   // guarded by mutex_
  std::thread thread_;
};

}  // namespace holdfast::daemon
