#include "daemon/daemon.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include "base/processors.h"
#include "cache/load_memory.h"
#include "cache/no_store.h"
#include "cache/sqlite_store.h"
#include "config/config.h"
#include "daemon/descriptors.h"
#include "daemon/pages.h"
#include "daemon/parts_settings.h"
#include "daemon/route_plans.h"
#include "daemon/start_check.h"
#include "daemon/store_metrics.h"
#include "daemon/summary.h"
#include "daemon/version.h"
#include "http/connection_places.h"
#include "http/server.h"
#include "observe/process_stats.h"
#include "upstream/curl_transport.h"

namespace holdfast::daemon {
namespace {

using observe::Level;

// Then the loops have so long to end: they only have to turn once.
constexpr base::Duration kLoopPatience = std::chrono::seconds(3);
// A log that nobody reads takes this on top (observe::Log), for its last lines.
constexpr base::Duration kLogGrace = std::chrono::seconds(2);
// Something hung, and was left behind.
constexpr int kNotAllEnded = 1;
// Of the lookups of that time, how many an outage would leave answered.
constexpr base::Duration kRunwayWindow = std::chrono::minutes(10);
constexpr base::Duration kWatchInterval = std::chrono::milliseconds(500);

// Those that mean something to us, and those whose default would end the process though
// nobody who sends one can mean that: a log rotation's USR1, a timer's left by who started us.
// Of the latter there is a line. What tells of a fault in the process still ends it.
std::vector<int> signals_taken() {
  std::vector<int> signals{SIGTERM, SIGINT,    SIGHUP,  SIGUSR1, SIGUSR2,  SIGALRM,
                           SIGIO,   SIGVTALRM, SIGPROF, SIGPWR,  SIGSTKFLT};
  for (int signal = SIGRTMIN; signal <= SIGRTMAX; ++signal) signals.push_back(signal);
  return signals;
}

std::string name_of(int signal) {
  const char* const name = ::sigabbrev_np(signal);
  return name != nullptr ? std::string("SIG") + name : std::to_string(signal);
}

std::chrono::milliseconds offset_of(const config::Settings& settings) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(settings.clock_offset);
}

}  // namespace

base::Result<std::unique_ptr<Daemon>> Daemon::make(config::Settings settings, Reread reread) {
  auto plans = plan_routes(*settings.routing);
  if (!plans) return tl::unexpected(plans.error());
  upstream::set_up_libcurl();  // changes the environment: before there are threads
  std::unique_ptr<Daemon> daemon(new Daemon(std::move(settings), std::move(reread)));
  daemon->descriptors_ = raise_descriptor_limit();
  // First of all: a second daemon on the same port must not touch the store.
  if (auto bound = daemon->bind_listeners(); !bound) return tl::unexpected(bound.error());
  if (auto bound = daemon->bind_admin(); !bound) return tl::unexpected(bound.error());
  daemon->open_store();
  daemon->loading_judge_ = std::make_shared<proxy::StoredJudge>(*plans);
  daemon->origin_ = std::make_unique<Origin>(
      Parts{daemon->clock_, daemon->memory_, *daemon->store_, daemon->log_, daemon->metrics_,
            daemon->health_, daemon->liveness_, daemon->failures_},
      daemon->settings_.routing, *std::move(plans));
  daemon->generation_ = daemon->origin_->generation();
  daemon->add_pages();
  daemon->own_descriptors_ = open_descriptors();
  daemon->max_connections_ =
      connections_within(daemon->descriptors_, daemon->own_descriptors_, daemon->settings_);
  daemon->server_ = server_settings(daemon->settings_, daemon->max_connections_);
  // Clients who say nothing give way to what we need to serve those who do.
  daemon->origin_->on_lack([places = daemon->server_.places](base::Resource resource) {
    if (resource == base::Resource::Descriptors) places->make_room();
  });
  for (unsigned i = 0; i < daemon->settings_.workers; ++i) {
    daemon->workers_.push_back(std::make_unique<Worker>(
        i,
        Parts{daemon->clock_, daemon->memory_, *daemon->store_, daemon->log_, daemon->metrics_,
              daemon->health_, daemon->liveness_, daemon->failures_},
        *daemon->origin_, daemon->pages_, daemon->settings_, daemon->server_));
  }
  daemon->add_metrics();
  daemon->open_admin();
  return daemon;
}

