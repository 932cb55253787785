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

void Origin::purge_all() {
  for (const auto& group : groups_) group->flights().purge_all();
}

void Origin::report_health() {
  health_timer_.set_after(loop_, kHealthInterval, [this] { report_health(); });
  for (const auto& group : groups_) group->report();
}

}  // namespace holdfast::daemon
