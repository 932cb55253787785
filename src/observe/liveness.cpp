#include "observe/liveness.h"

#include <algorithm>

#include "observe/metrics.h"

namespace holdfast::observe {
namespace {

constexpr base::Duration kLagWindow = std::chrono::seconds(10);

base::Duration load(const std::atomic<base::Duration::rep>& value) {
  return base::Duration(value.load(std::memory_order_relaxed));
}

void store(std::atomic<base::Duration::rep>& value, base::Duration to) {
  value.store(to.count(), std::memory_order_relaxed);
}

}  // namespace

Heartbeat::Heartbeat(std::string name, base::Duration interval, base::SteadyTime now)
    : name_(std::move(name)),
      interval_(interval),
      last_beat_(now.time_since_epoch().count()),
      window_start_(now) {}

void Heartbeat::start(base::Scheduler& loop) {
  // The time from construction to the loop's first turn is start-up, not lag.
  store(last_beat_, loop.now().time_since_epoch());
  schedule(loop);
}

void Heartbeat::schedule(base::Scheduler& loop) {
  timer_.set_after(loop, interval_, [this, &loop] {
    beat(loop.now());
    schedule(loop);
  });
}

void Heartbeat::beat(base::SteadyTime now) {
  const base::Duration late = std::max(silence(now) - interval_, base::Duration::zero());
  if (now - window_start_ >= kLagWindow) {
    window_start_ = now;
    store(previous_worst_, load(worst_));
    store(worst_, late);
  } else {
    store(worst_, std::max(load(worst_), late));
  }
  store(last_beat_, now.time_since_epoch());
}

base::Duration Heartbeat::silence(base::SteadyTime now) const {
  return now.time_since_epoch() - load(last_beat_);
}

base::Duration Heartbeat::lag(base::SteadyTime now) const {
  return std::max(
      {load(worst_), load(previous_worst_), silence(now) - interval_, base::Duration::zero()});
}

Heartbeat& Liveness::add(std::string name, base::SteadyTime now) {
  return *heartbeats_.emplace_back(
      std::make_unique<Heartbeat>(std::move(name), settings_.interval, now));
}

std::vector<std::string_view> Liveness::stuck(base::SteadyTime now) const {
  std::vector<std::string_view> names;
  for (const auto& heartbeat : heartbeats_) {
    if (heartbeat->silence(now) > settings_.patience) names.push_back(heartbeat->name());
  }
  return names;
}

void export_loop_lag(Metrics& metrics, const Liveness& liveness, const base::Clock& clock) {
  for (const auto& heartbeat : liveness.heartbeats()) {
    metrics.callback(Family::LoopLag, {{"loop", heartbeat->name()}}, [&beat = *heartbeat, &clock] {
      return std::chrono::duration<double>(beat.lag(clock.now())).count();
    });
  }
}

}  // namespace holdfast::observe