Daemon::Daemon(config::Settings settings, Reread reread)
    : settings_(std::move(settings)),
      reread_(std::move(reread)),
      clock_(offset_of(settings_)),
      control_("holdfast", clock_),
      signals_(signals_taken()),
      log_(log_settings(settings_)),
      stop_guard_(signals_, stop_patience(settings_),
                  {[this](int signal) { control_.post([this, signal] { on_signal(signal); }); },
                   [this] { end_anyway(stopping_.load()); }}),
      shard_(metrics_.shard()),
      health_(clock_),
      heartbeat_(liveness_.add("control", clock_.now())),
      started_(clock_.wall()),
      memory_(memory_settings(settings_)),
      reload_{.at = started_, .error = {}, .needs_restart = {}},
      reloaded_well_at_(started_),
      settings_health_(health_.add("settings", observe::Dependency::Role::Supporting)),
      service_manager_(ServiceManager::from_environment(log_),
                       {control_, liveness_, log_, [this] { return status(); }}) {
  for (const config::UpstreamConfig& upstream : settings_.routing->upstreams) {
    upstreams_.push_back(
        {upstream.name, upstream.settings.api_token_file, upstream.settings.api_token});
  }
  std::signal(SIGPIPE, SIG_IGN);
  // A file that reached the process's limit is a full disk, not the end.
  std::signal(SIGXFSZ, SIG_IGN);
}

Daemon::~Daemon() {
  stop();
}

base::Result<void> Daemon::bind_listeners() {
  listeners_.resize(settings_.workers);
  auto passed = passed_sockets();
  if (!passed) return tl::unexpected(passed.error());
  if (!passed->empty()) return share_listeners(*passed);
  std::size_t absent = 0;
  for (http::ListenAddress& address : listen_addresses(settings_)) {
    const auto failed = [](const base::Error& error) {
      return base::internal_error(error.kind, "PORT, BIND: " + error.message);
    };
    if (auto unused = http::check_unused(address); !unused) {
      const base::Error& error = unused.error();
      if (error.kind != base::ErrorKind::Unavailable || !settings_.is_default("bind")) {
        return failed(error);
      }
      // Of the addresses that nobody asked for, those will do that the machine has:
      // many have no IPv6.
      settings_.warnings.push_back(error.message);
      if (++absent == settings_.bind.size()) return failed(error);
      continue;
    }
    for (auto& listeners : listeners_) {
      auto listener = http::listen_at(address);
      if (!listener) return failed(listener.error());
      // Port 0: what the kernel picks for the first worker is everybody's.
      address.port = http::local_port(listener->get());
      listeners.push_back(std::move(*listener));
    }
  }
  return {};
}

// Systemd's sockets, in place of PORT and BIND: every worker accepts from each.
base::Result<void> Daemon::share_listeners(const std::vector<base::UniqueFd>& passed) {
  for (auto& listeners : listeners_) {
    for (const base::UniqueFd& socket : passed) {
      base::UniqueFd copy(::fcntl(socket.get(), F_DUPFD_CLOEXEC, 0));
      if (!copy) {
        return base::internal_error(base::ErrorKind::Io,
                                    std::string("a passed socket: ") + std::strerror(errno));
      }
      listeners.push_back(std::move(copy));
    }
  }
  for (const char* key : {"port", "bind"}) {
    if (settings_.is_default(key)) continue;
    settings_.warnings.push_back(std::string(key) +
                                 " is not used: the service manager passes the sockets");
  }
  return {};
}

base::Result<void> Daemon::bind_admin() {
  if (settings_.admin_socket.empty()) return {};
  auto socket = http::listen_at_path(settings_.admin_socket);
  if (!socket) {
    return base::internal_error(socket.error().kind, "ADMIN_SOCKET: " + socket.error().message);
  }
  admin_socket_ = std::move(*socket);
  return {};
}

