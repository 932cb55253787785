#include "cache/store_health.h"

#include <algorithm>

namespace holdfast::cache {
namespace {

std::string_view to_string(StoreStatus::State state) {
  switch (state) {
    case StoreStatus::State::Ok:
      return "ok";
    case StoreStatus::State::Degraded:
      return "degraded";
    case StoreStatus::State::Off:
      return "off";
  }
  return "unknown";
}

}  // namespace

const StoreHealth::PartState& StoreHealth::worse() const {
  return *std::max_element(parts_.begin(), parts_.end(), [](const auto& a, const auto& b) {
    return static_cast<int>(a.state) < static_cast<int>(b.state);
  });
}

void StoreHealth::set(Part part, StoreStatus::State state, std::string_view reason) {
  const std::lock_guard lock(mutex_);
  const StoreStatus::State before = worse().state;
  PartState& changed = parts_[static_cast<std::size_t>(part)];
  changed.state = state;
  changed.reason = reason;
  const PartState& now = worse();
  if (now.state == before) return;
  since_ = clock_.wall();
  log_.event(now.state == StoreStatus::State::Ok ? observe::Level::Info : observe::Level::Error,
             "store_state",
             {{"state", to_string(now.state)}, {"path", path_}, {"reason", now.reason}});
}

bool StoreHealth::is_ok(Part part) const {
  const std::lock_guard lock(mutex_);
  return parts_[static_cast<std::size_t>(part)].state == StoreStatus::State::Ok;
}

StoreStatus StoreHealth::status() const {
  StoreStatus status;
  {
    const std::lock_guard lock(mutex_);
    const PartState& now = worse();
    status.state = now.state;
    status.reason = now.reason;
    status.since = since_;
  }
  status.locked = locked;
  status.entries = entries;
  status.size_bytes = size_bytes;
  status.oldest = base::WallTime(std::chrono::milliseconds(oldest_ms));
  status.newest = base::WallTime(std::chrono::milliseconds(newest_ms));
  status.committed = committed;
  status.evicted = evicted;
  status.read_errors = read_errors;
  status.write_errors = write_errors;
  status.corrupt_rows = corrupt_rows;
  status.last_commit_seconds = last_commit_seconds;
  return status;
}

}  // namespace holdfast::cache
