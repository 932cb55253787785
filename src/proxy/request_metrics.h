// RequestMetrics counts what one worker's clients got. Everything is resolved
// when made, so that counting a hit is an add to a cell of the worker's own.
#pragma once

#include <array>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "base/clock.h"
#include "observe/metrics.h"
#include "proxy/answer.h"

namespace holdfast::proxy {

// The `cache` label of requests: how an answer came to be.
enum class CacheOutcome { Hit, Stale, Miss, Collapsed, Offline, Absent, Error, Pass };
inline constexpr std::size_t kCacheOutcomes = 8;

std::string_view to_string(CacheOutcome outcome);
CacheOutcome cache_outcome(const Answer& answer);

class RequestMetrics {
 public:
  RequestMetrics(observe::Metrics& metrics, observe::Shard& shard, std::string_view route);

  void count(CacheOutcome outcome, int status, base::Duration duration);

 private:
  static constexpr std::array kContentCodes{200, 304, 404, 410};
  static constexpr std::array kErrorCodes{400, 405, 413, 415, 502, 503, 504};

  observe::Counter of_other_code(CacheOutcome outcome, int status);

  observe::Metrics& metrics_;
  observe::Shard& shard_;
  const std::string route_;
  // Of codes that few routes ever see, made when the first comes.
  std::map<std::pair<CacheOutcome, int>, observe::Counter> other_codes_;
  std::array<std::array<observe::Counter, kContentCodes.size()>, kCacheOutcomes> content_{};
  observe::Counter absent_;  // 504 to only-if-cached: asked for, not an error
  std::array<observe::Counter, kErrorCodes.size()> errors_{};
  std::array<observe::Histogram, kCacheOutcomes> durations_{};
};

}  // namespace holdfast::proxy
