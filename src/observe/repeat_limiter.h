// RepeatLimiter thins out a warning that repeats: the first few of each interval
// are logged, the rest only counted. Their number is told with the next one logged,
// or at the interval's end, when there may be no next one for long. One limiter per
// kind of warning. One thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <utility>

#include "base/clock.h"

namespace holdfast::observe {

class RepeatLimiter {
 public:
  struct Settings {
    base::Duration interval = std::chrono::seconds(10);
    unsigned burst = 5;  // at least 1
  };

  RepeatLimiter() = default;
  explicit RepeatLimiter(Settings settings) : settings_(settings) {}

  // None: leave this one out. Otherwise log it, and as a field "suppressed" the
  // value: how many were left out since the last one logged.
  std::optional<std::uint64_t> admit(base::SteadyTime now) {
    if (!started_ || now - interval_start_ >= settings_.interval) {
      started_ = true;
      interval_start_ = now;
      admitted_ = 0;
    }
    if (admitted_ >= settings_.burst) {
      ++suppressed_;
      return std::nullopt;
    }
    ++admitted_;
    return take_suppressed();
  }

  // How many were left out since the last one logged; they are told once.
  std::uint64_t take_suppressed() { return std::exchange(suppressed_, 0); }
  // Of the interval that the last one fell into.
  base::SteadyTime interval_end() const { return interval_start_ + settings_.interval; }

 private:
  Settings settings_;
  bool started_ = false;
  base::SteadyTime interval_start_;
  unsigned admitted_ = 0;
  std::uint64_t suppressed_ = 0;
};

}  // namespace holdfast::observe
