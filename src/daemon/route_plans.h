// Makes of the routes of the settings what the proxy can serve: their texts parsed, and held
// against each other. Pure; any thread.
#pragma once

#include <vector>

#include "base/result.h"
#include "config/routing.h"
#include "proxy/route.h"

namespace holdfast::daemon {

// In the order of `routing.routes`. Errors name file, line, route and key.
base::Result<std::vector<proxy::RoutePlan>> plan_routes(const config::Routing& routing);

}  // namespace holdfast::daemon
