// StoreWatch tells health how the store is: what the store says of itself, and
// what it cannot say, that its writer makes no progress. Control loop only.
#pragma once

#include <chrono>

#include "base/clock.h"
#include "cache/store.h"
#include "observe/health.h"
#include "observe/log.h"

namespace holdfast::daemon {

class StoreWatch {
 public:
  // A transaction takes milliseconds. Not a reason to end the daemon, however long
  // it takes: a disk may stall, and memory answers meanwhile.
  static constexpr base::Duration kPatience = std::chrono::seconds(5);

  // `off`: there is no store by the operator's wish, which is fine. `health`,
  // `log` outlive this.
  StoreWatch(observe::Dependency& health, observe::Log& log, bool off);

  // Every half second or so.
  void look(const cache::StoreStatus& status, base::SteadyTime now);

 private:
  observe::Dependency& health_;
  observe::Log& log_;
  const bool off_;
  // When the writer was last seen to have nothing to do or to have done something.
  base::SteadyTime moved_at_;
  bool has_work_ = false;
  std::uint64_t done_ = 0;
  std::uint64_t committed_ = 0;
  std::uint64_t errors_ = 0;
  bool stuck_ = false;
};

}  // namespace holdfast::daemon
