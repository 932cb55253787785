// What may be done with a stored response at a given time: RFC 9111, section
// 4.2 (freshness) and RFC 5861 (stale-while-revalidate, stale-if-error).
// Pure functions of the response and `now`; any thread.
#pragma once

#include <chrono>

#include "cache/stored_response.h"

namespace holdfast::cache {

enum class Use {
  Fresh,                 // reuse without asking
  StaleWhileRevalidate,  // reuse now, refresh behind
  StaleIfError,          // reuse only if the refresh fails
  Unusable,              // too old for anything
};

struct Freshness {
  Use use = Use::Unusable;
  std::chrono::seconds age{0};
  std::chrono::seconds ttl{0};           // freshness lifetime - age; negative when stale
  std::chrono::seconds ttl_at_first{0};  // when it came, or was freshened
};

// A wall clock that stepped back before `response_time` gives the initial age,
// never a negative one; by more than an hour, and the response counts as just stale.
Freshness freshness(const StoredResponse& stored, base::WallTime now);

// Whether a response comes from more than an hour after `now`: from a clock that was wrong,
// or one that is wrong now.
bool is_dated_ahead(const StoredResponse& stored, base::WallTime now);

// The same, with nothing left of its lifetime (what is stale stays as stale as it is), and without
// its validators: the whole is asked for, as a 304 could leave it no more than that.
StoredPtr without_lifetime(const StoredResponse& stored, base::WallTime now);

}  // namespace holdfast::cache
