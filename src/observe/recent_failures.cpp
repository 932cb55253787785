#include "observe/recent_failures.h"

#include <algorithm>

namespace holdfast::observe {

void RecentFailures::note(const Event& event, base::WallTime at) {
  const std::string_view cause = event.cause.substr(0, kLongestCause);
  const std::lock_guard lock(mutex_);
  const auto same = std::find_if(failures_.begin(), failures_.end(), [&](const Failure& failure) {
    return failure.status == event.status && failure.cause == cause;
  });
  if (same != failures_.end()) {
    std::rotate(same, same + 1, failures_.end());
  } else {
    if (failures_.size() == kKept) failures_.erase(failures_.begin());
    failures_.push_back({event.status, std::string(cause), 0, at, at, {}, 0});
  }
  Failure& failure = failures_.back();
  ++failure.count;
  failure.last = at;
  failure.request_id = event.request_id;
  failure.attempts = event.attempts;
}

std::vector<RecentFailures::Failure> RecentFailures::latest() const {
  const std::lock_guard lock(mutex_);
  return {failures_.rbegin(), failures_.rend()};
}

}  // namespace holdfast::observe
