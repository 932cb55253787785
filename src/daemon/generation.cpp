#include "daemon/generation.h"

#include <algorithm>
#include <map>
#include <string_view>
#include <utility>

#include "config/routing_file.h"
#include "daemon/parts_settings.h"

namespace holdfast::daemon {
namespace {

// What an entry of the table holds on to.
struct Hold {
  std::shared_ptr<proxy::Route> route;
  Generation::GroupLease group;
};

// By the names of its sections, which are there once each.
template <typename Section>
std::map<std::string_view, std::size_t> by_name(const std::vector<Section>& sections) {
  std::map<std::string_view, std::size_t> all;
  for (std::size_t i = 0; i < sections.size(); ++i) all.emplace(sections[i].name, i);
  return all;
}

// What a plan takes from the upstream.
bool plans_alike(const config::UpstreamConfig& one, const config::UpstreamConfig& other) {
  return one.host == other.host && one.token_in == other.token_in &&
         one.token_name == other.token_name;
}

void plan_groups(Draft& draft) {
  const config::Routing& routing = *draft.routing;
  draft.groups.resize(routing.upstreams.size());
  for (Draft::Group& group : draft.groups) group.all_offline = true;
  for (std::size_t i = 0; i < draft.plans.size(); ++i) {
    Draft::Group& group = draft.groups[routing.routes[i].upstream];
    group.largest_body = std::max(group.largest_body, draft.plans[i].body.max_body_bytes);
    const bool offline = draft.plans[i].stored_only;
    group.any_offline = group.any_offline || offline;
    group.all_offline = group.all_offline && offline;
  }
  std::vector<std::vector<std::string>> kept_names(routing.upstreams.size());
  if (draft.before) {
    const config::Routing& old = *draft.before->routing;
    const auto old_groups = by_name(old.upstreams);
    std::vector<bool> kept(old.upstreams.size());
    for (std::size_t i = 0; i < routing.upstreams.size(); ++i) {
      const auto found = old_groups.find(routing.upstreams[i].name);
      if (found == old_groups.end()) continue;
      const std::size_t was = found->second;
      if (meaning_of(old.upstreams[was]) != meaning_of(routing.upstreams[i])) continue;
      kept[was] = true;
      draft.groups[i].same = draft.before->groups[was];
      kept_names[i] = draft.groups[i].same->origin_names();
    }
    for (std::size_t i = 0; i < kept.size(); ++i) {
      if (!kept[i]) draft.retired_groups.push_back(draft.before->groups[i]);
    }
  }
  std::vector<std::vector<std::string>> names = origin_names(routing, kept_names);
  for (std::size_t i = 0; i < names.size(); ++i) draft.groups[i].names = std::move(names[i]);
}

void plan_routes_of(Draft& draft) {
  const config::Routing& routing = *draft.routing;
  draft.routes.resize(draft.plans.size());
  if (draft.before) {
    const config::Routing& old = *draft.before->routing;
    const auto old_routes = by_name(old.routes);
    std::vector<bool> kept(old.routes.size());
    for (std::size_t i = 0; i < draft.plans.size(); ++i) {
      const proxy::RoutePlan& plan = draft.plans[i];
      const auto found = old_routes.find(plan.name);
      if (found == old_routes.end()) continue;
      const std::size_t was = found->second;
      if (draft.before->routes[was]->plan().key_prefix != plan.key_prefix) continue;
      const config::RouteConfig& before = old.routes[was];
      const config::RouteConfig& now = routing.routes[i];
      if (meaning_of(before, old) == meaning_of(now, routing) &&
          plans_alike(old.upstreams[before.upstream], routing.upstreams[now.upstream])) {
        kept[was] = true;
        draft.routes[i] = draft.before->routes[was];
      } else {
        draft.to_judge.push_back(plan);
      }
    }
    for (std::size_t i = 0; i < kept.size(); ++i) {
      if (!kept[i]) draft.retired_routes.push_back(draft.before->routes[i]);
    }
  }
  for (std::size_t i = 0; i < draft.routes.size(); ++i) {
    if (!draft.routes[i]) draft.routes[i] = std::make_shared<proxy::Route>(draft.plans[i]);
  }
}

}  // namespace

Draft make_draft(GenerationPtr before, std::shared_ptr<const config::Routing> routing,
                 std::vector<proxy::RoutePlan> plans) {
  Draft draft;
  draft.before = std::move(before);
  draft.routing = std::move(routing);
  draft.plans = std::move(plans);
  draft.judge = proxy::StoredJudge(draft.plans);
  plan_groups(draft);
  plan_routes_of(draft);
  return draft;
}

GenerationPtr make_generation(Draft draft, std::vector<Generation::GroupLease> groups) {
  auto made = std::make_shared<Generation>();
  made->routing = std::move(draft.routing);
  made->groups = std::move(groups);
  made->routes = std::move(draft.routes);
  std::vector<proxy::Routes::Entry> entries;
  for (std::size_t i = 0; i < made->routes.size(); ++i) {
    const Generation::GroupLease& group = made->groups[made->routing->routes[i].upstream];
    entries.push_back({*made->routes[i], group->flights(), &group->fetcher(),
                       std::make_shared<const Hold>(Hold{made->routes[i], group})});
  }
  made->table = std::make_shared<const proxy::Routes>(std::move(entries));
  return made;
}

}  // namespace holdfast::daemon
