// Origin is the one loop that owns everything slow: flights, policies, libcurl
// and reads of the store, for all upstreams. Made and destroyed by main's thread, while the loop
// does not run; post() to `loop` for anything in between.
//
// It has the generation that a reading of the settings gave, and takes the next one in place of it:
// what is new is made, an upstream a turn; then, in one turn, what is the same goes on in the new
// generation and the rest is retired. What fails on the way leaves everything as it was.
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
#include "base/result.h"
#include "cache/purges.h"
#include "config/settings.h"
#include "daemon/generation.h"
#include "daemon/leases.h"
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
  // Everything given outlives it. `plans` are those of the routes of `routing`, in their order.
  // Throws std::runtime_error if libcurl or the loop cannot be set up.
  Origin(Parts parts, std::shared_ptr<const config::Routing> routing,
         std::vector<proxy::RoutePlan> plans);
  ~Origin();
  Origin(const Origin&) = delete;
  Origin& operator=(const Origin&) = delete;

  base::EventLoop& loop() { return loop_; }
  // Loop's thread, or before start().
  const GenerationPtr& generation() const { return generation_; }
  const std::shared_ptr<const proxy::Routes>& routes() const { return generation_->table; }
  const std::vector<Generation::GroupLease>& groups() const { return generation_->groups; }

  // Those that earlier generations left and that have not ended yet, too.
  std::size_t all_groups() const { return leases_.size(); }

  // Any thread, one at a time. Makes the draft the generation, and calls `done` on the loop with
  // it, or with why it could not be.
  using Taken = std::function<void(base::Result<GenerationPtr>)>;
  void take(Draft draft, Taken done);

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

  // Loop's thread: whether what comes from the store is right by the rules of today.
  bool is_right(std::string_view key, const cache::StoredResponse& stored);

  // Any thread: the token of one upstream.
  void set_token(Generation::GroupLease group, std::string token);

 private:
  // Of the kinds of purges, beside those of cache::Purge.
  static constexpr std::size_t kUrls = 4;
  void forget_fetches(cache::Purge::Kind kind, std::string_view what,
                      const std::vector<std::string>& tagged_routes);
  struct Taking;
  Generation::GroupLease make_group(const Draft& draft, std::size_t upstream);
  void make_next(const std::shared_ptr<Taking>& taking);
  void put_in_place(Draft draft, std::vector<Generation::GroupLease> groups);
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
  proxy::StoredJudge judge_{{}};
  Leases<OriginGroup> leases_;
  GenerationPtr generation_;
  base::Timer health_timer_;
  LoopThread thread_;
};

}  // namespace holdfast::daemon
