#include "reply.h"

#include <algorithm>

namespace holdfast::warm {
namespace {

using Kind = Verdict::Kind;

// A Retry-After that is nonsense must not stop the run for a day.
constexpr std::chrono::seconds kLongestRetryAfter{60};

std::string_view without_spaces(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

// The daemon's own member of a Cache-Status list (RFC 9211), without its name;
// caches between us and it add members of theirs. The daemon writes no quoted
// strings, so a comma or semicolon is a delimiter.
struct CacheStatus {
  bool ours = false;
  bool hit = false;
  bool stored = false;
  std::string_view detail;
};

CacheStatus parse_cache_status(std::string_view list) {
  CacheStatus status;
  while (!list.empty()) {
    const std::size_t comma = list.find(',');
    std::string_view member = list.substr(0, comma);
    list.remove_prefix(comma == list.npos ? list.size() : comma + 1);
    const std::size_t semicolon = member.find(';');
    if (without_spaces(member.substr(0, semicolon)) != "holdfast") continue;
    status = {};
    status.ours = true;
    while (member.find(';') != member.npos) {
      member.remove_prefix(member.find(';') + 1);
      const std::string_view parameter = without_spaces(member.substr(0, member.find(';')));
      if (parameter == "hit") status.hit = true;
      if (parameter == "stored") status.stored = true;
      if (parameter.starts_with("detail=")) status.detail = parameter.substr(7);
    }
  }
  return status;
}

Verdict judge_content(const CacheStatus& cache, int status) {
  Verdict verdict;
  if (!cache.ours) {
    verdict.kind = Kind::Hopeless;
    verdict.reason = "the answer has no Cache-Status of holdfast: is the URL right?";
  } else if (cache.detail.starts_with("stale-")) {
    verdict.kind = Kind::Stale;
    verdict.reason = "the upstream did not answer, what is stored is stale";
  } else if (cache.detail == "offline" && cache.hit) {
    verdict.kind = Kind::Kept;
    verdict.reason = "its route is offline, what is stored is stale";
  } else if (cache.detail == "offline") {
    verdict.kind = Kind::TryAgain;
    verdict.reason = "the upstream did not answer, the offline source did";
  } else if (cache.hit || cache.stored) {
    verdict.kind = status != 200 ? Kind::NotFound : cache.hit ? Kind::Fresh : Kind::Fetched;
  } else {
    verdict.kind = Kind::Hopeless;
    verdict.reason = "an answer that is not stored: the upstream or the route forbids it";
  }
  return verdict;
}

Verdict judge_any(const Reply& reply) {
  Verdict verdict;
  if (reply.status == 0) {
    verdict.kind = reply.unreachable ? Kind::Pause : Kind::TryAgain;
    verdict.unreachable = reply.unreachable;
    verdict.reason = reply.error;
    return verdict;
  }
  const CacheStatus cache = parse_cache_status(reply.cache_status);
  switch (reply.status) {
    case 200:
      return judge_content(cache, reply.status);
    case 404:
    case 410:
      if (cache.ours) return judge_content(cache, reply.status);
      verdict.kind = Kind::Hopeless;
      verdict.reason = "status " + std::to_string(reply.status) +
                       ", and not the upstream's: does the daemon have a route for it?";
      return verdict;
    case 504:
      if (cache.detail == "only-if-cached") {
        verdict.kind = Kind::NotStored;
        return verdict;
      }
      if (cache.detail == "offline") {
        verdict.kind = Kind::Hopeless;
        verdict.reason = "its route is offline, and nothing is stored that may be used";
        return verdict;
      }
      break;
    default:
      break;
  }
  verdict.reason = "status " + std::to_string(reply.status);
  if (reply.status == 429 || reply.status == 503) {
    verdict.kind = Kind::Pause;
  } else if (reply.status >= 500 || reply.status == 408 || reply.status == 425) {
    verdict.kind = Kind::TryAgain;
  } else {
    verdict.kind = Kind::Hopeless;
  }
  return verdict;
}

}  // namespace

Verdict judge(const Reply& reply) {
  Verdict verdict = judge_any(reply);
  verdict.status = reply.status;
  verdict.retry_after = std::clamp(reply.retry_after, std::chrono::seconds(0), kLongestRetryAfter);
  return verdict;
}

}  // namespace holdfast::warm
