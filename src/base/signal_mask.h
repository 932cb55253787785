// SignalMask blocks signals in the calling thread, and so in those it starts from then
// on, until somebody takes them from a signalfd. Make it before any other thread.
#pragma once

#include <pthread.h>

#include <csignal>
#include <stdexcept>
#include <vector>

namespace holdfast::base {

class SignalMask {
 public:
  // Throws std::runtime_error if the system refuses.
  explicit SignalMask(const std::vector<int>& signals) {
    sigemptyset(&signals_);
    for (const int signal : signals) sigaddset(&signals_, signal);
    if (pthread_sigmask(SIG_BLOCK, &signals_, nullptr) != 0) {
      throw std::runtime_error("cannot block signals");
    }
  }
  const sigset_t& signals() const { return signals_; }

 private:
  sigset_t signals_;
};

}  // namespace holdfast::base
