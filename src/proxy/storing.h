// Turns an upstream answer into a stored response: whether it may be stored and
// for how long, by RFC 9111 (sections 3, 4.2, 5.2), RFC 5861 and our settings.
// Pure functions; any thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/random.h"
#include "cache/stored_response.h"
#include "proxy/route.h"
#include "proxy/storing_policy.h"
#include "upstream/message.h"

namespace holdfast::proxy {

// What a stored 404 or 410 says.
inline constexpr std::string_view kNoSuchEntry = "the upstream has no such entry";

struct Storable {
  cache::StoredPtr response;
  bool may_store = true;          // false: for who asked, and nobody else
  const char* forbidden_by = "";  // what of it says so: "Cache-Control: no-store"
  std::string_view not_stored;    // the same in a word of rfc9111/reasons.h
  std::size_t tags_left_out = 0;  // see proxy/cache_tags.h
};

// `reply` is a complete, validated 200 or 203, or a 404 or 410, whose content becomes a
// problem of ours unless the policy passes it.
// `received` is when it came; `seen` the last purge when it was asked for (cache/purges.h).
Storable make_storable(const upstream::Reply& reply, const StoringPolicy& policy,
                       base::WallTime received, base::Random& random, std::uint64_t seen = 0);

// What a client gets of a 4xx that is about its request and no 404 or 410, where those are passed:
// to be used for `kClientErrorKept` by whoever asks the same, or for less where it says so, and
// nowhere kept for longer.
cache::StoredPtr make_passed(const upstream::Reply& reply, const StoringPolicy& policy,
                             base::WallTime received, std::uint64_t seen = 0);
inline constexpr std::chrono::seconds kClientErrorKept{5};
// The lines that clients get to see of the upstream's fields, but for those that are worked out.
std::string shown_fields(const upstream::Fields& fields, const StoringPolicy& policy);
// What a client gets of a 2xx that the route's rules refuse, where it is passed on for want of
// anything better: as it came, and for no use but this.
cache::StoredPtr make_invalid(const upstream::Reply& reply, const StoringPolicy& policy,
                              base::WallTime received, std::uint64_t seen = 0);
// Why nobody else may have it, a word of rfc9111/reasons.h; empty: others may.
std::string_view not_shared(const upstream::Reply& reply, const StoringPolicy& policy);

// A 304 freshens `stored` (RFC 9111, 4.3.4): same content, new dates. What it does not
// say stays (3.2), as far as what is stored tells: without a lifetime it leaves the one
// that was, or CACHE_TTL if that is shorter; without Cache-Control, the stale windows.
// Its Age counts against that lifetime only if it is too short to be CACHE_TTL's.
// What is stored does not tell where its lifetime came from, so two things stay short of
// that. An Expires alone counts, also where the 200 had a max-age or no-cache, which
// should win (5.2): an upstream that keeps to RFC 9110, 15.4.5, repeats its Cache-Control in a
// 304. And a lifetime from before CACHE_TTL was raised passes for stated, until a 200.
Storable freshen(const cache::StoredResponse& stored, const upstream::Reply& reply,
                 const StoringPolicy& policy, base::WallTime received, base::Random& random,
                 std::uint64_t seen = 0);

// Whether the route's rules of today take what is stored under its `key`. On the thread of
// validate().
bool is_right_still(Route& route, std::string_view key, const cache::StoredResponse& stored);

// Why `stored` cannot be what `route` has under `key`, for people; empty if it can.
// For what comes from elsewhere than the upstream. On the thread of validate().
std::string objection_to(Route& route, std::string_view key, const cache::StoredResponse& stored);

}  // namespace holdfast::proxy
