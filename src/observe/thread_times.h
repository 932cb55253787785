// ThreadTimes tells what became of a thread's time: computing, waiting for a core, or
// blocked. For the thread that calls it.
#pragma once

#include <cstdint>
#include <optional>

#include "base/clock.h"
#include "base/unique_fd.h"

namespace holdfast::observe {

// Each counts from some moment of the past: only differences mean something.
struct TimeUsed {
  base::Duration cpu{0};
  // Ready to run, while others had the cores. None: the system does not tell.
  std::optional<base::Duration> queued;
  // How often it gave its core up by itself: for a lock, a disk, a look-up.
  std::uint64_t waits = 0;
};

class ThreadTimes {
 public:
  virtual ~ThreadTimes() = default;
  virtual base::SteadyTime now() = 0;  // costs next to nothing
  virtual TimeUsed used() = 0;         // three system calls
};

// As the kernel counts them.
class SystemThreadTimes final : public ThreadTimes {
 public:
  base::SteadyTime now() override { return std::chrono::steady_clock::now(); }
  TimeUsed used() override;

 private:
  std::optional<base::Duration> queued();

  bool opened_ = false;
  base::UniqueFd schedstat_;
};

}  // namespace holdfast::observe
