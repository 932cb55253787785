// Origin is the one loop that owns everything slow: flights, policies, libcurl
// and reads of the store. Made and destroyed by main's thread, while the loop
// does not run; post() to `loop` for anything in between.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <mutex>

#include "base/event_loop.h"
#include "base/resource.h"
#include "cache/memory_cache.h"
#include "cache/store.h"
#include "config/settings.h"
#include "daemon/loop_thread.h"
#include "observe/health.h"
#include "observe/liveness.h"
#include "observe/log.h"
#include "observe/metrics.h"
#include "observe/recent_failures.h"
#include "observe/repeat_limiter.h"
#include "observe/stall_watch.h"
#include "proxy/flights.h"
#include "proxy/route.h"
#include "upstream/curl_transport.h"
#include "upstream/names.h"
#include "upstream/policy_fetcher.h"

namespace holdfast::daemon {

class Origin {
 public:
  // Everything given outlives it. Throws std::runtime_error if libcurl or the
  // loop cannot be set up.
  struct Parts {
    const base::Clock& clock;
    cache::MemoryCache& memory;
    cache::Store& store;
    observe::Log& log;
    observe::Metrics& metrics;
    observe::Health& health;
    observe::Liveness& liveness;
    observe::RecentFailures& failures;
  };
  Origin(Parts parts, const config::Settings& settings);
  ~Origin();
  Origin(const Origin&) = delete;
  Origin& operator=(const Origin&) = delete;

  base::EventLoop& loop() { return loop_; }
  proxy::Flights& flights() { return flights_; }
  proxy::Route& route() { return *route_; }
  upstream::PolicyFetcher& fetcher() { return fetcher_; }

  void start();
  // Answers every waiter now and tells the loop to stop.
  void stop();
  // After stop(): whether its thread has ended. If not it hangs, and must be left alone.
  bool ends_within(base::Duration patience) { return thread_.ends_within(patience); }

  // Before start(). Called on the loop when an attempt lacked something here.
  void on_lack(std::function<void(base::Resource)> callback) { on_lack_ = std::move(callback); }

  // Loop's thread: a call has been reading from the store for so long.
  void was_reading(base::Duration time) { stall_watch_.was_reading(time); }

  // Any thread: what a reload changes.
  void set_token(std::string token);

  // Any thread: what is known of the upstream, a tenth of a second old at most.
  upstream::Status status() const;
  // The same of what it forbids to store; see proxy::Flights::Stats.
  std::optional<double> forbidden_share() const;

 private:
  void look_up_names(const config::Settings& settings);
  void tell_stall(const observe::Stall& stall);
  void report_health();
  void add_facts(observe::Dependency& dependency, std::size_t origin);

  Parts parts_;
  observe::SystemThreadTimes times_;
  observe::StallWatch stall_watch_;
  observe::RepeatLimiter stalls_told_;
  base::EventLoop loop_;
  base::Random random_;
  observe::Shard& shard_;
  observe::Heartbeat& heartbeat_;
  std::unique_ptr<proxy::Route> route_;
  std::array<observe::Counter, base::kResources.size()> shortages_;
  std::function<void(base::Resource)> on_lack_;
  upstream::CurlTransport transport_;
  upstream::PolicyFetcher fetcher_;
  std::unique_ptr<upstream::Names> names_;  // null where all URLs have addresses
  proxy::Flights flights_;
  std::vector<observe::Dependency*> health_;  // one per origin
  base::Timer health_timer_;
  mutable std::mutex status_mutex_;
  upstream::Status status_;                // guarded by status_mutex_
  std::optional<double> forbidden_share_;  // guarded by status_mutex_
  LoopThread thread_;
};

}  // namespace holdfast::daemon