void Daemon::open_admin() {
  if (!admin_socket_) return;
  admin_ = std::make_unique<Admin>(
      Admin::Parts{control_, *origin_, memory_, *store_, log_, metrics_, shard_, health_,
                   [this] {
                     if (!health_.draining()) drain();
                   },
                   [this] { return reload_.needs_restart; },
                   [this] { return settings_.request_deadline; }},
      std::move(admin_socket_));
}

void Daemon::open_store() {
  store_health_ = &health_.add("store", observe::Dependency::Role::Supporting);
  store_watch_.emplace(*store_health_, log_, settings_.store_path.empty());
  if (settings_.store_path.empty()) {
    store_ = std::make_unique<cache::NoStore>();
    return;
  }
  cache::StoreSettings store = store_settings(settings_);
  store.memory = [this](const auto& visit) { memory_.for_each(visit); };
  store.purges = &memory_.purges();
  store.on_commit = commit_timer(metrics_);
  // On the origin loop, as all reads but the first filling of memory are.
  store.on_read = [this, observe = read_timer(metrics_)](base::Duration took) {
    observe(took);
    origin_->was_reading(took);
  };
  auto opened = cache::open_store(store, clock_, log_);
  if (opened) {
    store_ = std::move(*opened);
    return;
  }
  // It logs why.
  store_ = cache::store_without_file(std::move(store), opened.error(), clock_, log_);
}

void Daemon::add_pages() {
  pages_ = make_pages(
      {clock_, metrics_, health_, liveness_, control_, [this] { return status_data(); }});
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
  export_memory(metrics_, memory_);
  // Without a store there is nothing to be up, and nobody to alert.
  if (!settings_.store_path.empty()) {
    export_store(
        metrics_, *store_, *store_health_,
        {.bytes = settings_.store_limit_bytes, .queued = store_settings(settings_).queue_entries});
  }
  metrics_.callback(Family::LogDropped, {}, [this] { return static_cast<double>(log_.dropped()); });
  metrics_.callback(Family::OutageRunway, {}, [this] { return runway_.load(); });
  metrics_.callback(Family::Draining, {}, [this] { return health_.draining() ? 1.0 : 0.0; });
  metrics_.callback(Family::ConfigReloadSuccessful, {},
                    [this] { return reload_.error.empty() ? 1.0 : 0.0; });
  metrics_.callback(Family::ConfigReloadTime, {}, [this] {
    return std::chrono::duration<double>(reloaded_well_at_.time_since_epoch()).count();
  });
  metrics_.callback(Family::ConnectionsLimit, {},
                    [this] { return static_cast<double>(max_connections_); });
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
  const std::string workers = too_many_workers(settings_.workers, base::usable_processors());
  if (!workers.empty()) settings_.warnings.push_back(workers);
  if (max_connections_ < settings_.max_connections) {
    settings_.warnings.push_back(fewer_connections(settings_, descriptors_, max_connections_));
  }
  for (const std::string& warning : settings_.warnings) {
    log_.event(Level::Warn, "setting", {{"warning", warning}});
  }
  tell_whoever_started_it();
  start();
  control_.run();
  if (!stop()) end_anyway("");
  log_.event(Level::Info, "stopped");
  stopping_ = "the last thread";
  return 0;
}

// Where standard error is a terminal somebody is there to read it; elsewhere it is the log's alone,
// unless something else was asked for.
void Daemon::tell_whoever_started_it() const {
  if ((!greeting_ && ::isatty(STDERR_FILENO) == 0) || listeners_.front().empty()) return;
  const std::uint16_t number = http::local_port(listeners_.front().front().get());
  if (number == 0) return;
  const std::string port = std::to_string(number);
  const std::string words = greeting_ ? greeting_(port) : first_words(settings_, port);
  (void)!::write(STDERR_FILENO, words.data(), words.size());
}

