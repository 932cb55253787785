#include "proxy/request_metrics.h"

#include <algorithm>
#include <string>

namespace holdfast::proxy {

std::string_view to_string(CacheOutcome outcome) {
  switch (outcome) {
    case CacheOutcome::Hit:
      return "hit";
    case CacheOutcome::Stale:
      return "stale";
    case CacheOutcome::Miss:
      return "miss";
    case CacheOutcome::Collapsed:
      return "collapsed";
    case CacheOutcome::Offline:
      return "offline";
    case CacheOutcome::Absent:
      return "absent";
    case CacheOutcome::Pass:
      return "pass";
    case CacheOutcome::Error:
      break;
  }
  return "error";
}

CacheOutcome cache_outcome(const Answer& answer) {
  switch (answer.rung) {
    case Rung::Fresh:
      return CacheOutcome::Hit;
    case Rung::StaleWhileRevalidate:
    case Rung::StaleIfError:
      return CacheOutcome::Stale;
    case Rung::Fetched:
      return answer.collapsed ? CacheOutcome::Collapsed : CacheOutcome::Miss;
    case Rung::Offline:
      return CacheOutcome::Offline;
    case Rung::Pass:
      return CacheOutcome::Pass;
    case Rung::NotStored:
      return CacheOutcome::Absent;
    case Rung::Error:
      break;
  }
  return CacheOutcome::Error;
}

RequestMetrics::RequestMetrics(observe::Metrics& metrics, observe::Shard& shard,
                               std::string_view route)
    : metrics_(metrics), shard_(shard), route_(route) {
  for (std::size_t i = 0; i < kCacheOutcomes; ++i) {
    const std::string cache(to_string(static_cast<CacheOutcome>(i)));
    const auto counter = [&](int code) {
      return metrics.counter(
          observe::Family::Requests,
          {{"route", std::string(route)}, {"code", std::to_string(code)}, {"cache", cache}});
    };
    if (static_cast<CacheOutcome>(i) == CacheOutcome::Error) {
      std::transform(kErrorCodes.begin(), kErrorCodes.end(), errors_.begin(), counter);
    } else if (static_cast<CacheOutcome>(i) == CacheOutcome::Absent) {
      absent_ = counter(504);
    } else if (static_cast<CacheOutcome>(i) != CacheOutcome::Pass) {
      std::transform(kContentCodes.begin(), kContentCodes.end(), content_[i].begin(), counter);
    }
    durations_[i] = metrics.histogram(observe::Family::RequestDuration, {{"cache", cache}});
  }
}

observe::Counter RequestMetrics::of_other_code(CacheOutcome outcome, int status) {
  const auto [found, is_new] = other_codes_.try_emplace({outcome, status});
  if (is_new) {
    found->second =
        metrics_.counter(observe::Family::Requests, {{"route", route_},
                                                     {"code", std::to_string(status)},
                                                     {"cache", std::string(to_string(outcome))}});
  }
  return found->second;
}

void RequestMetrics::count(CacheOutcome outcome, int status, base::Duration duration) {
  const auto i = static_cast<std::size_t>(outcome);
  if (outcome == CacheOutcome::Error) {
    const auto code = std::find(kErrorCodes.begin(), kErrorCodes.end(), status);
    if (code != kErrorCodes.end()) {
      shard_.add(errors_[static_cast<std::size_t>(code - kErrorCodes.begin())]);
    } else {
      shard_.add(of_other_code(outcome, status));
    }
  } else if (outcome == CacheOutcome::Absent) {
    shard_.add(absent_);
  } else if (outcome == CacheOutcome::Pass) {
    shard_.add(of_other_code(outcome, status));
  } else {
    const auto code = std::find(kContentCodes.begin(), kContentCodes.end(), status);
    if (code != kContentCodes.end()) {
      shard_.add(content_[i][static_cast<std::size_t>(code - kContentCodes.begin())]);
    } else {
      shard_.add(of_other_code(outcome, status));
    }
  }
  shard_.observe(durations_[i], std::chrono::duration<double>(duration).count());
}

}  // namespace holdfast::proxy
