#include "daemon/store_watch.h"

#include <string>
#include <utility>

namespace holdfast::daemon {
namespace {

using State = cache::StoreStatus::State;

observe::HealthState health_of(State state) {
  switch (state) {
    case State::Ok:
      return observe::HealthState::Ok;
    case State::Degraded:
      return observe::HealthState::Degraded;
    case State::Off:
      break;
  }
  return observe::HealthState::Down;
}

}  // namespace

StoreWatch::StoreWatch(observe::Dependency& health, observe::Log& log, bool off)
    : health_(health), log_(log), off_(off) {}

void StoreWatch::look(const cache::StoreStatus& status, base::SteadyTime now) {
  if (off_) return health_.set_state(observe::HealthState::Ok, "no store: STORE_PATH is off");
  const std::uint64_t errors = status.read_errors + status.write_errors + status.corrupt_rows;
  const std::uint64_t done = status.committed + errors;
  // Work that is new since the last look has only just come, for all we know.
  const bool had_work = std::exchange(has_work_, status.queued > 0);
  if (!had_work || !has_work_ || done != done_) moved_at_ = now;
  done_ = done;

  if (std::exchange(committed_, status.committed) != status.committed) health_.succeeded();
  if (std::exchange(errors_, errors) != errors) {
    health_.failed(status.reason.empty() ? "an operation failed" : status.reason);
  }

  // A store that is not well says so itself, and waits with its writing.
  const bool stuck = status.state == State::Ok && now - moved_at_ >= kPatience;
  if (stuck != std::exchange(stuck_, stuck)) {
    log_.event(stuck ? observe::Level::Error : observe::Level::Info,
               stuck ? "store_writer_stuck" : "store_writer_moves", {{"queued", status.queued}});
    if (stuck) health_.failed("the writer makes no progress");
  }
  if (stuck) {
    return health_.set_state(
        observe::HealthState::Degraded,
        "the writer makes no progress; " + std::to_string(status.queued) + " writes wait");
  }
  health_.set_state(health_of(status.state), status.reason);
}

}  // namespace holdfast::daemon
