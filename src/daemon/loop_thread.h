// LoopThread is the thread that runs a loop. Main's thread.
#pragma once

#include <future>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>

#include "base/event_loop.h"

namespace holdfast::daemon {

class LoopThread {
 public:
  // Waits for the thread. Whoever cannot be sure that it ends asks ends_within() first.
  ~LoopThread() {
    if (thread_.joinable()) thread_.join();
  }

  // Throws std::runtime_error if the machine has no thread left, which names that.
  void start(base::EventLoop& loop) try {
    std::promise<void> ended;
    ended_ = ended.get_future();
    thread_ = std::thread([&loop, ended = std::move(ended)]() mutable {
      loop.run();
      ended.set_value();
    });
  } catch (const std::system_error& error) {
    throw std::runtime_error("no thread for the loop " + loop.name() +
                             " (TasksMax, ulimit -u): " + error.what());
  }

  bool runs() const { return thread_.joinable(); }
  // After the loop was told to stop. False: it hangs, and is still there.
  bool ends_within(base::Duration patience) {
    if (!runs()) return true;
    if (ended_.wait_for(patience) != std::future_status::ready) return false;
    thread_.join();
    return true;
  }
  std::thread::native_handle_type handle() { return thread_.native_handle(); }

 private:
  std::future<void> ended_;
  std::thread thread_;
};

}  // namespace holdfast::daemon
