#include "proxy/last_moment.h"

#include "cache/freshness.h"

namespace holdfast::proxy {

Answer answer_without_origin(cache::StoredPtr stored, base::WallTime now, bool only_if_cached) {
  Answer answer;
  if (only_if_cached) {
    answer.rung = Rung::NotStored;
    answer.status = 504;
    answer.detail = "no answer came in time";
    return answer;
  }
  // Not the upstream's doing, as far as is known; a full machine is enough.
  answer.cause = "the origin loop was held up past the deadline, by load or a disk";
  const cache::Use use = stored ? cache::freshness(*stored, now).use : cache::Use::Unusable;
  if (use == cache::Use::Unusable) {
    answer.status = 504;
    answer.detail = "no answer came in time";
    answer.retry_after = std::chrono::seconds(1);
    return answer;
  }
  // Fresh if it came meanwhile, or was not as fresh as the client wanted.
  answer.rung = use == cache::Use::Fresh ? Rung::Fresh : Rung::StaleIfError;
  answer.was_stale = use != cache::Use::Fresh;
  answer.content = std::move(stored);
  return answer;
}

}  // namespace holdfast::proxy
