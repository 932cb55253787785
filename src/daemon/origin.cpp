#include "daemon/origin.h"

#include <algorithm>

#include "daemon/parts_settings.h"

namespace holdfast::daemon {
namespace {

// How far health may be behind what happens.
constexpr base::Duration kHealthInterval = std::chrono::milliseconds(100);

}  // namespace

Origin::Origin(Parts parts, const config::Settings& settings, std::vector<proxy::RoutePlan> plans)
    : parts_(parts),
      stall_watch_("origin", times_, [this](const auto& stall) { tell_stall(stall); }),
      loop_("origin", parts.clock),
      random_(base::Random::entropy()),
      shard_(parts.metrics.shard()),
      heartbeat_(parts.liveness.add("origin", parts.clock.now())) {
  for (const base::Resource resource : base::kResources) {
    shortages_[static_cast<std::size_t>(resource)] = parts_.metrics.counter(
        observe::Family::ResourceShortages, {{"resource", std::string(to_string(resource))}});
  }
  constexpr std::array<const char*, 5> kKinds{"all", "route", "path", "tag", "url"};
  for (std::size_t kind = 0; kind < kKinds.size(); ++kind) {
    for (const bool soft : {false, true}) {
      purges_counted_[kind][soft ? 1 : 0] = parts_.metrics.counter(
          observe::Family::Purges, {{"kind", kKinds[kind]}, {"mode", soft ? "stale" : "purge"}});
    }
  }
  const config::Routing& routing = *settings.routing;
  std::vector<std::vector<std::string>> names = origin_names(routing);
  judge_.emplace(plans);
  for (std::size_t i = 0; i < routing.upstreams.size(); ++i) {
    std::size_t largest_body = 0;
    for (std::size_t route = 0; route < plans.size(); ++route) {
      if (routing.routes[route].upstream != i) continue;
      largest_body = std::max(largest_body, plans[route].body.max_body_bytes);
    }
    groups_.push_back(std::make_unique<OriginGroup>(
        parts_, loop_, random_, shard_, routing.upstreams[i], largest_body, std::move(names[i]),
        [this](base::Resource resource) {
          shard_.add(shortages_[static_cast<std::size_t>(resource)]);
          if (on_lack_) on_lack_(resource);
        },
        *judge_));
  }
  std::vector<proxy::Routes::Entry> entries;
  for (std::size_t i = 0; i < plans.size(); ++i) {
    owned_.push_back(std::make_unique<proxy::Route>(std::move(plans[i])));
    entries.push_back({*owned_.back(), groups_[routing.routes[i].upstream]->flights()});
  }
  routes_.emplace(std::move(entries));
  stall_watch_.export_to(parts_.metrics);
  loop_.watch_calls(stall_watch_);
}

Origin::~Origin() {
  stop();
}

void Origin::start() {
  loop_.post([this] {
    heartbeat_.start(loop_);
    report_health();
  });
  thread_.start(loop_);
}

void Origin::stop() {
  if (!thread_.runs()) return;
  loop_.post([this] {
    heartbeat_.stop();
    health_timer_.cancel();
    for (const auto& group : groups_) group->flights().abandon_all();
    loop_.stop();
  });
}

void Origin::tell_stall(const observe::Stall& stall) {
  const auto suppressed = stalls_told_.admit(loop_.now());
  if (!suppressed) return;
  const auto seconds = [](base::Duration time) {
    return std::chrono::duration<double>(time).count();
  };
  parts_.log.event(observe::Level::Warn, "loop_stalled",
                   {{"loop", loop_.name()},
                    {"call", stall.call},
                    {"busy_seconds", seconds(stall.busy)},
                    {"blocked_seconds", seconds(stall.blocked)},
                    {"disk_seconds", seconds(stall.disk)},
                    {"suppressed", *suppressed}});
}

void Origin::set_token(std::size_t group, std::string token) {
  loop_.post([this, group, token = std::move(token)]() mutable {
    groups_[group]->set_token(std::move(token));
  });
}

void Origin::purge(cache::Purge::Kind kind, bool soft, std::string_view what) {
  using Kind = cache::Purge::Kind;
  cache::Purges& purges = parts_.memory.purges();
  const base::WallTime now = parts_.clock.wall();
  shard_.add(purges_counted_[static_cast<std::size_t>(kind)][soft ? 1 : 0]);
  purges.add(kind, soft, what, now);
  // What was stored before its route had the tag does not say so.
  std::vector<std::string> tagged_routes;
  for (std::size_t i = 0; kind == Kind::Tag && i < routes_->size(); ++i) {
    const proxy::Route& route = (*routes_)[i].route;
    const std::vector<std::string>& tags = route.plan().storing.tags;
    if (std::find(tags.begin(), tags.end(), what) == tags.end()) continue;
    tagged_routes.emplace_back(route.name());
    purges.add(Kind::Route, soft, route.name(), now);
  }
  if (!soft && kind == Kind::All) {
    for (const auto& group : groups_) group->flights().purge_all();
  } else if (!soft) {
    forget_fetches(kind, what, tagged_routes);
  }
  parts_.store.write_purges();
}

// Of a tag, what is under way tells with its answer.
void Origin::forget_fetches(cache::Purge::Kind kind, std::string_view what,
                            const std::vector<std::string>& tagged_routes) {
  using Kind = cache::Purge::Kind;
  if (kind == Kind::Tag && tagged_routes.empty()) return;
  const auto concerns = [&](std::string_view key) {
    if (kind == Kind::Path) return cache::path_of(key) == what;
    const std::string_view route = cache::route_of(key);
    if (kind == Kind::Route) return route == what;
    return std::find(tagged_routes.begin(), tagged_routes.end(), route) != tagged_routes.end();
  };
  for (const auto& group : groups_) group->flights().purge_fetches(concerns);
}

void Origin::report_health() {
  health_timer_.set_after(loop_, kHealthInterval, [this] { report_health(); });
  for (const auto& group : groups_) group->report();
}

}  // namespace holdfast::daemon
