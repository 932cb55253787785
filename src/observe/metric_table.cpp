// Conventions: https://prometheus.io/docs/practices/naming/. Base units, counters
// end in _total, moments are exported as Unix time and not as ages. The process_
// names carry no prefix of ours: they are those of every client library, so
// existing dashboards fit.
#include "observe/metric_table.h"

#include <cassert>

namespace holdfast::observe {
namespace {

// From a hit answered in tens of microseconds to the default deadline of 10 s.
// Above 10 s: le="11" is a client answered at the deadline, +Inf one let down.
const std::vector<double> kRequestBounds = {
    0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025,
    0.05,     0.1,     0.25,   0.5,     1,      2.5,   5,      10,    11};
// An attempt crosses a network and ends at ATTEMPT_TIMEOUT, 2 s by default.
const std::vector<double> kAttemptBounds = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                                            0.25,  0.5,    1,     2,    5,     10};
// A point read costs microseconds from the page cache, milliseconds from a disk,
// and far more from a sick one.
const std::vector<double> kDiskBounds = {0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005,
                                         0.001,   0.0025,   0.005,   0.01,   0.025,   0.05,
                                         0.1,     0.25,     0.5,     1,      5};

const LabelInfo kCache = {"cache",
                          {"hit", "stale", "miss", "collapsed", "offline", "absent", "error"}};
const LabelInfo kOutcome = {
    "outcome", {"ok",           "not_modified", "5xx",           "rate_limited",    "4xx",
                "unauthorized", "timeout",      "connect",       "connect_timeout", "reset",
                "dns",          "tls",          "tls_timeout",   "certificate",     "truncated",
                "too_large",    "invalid_body", "wrong_content", "redirect",        "unexpected",
                "local",        "cancelled"}};
const LabelInfo kOrigin = {"origin", {}};
// Of an upstream of the settings file. Empty, and so not shown, for the one that goes without
// saying.
const LabelInfo kUpstream = {"upstream", {}, true};

std::vector<MetricInfo> make_table() {
  using enum MetricType;
  return {
      {Family::Requests,
       "holdfast_requests_total",
       Counter,
       "Answers sent to clients, by route, status code and what the cache did.",
       {{"route", {}}, {"code", {}}, kCache},
       {}},
      {Family::RequestDuration,
       "holdfast_request_duration_seconds",
       Histogram,
       "From a request's last byte read to its answer handed to the system.",
       {kCache},
       kRequestBounds},
      {Family::RequestsInFlight,
       "holdfast_requests_in_flight",
       Gauge,
       "Requests being answered now.",
       {},
       {}},
      {Family::RequestsAbandoned,
       "holdfast_requests_abandoned_total",
       Counter,
       "Requests whose client was gone, or had closed its side, before their answer.",
       {},
       {}},
      {Family::Connections, "holdfast_connections", Gauge, "Client connections open now.", {}, {}},
      {Family::ConnectionsLimit,
       "holdfast_connections_limit",
       Gauge,
       "Client connections that may be open: MAX_CONNECTIONS, for all workers together.",
       {},
       {}},
      {Family::ConnectionsAccepted,
       "holdfast_connections_accepted_total",
       Counter,
       "Client connections accepted.",
       {},
       {}},
      {Family::ConnectionsRefused,
       "holdfast_connections_refused_total",
       Counter,
       "Client connections closed as soon as accepted, or not accepted, by reason.",
       {{"reason", {"connections", "client_connections", "descriptors", "credentials"}}},
       {}},
      {Family::ConnectionsClosed,
       "holdfast_connections_closed_total",
       Counter,
       "Client connections that ended, by who or what ended them.",
       {{"reason",
         {"client", "idle", "head_timeout", "body_timeout", "write_timeout", "rejected", "server",
          "limit", "evicted", "drain", "error"}}},
       {}},
      {Family::RequestsRejected,
       "holdfast_requests_rejected_total",
       Counter,
       "Requests refused before they reached a route, by reason.",
       {{"reason",
         {"malformed", "host", "target_too_long", "head_too_large", "fields", "body_too_large",
          "version", "method", "transfer_coding", "expectation", "head_timeout", "body_timeout",
          "overload"}}},
       {}},
      {Family::RequestsLimited,
       "holdfast_requests_limited_total",
       Counter,
       "Requests refused to protect the service, by reason.",
       {{"reason", {"client_rate", "waiters", "queued", "parked"}}},
       {}},

      {Family::Flights,
       "holdfast_flights",
       Gauge,
       "Fetches in progress, each with all the clients that wait on it.",
       {kUpstream},
       {}},
      {Family::FlightWaiters,
       "holdfast_flight_waiters",
       Gauge,
       "Clients waiting on a fetch.",
       {kUpstream},
       {}},
      {Family::FlightWaitersLimit,
       "holdfast_flight_waiters_limit",
       Gauge,
       "Clients that may wait: MAX_WAITING.",
       {kUpstream},
       {}},
      {Family::UpstreamAttempts,
       "holdfast_upstream_attempts_total",
       Counter,
       "Requests sent upstream that ended, by origin and outcome.",
       {kOrigin, kOutcome, kUpstream},
       {}},
      {Family::UpstreamAttemptDuration,
       "holdfast_upstream_attempt_duration_seconds",
       Histogram,
       "From sending a request upstream to its end, whatever that was.",
       {kOrigin, kUpstream},
       kAttemptBounds},
      {Family::UpstreamPhaseDuration,
       "holdfast_upstream_phase_duration_seconds",
       Histogram,
       "What answered attempts took: connect and tls where a connection was set up, answer from "
       "the request being sent to the last byte.",
       {kOrigin, {"phase", {"connect", "tls", "answer"}}, kUpstream},
       kAttemptBounds},
      {Family::UpstreamAttemptsInFlight,
       "holdfast_upstream_attempts_in_flight",
       Gauge,
       "Requests upstream that have not ended.",
       {kUpstream},
       {}},
      {Family::UpstreamQueued,
       "holdfast_upstream_queued",
       Gauge,
       "Fetches that wait for a slot, for the pace or for a backoff to end.",
       {kUpstream},
       {}},
      {Family::UpstreamQueuedLimit,
       "holdfast_upstream_queued_limit",
       Gauge,
       "Fetches for clients that may wait so; refreshes have a limit of their own.",
       {kUpstream},
       {}},
      {Family::UpstreamParked,
       "holdfast_upstream_parked",
       Gauge,
       "Fetches that wait for an open breaker's next probe.",
       {kUpstream},
       {}},
      {Family::UpstreamParkedLimit,
       "holdfast_upstream_parked_limit",
       Gauge,
       "Fetches that may wait so.",
       {kUpstream},
       {}},
      {Family::UpstreamRetries,
       "holdfast_upstream_retries_total",
       Counter,
       "Attempts sent after one that failed.",
       {kUpstream},
       {}},
      {Family::UpstreamHedges,
       "holdfast_upstream_hedges_total",
       Counter,
       "Second attempts sent while the first was not yet late, by whether theirs was the answer.",
       {{"result", {"won", "lost"}}, kUpstream},
       {}},
      {Family::UpstreamRaces,
       "holdfast_upstream_races_total",
       Counter,
       "Attempts sent beside others that were slower than usual, by whether theirs was the answer.",
       {{"result", {"won", "lost"}}, kUpstream},
       {}},
      {Family::RetryBudget,
       "holdfast_retry_budget_tokens",
       Gauge,
       "Retries and hedges that could be sent now.",
       {kUpstream},
       {}},
      {Family::RetryBudgetExhausted,
       "holdfast_retry_budget_exhausted_total",
       Counter,
       "Retries and hedges not sent for want of budget.",
       {kUpstream},
       {}},
      {Family::BreakerState,
       "holdfast_breaker_state",
       Gauge,
       "Circuit breaker of an origin: 0 closed, 1 half-open, 2 open.",
       {kOrigin, kUpstream},
       {}},
      {Family::BreakerTransitions,
       "holdfast_breaker_transitions_total",
       Counter,
       "Times the breaker of an origin entered a state.",
       {kOrigin, {"to", {"closed", "half_open", "open"}}, kUpstream},
       {}},
      {Family::UpstreamPaceLimit,
       "holdfast_upstream_pace_limit",
       Gauge,
       "Requests per second we allow ourselves upstream; +Inf when not limited.",
       {kUpstream},
       {}},
      {Family::UpstreamConcurrencyLimit,
       "holdfast_upstream_concurrency_limit",
       Gauge,
       "Attempts we allow ourselves to have in flight.",
       {kUpstream},
       {}},
      {Family::UpstreamLastSuccess,
       "holdfast_upstream_last_success_timestamp_seconds",
       Gauge,
       "When an origin last gave a valid answer, in Unix time; 0 for never.",
       {kOrigin, kUpstream},
       {}},
      {Family::Refreshes,
       "holdfast_refreshes_total",
       Counter,
       "Refreshes of stored responses, behind an answer or while a client waits, by result; "
       "skipped: the key rests after a failure.",
       {{"result", {"freshened", "replaced", "failed", "skipped"}}, kUpstream},
       {}},
      {Family::TokenState,
       "holdfast_upstream_token_accepted",
       Gauge,
       "0 while the upstream refuses our token, with 401 or 403 several times in a row; else 1.",
       {kUpstream},
       {}},

      {Family::MemoryEntries,
       "holdfast_memory_entries",
       Gauge,
       "Stored responses in memory.",
       {},
       {}},
      {Family::MemoryBytes,
       "holdfast_memory_bytes",
       Gauge,
       "Memory the stored responses take.",
       {},
       {}},
      {Family::MemoryLimitBytes,
       "holdfast_memory_limit_bytes",
       Gauge,
       "Memory the stored responses may take: MEMORY_LIMIT.",
       {},
       {}},
      {Family::MemoryEvictions,
       "holdfast_memory_evictions_total",
       Counter,
       "Stored responses dropped from memory to make room.",
       {},
       {}},
      {Family::StoreUp,
       "holdfast_store_up",
       Gauge,
       "1 while the store takes writes, 0 when it is degraded or off.",
       {},
       {}},
      {Family::StoreEntries, "holdfast_store_entries", Gauge, "Stored responses on disk.", {}, {}},
      {Family::StoreSizeBytes,
       "holdfast_store_size_bytes",
       Gauge,
       "Size of the store on disk.",
       {},
       {}},
      {Family::StoreLimitBytes,
       "holdfast_store_limit_bytes",
       Gauge,
       "Size the store may reach: STORE_LIMIT.",
       {},
       {}},
      {Family::StoreQueue,
       "holdfast_store_queue_length",
       Gauge,
       "Writes waiting for the next transaction.",
       {},
       {}},
      {Family::StoreQueueLimit,
       "holdfast_store_queue_limit",
       Gauge,
       "Writes that may wait.",
       {},
       {}},
      {Family::StorePuts,
       "holdfast_store_puts_total",
       Counter,
       "Stored responses handed to the store, by result.",
       {{"result", {"committed", "dropped"}}},
       {}},
      {Family::StoreCommitDuration,
       "holdfast_store_commit_duration_seconds",
       Histogram,
       "How long a transaction of writes took.",
       {},
       kDiskBounds},
      {Family::StoreReadDuration,
       "holdfast_store_read_duration_seconds",
       Histogram,
       "How long a read of one stored response took.",
       {},
       kDiskBounds},
      {Family::StoreErrors,
       "holdfast_store_errors_total",
       Counter,
       "Operations of the store that failed, by kind.",
       {{"kind", {"read", "write", "corrupt"}}},
       {}},
      {Family::StoreEvictions,
       "holdfast_store_evictions_total",
       Counter,
       "Stored responses deleted from disk to make room.",
       {},
       {}},
      {Family::StoreOldest,
       "holdfast_store_oldest_timestamp_seconds",
       Gauge,
       "When the oldest stored response was received, in Unix time, to the hour; 0 for none.",
       {},
       {}},
      {Family::StoreNewest,
       "holdfast_store_newest_timestamp_seconds",
       Gauge,
       "When the newest stored response was received, in Unix time, to the hour; 0 for none.",
       {},
       {}},
      {Family::OutageRunway,
       "holdfast_outage_runway_ratio",
       Gauge,
       "Share of the last ten minutes' lookups answered without the upstream; NaN for none.",
       {},
       {}},

      {Family::LoopLag,
       "holdfast_loop_lag_seconds",
       Gauge,
       "How late a loop was with its heartbeat, at worst in the last ten seconds or so.",
       {{"loop", {}}},
       {}},
      {Family::LoopStall,
       "holdfast_loop_stall_seconds",
       Gauge,
       "Longest that one call held up a loop in the last ten seconds or so, waits for a core left "
       "out.",
       {{"loop", {}}},
       {}},
      {Family::LoopStalls,
       "holdfast_loop_stalls_total",
       Counter,
       "Calls that held up a loop for 50 ms or more, by what they spent the most of it on.",
       {{"loop", {}}, {"cause", {"busy", "blocked", "disk"}}},
       {}},
      {Family::ResourceShortages,
       "holdfast_resource_shortages_total",
       Counter,
       "Times that this process or its machine lacked what a connection takes, by resource.",
       {{"resource", {"descriptors", "ports", "memory"}}},
       {}},
      {Family::LogDropped,
       "holdfast_log_dropped_lines_total",
       Counter,
       "Log lines lost because the log could not be written as fast.",
       {},
       {}},
      {Family::Draining,
       "holdfast_draining",
       Gauge,
       "1 while the daemon finishes what is in flight before it exits.",
       {},
       {}},
      {Family::BuildInfo,
       "holdfast_build_info",
       Gauge,
       "Always 1; the version is in the label.",
       {{"version", {}}},
       {}},
      {Family::ProcessStartTime,
       "process_start_time_seconds",
       Gauge,
       "When the process started, in Unix time.",
       {},
       {}},
      {Family::ProcessCpu,
       "process_cpu_seconds_total",
       Counter,
       "Processor time used, user and system.",
       {},
       {}},
      {Family::ProcessResidentMemory,
       "process_resident_memory_bytes",
       Gauge,
       "Memory the process has in RAM.",
       {},
       {}},
      {Family::ProcessOpenFds, "process_open_fds", Gauge, "File descriptors open.", {}, {}},
      {Family::ProcessMaxFds,
       "process_max_fds",
       Gauge,
       "File descriptors the process may open.",
       {},
       {}},
  };
}

}  // namespace

