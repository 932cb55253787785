// StoredJudge holds what comes from the store against the routes of today: their rules may have
// become stricter since it was stored, or a route may be gone. What it refuses is as good as not
// there: it is asked for anew. One thread.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "cache/stored_response.h"
#include "proxy/route.h"

namespace holdfast::proxy {

class StoredJudge {
 public:
  explicit StoredJudge(const std::vector<RoutePlan>& plans);

  bool takes(std::string_view key, const cache::StoredResponse& stored);

 private:
  std::vector<std::unique_ptr<Route>> routes_;
};

}  // namespace holdfast::proxy
