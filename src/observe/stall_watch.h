// StallWatch measures how long each call holds up a loop, and counts those that do so for
// 50 ms and more, which no call may. What others took of the core is left out: a busy
// machine is no fault of the call's. What the call computed, what it was blocked for, by a
// lock or a look-up, and what it waited for the one disk read that it may make is told apart.
//
// Each call costs two looks at the steady clock; of the thread's other times, which take
// system calls, there is a look every 2 ms of a busy loop, and after a long call. So up to
// 2 ms of what was done just before may be taken for the call's.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>

#include "base/call_watch.h"
#include "observe/metrics.h"
#include "observe/thread_times.h"

namespace holdfast::observe {

// A call that held up its loop.
struct Stall {
  std::string_view call;  // as in base::CallWatch
  base::Duration busy{0};
  base::Duration blocked{0};
  base::Duration disk{0};

  base::Duration all() const { return busy + blocked + disk; }
};

class StallWatch final : public base::CallWatch {
 public:
  static constexpr base::Duration kLimit = std::chrono::milliseconds(50);

  // `loop` is its name, for the metrics. `told` is called on the loop's thread, of each
  // stall. `times` is used there only, and outlives this.
  StallWatch(std::string loop, ThreadTimes& times, std::function<void(const Stall&)> told);
  // Once, before the loop runs; this outlives `metrics`' last scrape.
  void export_to(Metrics& metrics) const;

  // Loop's thread.
  void begins() override;
  void ended(std::string_view what) override;
  // Within a call: so long it has been reading from the disk.
  void was_reading(base::Duration time) { reading_ += time; }

  // Any thread. The longest that one call held up the loop, in the last ten to twenty
  // seconds of its turning.
  base::Duration longest() const;
  std::uint64_t busy_stalls() const { return busy_stalls_.load(std::memory_order_relaxed); }
  std::uint64_t blocked_stalls() const { return blocked_stalls_.load(std::memory_order_relaxed); }
  std::uint64_t disk_stalls() const { return disk_stalls_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t>& count_of(const Stall& stall);
  Stall took_apart(base::Duration took, const TimeUsed& used) const;
  void note(base::Duration held_up, base::SteadyTime now);

  const std::string loop_;
  ThreadTimes& times_;
  const std::function<void(const Stall&)> told_;

  base::SteadyTime begun_;
  base::Duration reading_{0};  // of what began then
  TimeUsed before_;            // what was used when it was last looked at,
  base::SteadyTime looked_at_ = base::SteadyTime::min();  // which was then
  base::SteadyTime window_start_;
  // The longest of this window and of the one before, in nanoseconds.
  std::atomic<base::Duration::rep> longest_{0};
  std::atomic<base::Duration::rep> previous_longest_{0};
  std::atomic<std::uint64_t> busy_stalls_{0};
  std::atomic<std::uint64_t> blocked_stalls_{0};
  std::atomic<std::uint64_t> disk_stalls_{0};
};

}  // namespace holdfast::observe
