// History knows how the daemon did over the last hour: the counters are read in
// equal steps, and the differences kept in a ring of fixed size (some 600 KB).
// Control loop only; time is an argument.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/clock.h"
#include "observe/metrics.h"
#include "proxy/request_metrics.h"
#include "upstream/message.h"

namespace holdfast::status {

// What became of the requests: the answers with content by how they came to be
// (as CacheOutcome, of which Error stands for what failed and Absent for the 504 to
// who wanted nothing but what is stored), then what we refused.
inline constexpr std::size_t kOutcomes = proxy::kCacheOutcomes + 1;
inline constexpr auto kFailed = static_cast<std::size_t>(proxy::CacheOutcome::Error);  // 5xx
inline constexpr std::size_t kRefused = proxy::kCacheOutcomes;  // 4xx: the request's own fault

// The `cache` label, or "refused"; "failed" for what the label calls an error.
std::string_view outcome_name(std::size_t outcome);

// How often each thing happened, up to a moment or between two.
struct Counts {
  std::array<std::uint64_t, kOutcomes> outcomes{};
  std::array<std::uint64_t, static_cast<std::size_t>(upstream::kOutcomes)> attempts{};
  // Durations by CacheOutcome and bucket, as Metrics::buckets() has them.
  std::array<std::vector<std::uint64_t>, proxy::kCacheOutcomes> durations;

  std::uint64_t ok() const;  // 200, or 304 to who has it already
  std::uint64_t failed() const { return outcomes[kFailed]; }
  std::uint64_t refused() const { return outcomes[kRefused]; }
  // Of the answers that were ours to give: all but the refused and the absent, with
  // which the client got what it asked for. None: there were none.
  std::optional<double> share_ok() const;
  // Of those, but for what was passed through, what was answered from what was stored, or offline.
  std::optional<double> share_without_upstream() const;
  std::vector<std::uint64_t> all_durations() const;

  void add(const Counts& other);
  // Counters only grow; one that did not counts as nothing happened.
  void subtract(const Counts& other);
};

// Reads the counters as they stand.
Counts read_counts(const observe::Metrics& metrics);

// The duration that share `q` of the observations did not exceed, in seconds, by
// linear interpolation within a bucket. None without observations; infinity above
// the last bound.
std::optional<double> quantile(const std::vector<std::uint64_t>& buckets, double q);

class History {
 public:
  struct Settings {
    std::chrono::seconds step{10};
    std::size_t samples = 360;
  };
  struct Sample {
    base::SteadyTime end;
    base::WallTime at;  // its end, on the wall clock as it is set now
    base::Duration length{};
    Counts counts;
  };

  // `start` is what the counters said at `now`.
  History(Settings settings, Counts start, base::SteadyTime now);

  const Settings& settings() const { return settings_; }

  // Ends a sample: call it every step. A late call makes a longer sample, and
  // nothing is counted twice or lost.
  void add(const Counts& now, base::SteadyTime at);

  // The samples, oldest first, with the one that has not ended yet as the last.
  std::vector<Sample> samples(const Counts& now, base::SteadyTime at, base::WallTime wall) const;

  // What happened in the last `time`, to a step, as far back as is known.
  struct Window {
    base::Duration length{};
    Counts counts;
  };
  static Window window(const std::vector<Sample>& samples, base::Duration time);

 private:
  Sample since_last(const Counts& now, base::SteadyTime at) const;

  Settings settings_;
  Counts last_;
  base::SteadyTime last_at_;
  std::vector<Sample> ring_;  // grows to its size, then `next_` is the oldest
  std::size_t next_ = 0;
};

}  // namespace holdfast::status
