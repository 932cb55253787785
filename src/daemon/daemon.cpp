#include "daemon/daemon.h"

#include <csignal>
#include <thread>
#include <utility>

#include "cache/no_store.h"
#include "cache/sqlite_store.h"
#include "config/config.h"
#include "daemon/pages.h"
#include "daemon/parts_settings.h"
#include "daemon/store_metrics.h"
#include "daemon/version.h"
#include "http/server.h"
#include "observe/process_stats.h"

namespace holdfast::daemon {
namespace {

using observe::Level;

// What a drain may take beyond the requests' own deadline.
constexpr base::Duration kDrainGrace = std::chrono::seconds(1);
constexpr base::Duration kStoreWatchInterval = std::chrono::milliseconds(500);

std::chrono::milliseconds offset_of(const config::Settings& settings) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(settings.clock_offset);
}

}  // namespace

base::Result<std::unique_ptr<Daemon>> Daemon::make(config::Settings settings, Reread reread) {
  std::unique_ptr<Daemon> daemon(new Daemon(std::move(settings), std::move(reread)));
  // First of all: a second daemon on the same port must not touch the store.
  if (auto bound = daemon->bind_listeners(); !bound) return tl::unexpected(bound.error());
  daemon->open_store();
  daemon->origin_ = std::make_unique<Origin>(
      Origin::Parts{daemon->clock_, daemon->memory_, *daemon->store_, daemon->log_,
                    daemon->metrics_, daemon->health_, daemon->liveness_},
      daemon->settings_);
  daemon->add_pages();
  for (unsigned i = 0; i < daemon->settings_.workers; ++i) {
    daemon->workers_.push_back(std::make_unique<Worker>(
        i,
        Origin::Parts{daemon->clock_, daemon->memory_, *daemon->store_, daemon->log_,
                      daemon->metrics_, daemon->health_, daemon->liveness_},
        *daemon->origin_, daemon->pages_, daemon->settings_));
  }
  daemon->add_metrics();
  return daemon;
}

Daemon::Daemon(config::Settings settings, Reread reread)
    : settings_(std::move(settings)),
      reread_(std::move(reread)),
      clock_(offset_of(settings_)),
      control_("holdfast", clock_),
      signals_(control_, {SIGTERM, SIGINT, SIGHUP}, [this](int signal) { on_signal(signal); }),
      log_(log_settings(settings_)),
      shard_(metrics_.shard()),
      health_(clock_),
      memory_(memory_settings(settings_)) {
  std::signal(SIGPIPE, SIG_IGN);
  // A file that reached the process's limit is a full disk, not the end.
  std::signal(SIGXFSZ, SIG_IGN);
}

Daemon::~Daemon() {
  stop();
}

base::Result<void> Daemon::bind_listeners() {
  listeners_.resize(settings_.workers);
  for (const std::string& host : settings_.bind) {
    // Port 0: what the kernel picks for the first worker is everybody's.
    std::uint16_t port = settings_.port;
    const auto failed = [](const base::Error& error) {
      return base::internal_error(error.kind, "PORT, BIND: " + error.message);
    };
    if (auto unused = http::check_unused({host, port}); !unused) return failed(unused.error());
    for (auto& listeners : listeners_) {
      auto listener = http::listen_at({host, port});
      if (!listener) return failed(listener.error());
      port = http::local_port(listener->get());
      listeners.push_back(std::move(*listener));
    }
  }
  return {};
}

void Daemon::open_store() {
  store_health_ = &health_.add("store", observe::Dependency::Role::Supporting);
  if (settings_.store_path.empty()) {
    store_ = std::make_unique<cache::NoStore>();
    return;
  }
  cache::StoreSettings store = store_settings(settings_);
  store.memory = [this](const auto& visit) { memory_.for_each(visit); };
  store.on_commit = commit_timer(metrics_);
  store.on_read = read_timer(metrics_);
  auto opened = cache::open_store(store, clock_, log_);
  if (opened) {
    store_ = std::move(*opened);
    return;
  }
  // It logs why.
  store_ = cache::store_without_file(std::move(store), opened.error(), clock_, log_);
}

void Daemon::add_pages() {
  pages_ = make_pages({clock_, metrics_, health_, liveness_, control_});
  if (!settings_.store_path.empty()) {
    describe_store(*store_health_, *store_, settings_.store_limit_bytes);
  }
  health_.set_cache_answers(
      [this] { return memory_.stats().entries > 0 || store_->status().entries > 0; });
}

