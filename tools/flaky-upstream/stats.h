// What flaky-upstream counts. One thread.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "base/clock.h"
#include "faults.h"

namespace holdfast::flaky {

// How a request was dealt with, where no fault was played.
enum class Outcome : std::uint8_t {
  Ok,            // 200, the truth
  NotModified,   // 304
  NotFound,      // 404: unknown path, or an address the database lacks
  BadMethod,     // 405
  InvalidIp,     // 400
  Unauthorized,  // 401: no token or the wrong one
  RateLimited,   // 429: over the requests-per-second limit
  Blackholed,    // read, never answered: the mode says so
};
inline constexpr std::size_t kOutcomeCount = static_cast<std::size_t>(Outcome::Blackholed) + 1;

// Requests in the last second, to a tenth of one.
class SecondWindow {
 public:
  void add(base::SteadyTime now);
  std::uint64_t in_last_second(base::SteadyTime now);
  std::uint64_t peak() const { return peak_; }

 private:
  static constexpr std::size_t kSlots = 10;
  void advance(base::SteadyTime now);

  std::array<std::uint64_t, kSlots> slots_{};
  std::int64_t slot_ = 0;  // tenths of a second on the steady clock
  std::uint64_t sum_ = 0;
  std::uint64_t peak_ = 0;
};

struct IpCounts {
  std::uint64_t requests = 0;
  std::uint64_t in_flight = 0;
  std::uint64_t max_in_flight = 0;
  std::array<std::uint64_t, kFaultCount> faults{};  // [None]: answered without a fault
};

struct Stats {
  std::uint64_t requests = 0;   // all that were read, whatever came of them
  std::uint64_t completed = 0;  // whose plan was carried out, faulty ones included
  std::uint64_t aborted = 0;    // the client went first
  std::uint64_t in_flight = 0;  // read, and neither of the two
  std::uint64_t max_in_flight = 0;
  std::array<std::uint64_t, kOutcomeCount> outcomes{};
  std::array<std::uint64_t, kFaultCount> faults{};  // [None] is unused
  SecondWindow window;
  std::map<std::string, IpCounts, std::less<>> ips;  // by canonical text
};

// One JSON object each.
std::string ip_json(std::string_view ip, const IpCounts& counts);
// The members of Stats without braces, so that others can be added.
std::string stats_members(Stats& stats, base::SteadyTime now);

}  // namespace holdfast::flaky
