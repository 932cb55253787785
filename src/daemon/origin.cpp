#include "daemon/origin.h"

#include <exception>
#include <utility>

namespace holdfast::daemon {
namespace {

// How far health may be behind what happens.
constexpr base::Duration kHealthInterval = std::chrono::milliseconds(100);

}  // namespace

// The next generation, as far as its upstreams are made.
struct Origin::Taking {
  Draft draft;
  Taken done;
  std::vector<Generation::GroupLease> groups;
};

Origin::Origin(Parts parts, std::shared_ptr<const config::Routing> routing,
               std::vector<proxy::RoutePlan> plans)
    : parts_(parts),
      stall_watch_("origin", times_, [this](const auto& stall) { tell_stall(stall); }),
      loop_("origin", parts.clock),
      random_(base::Random::entropy()),
      shard_(parts.metrics.shard()),
      heartbeat_(parts.liveness.add("origin", parts.clock.now())),
      leases_(loop_) {
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
  Draft draft = make_draft(nullptr, std::move(routing), std::move(plans));
  std::vector<Generation::GroupLease> groups;
  for (std::size_t i = 0; i < draft.groups.size(); ++i) groups.push_back(make_group(draft, i));
  put_in_place(std::move(draft), std::move(groups));
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
    leases_.stop();
    leases_.for_each([](OriginGroup& group) { group.flights().abandon_all(); });
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

Generation::GroupLease Origin::make_group(const Draft& draft, std::size_t upstream) {
  const Draft::Group& group = draft.groups[upstream];
  auto made = leases_.add(std::make_unique<OriginGroup>(
      parts_, loop_, random_, shard_, draft.routing->upstreams[upstream], group.largest_body,
      group.names,
      [this](base::Resource resource) {
        shard_.add(shortages_[static_cast<std::size_t>(resource)]);
        if (on_lack_) on_lack_(resource);
      },
      judge_));
  // At once: with the next turn it would make its first connection.
  made->set_idle(group.all_offline);
  return made;
}

void Origin::take(Draft draft, Taken done) {
  auto taking = std::make_shared<Taking>(Taking{std::move(draft), std::move(done), {}});
  loop_.post([this, taking = std::move(taking)] { make_next(taking); });
}

// One a turn, as each takes a millisecond or so.
void Origin::make_next(const std::shared_ptr<Taking>& taking) {
  const std::size_t next = taking->groups.size();
  if (next == taking->draft.groups.size()) {
    put_in_place(std::move(taking->draft), std::move(taking->groups));
    return taking->done(generation_);
  }
  const Draft::Group& group = taking->draft.groups[next];
  try {
    taking->groups.push_back(group.same ? group.same : make_group(taking->draft, next));
  } catch (const std::exception& error) {
    return taking->done(base::internal_error(
        base::ErrorKind::Unavailable,
        taking->draft.routing->upstreams[next].place.of("") + ": " + error.what()));
  }
  if (group.same) return make_next(taking);
  loop_.post([this, taking] { make_next(taking); });
}

void Origin::put_in_place(Draft draft, std::vector<Generation::GroupLease> groups) {
  judge_ = std::move(draft.judge);
  for (std::size_t i = 0; i < groups.size(); ++i) {
    if (!draft.groups[i].same) continue;
    groups[i]->raise_body_limit(draft.groups[i].largest_body);
    groups[i]->take(draft.routing->upstreams[i]);
  }
  for (const auto& route : draft.retired_routes) route->retire();
  for (const auto& group : draft.retired_groups) group->retire();
  if (!draft.retired_routes.empty()) {
    leases_.for_each([&](OriginGroup& group) { group.flights().leave(draft.retired_routes); });
  }
  for (std::size_t i = 0; i < groups.size(); ++i) {
    // It may have been asked for them until now.
    if (draft.groups[i].any_offline) groups[i]->fetcher().forget_all();
    groups[i]->set_idle(draft.groups[i].all_offline);
  }
  generation_ = make_generation(std::move(draft), std::move(groups));
}

bool Origin::is_right(std::string_view key, const cache::StoredResponse& stored) {
  return judge_.takes(key, stored);
}

void Origin::set_token(Generation::GroupLease group, std::string token) {
  loop_.post([group = std::move(group), token = std::move(token)]() mutable {
    group->set_token(std::move(token));
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
  for (std::size_t i = 0; kind == Kind::Tag && i < generation_->routes.size(); ++i) {
    const proxy::Route& route = *generation_->routes[i];
    const std::vector<std::string>& tags = route.plan().storing.tags;
    if (std::find(tags.begin(), tags.end(), what) == tags.end()) continue;
    tagged_routes.emplace_back(route.name());
    purges.add(Kind::Route, soft, route.name(), now);
  }
  if (!soft && kind == Kind::All) {
    for (const auto& group : groups()) group->flights().purge_all();
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
  for (const auto& group : groups()) group->flights().purge_fetches(concerns);
}

void Origin::report_health() {
  health_timer_.set_after(loop_, kHealthInterval, [this] { report_health(); });
  for (const auto& group : groups()) group->report();
}

}  // namespace holdfast::daemon