void Daemon::add_metrics() {
  using observe::Family;
  observe::export_process(metrics_, kVersion);
  observe::export_loop_lag(metrics_, liveness_, clock_);
  export_memory(metrics_, memory_, settings_.memory_limit_bytes);
  export_store(metrics_, *store_, settings_.store_limit_bytes);
  metrics_.callback(Family::LogDropped, {}, [this] { return static_cast<double>(log_.dropped()); });
  metrics_.callback(Family::Draining, {}, [this] { return health_.draining() ? 1.0 : 0.0; });
  for (const auto& worker : workers_) {
    metrics_.callback(Family::Connections, {}, [&worker = *worker] {
      return static_cast<double>(worker.stats().connections);
    });
    metrics_.callback(Family::RequestsInFlight, {}, [&worker = *worker] {
      return static_cast<double>(worker.stats().in_flight);
    });
  }
}

int Daemon::run() {
  for (const std::string& warning : settings_.warnings) {
    log_.event(Level::Warn, "setting", {{"warning", warning}});
  }
  start();
  control_.run();
  stop();
  log_.event(Level::Info, "stopped");
  return 0;
}

void Daemon::start() {
  for (std::size_t i = 0; i < settings_.bind.size(); ++i) {
    log_.event(Level::Info, "listening",
               {{"address", settings_.bind[i]},
                {"port", http::local_port(listeners_.front()[i].get())},
                {"version", kVersion}});
  }
  // The ports take connections since they were bound. Before the workers, as the
  // first of them may be asked at once.
  health_.set_listening(true);
  load_memory();
  origin_->start();
  for (std::size_t i = 0; i < workers_.size(); ++i) workers_[i]->start(std::move(listeners_[i]));
  watch_store();
}

// The most recently used part of the store, behind the first answers.
void Daemon::load_memory() {
  store_->load_recent([this](std::string_view key, cache::StoredPtr stored) {
    // A little is left free, so that this does not evict what clients ask for now.
    if (memory_.stats().bytes > settings_.memory_limit_bytes / 10 * 9) return false;
    memory_.put_if_absent(key, std::move(stored));
    return true;
  });
}

void Daemon::watch_store() {
  store_timer_.set_after(control_, kStoreWatchInterval, [this] { watch_store(); });
  const cache::StoreStatus status = store_->status();
  using State = cache::StoreStatus::State;
  const auto state = status.state == State::Ok         ? observe::HealthState::Ok
                     : status.state == State::Degraded ? observe::HealthState::Degraded
                                                       : observe::HealthState::Down;
  store_health_->set_state(settings_.store_path.empty() ? observe::HealthState::Ok : state,
                           status.reason);
}

void Daemon::on_signal(int signal) {
  if (signal == SIGHUP) return reload();
  if (health_.draining()) {
    log_.event(Level::Warn, "stopping_now", {{"reason", "a second signal"}});
    return control_.stop();
  }
  drain();
}

void Daemon::reload() {
  auto reread = reread_();
  if (!reread) {
    log_.event(Level::Error, "reload_failed", {{"error", reread.error().message}});
    return;
  }
  const config::Changes changes = config::changes(settings_, *reread);
  const auto joined = [](const std::vector<std::string>& keys) {
    std::string text;
    for (const std::string& key : keys) text += (text.empty() ? "" : ", ") + key;
    return text;
  };
  settings_.log_level = reread->log_level;
  log_.set_level(log_level(settings_.log_level));
  if (settings_.api_token != reread->api_token) {
    settings_.api_token = reread->api_token;
    origin_->set_token(settings_.api_token);
  }
  settings_.api_token_file = reread->api_token_file;
  log_.event(Level::Info, "reloaded",
             {{"changed", joined(changes.now)}, {"needs_restart", joined(changes.needs_restart)}});
}

void Daemon::drain() {
  health_.set_draining();
  log_.event(Level::Info, "draining");
  draining_workers_ = workers_.size();
  for (const auto& worker : workers_) {
    worker->drain([this] { control_.post([this] { worker_drained(); }); });
  }
  drain_timer_.set_after(control_, settings_.request_deadline + kDrainGrace, [this] {
    log_.event(Level::Warn, "drain_timed_out");
    control_.stop();
  });
}

void Daemon::worker_drained() {
  if (--draining_workers_ == 0) control_.stop();
}

void Daemon::stop() {
  for (const auto& worker : workers_) worker->stop();
  if (origin_) origin_->stop();
  if (store_) store_->flush();
}

}  // namespace holdfast::daemon
