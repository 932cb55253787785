// Origin is the one loop that owns everything slow: flights, policies, libcurl
// and reads of the store, for all upstreams. Made and destroyed by main's thread, while the loop
// does not run; post() to `loop` for anything in between.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/event_loop.h"
#include "base/resource.h"
#include "cache/purges.h"
#include "config/settings.h"
#include "daemon/loop_thread.h"
#include "daemon/origin_group.h"
#include "daemon/parts.h"
#include "observe/repeat_limiter.h"
#include "observe/stall_watch.h"
#include "proxy/routes.h"
#include "proxy/stored_judge.h"

namespace holdfast::daemon {

class Origin {
 public:
  // Everything given outlives it. `plans` are those of the routes of `settings`, in their order.
  // Throws std::runtime_error if libcurl or the loop cannot be set up.
  Origin(Parts parts, const config::Settings& settings, std::vector<proxy::RoutePlan> plans);
  ~Origin();
  Origin(const Origin&) = delete;
  Origin& operator=(const Origin&) = delete;

  base::EventLoop& loop() { return loop_; }
  // Any thread; but for what is said to be the loop's.
  const proxy::Routes& routes() const { return *routes_; }
  const std::vector<std::unique_ptr<OriginGroup>>& groups() const { return groups_; }

  void start();
  // Answers every waiter now and tells the loop to stop.
  void stop();
  // After stop(): whether its thread has ended. If not it hangs, and must be left alone.
  bool ends_within(base::Duration patience) { return thread_.ends_within(patience); }

  // Before start(). Called on the loop when an attempt lacked something here.
  void on_lack(std::function<void(base::Resource)> callback) { on_lack_ = std::move(callback); }

  // Loop's thread: a call has been reading from the store for so long.
  void was_reading(base::Duration time) { stall_watch_.was_reading(time); }

  // Loop's thread: that much of what is stored is forgotten, or `soft`: stale, from now on, and the
  // store is told. See cache/purges.h. Of a tag that is a route's, too.
  void purge(cache::Purge::Kind kind, bool soft, std::string_view what);
  // The same has been done to single keys.
  void count_purge_of_urls(bool soft) { shard_.add(purges_counted_[kUrls][soft ? 1 : 0]); }

  // Any thread: what a reload changes, of the upstream with that number.
  void set_token(std::size_t group, std::string token);

 private:
  // Of the kinds of purges, beside those of cache::Purge.
  static constexpr std::size_t kUrls = 4;
  void forget_fetches(cache::Purge::Kind kind, std::string_view what,
                      const std::vector<std::string>& tagged_routes);
  void tell_stall(const observe::Stall& stall);
  void report_health();

  Parts parts_;
  observe::SystemThreadTimes times_;
  observe::StallWatch stall_watch_;
  observe::RepeatLimiter stalls_told_;
  base::EventLoop loop_;
  base::Random random_;
  observe::Shard& shard_;
  observe::Heartbeat& heartbeat_;
  std::array<observe::Counter, base::kResources.size()> shortages_;
  std::array<std::array<observe::Counter, 2>, 5> purges_counted_;  // by kind, and whether soft
  std::function<void(base::Resource)> on_lack_;
  std::vector<std::unique_ptr<proxy::Route>> owned_;  // before the flights that know them
  std::optional<proxy::StoredJudge> judge_;
  std::vector<std::unique_ptr<OriginGroup>> groups_;
  std::optional<proxy::Routes> routes_;
  base::Timer health_timer_;
  LoopThread thread_;
};

}  // namespace holdfast::daemon
