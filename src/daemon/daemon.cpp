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
// Of the lookups of that time, how many an outage would leave answered.
constexpr base::Duration kRunwayWindow = std::chrono::minutes(10);
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
                    daemon->metrics_, daemon->health_, daemon->liveness_, daemon->failures_},
      daemon->settings_);
  daemon->add_pages();
  for (unsigned i = 0; i < daemon->settings_.workers; ++i) {
    daemon->workers_.push_back(std::make_unique<Worker>(
        i,
        Origin::Parts{daemon->clock_, daemon->memory_, *daemon->store_, daemon->log_,
                      daemon->metrics_, daemon->health_, daemon->liveness_, daemon->failures_},
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
      heartbeat_(liveness_.add("control", clock_.now())),
      started_(clock_.wall()),
      memory_(memory_settings(settings_)) {
  std::signal(SIGPIPE, SIG_IGN);
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
  store_watch_.emplace(*store_health_, log_, settings_.store_path.empty());
  add_store_facts();
  if (settings_.store_path.empty()) {
    store_ = std::make_unique<cache::NoStore>();
    return;
  }
  cache::StoreSettings store = store_settings(settings_);
  store.memory = [this](const auto& visit) { memory_.for_each(visit); };
  store.on_commit = commit_timer(metrics_);
  auto opened = cache::open_store(store, clock_, log_);
  if (opened) {
    store_ = std::move(*opened);
    return;
  }
  log_.event(Level::Error, "store_not_opened",
             {{"setting", "STORE_PATH"},
              {"path", settings_.store_path},
              {"error", opened.error().message}});
  store_ = cache::store_without_file(std::move(store), opened.error(), clock_, log_);
}

void Daemon::add_store_facts() {
  const auto fact = [this](const char* key, auto read) {
    store_health_->fact(key, [this, read] {
      return observe::Dependency::Fact(static_cast<std::int64_t>(read(store_->status())));
    });
  };
  using Status = cache::StoreStatus;
  fact("entries", [](const Status& status) { return status.entries; });
  fact("size_bytes", [](const Status& status) { return status.size_bytes; });
  fact("limit_bytes", [this](const Status&) { return settings_.store_limit_bytes; });
  fact("queued", [](const Status& status) { return status.queued; });
  fact("dropped", [](const Status& status) { return status.dropped; });
}

void Daemon::add_pages() {
  pages_ = make_pages(
      {clock_, metrics_, health_, liveness_, control_, [this] { return status_data(); }});
  health_.set_cache_answers(
      [this] { return memory_.stats().entries > 0 || store_->status().entries > 0; });
}

void Daemon::add_metrics() {
  using observe::Family;
  observe::export_process(metrics_, kVersion);
  observe::export_loop_lag(metrics_, liveness_, clock_);
  export_memory(metrics_, memory_, settings_.memory_limit_bytes);
  export_store(metrics_, *store_, *store_health_, settings_.store_limit_bytes);
  metrics_.callback(Family::LogDropped, {}, [this] { return static_cast<double>(log_.dropped()); });
  metrics_.callback(Family::OutageRunway, {}, [this] { return runway_.load(); });
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
  load_memory();
  // Before the first request can be counted.
  history_.emplace(History::Settings{}, read_counts(metrics_), control_.now());
  origin_->start();
  for (std::size_t i = 0; i < workers_.size(); ++i) workers_[i]->start(std::move(listeners_[i]));
  health_.set_listening(true);
  heartbeat_.start(control_);
  sample_history();
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
  store_watch_->look(store_->status(), control_.now());
}

void Daemon::sample_history() {
  history_timer_.set_after(control_, history_->settings().step, [this] {
    const Counts counts = read_counts(metrics_);
    history_->add(counts, control_.now(), clock_.wall());
    const auto samples = history_->samples(counts, control_.now(), clock_.wall());
    runway_ = History::window(samples, kRunwayWindow)
                  .counts.share_without_upstream()
                  .value_or(std::numeric_limits<double>::quiet_NaN());
    sample_history();
  });
}

StatusData Daemon::status_data() {
  StatusData data;
  data.at = clock_.wall();
  data.version = kVersion;
  data.started = started_;
  data.state = health_.overall();
  data.draining = health_.draining();
  data.health_json = health_.json();
  data.samples = history_->samples(read_counts(metrics_), control_.now(), data.at);
  data.step = history_->settings().step;
  data.upstream = origin_->status();
  data.memory = memory_.stats();
  data.memory_limit_bytes = settings_.memory_limit_bytes;
  data.has_store = !settings_.store_path.empty();
  data.store = store_->status();
  if (store_health_->state() != observe::HealthState::Ok) {
    data.store_trouble = store_health_->reason();
  }
  data.store_limit_bytes = settings_.store_limit_bytes;
  data.usable_for = std::chrono::duration_cast<std::chrono::seconds>(settings_.cache_ttl +
                                                                     settings_.stale_if_error);
  data.failures = failures_.latest();
  for (const auto& beat : liveness_.heartbeats()) {
    data.loops.push_back(
        {beat->name(), std::chrono::duration<double>(beat->lag(control_.now())).count()});
  }
  data.connections = metrics_.value(observe::Family::Connections);
  data.requests_in_flight = metrics_.value(observe::Family::RequestsInFlight);
  data.settings = config::settings_in_force(settings_);
  return data;
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
