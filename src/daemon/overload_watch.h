// OverloadWatch tells health and log that clients are being turned away for want of
// room: for their connection, for their request among those that wait, or for its
// content. Control loop only.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "base/clock.h"
#include "observe/health.h"
#include "observe/log.h"
#include "observe/metrics.h"

namespace holdfast::daemon {

class OverloadWatch {
 public:
  // It is over when nobody was turned away for so long.
  static constexpr base::Duration kPatience = std::chrono::seconds(10);

  // Both outlive this.
  OverloadWatch(observe::Health& health, observe::Log& log);

  // Every half second or so. `turned_away`: how many since the start.
  void look(std::uint64_t turned_away, base::SteadyTime now);

 private:
  observe::Health& health_;
  observe::Log& log_;
  std::uint64_t seen_ = 0;
  std::uint64_t before_ = 0;                 // of `seen_`, those from before the overload
  std::optional<base::SteadyTime> last_at_;  // while overloaded
};

// Reads the counters of those turned away for want of room. Not of those who had
// more than the share of one client (429), nor of what was no good.
std::uint64_t turned_away(const observe::Metrics& metrics);

}  // namespace holdfast::daemon
