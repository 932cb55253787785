// A reload, from the control loop's side:
//
//   read      the settings, all of them checked; what is the same goes on, the rest is drafted
//   origin    makes what is new and takes the draft in place of the generation that was
//   memory    what rules have changed for is judged by the new ones
//   workers   adopt the new routes; when all have, it is told
//
// What is the same for all, limits and timeouts, is set with the workers' routes: memory that is to
// shrink does so bit by bit, and is in nobody's way meanwhile.
//
// Until the origin loop has taken the draft, anything that goes wrong leaves all as it was. From
// then on nothing can.
#include <algorithm>
#include <set>
#include <utility>

#include "daemon/daemon.h"
#include "daemon/descriptors.h"
#include "daemon/parts_settings.h"
#include "daemon/route_plans.h"
#include "daemon/start_check.h"
#include "http/client_limits.h"
#include "http/connection_places.h"

namespace holdfast::daemon {
namespace {

using observe::Level;

// Metric cells, with some to spare: of what counts a route's requests, of an origin, and what is
// left for what is counted only once it happens.
constexpr std::size_t kCellsOfRoute = 40;
constexpr std::size_t kCellsOfOrigin = 300;
constexpr std::size_t kCellsLeft = 2000;

// Of what memory has to give up, so much at a time.
constexpr std::size_t kEvictedPerTurn = 256;
constexpr base::Duration kBetweenTurns = std::chrono::milliseconds(1);

std::string joined(const std::vector<std::string>& keys) {
  std::string text;
  for (const std::string& key : keys) text += (text.empty() ? "" : ", ") + key;
  return text;
}

std::string or_none(std::string text) {
  return text.empty() ? "none" : text;
}

const config::UpstreamConfig* named(const config::Routing& routing, const std::string& name) {
  const auto found = std::find_if(routing.upstreams.begin(), routing.upstreams.end(),
                                  [&](const auto& upstream) { return upstream.name == name; });
  return found == routing.upstreams.end() ? nullptr : &*found;
}

}  // namespace

void Daemon::reload() {
  // Nothing that is read now would be used.
  if (health_.draining()) return;
  // What one is at work on stays as it is until that has ended.
  reload_again_ = std::exchange(reloading_, true);
  if (reload_again_) return;
  service_manager_.reloading();
  take_settings();
}

void Daemon::reload_done() {
  reloading_ = false;
  if (health_.draining()) return;
  service_manager_.ready();
  if (std::exchange(reload_again_, false)) reload();
}

// What was in force stays so, and so does what the last good ones wanted a restart for.
void Daemon::refuse_settings(const std::string& error) {
  reload_.error = error;
  settings_health_.failed(error);
  settings_health_.set_state(observe::HealthState::Degraded, "the last reload failed: " + error);
  log_.event(Level::Error, "reload_failed", {{"error", error}});
  reload_done();
}

void Daemon::take_settings() {
  auto read = reread_();
  reload_.at = clock_.wall();
  if (!read) return refuse_settings(read.error().message);
  if (read->routing->routes.front().built_in && !settings_.routing->routes.front().built_in) {
    return refuse_settings(read->config_file + ": has no [[route]] any more");
  }
  config::Settings after = config::in_force_after(settings_, *read);
  config::Changes changes = config::changes(settings_, after, *read);
  auto plans = plan_routes(*after.routing);
  if (!plans) return refuse_settings(plans.error().message);
  if (auto checked = check_routing(*after.routing); !checked) {
    return refuse_settings(checked.error().message);
  }
  if (changes.nothing_now()) return settings_taken(std::move(after), changes);
  Draft draft = make_draft(generation_, after.routing, *std::move(plans));
  if (auto room = check_room_for_metrics(draft); !room) {
    return refuse_settings(room.error().message);
  }
  switch_over(std::move(after), std::move(changes), std::move(draft));
}

// What those upstreams name on this machine that are not in service as they are.
base::Result<void> Daemon::check_routing(const config::Routing& routing) const {
  const config::SectionChanges upstreams = config::upstream_changes(*settings_.routing, routing);
  for (const auto* names : {&upstreams.added, &upstreams.changed}) {
    for (const std::string& name : *names) {
      if (auto checked = check_tls_files(*named(routing, name)); !checked) return checked;
    }
  }
  return {};
}

// Series are never given back, so that an endless row of new names would come to an end at some
// time. Better here, where that refuses a reload, than on a loop that serves.
base::Result<void> Daemon::check_room_for_metrics(const Draft& draft) const {
  using Labels = std::vector<std::string>;
  std::set<std::string> routes;
  metrics_.visit(observe::Family::Requests,
                 [&](const Labels& labels, double) { routes.insert(labels.front()); });
  std::set<std::pair<std::string, std::string>> origins;
  metrics_.visit(observe::Family::UpstreamAttempts, [&](const Labels& labels, double) {
    origins.emplace(labels.back(), labels.front());
  });
  std::size_t wanted = 0;
  for (const auto& route : draft.routes) {
    const std::string name(route->name());
    if (!routes.contains(name)) wanted += kCellsOfRoute;
    const bool batches = !route->plan().batch_path.empty();
    if (batches && !routes.contains(name + "_batch")) wanted += kCellsOfRoute;
  }
  for (std::size_t i = 0; i < draft.groups.size(); ++i) {
    const config::UpstreamConfig& upstream = draft.routing->upstreams[i];
    for (const std::string& origin : draft.groups[i].names) {
      if (origins.contains({upstream.built_in ? "" : upstream.name, origin})) continue;
      wanted += kCellsOfOrigin;
    }
  }
  if (wanted == 0 || wanted + kCellsLeft <= metrics_.free_cells()) return {};
  return base::internal_error(
      base::ErrorKind::Unavailable,
      settings_.config_file +
          ": there is no room for the metrics of these routes and upstreams "
          "beside those of all that were there before; it needs a restart");
}

void Daemon::switch_over(config::Settings after, config::Changes changes, Draft draft) {
  // They know the groups by their numbers, which are about to change.
  token_watches_.clear();
  const auto in_force = std::make_shared<config::Settings>(std::move(after));
  const auto to_judge = std::make_shared<std::vector<proxy::RoutePlan>>(draft.to_judge);
  const auto taken = [this, in_force, to_judge,
                      changes = std::move(changes)](base::Result<GenerationPtr> next) {
    if (!next) {
      watch_tokens();
      return refuse_settings(next.error().message);
    }
    memory_judge_.judge(*to_judge, [this, in_force, changes, next = *next](const auto& judged) {
      if (judged.judged > 0) {
        log_.event(Level::Info, "memory_judged",
                   {{"responses", judged.judged}, {"dropped", judged.dropped}});
      }
      take_limits(*in_force);
      adopt(next, in_force->request_deadline, [this, in_force, changes, next] {
        generation_ = next;
        settings_taken(std::move(*in_force), changes);
      });
    });
  };
  origin_->take(std::move(draft), [this, taken](base::Result<GenerationPtr> next) {
    control_.post([taken, next = std::move(next)] { taken(next); });
  });
}

// What is one for the whole process.
void Daemon::take_limits(config::Settings& after) {
  max_connections_ = connections_within(descriptors_, own_descriptors_, after);
  if (max_connections_ < after.max_connections) {
    after.warnings.push_back(fewer_connections(after, descriptors_, max_connections_));
  }
  http::Server::Settings server = server_settings(after, max_connections_);
  server.places = server_.places;
  server.client_limits = server_.client_limits;
  server.places->set_limit(max_connections_);
  server.client_limits->set(client_limits(after));
  server_ = std::move(server);
  stop_guard_.set_patience(stop_patience(after));
  shrink_memory(after.memory_limit_bytes);
}

void Daemon::shrink_memory(std::size_t limit_bytes) {
  if (memory_.shrink(limit_bytes, kEvictedPerTurn)) {
    memory_timer_.set_after(control_, kBetweenTurns,
                            [this, limit_bytes] { shrink_memory(limit_bytes); });
  } else {
    memory_timer_.cancel();
    memory_.set_limit(limit_bytes);
  }
}

// `done` comes when every worker serves by it.
void Daemon::adopt(const GenerationPtr& next, base::Duration request_deadline,
                   const std::function<void()>& done) {
  const auto left = std::make_shared<std::size_t>(workers_.size());
  for (const auto& worker : workers_) {
    worker->adopt(next->table, request_deadline, server_, [this, left, done] {
      control_.post([left, done] {
        if (--*left == 0) done();
      });
    });
  }
}

void Daemon::settings_taken(config::Settings after, const config::Changes& changes) {
  for (const std::string& warning : after.warnings) {
    log_.event(Level::Warn, "setting", {{"warning", warning}});
  }
  reload_.error.clear();
  reload_.needs_restart = changes.needs_restart;
  reloaded_well_at_ = reload_.at;
  settings_health_.set_state(observe::HealthState::Ok);
  settings_health_.succeeded();
  const std::shared_ptr<const config::Routing> read = after.routing;
  // The groups are numbered as the upstreams of the routing that they were made of.
  after.routing = generation_->routing;
  settings_ = std::move(after);
  take_tokens(*read);
  const auto report = [&] {
    log_.event(Level::Info, "reloaded",
               {{"changed", or_none(joined(changes.now))},
                {"upstreams", or_none(changes.upstreams.text())},
                {"routes", or_none(changes.routes.text())},
                {"needs_restart", or_none(joined(changes.needs_restart))}});
  };
  // Whoever reads that line may rely on what it says, so it comes last; but before a change
  // that would silence it.
  const observe::Log::Settings log = log_settings(settings_);
  log_.set_format(log.format);
  const Level level = log.level;
  if (level > Level::Info) report();
  log_.set_level(level);
  if (level <= Level::Info) report();
  reload_done();
}

// The tokens as they were read, for the upstreams in service; new ones have theirs already.
void Daemon::take_tokens(const config::Routing& read) {
  std::vector<Upstream> before = std::move(upstreams_);
  upstreams_.clear();
  for (const config::UpstreamConfig& upstream : generation_->routing->upstreams) {
    const config::UpstreamConfig& now = *named(read, upstream.name);
    upstreams_.push_back({now.name, now.settings.api_token_file, now.settings.api_token});
    const Upstream& one = upstreams_.back();
    const auto was = std::find_if(before.begin(), before.end(),
                                  [&](const Upstream& each) { return each.name == one.name; });
    if (was == before.end() || was->token == one.token) continue;
    origin_->set_token(generation_->groups[upstreams_.size() - 1], one.token);
  }
  watch_tokens();
}

}  // namespace holdfast::daemon
