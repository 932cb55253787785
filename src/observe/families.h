// Every metric family Holdfast exports, by name in code. observe/metric_table.cpp
// has the exported name, type, help and buckets of each; the list for people is
// printed from that table (`holdfast --metrics-table`).
#pragma once

#include <cstddef>

namespace holdfast::observe {

enum class Family : std::size_t {
  // What clients got.
  Requests,             // counter: route, code, cache
  RequestDuration,      // histogram: cache
  RequestsInFlight,     // gauge
  RequestsAbandoned,    // counter: the client was gone first
  Connections,          // gauge
  ConnectionsLimit,     // gauge: MAX_CONNECTIONS
  ConnectionsAccepted,  // counter
  ConnectionsRefused,   // counter: reason
  ConnectionsClosed,    // counter: reason (client, idle, head_timeout, write_timeout, error, drain,
                        // limit, evicted)
  RequestsRejected,     // counter: reason (malformed, too large, ...): never reached a route
  RequestsLimited,      // counter: reason (client_rate, waiters, queued, parked)

  // What we asked of the upstream.
  Flights,                   // gauge: fetches in progress, each with all who wait on it
  FlightWaiters,             // gauge
  FlightWaitersLimit,        // gauge: MAX_WAITING
  UpstreamAttempts,          // counter: origin, outcome
  UpstreamAttemptDuration,   // histogram: origin
  UpstreamPhaseDuration,     // histogram: origin, phase
  UpstreamAttemptsInFlight,  // gauge
  UpstreamQueued,            // gauge: fetches waiting for a slot, the pace or a backoff
  UpstreamQueuedLimit,       // gauge
  UpstreamParked,            // gauge: fetches waiting for an open breaker
  UpstreamParkedLimit,       // gauge
  UpstreamRetries,           // counter
  UpstreamHedges,            // counter: result (won, lost)
  UpstreamRaces,             // counter: result
  RetryBudget,               // gauge: tokens left
  RetryBudgetExhausted,      // counter: retries and hedges not sent for want of budget
  BreakerState,              // gauge: origin; 0 closed, 1 half-open, 2 open
  BreakerTransitions,        // counter: origin, to
  UpstreamPaceLimit,         // gauge: requests/s, +Inf when not limited
  UpstreamConcurrencyLimit,  // gauge
  UpstreamLastSuccess,       // gauge: origin; Unix time
  Purges,                    // counter: kind (url, path, route, tag, all), mode (purge, stale)
  TagsLeftOut,               // counter
  Refreshes,                 // counter: result (freshened, replaced, failed, skipped)
  TokenState,  // gauge: 1 accepted or unknown, 0 refused (several 401 or 403 in a row)

  // What is kept.
  MemoryEntries,
  MemoryBytes,
  MemoryLimitBytes,
  MemoryEvictions,
  StoreUp,  // gauge: 1 ok, 0 degraded or off
  StoreEntries,
  StoreSizeBytes,
  StoreLimitBytes,
  StoreQueue,
  StoreQueueLimit,
  StorePuts,            // counter: result (committed, dropped)
  StoreCommitDuration,  // histogram
  StoreReadDuration,    // histogram
  StoreErrors,          // counter: kind (read, write, corrupt)
  StoreEvictions,
  StoreOldest,  // gauge: Unix time of the oldest stored response
  StoreNewest,
  OutageRunway,  // gauge: share of recent lookups answered without the upstream

  // The process.
  LoopLag,            // gauge: loop; seconds
  LoopStall,          // gauge: loop; seconds
  LoopStalls,         // counter: loop, cause (busy, blocked, disk)
  ResourceShortages,  // counter: resource (descriptors, ports, memory)
  LogDropped,
  Draining,
  ConfigReloadSuccessful,  // gauge
  ConfigReloadTime,
  BuildInfo,  // gauge: version
  ProcessStartTime,
  ProcessCpu,
  ProcessResidentMemory,
  ProcessOpenFds,
  ProcessMaxFds,

  kCount,
};

}  // namespace holdfast::observe
