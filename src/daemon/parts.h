// Parts is what the whole daemon shares and hands to its loops. All of it outlives them.
#pragma once

#include "base/clock.h"
#include "cache/memory_cache.h"
#include "cache/store.h"
#include "observe/health.h"
#include "observe/liveness.h"
#include "observe/log.h"
#include "observe/metrics.h"
#include "observe/recent_failures.h"

namespace holdfast::daemon {

struct Parts {
  const base::Clock& clock;
  cache::MemoryCache& memory;
  cache::Store& store;
  observe::Log& log;
  observe::Metrics& metrics;
  observe::Health& health;
  observe::Liveness& liveness;
  observe::RecentFailures& failures;
};

}  // namespace holdfast::daemon
