// The one line that `systemctl status` shows of the daemon:
//
//   serving on 3000; upstream up; 1000 stored; 99.9 % 200s of 51234 in the last minute
//
// Plain code on numbers that others count; main's thread.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "observe/health.h"

namespace holdfast::daemon {

// How many lookups the last minute had, and how many of them clients got an
// answer for, from counters that only grow.
class RecentAnswers {
 public:
  struct Count {
    std::uint64_t all = 0;
    std::uint64_t ok = 0;
  };
  // What was counted since the start, noted every few seconds.
  void note(base::SteadyTime now, Count since_start);
  Count last_minute() const;

 private:
  struct Sample {
    base::SteadyTime at;
    Count count;
  };
  std::deque<Sample> samples_;  // the oldest is the last one a minute old, or the first of all
};

struct StatusFacts {
  std::string ports;  // "3000"
  observe::HealthState upstream = observe::HealthState::Ok;
  observe::HealthState store = observe::HealthState::Ok;
  std::uint64_t stored = 0;  // in the store, or in memory where there is none
  RecentAnswers::Count recent;
  bool draining = false;
  std::uint64_t in_flight = 0;
  std::string_view reload_error = {};  // of the last reload, if it failed
};

std::string status_line(const StatusFacts& facts);

}  // namespace holdfast::daemon