void Daemon::start() {
  for (const base::UniqueFd& listener : listeners_.front()) {
    const std::string address = http::local_host(listener.get());
    const std::uint16_t port = http::local_port(listener.get());
    if (ports_.empty()) {
      log_.event(Level::Info, "listening",
                 {{"address", address},
                  {"port", port},
                  {"version", kVersion},
                  {"upstreams", upstreams_in_short(*settings_.routing)},
                  {"routes", routes_in_short(*settings_.routing)}});
    } else {
      log_.event(Level::Info, "listening",
                 {{"address", address}, {"port", port}, {"version", kVersion}});
    }
    const std::string name = port == 0 ? address : std::to_string(port);
    if (ports_ != name) ports_ += (ports_.empty() ? "" : ", ") + name;
  }
  // The ports take connections since they were bound. Before the workers, as the
  // first of them may be asked at once.
  health_.set_listening(true);
  // A little is left free, so that this does not evict what clients ask for now.
  cache::load_memory(*store_, memory_, settings_.memory_limit_bytes / 10 * 9,
                     [judge = loading_judge_](std::string_view key, const auto& stored) {
                       return judge->takes(key, stored);
                     });
  loading_judge_.reset();
  // Before the first request can be counted.
  history_.emplace(status::History::Settings{}, status::read_counts(metrics_), control_.now());
  // So that health says what is known by now to the first who asks.
  watch();
  origin_->start();
  for (std::size_t i = 0; i < workers_.size(); ++i) workers_[i]->start(std::move(listeners_[i]));
  if (settings_.worker_scheduling == config::Scheduling::Realtime) make_workers_realtime();
  heartbeat_.start(control_);
  sample_history();
  watch_tokens();
  service_manager_.ready();
}

void Daemon::make_workers_realtime() {
  for (const auto& worker : workers_) {
    const int error = worker->make_realtime();
    if (error == 0) continue;
    log_.event(Level::Warn, "setting",
               {{"warning",
                 "worker_scheduling=realtime is not allowed here: it needs "
                 "RLIMIT_RTPRIO of at least 1, or CAP_SYS_NICE"},
                {"error", std::strerror(error)}});
    return;
  }
}

// What the service manager shows of us.
std::string Daemon::status() {
  // As the status page counts them.
  const status::Counts counts = status::read_counts(metrics_);
  recent_answers_.note(clock_.now(), {.all = counts.ok() + counts.failed(), .ok = counts.ok()});

  const bool has_store = !settings_.store_path.empty();
  StatusFacts facts;
  facts.ports = ports_;
  facts.upstream = health_.best(observe::Dependency::Role::Origin);
  facts.store = store_health_->state();
  facts.stored = has_store && facts.store != observe::HealthState::Down ? store_->status().entries
                                                                        : memory_.stats().entries;
  facts.recent = recent_answers_.last_minute();
  facts.draining = health_.draining();
  for (const auto& worker : workers_) facts.in_flight += worker->stats().in_flight;
  facts.reload_error = reload_.error;
  return status_line(facts);
}

void Daemon::watch() {
  watch_timer_.set_after(control_, kWatchInterval, [this] { watch(); });
  store_watch_->look(store_->status(), control_.now());
  overload_watch_.look(turned_away(metrics_), control_.now());
  shortage_watch_.look(shortages(metrics_), control_.now());
}

void Daemon::sample_history() {
  history_timer_.set_after(control_, history_->settings().step, [this] {
    const status::Counts counts = status::read_counts(metrics_);
    history_->add(counts, control_.now());
    const auto samples = history_->samples(counts, control_.now(), clock_.wall());
    runway_ = status::History::window(samples, kRunwayWindow)
                  .counts.share_without_upstream()
                  .value_or(std::numeric_limits<double>::quiet_NaN());
    sample_history();
  });
}

