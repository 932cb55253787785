// What RouteTable promises, by asking every route in turn: the plain way, to compare with.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/method_set.h"
#include "proxy/parameters.h"
#include "proxy/path_template.h"
#include "proxy/route_table.h"

namespace holdfast::proxy::test {

struct NaiveRoute {
  PathTemplate path;
  std::string host;  // in lower case; empty: any
  MethodSet methods;
};

// The smaller, the more specific.
inline std::vector<int> rank(const NaiveRoute& route) {
  std::vector<int> ranks{route.host.empty() ? 1 : 0};
  for (const PathTemplate::Segment& segment : route.path.segments()) {
    ranks.push_back(segment.type ? 1 + static_cast<int>(*segment.type) : 0);
  }
  return ranks;
}

// Whether two routes take the same requests, some of them.
inline bool same_paths(const NaiveRoute& a, const NaiveRoute& b) {
  const auto& left = a.path.segments();
  const auto& right = b.path.segments();
  if (a.host != b.host || !a.methods.intersects(b.methods) || left.size() != right.size()) {
    return false;
  }
  for (std::size_t i = 0; i < left.size(); ++i) {
    if (left[i].type != right[i].type) return false;
    if (!left[i].type && left[i].text != right[i].text) return false;
  }
  return true;
}

// `host` in lower case and without port.
inline RouteTable::Match naive_find(const std::vector<NaiveRoute>& routes, std::string_view host,
                                    std::string_view method, std::string_view path) {
  const MethodSet asked = MethodSet::of_request(method);
  std::optional<std::size_t> best, nearest;
  MethodSet allowed, near_allowed;
  Parameters parameters;
  for (std::size_t i = 0; i < routes.size(); ++i) {
    const NaiveRoute& route = routes[i];
    if (!route.host.empty() && route.host != host) continue;
    const bool takes_method = route.methods.intersects(asked);
    const bool fits = route.path.match(path, parameters);
    if (!fits && route.path.why(path) == nullptr) continue;
    (fits ? allowed : near_allowed) |= route.methods;
    std::optional<std::size_t>& so_far = fits ? best : nearest;
    if (takes_method && (!so_far || rank(route) < rank(routes[*so_far]))) so_far = i;
  }
  if (best) return {RouteTable::Outcome::Found, *best, {}, nullptr};
  if (!allowed.empty()) return {RouteTable::Outcome::MethodNotAllowed, 0, allowed, nullptr};
  if (nearest) {
    return {RouteTable::Outcome::BadParameter, *nearest, {}, routes[*nearest].path.why(path)};
  }
  if (!near_allowed.empty())
    return {RouteTable::Outcome::MethodNotAllowed, 0, near_allowed, nullptr};
  return {RouteTable::Outcome::NotFound, 0, {}, nullptr};
}

}  // namespace holdfast::proxy::test
