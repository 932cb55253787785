// What a running daemon knows of one request's key now: what is stored, who fetches, how its
// upstream is, and which rung of the ladder would answer. Asked of the parts that would answer it,
// which change nothing for it. Origin loop only.
#pragma once

#include <optional>
#include <string>

#include "base/result.h"
#include "cache/memory_cache.h"
#include "cache/store.h"
#include "config/explain_command.h"
#include "daemon/origin.h"
#include "proxy/decided.h"
#include "proxy/flights.h"
#include "upstream/status.h"

namespace holdfast::daemon {

struct LiveState {
  std::string route;
  std::string key;
  std::string variant;   // of mode rfc9111: what selects it behind the key; empty: nothing does
  bool passed = false;   // by its method: nothing that is stored answers it
  bool offline = false;  // its route never asks the upstream

  cache::StoredPtr stored;  // null: nothing is
  bool in_memory = false;
  bool in_store = false;
  std::string store_error;
  cache::Freshness freshness;

  bool fetching = false;
  std::size_t waiting = 0;     // for that fetch
  base::Duration rests_for{};  // zero: the key does not rest
  std::string rests_because;   // what clients are told; empty: not known any more
  // Why, in words of proxy/decided.h: it rests; nobody waits for another's answer to it, and
  // requests for its URL are passed through, for so much longer.
  std::string_view rests_by;
  proxy::Flights::Remembered unshared;
  proxy::Flights::Remembered passes;
  std::string upstream;  // its name; empty: the built-in one
  upstream::Status upstream_status;
  base::WallTime now;

  // "fresh", "stale-while-revalidate", "fetch", "stale-if-error", ...; "offline" if it is stale and
  // its route is that, "not-stored" if nothing is there for such a route; "pass" if it is passed
  // through, "error" if it would get an error of ours.
  std::string_view rung;
  std::string why;
  std::string_view word;         // of proxy/decided.h: why what is stored is not used; maybe empty
  std::string_view if_it_fails;  // the rung then; empty: no fetch decides
};

struct LiveParts {
  Origin& origin;
  cache::MemoryCache& memory;
  cache::Store& store;
  base::Duration request_deadline;
};

// Errors: no route takes it, and why; InvalidInput.
base::Result<LiveState> live_state(const LiveParts& parts, const config::ExplainCommand& command);

std::string live_json(const LiveState& state);  // an object, "key" first
std::string live_text(const LiveState& state);  // for people; "key" first

}  // namespace holdfast::daemon
