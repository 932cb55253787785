// SignalWatch delivers Unix signals to a loop as ordinary callbacks, through a
// signalfd. Make it before any other thread starts: it blocks the signals in the
// calling thread, and threads inherit that.
#pragma once

#include <functional>
#include <initializer_list>

#include "base/event_loop.h"

namespace holdfast::base {

class SignalWatch {
 public:
  using Callback = std::function<void(int signal)>;

  // Throws std::runtime_error if the system refuses.
  SignalWatch(EventLoop& loop, std::initializer_list<int> signals, Callback callback);

 private:
  static void on_readable(void* self, unsigned events);

  Callback callback_;
  UniqueFd fd_;
  FdWatch watch_;
};

}  // namespace holdfast::base
