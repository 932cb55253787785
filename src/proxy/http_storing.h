// Turns an upstream's answer into a stored response where RFC 9111 alone says what is stored:
// `mode = "rfc9111"`. The rules are src/rfc9111's. Pure functions; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "cache/stored_response.h"
#include "proxy/asked.h"
#include "proxy/storing_policy.h"
#include "proxy/vary_key.h"
#include "rfc9111/storing.h"
#include "upstream/message.h"

namespace holdfast::proxy {

struct HttpStorable {
  cache::StoredPtr answer;  // what the one who asked gets
  cache::StoredPtr stored;  // what is kept of it; null where nothing may be
  // Why nothing is kept, a word of rfc9111/reasons.h; empty where something is.
  std::string_view not_stored;
  // Whether others who wait may have it too: it is stored, and fresh.
  bool may_share = false;
  VaryNames vary;
  std::size_t tags_left_out = 0;
};

// The request of who is asked for, which is a GET.
rfc9111::RequestFacts facts_of(const Asked& asked);

// `reply` is complete. `seen` is the last purge when it was asked for (cache/purges.h).
HttpStorable make_http_storable(const upstream::Reply& reply, const rfc9111::RequestFacts& request,
                                const StoringPolicy& policy, base::WallTime received,
                                std::uint64_t seen);

// A 304 to our own conditional request freshens what is stored (RFC 9111, 4.3.4) under `key`, which
// goes on varying by what it did where nothing else is said.
HttpStorable freshen_http(const cache::StoredResponse& stored, std::string_view key,
                          const upstream::Reply& reply, const rfc9111::RequestFacts& request,
                          const StoringPolicy& policy, base::WallTime received, std::uint64_t seen);

// Whether an answer with an error's status is meant to be kept, and so is an answer like others.
bool is_meant_to_be_stored(const upstream::Reply& reply, const rfc9111::RequestFacts& request,
                           const StoringPolicy& policy, base::WallTime received);

// An answer for one client, of what is not kept.
cache::StoredPtr make_verbatim(const upstream::Reply& reply, const StoringPolicy& policy,
                               base::WallTime received);
// The same of what nobody behind us is to keep either, whatever it says of that itself.
cache::StoredPtr make_verbatim_unstored(const upstream::Reply& reply, const StoringPolicy& policy,
                                        base::WallTime received);

}  // namespace holdfast::proxy
