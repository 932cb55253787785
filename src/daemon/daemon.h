// Daemon builds the parts, runs them and stops them in order:
//
//   make()   store, memory, origin loop, workers; listeners are bound, so that a
//            port in use is known before anything runs
//   run()    the threads start; this thread turns the control loop: signals,
//            scrapes, reload
//   SIGTERM  not ready; workers stop accepting and finish what is in flight;
//            then workers, origin and store stop, in that order. What hangs is
//            left behind: StopGuard ends the process when its time is up
//
// Main's thread only.
#pragma once

#include <atomic>
#include <limits>
#include <memory>
#include <optional>
#include <vector>

#include "base/event_loop.h"
#include "base/result.h"
#include "base/signal_mask.h"
#include "cache/memory_cache.h"
#include "cache/store.h"
#include "config/reload.h"
#include "config/routing.h"
#include "config/settings.h"
#include "daemon/admin.h"
#include "daemon/generation.h"
#include "daemon/memory_judge.h"
#include "daemon/origin.h"
#include "daemon/overload_watch.h"
#include "daemon/service_manager.h"
#include "daemon/shortage_watch.h"
#include "daemon/status_line.h"
#include "daemon/stop_guard.h"
#include "daemon/store_watch.h"
#include "daemon/token_watch.h"
#include "daemon/worker.h"
#include "http/server.h"
#include "observe/health.h"
#include "observe/liveness.h"
#include "observe/log.h"
#include "observe/metrics.h"
#include "observe/repeat_limiter.h"
#include "proxy/pages.h"
#include "proxy/stored_judge.h"
#include "status/history.h"
#include "status/page.h"

namespace holdfast::daemon {

class Daemon {
 public:
  // Reads the settings again, for SIGHUP.
  using Reread = std::function<base::Result<config::Settings>()>;

  // Errors name the setting at fault.
  static base::Result<std::unique_ptr<Daemon>> make(config::Settings settings, Reread reread);
  ~Daemon();

  // Before run(): what whoever starts it is told, of the port as it is, in place of the usual
  // words.
  using Greeting = std::function<std::string(const std::string& port)>;
  void greet_with(Greeting greeting) { greeting_ = std::move(greeting); }

  // Returns when the daemon has stopped, with the process's exit code.
  int run();

 private:
  Daemon(config::Settings settings, Reread reread);

  base::Result<void> bind_listeners();
  base::Result<void> share_listeners(const std::vector<base::UniqueFd>& passed);
  base::Result<void> bind_admin();
  void open_store();
  void make_workers_realtime();
  void add_pages();
  void open_admin();
  void add_metrics();
  void tell_whoever_started_it() const;
  void start();
  void on_signal(int signal);
  // daemon_reload.cpp
  void reload();
  void take_settings();
  void switch_over(config::Settings after, config::Changes changes, Draft draft);
  void adopt(const GenerationPtr& next, base::Duration request_deadline,
             const std::function<void()>& done);
  void take_limits(config::Settings& after);
  void shrink_memory(std::size_t limit_bytes);
  void settings_taken(config::Settings after, const config::Changes& changes);
  void refuse_settings(const std::string& error);
  void reload_done();
  base::Result<void> check_routing(const config::Routing& routing) const;
  base::Result<void> check_room_for_metrics(const Draft& draft) const;
  void drain();
  void worker_drained();
  bool stop();
  [[noreturn]] void end_anyway(std::string_view waited_for);
  void watch();
  std::string status();
  void watch_tokens();
  void on_token(std::size_t upstream, const base::Result<std::string>& token);
  void take_tokens(const config::Routing& read);
  void sample_history();
  status::Snapshot status_data();

  config::Settings settings_;
  Reread reread_;
  Greeting greeting_;  // null: the usual one
  base::SystemClock clock_;
  base::EventLoop control_;
  base::SignalMask signals_;  // before any thread: they inherit the mask
  observe::Log log_;
  std::atomic<const char*> stopping_{"the control loop"};  // what a stop waits for
  StopGuard stop_guard_;  // behind the log, before all that may hang in its destructor
  observe::Metrics metrics_;
  observe::Shard& shard_;
  observe::Health health_;
  observe::Liveness liveness_;
  observe::Heartbeat& heartbeat_;
  observe::RecentFailures failures_;
  const base::WallTime started_;
  cache::MemoryCache memory_;
  std::unique_ptr<cache::Store> store_;
  observe::Dependency* store_health_ = nullptr;
  std::optional<StoreWatch> store_watch_;
  OverloadWatch overload_watch_{health_, log_};
  ShortageWatch shortage_watch_{health_.add("resources", observe::Dependency::Role::Supporting),
                                log_};
  std::size_t descriptors_ = 0;      // that the process may have
  std::size_t own_descriptors_ = 0;  // those it had before any client
  std::size_t max_connections_ = 0;  // of clients, as far as descriptors go
  base::Timer watch_timer_;
  std::optional<status::History> history_;
  base::Timer history_timer_;
  std::atomic<double> runway_{std::numeric_limits<double>::quiet_NaN()};
  std::shared_ptr<proxy::StoredJudge> loading_judge_;  // until what is loaded has it
  std::unique_ptr<Origin> origin_;
  GenerationPtr generation_;  // that the workers serve by
  MemoryJudge memory_judge_{control_, memory_};
  base::Timer memory_timer_;       // while there is more than a new limit allows
  http::Server::Settings server_;  // of all workers
  proxy::Pages pages_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::vector<std::vector<base::UniqueFd>> listeners_;  // by worker, until they start
  std::string ports_;                                   // of all listeners, for people
  status::Snapshot::Reload reload_;                     // the start is the first one
  base::WallTime reloaded_well_at_;
  observe::Dependency& settings_health_;
  RecentAnswers recent_answers_;
  ServiceManager service_manager_;
  base::UniqueFd admin_socket_;  // until open_admin()
  std::unique_ptr<Admin> admin_;
  observe::RepeatLimiter signals_told_;
  bool told_to_stop_ = false;  // by a signal
  std::size_t draining_workers_ = 0;
  base::Timer drain_timer_;
  bool reloading_ = false;
  bool reload_again_ = false;  // told meanwhile
  // What may change of an upstream while it is the same.
  struct Upstream {
    std::string name;
    std::string token_file;
    std::string token;
  };
  std::vector<Upstream> upstreams_;  // as the generation's groups are numbered
  std::vector<std::unique_ptr<TokenWatch>> token_watches_;
};

}  // namespace holdfast::daemon
