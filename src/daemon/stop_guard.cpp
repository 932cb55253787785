#include "daemon/stop_guard.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdint>
#include <stdexcept>
#include <utility>

namespace holdfast::daemon {
namespace {

base::SteadyTime now() {
  return std::chrono::steady_clock::now();
}

// For poll(): rounded up, or it would turn until the last millisecond is over.
int timeout_until(base::SteadyTime deadline) {
  if (deadline == base::SteadyTime::max()) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - now());
  return static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 3600'000));
}

}  // namespace

StopGuard::StopGuard(const base::SignalMask& mask, base::Duration patience, Actions actions)
    : actions_(std::move(actions)),
      signals_(::signalfd(-1, &mask.signals(), SFD_NONBLOCK | SFD_CLOEXEC)),
      wake_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)),
      patience_(patience) {
  if (!signals_ || !wake_) throw std::runtime_error("cannot make a signalfd or eventfd");
  thread_ = std::thread([this] { run(); });
}

StopGuard::~StopGuard() {
  {
    const std::lock_guard lock(mutex_);
    ended_ = true;
  }
  (void)!::eventfd_write(wake_.get(), 1);
  thread_.join();
}

void StopGuard::set_patience(base::Duration patience) {
  const std::lock_guard lock(mutex_);
  patience_ = patience;
}

void StopGuard::end_within(base::Duration patience) {
  {
    const std::lock_guard lock(mutex_);
    deadline_ = std::min(deadline_, now() + patience);
  }
  (void)!::eventfd_write(wake_.get(), 1);
}

void StopGuard::run() {
  pthread_setname_np(pthread_self(), "stop-guard");
  for (;;) {
    base::SteadyTime deadline;
    {
      const std::lock_guard lock(mutex_);
      if (ended_) return;
      deadline = deadline_;
    }
    if (now() >= deadline) return actions_.too_late();
    pollfd events[] = {{signals_.get(), POLLIN, 0}, {wake_.get(), POLLIN, 0}};
    if (::poll(events, 2, timeout_until(deadline)) <= 0) continue;
    if (events[1].revents != 0) {
      eventfd_t count;
      (void)!::eventfd_read(wake_.get(), &count);
    }
    if (events[0].revents != 0) take_signals();
  }
}

void StopGuard::take_signals() {
  signalfd_siginfo info;
  while (::read(signals_.get(), &info, sizeof info) == sizeof info) {
    const int signal = static_cast<int>(info.ssi_signo);
    if (signal == SIGTERM || signal == SIGINT) {
      std::unique_lock lock(mutex_);
      const base::Duration patience = patience_;
      lock.unlock();
      end_within(patience);
    }
    actions_.on_signal(signal);
  }
}

}  // namespace holdfast::daemon
