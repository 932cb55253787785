// ShortageWatch tells health and log that this process or its machine lacks what connections
// take: descriptors, ports, memory. That is a fault to be seen to, and none of the upstream's;
// without being told so, people would look for it there. Control loop only.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>

#include "base/clock.h"
#include "base/resource.h"
#include "observe/health.h"
#include "observe/log.h"
#include "observe/metrics.h"

namespace holdfast::daemon {

class ShortageWatch {
 public:
  // One is over when nothing was lacking for so long.
  static constexpr base::Duration kPatience = std::chrono::seconds(10);

  using Counts = std::array<std::uint64_t, base::kResources.size()>;

  // Both outlive this.
  ShortageWatch(observe::Dependency& health, observe::Log& log);

  // Every half second or so. `counts`: how often each was lacking since the start.
  void look(const Counts& counts, base::SteadyTime now);

 private:
  struct Watched {
    std::uint64_t seen = 0;
    std::uint64_t before = 0;                 // of `seen`, those from before the shortage
    std::optional<base::SteadyTime> last_at;  // while it is short
  };

  observe::Dependency& health_;
  observe::Log& log_;
  std::array<Watched, base::kResources.size()> watched_;
};

ShortageWatch::Counts shortages(const observe::Metrics& metrics);

}  // namespace holdfast::daemon
