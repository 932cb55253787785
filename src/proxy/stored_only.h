// What a route answers that never asks its upstream (`offline`): what is stored, as stale as it may
// be, or that there is nothing. Pure functions; any thread.
#pragma once

#include "base/clock.h"
#include "cache/stored_response.h"
#include "proxy/answer.h"

namespace holdfast::proxy {

// Whether it may be used for as long as it is kept, once it is stale and nobody can be asked. Not
// what is never used stale: what the upstream wants to be asked about each time (RFC 9111, 4.2.4:
// must-revalidate and its like), a 404, and what no stale window was left to by the settings.
bool may_be_stale_offline(const cache::StoredResponse& stored);

// `stored`: what is stored for the request; null: nothing is.
Answer answer_stored_only(cache::StoredPtr stored, base::WallTime now);

// To a request that could only be sent on.
Answer refusal_stored_only();

}  // namespace holdfast::proxy