const std::vector<MetricInfo>& metric_table() {
  static const std::vector<MetricInfo> table = make_table();
  return table;
}

const MetricInfo& metric_info(Family family) {
  const auto& table = metric_table();
  const auto row = static_cast<std::size_t>(family);
  assert(row < table.size() && table[row].family == family);
  return table[row];
}

std::string_view to_string(MetricType type) {
  switch (type) {
    case MetricType::Counter:
      return "counter";
    case MetricType::Gauge:
      return "gauge";
    case MetricType::Histogram:
      return "histogram";
  }
  return "untyped";
}

std::string metrics_markdown() {
  std::string out = "| metric | type | labels | meaning |\n| --- | --- | --- | --- |\n";
  for (const MetricInfo& row : metric_table()) {
    out += "| `";
    out += row.name;
    out += "` | ";
    out += to_string(row.type);
    out += " | ";
    const char* between = "";
    for (const LabelInfo& label : row.labels) {
      out += between;
      between = ", ";
      out += label.name;
      const char* lead = " (";
      for (std::string_view value : label.values) {
        out += lead;
        out += value;
        lead = ", ";
      }
      if (!label.values.empty()) out += ")";
    }
    out += " | ";
    out += row.help;
    out += " |\n";
  }
  return out;
}

}  // namespace holdfast::observe
