// Liveness knows whether every loop of the daemon still turns: for /livez, for
// systemd's watchdog and for the loop lag metric.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/scheduler.h"

namespace holdfast::observe {

// The sign of life of one loop or thread. Lives as long as its Liveness.
class Heartbeat {
 public:
  Heartbeat(std::string name, base::Duration interval, base::SteadyTime now);
  Heartbeat(const Heartbeat&) = delete;
  Heartbeat& operator=(const Heartbeat&) = delete;

  // The loop's own thread: beats now and every interval until stop(). A thread
  // without a loop calls beat() itself, at least once an interval while it is well.
  void start(base::Scheduler& loop);
  // The loop's own thread, or any once the loop has ended: before the loop goes.
  void stop() { timer_.cancel(); }
  void beat(base::SteadyTime now);

  // Any thread.
  const std::string& name() const { return name_; }
  base::Duration interval() const { return interval_; }
  // How late the loop was at worst in the last ten to twenty seconds, the beat it
  // owes now included: a scrape every fifteen seconds misses no hiccup.
  base::Duration lag(base::SteadyTime now) const;
  base::Duration silence(base::SteadyTime now) const;

 private:
  void schedule(base::Scheduler& loop);

  const std::string name_;
  const base::Duration interval_;
  base::Timer timer_;
  // Nanoseconds of the steady clock.
  std::atomic<base::Duration::rep> last_beat_;
  // The worst of this window and of the one before; moved by beat() alone.
  std::atomic<base::Duration::rep> worst_{0};
  std::atomic<base::Duration::rep> previous_worst_{0};
  base::SteadyTime window_start_;
};

class Liveness {
 public:
  struct Settings {
    base::Duration interval = std::chrono::milliseconds(100);
    // A loop silent for longer is stuck. Far above any pause a busy machine
    // makes: the answer to "stuck" is a restart.
    base::Duration patience = std::chrono::seconds(5);
  };

  Liveness() = default;
  explicit Liveness(Settings settings) : settings_(settings) {}

  // Before the loops start. Counts as having beaten at `now`.
  Heartbeat& add(std::string name, base::SteadyTime now);

  // Any thread. Names of the loops that are stuck; empty is alive.
  std::vector<std::string_view> stuck(base::SteadyTime now) const;
  const std::vector<std::unique_ptr<Heartbeat>>& heartbeats() const { return heartbeats_; }

 private:
  Settings settings_;
  std::vector<std::unique_ptr<Heartbeat>> heartbeats_;
};

class Metrics;

// Exports every heartbeat's lag. Any thread, before the loops start; `liveness`
// and `clock` outlive `metrics`.
void export_loop_lag(Metrics& metrics, const Liveness& liveness, const base::Clock& clock);

}  // namespace holdfast::observe
