#include "observe/stall_watch.h"

#include <algorithm>
#include <utility>

namespace holdfast::observe {
namespace {

using namespace std::chrono_literals;

constexpr base::Duration kLookEvery = 2ms;
// What took less can be no stall, and is not looked at.
constexpr base::Duration kLong = 5ms;
constexpr base::Duration kWindow = 10s;

}  // namespace

StallWatch::StallWatch(std::string loop, ThreadTimes& times, std::function<void(const Stall&)> told)
    : loop_(std::move(loop)),
      times_(times),
      told_(std::move(told)),
      begun_(times.now()),
      window_start_(begun_) {}

void StallWatch::export_to(Metrics& metrics) const {
  metrics.callback(Family::LoopStall, {{"loop", loop_}},
                   [this] { return std::chrono::duration<double>(longest()).count(); });
  metrics.callback(Family::LoopStalls, {{"loop", loop_}, {"cause", "busy"}},
                   [this] { return static_cast<double>(busy_stalls()); });
  metrics.callback(Family::LoopStalls, {{"loop", loop_}, {"cause", "blocked"}},
                   [this] { return static_cast<double>(blocked_stalls()); });
  metrics.callback(Family::LoopStalls, {{"loop", loop_}, {"cause", "disk"}},
                   [this] { return static_cast<double>(disk_stalls()); });
}

void StallWatch::begins() {
  begun_ = times_.now();
  reading_ = base::Duration::zero();
  if (looked_at_ != base::SteadyTime::min() && begun_ - looked_at_ < kLookEvery) return;
  before_ = times_.used();
  looked_at_ = begun_;
}

void StallWatch::ended(std::string_view what) {
  const base::SteadyTime now = times_.now();
  const base::Duration took = now - begun_;
  begun_ = now;
  const base::Duration reading = std::exchange(reading_, base::Duration::zero());
  if (took < kLong) return note(took, now);
  const TimeUsed used = times_.used();
  Stall stall = took_apart(took, used);
  stall.disk = std::min(stall.blocked, reading);
  stall.blocked -= stall.disk;
  before_ = used;
  looked_at_ = now;
  note(stall.all(), now);
  if (stall.all() < kLimit) return;
  count_of(stall).fetch_add(1, std::memory_order_relaxed);
  stall.call = what;
  told_(stall);
}

// By what it spent the most on.
std::atomic<std::uint64_t>& StallWatch::count_of(const Stall& stall) {
  if (stall.disk > std::max(stall.busy, stall.blocked)) return disk_stalls_;
  return stall.blocked > stall.busy ? blocked_stalls_ : busy_stalls_;
}

Stall StallWatch::took_apart(base::Duration took, const TimeUsed& used) const {
  Stall stall;
  stall.busy = std::clamp(used.cpu - before_.cpu, base::Duration::zero(), took);
  // Who never gave up the core was not blocked, but had it taken away.
  if (used.waits == before_.waits) return stall;
  stall.blocked = took - stall.busy;
  if (used.queued && before_.queued) {
    stall.blocked =
        std::max(base::Duration::zero(), stall.blocked - (*used.queued - *before_.queued));
  }
  return stall;
}

void StallWatch::note(base::Duration held_up, base::SteadyTime now) {
  if (now - window_start_ >= kWindow) {
    window_start_ = now;
    previous_longest_.store(longest_.load(std::memory_order_relaxed), std::memory_order_relaxed);
    longest_.store(held_up.count(), std::memory_order_relaxed);
  } else if (held_up.count() > longest_.load(std::memory_order_relaxed)) {
    longest_.store(held_up.count(), std::memory_order_relaxed);
  }
}

base::Duration StallWatch::longest() const {
  return base::Duration(std::max(longest_.load(std::memory_order_relaxed),
                                 previous_longest_.load(std::memory_order_relaxed)));
}

}  // namespace holdfast::observe
