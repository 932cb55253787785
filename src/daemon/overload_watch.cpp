#include "daemon/overload_watch.h"

#include <utility>

namespace holdfast::daemon {

using observe::Family;

OverloadWatch::OverloadWatch(observe::Health& health, observe::Log& log)
    : health_(health), log_(log) {}

void OverloadWatch::look(std::uint64_t turned_away, base::SteadyTime now) {
  const std::uint64_t seen = std::exchange(seen_, turned_away);
  if (turned_away > seen) {
    if (!last_at_) {
      before_ = seen;
      log_.event(observe::Level::Warn, "overload", {{"turned_away", turned_away - seen}});
      health_.set_overloaded(true);
    }
    last_at_ = now;
  } else if (last_at_ && now - *last_at_ >= kPatience) {
    log_.event(observe::Level::Warn, "overload_over", {{"turned_away", turned_away - before_}});
    health_.set_overloaded(false);
    last_at_.reset();
  }
}

std::uint64_t turned_away(const observe::Metrics& metrics) {
  double sum = 0;
  for (const auto& [family, reason] : {std::pair{Family::ConnectionsRefused, "connections"},
                                       {Family::ConnectionsRefused, "descriptors"},
                                       {Family::RequestsRejected, "overload"},
                                       {Family::RequestsLimited, "waiters"},
                                       {Family::RequestsLimited, "queued"},
                                       {Family::RequestsLimited, "parked"}}) {
    sum += metrics.value(family, {{"reason", reason}});
  }
  return static_cast<std::uint64_t>(sum);
}

}  // namespace holdfast::daemon