status::Snapshot Daemon::status_data() {
  status::Snapshot data;
  data.at = clock_.wall();
  data.version = kVersion;
  data.started = started_;
  data.state = health_.overall();
  data.draining = health_.draining();
  data.overloaded = health_.overloaded();
  data.health_json = health_.json();
  data.samples = history_->samples(status::read_counts(metrics_), control_.now(), data.at);
  data.step = history_->settings().step;
  for (const auto& group : generation_->groups) {
    data.upstreams.push_back({group->shown_name(), group->status(), group->forbidden_share()});
  }
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
  for (config::InForce& setting : config::settings_in_force(settings_)) {
    data.settings.push_back(
        {std::move(setting.key), std::move(setting.value), std::move(setting.source)});
  }
  data.reload = reload_;
  return data;
}

// A token's file is looked at for each upstream that has one.
void Daemon::watch_tokens() {
  token_watches_.clear();
  for (std::size_t i = 0; i < upstreams_.size(); ++i) {
    const Upstream& upstream = upstreams_[i];
    if (upstream.token_file.empty()) continue;
    token_watches_.push_back(std::make_unique<TokenWatch>(
        control_, [file = upstream.token_file] { return config::read_token_file(file); },
        [this, i](const auto& token) { on_token(i, token); }));
    token_watches_.back()->start(upstream.token);
  }
}

void Daemon::on_token(std::size_t upstream, const base::Result<std::string>& token) {
  const std::string& file = upstreams_[upstream].token_file;
  if (!token) {
    log_.event(Level::Error, "token_file_unreadable",
               {{"path", file}, {"error", token.error().message}});
    return;
  }
  upstreams_[upstream].token = *token;
  // A reload compares with what is in force.
  if (file == settings_.api_token_file) settings_.api_token = *token;
  origin_->set_token(generation_->groups[upstream], *token);
  log_.event(Level::Info, "token_changed", {{"path", file}});
}

void Daemon::on_signal(int signal) {
  if (signal == SIGHUP) return reload();
  if (signal != SIGTERM && signal != SIGINT) {
    const auto suppressed = signals_told_.admit(control_.now());
    if (!suppressed) return;
    return log_.event(Level::Warn, "signal_ignored",
                      {{"signal", name_of(signal)}, {"suppressed", *suppressed}});
  }
  if (std::exchange(told_to_stop_, true)) {
    log_.event(Level::Warn, "stopping_now", {{"reason", "a second signal"}});
    return control_.stop();
  }
  // Drained by hand and then told to stop is not told twice.
  if (!health_.draining()) drain();
}

void Daemon::drain() {
  health_.set_draining();
  log_.event(Level::Info, "draining");
  service_manager_.stopping(stop_patience(settings_) + kLogGrace);
  stop_guard_.end_within(stop_patience(settings_));
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

// False: a loop hangs, and so nothing that it may touch can be taken down.
bool Daemon::stop() {
  stop_guard_.end_within(kStopGrace);
  stopping_ = "a loop";
  const base::SteadyTime patience = control_.now() + kLoopPatience;
  bool ended = true;
  const auto wait_for = [&](auto& part, const std::string& name) {
    if (part.ends_within(std::max(base::Duration::zero(), patience - control_.now()))) return;
    log_.event(Level::Error, "loop_hangs", {{"loop", name}});
    ended = false;
  };
  for (const auto& worker : workers_) worker->stop();
  for (const auto& worker : workers_) wait_for(*worker, worker->name());
  if (origin_) {
    origin_->stop();
    wait_for(*origin_, "origin");
  }
  stopping_ = "the store";
  if (store_) store_->flush();
  if (admin_ || admin_socket_) ::unlink(settings_.admin_socket.c_str());
  if (!ended) return false;
  admin_.reset();
  admin_socket_.reset();
  return true;
}

// Any thread, while the others are as they are: no destructor runs, nothing is waited for.
void Daemon::end_anyway(std::string_view waited_for) {
  if (!waited_for.empty()) {
    log_.event(Level::Error, "stop_timed_out", {{"waiting_for", waited_for}});
  }
  log_.event(Level::Info, "stopped", {{"all_ended", false}});
  log_.flush();
  ::_exit(kNotAllEnded);
}

}  // namespace holdfast::daemon
