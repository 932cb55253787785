// What a worker does when the origin loop does not answer in time: that loop may
// be held up by a disk, and no client waits past its deadline for it. Pure
// functions; any thread.
#pragma once

#include "base/clock.h"
#include "cache/stored_response.h"
#include "proxy/answer.h"

namespace holdfast::proxy {

// How long a worker waits for the origin loop. A little less than the client's
// deadline: late enough that the flights' own end comes first, early enough for
// the answer to be in time.
inline base::Duration worker_patience(base::Duration request_deadline) {
  return request_deadline - request_deadline / 400;
}

// `stored` is what memory holds, even if it was too old to be used at once; else 504.
// To `only_if_cached` always 504: memory had nothing for such a client when it came,
// and it wants nothing else.
Answer answer_without_origin(cache::StoredPtr stored, base::WallTime now, bool only_if_cached);

}  // namespace holdfast::proxy
