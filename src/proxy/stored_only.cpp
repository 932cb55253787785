#include "proxy/stored_only.h"

#include <utility>

#include "cache/freshness.h"

namespace holdfast::proxy {
namespace {

// Somebody has to switch the route on again, and nobody knows when: soon enough to find that,
// seldom enough not to hammer.
constexpr std::chrono::seconds kAskAgain{60};

Answer nothing(const char* detail) {
  Answer answer;
  answer.rung = Rung::NotStored;
  answer.stored_only = true;
  answer.status = 504;
  answer.detail = detail;
  answer.retry_after = kAskAgain;
  return answer;
}

}  // namespace

bool may_be_stale_offline(const cache::StoredResponse& stored) {
  return stored.stale_while_revalidate > std::chrono::seconds(0) ||
         stored.stale_if_error > std::chrono::seconds(0);
}

Answer answer_stored_only(cache::StoredPtr stored, base::WallTime now) {
  if (!stored) return nothing("this route is offline, and nothing is stored for this request");
  const bool fresh = cache::freshness(*stored, now).use == cache::Use::Fresh;
  if (!fresh && !may_be_stale_offline(*stored)) {
    return nothing(
        "this route is offline, and what is stored for this request may not be used stale");
  }
  Answer answer;
  answer.rung = fresh ? Rung::Fresh : Rung::StaleIfError;
  answer.stored_only = true;
  answer.content = std::move(stored);
  return answer;
}

Answer refusal_stored_only() {
  return nothing("this route is offline: the request was not sent");
}

}  // namespace holdfast::proxy
