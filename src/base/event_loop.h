// EventLoop is a libevent loop: timers, file descriptors, and a mailbox through
// which other threads hand it closures. Except for post() and stop(), everything
// is for the thread that calls run().
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/call_watch.h"
#include "base/timer_queue.h"
#include "base/unique_fd.h"

struct event_base;
struct event;

namespace holdfast::base {

// Which of a descriptor's events to wait for; also which have come.
enum FdEvents : unsigned { kFdNone = 0, kFdReadable = 1, kFdWritable = 2 };

class EventLoop;

// FdWatch calls a function while a descriptor is readable or writable. It does
// not own the descriptor and must be destroyed before that is closed. A plain
// function and a pointer, not std::function: this is the serving path.
class FdWatch {
 public:
  using Function = void (*)(void* context, unsigned events);

  FdWatch(EventLoop& loop, int fd, Function function, void* context);
  ~FdWatch();
  FdWatch(const FdWatch&) = delete;
  FdWatch& operator=(const FdWatch&) = delete;

  // Level-triggered, until changed. Costs a system call only when it changes.
  void want(unsigned events);
  unsigned wanted() const { return wanted_; }

 private:
  static void dispatch(int fd, short what, void* self);

  EventLoop& loop_;
  Function function_;
  void* context_;
  int fd_;
  unsigned wanted_ = kFdNone;
  event* event_ = nullptr;
};

class EventLoop final : public Scheduler {
 public:
  // Throws std::runtime_error if the system has no descriptors left.
  // `name` (15 characters at most) is the thread's name while it runs.
  EventLoop(std::string name, const Clock& clock);
  ~EventLoop() override;
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  // Runs until stop(). What is still in the mailbox then is run first.
  void run();
  // Any thread, also a signal handler's loop callback. run() returns soon.
  void stop();

  const std::string& name() const { return name_; }
  const Clock& clock() const override { return clock_; }
  TimerId call_at(SteadyTime when, Callback callback) override;
  void cancel(TimerId id) override;
  void post(Callback callback) override;

  // Loop's own thread, inside a callback of an FdWatch: when the loop began with
  // the events it has at hand, this one among them. Read once for all of them.
  SteadyTime woken();

  // Before run(). Told of each call from then on; it outlives the loop's running. Whoever
  // is not watched pays for it with one comparison.
  void watch_calls(base::CallWatch& watch) { calls_ = &watch; }

  // True while the caller is the thread inside run().
  bool in_loop_thread() const;

 private:
  friend class FdWatch;
  static void on_wake(void* self, unsigned events);
  static void on_timer(void* self, unsigned events);
  void arm_timer();
  bool was_held_up();
  void drain_mailbox();
  void run_batch(std::vector<Callback>& posted);

  std::string name_;
  const Clock& clock_;
  event_base* base_ = nullptr;
  CallWatch* calls_ = nullptr;
  TimerQueue timers_;
  SteadyTime armed_for_ = SteadyTime::max();
  bool looked_first_ = false;  // at the descriptors, before timers that are late
  std::optional<SteadyTime> woken_;
  UniqueFd wake_fd_;
  std::unique_ptr<FdWatch> wake_watch_;
  UniqueFd timer_fd_;
  std::unique_ptr<FdWatch> timer_watch_;
  std::atomic<bool> stopping_{false};
  std::atomic<unsigned long> thread_{0};

  std::mutex mailbox_mutex_;
  std::vector<Callback> mailbox_;  // guarded by mailbox_mutex_
  std::vector<Callback> own_;      // posted by the loop's own thread
};

}  // namespace holdfast::base
