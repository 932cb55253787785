// The pages beside the routes: health for machines, metrics for Prometheus, the
// status page for people.
#pragma once

#include <functional>
#include <string_view>

#include "base/scheduler.h"
#include "observe/health.h"
#include "observe/liveness.h"
#include "observe/metrics.h"
#include "proxy/pages.h"
#include "status/page.h"

namespace holdfast::daemon {

struct PageParts {
  const base::Clock& clock;
  const observe::Metrics& metrics;
  const observe::Health& health;
  const observe::Liveness& liveness;
  base::Scheduler& control;  // renders what takes longer than a worker should stop for
  std::function<status::Snapshot()> status;  // called there
};

proxy::Pages make_pages(PageParts parts);
// Whether one of them has that path, so that no route gets what is asked for by it.
bool is_page(std::string_view path);

}  // namespace holdfast::daemon
