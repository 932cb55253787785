// RecentFailures remembers the last failures that clients met, for the status
// page. An outage has as many as there are requests and all alike, so those of the
// same kind and cause are kept as one, with a count. Any thread, under a short
// lock: not for the path of a hit.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"

namespace holdfast::observe {

class RecentFailures {
 public:
  static constexpr std::size_t kKept = 20;
  static constexpr std::size_t kLongestCause = 300;  // bytes; the rest is cut off

  // What a client met. No key and no address: the page is for more eyes than the
  // log is, and `request_id` leads to the line there.
  struct Event {
    int status = 0;          // what the client got: 5xx, or 200 from something stale
    std::string_view cause;  // the chain of failures, or why nobody was asked
    std::string_view request_id;
    int attempts = 0;
  };
  struct Failure {
    int status = 0;
    std::string cause;
    std::uint64_t count = 0;
    base::WallTime first;
    base::WallTime last;
    // Of the last one:
    std::string request_id;
    int attempts = 0;
  };

  void note(const Event& event, base::WallTime at);
  // The latest first.
  std::vector<Failure> latest() const;

 private:
  mutable std::mutex mutex_;
  std::vector<Failure> failures_;  // guarded by mutex_; the latest last
};

}  // namespace holdfast::observe
