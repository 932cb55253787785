// Generation is the routes and upstreams that one reading of the settings gave, as they serve. The
// next one takes over what is the same in it, so that this goes on as if nothing had happened; the
// rest lives for as long as anything that began with it is under way. Never changed once made;
// any thread, its groups and routes but for what they say themselves.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "config/routing.h"
#include "daemon/origin_group.h"
#include "proxy/route.h"
#include "proxy/routes.h"
#include "proxy/stored_judge.h"

namespace holdfast::daemon {

struct Generation {
  using GroupLease = std::shared_ptr<OriginGroup>;

  std::shared_ptr<const config::Routing> routing;
  std::vector<GroupLease> groups;                     // as routing->upstreams are numbered
  std::vector<std::shared_ptr<proxy::Route>> routes;  // as routing->routes are
  std::shared_ptr<const proxy::Routes> table;         // likewise
};
using GenerationPtr = std::shared_ptr<const Generation>;

// A generation whose new upstreams are still to be made, as they are on the origin loop.
struct Draft {
  struct Group {
    Generation::GroupLease same;     // null: to be made
    std::size_t largest_body = 0;    // of the routes that ask it, in bytes
    std::vector<std::string> names;  // of its origins, for people
    bool any_offline = false;        // of its routes one is, so that it is not asked for that
    bool all_offline = false;        // all are
  };

  GenerationPtr before;  // null: this is the first one
  std::shared_ptr<const config::Routing> routing;
  std::vector<proxy::RoutePlan> plans;
  std::vector<Group> groups;
  std::vector<std::shared_ptr<proxy::Route>> routes;
  // Of `before`, those that are not in it. What they have under way keeps nothing.
  std::vector<std::shared_ptr<proxy::Route>> retired_routes;
  std::vector<Generation::GroupLease> retired_groups;
  proxy::StoredJudge judge{{}};  // of its routes
  // Plans of routes whose keys mean what they did, but whose rules may be other ones: what is in
  // memory under them is to be judged.
  std::vector<proxy::RoutePlan> to_judge;
};

// `plans` are those of the routes of `routing`.
Draft make_draft(GenerationPtr before, std::shared_ptr<const config::Routing> routing,
                 std::vector<proxy::RoutePlan> plans);

// `groups` are those of the draft, now that all are there.
GenerationPtr make_generation(Draft draft, std::vector<Generation::GroupLease> groups);

}  // namespace holdfast::daemon
