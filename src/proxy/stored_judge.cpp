#include "proxy/stored_judge.h"

#include "proxy/storing.h"

namespace holdfast::proxy {

StoredJudge::StoredJudge(const std::vector<RoutePlan>& plans) {
  for (const RoutePlan& plan : plans) routes_.push_back(std::make_unique<Route>(plan));
}

bool StoredJudge::takes(std::string_view key, const cache::StoredResponse& stored) {
  for (const auto& route : routes_) {
    if (route->is_key(key)) return is_right_still(*route, key, stored);
  }
  return false;
}

}  // namespace holdfast::proxy
