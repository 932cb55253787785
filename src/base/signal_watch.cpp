#include "base/signal_watch.h"

#include <pthread.h>
#include <sys/signalfd.h>
#include <csignal>

#include <stdexcept>

namespace holdfast::base {
namespace {

int open_signalfd(std::initializer_list<int> signals) {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : signals) sigaddset(&set, signal);
  if (pthread_sigmask(SIG_BLOCK, &set, nullptr) != 0) {
    throw std::runtime_error("cannot block signals");
  }
  const int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
  if (fd < 0) throw std::runtime_error("cannot make a signalfd");
  return fd;
}

}  // namespace

SignalWatch::SignalWatch(EventLoop& loop, std::initializer_list<int> signals, Callback callback)
    : callback_(std::move(callback)),
      fd_(open_signalfd(signals)),
      watch_(loop, fd_.get(), &SignalWatch::on_readable, this) {
  watch_.want(kFdReadable);
}

void SignalWatch::on_readable(void* self, unsigned) {
  auto& watch = *static_cast<SignalWatch*>(self);
  signalfd_siginfo info;
  while (::read(watch.fd_.get(), &info, sizeof info) == sizeof info) {
    watch.callback_(static_cast<int>(info.ssi_signo));
  }
}

}  // namespace holdfast::base
