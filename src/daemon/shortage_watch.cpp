#include "daemon/shortage_watch.h"

#include <string>
#include <utility>

namespace holdfast::daemon {
namespace {

std::string words_for(base::Resource resource) {
  switch (resource) {
    case base::Resource::Descriptors:
      return "descriptors (LimitNOFILE, ulimit -n; of the machine: fs.file-max)";
    case base::Resource::Ports:
      return "ports for connections to the upstream (net.ipv4.ip_local_port_range)";
    case base::Resource::Memory:
      return "memory for sockets";
  }
  return "something";
}

}  // namespace

ShortageWatch::ShortageWatch(observe::Dependency& health, observe::Log& log)
    : health_(health), log_(log) {}

void ShortageWatch::look(const Counts& counts, base::SteadyTime now) {
  std::string reason;
  for (const base::Resource resource : base::kResources) {
    const auto i = static_cast<std::size_t>(resource);
    Watched& watched = watched_[i];
    const std::uint64_t seen = std::exchange(watched.seen, counts[i]);
    if (counts[i] > seen) {
      if (!watched.last_at) {
        watched.before = seen;
        log_.event(observe::Level::Error, "resource_short",
                   {{"resource", to_string(resource)},
                    {"times", counts[i] - seen},
                    {"detail", "this machine is short of " + words_for(resource)}});
      }
      watched.last_at = now;
    } else if (watched.last_at && now - *watched.last_at >= kPatience) {
      log_.event(observe::Level::Warn, "resource_short_over",
                 {{"resource", to_string(resource)}, {"times", counts[i] - watched.before}});
      watched.last_at.reset();
    }
    if (!watched.last_at) continue;
    reason += (reason.empty() ? "short of " : ", and of ") + words_for(resource);
  }
  health_.set_state(reason.empty() ? observe::HealthState::Ok : observe::HealthState::Degraded,
                    reason);
}

ShortageWatch::Counts shortages(const observe::Metrics& metrics) {
  ShortageWatch::Counts counts{};
  for (const base::Resource resource : base::kResources) {
    counts[static_cast<std::size_t>(resource)] = static_cast<std::uint64_t>(metrics.value(
        observe::Family::ResourceShortages, {{"resource", std::string(to_string(resource))}}));
  }
  return counts;
}

}  // namespace holdfast::daemon
