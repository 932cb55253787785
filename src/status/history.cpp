#include "status/history.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>
#include <utility>

#include "observe/metric_table.h"

namespace holdfast::status {
namespace {

using observe::Family;
using proxy::CacheOutcome;

const std::vector<double>& bounds() {
  return observe::metric_info(Family::RequestDuration).bounds;
}

constexpr auto kAbsent = static_cast<std::size_t>(CacheOutcome::Absent);

std::string cache_label(std::size_t outcome) {
  return std::string(proxy::to_string(static_cast<CacheOutcome>(outcome)));
}

// Which outcome a series of holdfast_requests_total counts as.
std::size_t outcome_of(const std::string& code, const std::string& cache) {
  // A 504, but no failure: cache-warm asks so for every address of its list.
  if (cache == cache_label(kAbsent)) return kAbsent;
  if (code.starts_with('4')) return kRefused;
  if (code.starts_with('5')) return kFailed;
  std::size_t i = 0;
  while (i < proxy::kCacheOutcomes && cache_label(i) != cache) ++i;
  return i < proxy::kCacheOutcomes ? i : kFailed;
}

template <typename Left, typename Right, typename Function>
void combine(Left& left, const Right& right, Function function) {
  for (std::size_t i = 0; i < right.size(); ++i) left[i] = function(left[i], right[i]);
}

void combine_all(Counts& left, const Counts& right, auto function) {
  combine(left.outcomes, right.outcomes, function);
  combine(left.attempts, right.attempts, function);
  for (std::size_t i = 0; i < left.durations.size(); ++i) {
    left.durations[i].resize(std::max(left.durations[i].size(), right.durations[i].size()));
    combine(left.durations[i], right.durations[i], function);
  }
}

std::optional<double> share(std::uint64_t part, std::uint64_t whole) {
  if (whole == 0) return std::nullopt;
  return static_cast<double>(part) / static_cast<double>(whole);
}

}  // namespace

std::string_view outcome_name(std::size_t outcome) {
  if (outcome == kRefused) return "refused";
  if (outcome == kFailed) return "failed";
  return proxy::to_string(static_cast<CacheOutcome>(outcome));
}

std::uint64_t Counts::ok() const {
  const auto all = std::accumulate(outcomes.begin(), outcomes.end(), std::uint64_t{0});
  return all - outcomes[kAbsent] - outcomes[kFailed] - outcomes[kRefused];
}

std::optional<double> Counts::share_ok() const {
  return share(ok(), ok() + failed());
}

std::optional<double> Counts::share_without_upstream() const {
  const auto of = [this](CacheOutcome outcome) {
    return outcomes[static_cast<std::size_t>(outcome)];
  };
  // What is passed through could not have been.
  return share(of(CacheOutcome::Hit) + of(CacheOutcome::Stale) + of(CacheOutcome::Offline),
               ok() - of(CacheOutcome::Pass) + failed());
}

std::vector<std::uint64_t> Counts::all_durations() const {
  std::vector<std::uint64_t> all(bounds().size() + 1);
  for (const auto& of_outcome : durations) combine(all, of_outcome, std::plus<>());
  return all;
}

void Counts::add(const Counts& other) {
  combine_all(*this, other, std::plus<>());
}

void Counts::subtract(const Counts& other) {
  combine_all(*this, other,
              [](std::uint64_t a, std::uint64_t b) { return a > b ? a - b : std::uint64_t{0}; });
}

Counts read_counts(const observe::Metrics& metrics) {
  Counts counts;
  metrics.visit(Family::Requests, [&](const std::vector<std::string>& labels, double value) {
    // route, code, cache: the table's order.
    counts.outcomes[outcome_of(labels[1], labels[2])] += static_cast<std::uint64_t>(value);
  });
  metrics.visit(Family::UpstreamAttempts, [&](const auto& labels, double value) {
    for (int i = 0; i < upstream::kOutcomes; ++i) {
      if (upstream::to_string(static_cast<upstream::Outcome>(i)) == labels[1]) {
        counts.attempts[static_cast<std::size_t>(i)] += static_cast<std::uint64_t>(value);
      }
    }
  });
  for (std::size_t i = 0; i < proxy::kCacheOutcomes; ++i) {
    counts.durations[i] = metrics.buckets(Family::RequestDuration, {{"cache", cache_label(i)}});
  }
  return counts;
}

std::optional<double> quantile(const std::vector<std::uint64_t>& buckets, double q) {
  const auto total =
      static_cast<double>(std::accumulate(buckets.begin(), buckets.end(), std::uint64_t{0}));
  if (total == 0) return std::nullopt;
  const double rank = q * total;
  double below = 0;
  for (std::size_t i = 0; i < buckets.size(); ++i) {
    const auto here = static_cast<double>(buckets[i]);
    if (here > 0 && below + here >= rank) {
      if (i >= bounds().size()) return std::numeric_limits<double>::infinity();
      const double low = i == 0 ? 0 : bounds()[i - 1];
      return low + (bounds()[i] - low) * std::max(0.0, rank - below) / here;
    }
    below += here;
  }
  return std::numeric_limits<double>::infinity();
}

History::History(Settings settings, Counts start, base::SteadyTime now)
    : settings_(settings), last_(std::move(start)), last_at_(now) {
  ring_.reserve(settings_.samples);
}

History::Sample History::since_last(const Counts& now, base::SteadyTime at) const {
  Sample sample{at, {}, at - last_at_, now};
  sample.counts.subtract(last_);
  return sample;
}

void History::add(const Counts& now, base::SteadyTime at) {
  Sample sample = since_last(now, at);
  if (ring_.size() < settings_.samples) {
    ring_.push_back(std::move(sample));
  } else {
    ring_[next_] = std::move(sample);
    next_ = (next_ + 1) % ring_.size();
  }
  last_ = now;
  last_at_ = at;
}

std::vector<History::Sample> History::samples(const Counts& now, base::SteadyTime at,
                                              base::WallTime wall) const {
  std::vector<Sample> all;
  all.reserve(ring_.size() + 1);
  const auto oldest = ring_.begin() + static_cast<std::ptrdiff_t>(next_);
  all.insert(all.end(), oldest, ring_.end());
  all.insert(all.end(), ring_.begin(), oldest);
  all.push_back(since_last(now, at));
  // From here back, so that a clock that was set leaves no sample in the future.
  for (Sample& sample : all) {
    sample.at = wall - std::chrono::duration_cast<std::chrono::milliseconds>(at - sample.end);
  }
  return all;
}

History::Window History::window(const std::vector<Sample>& samples, base::Duration time) {
  Window window;
  for (auto sample = samples.rbegin(); sample != samples.rend() && window.length < time; ++sample) {
    window.length += sample->length;
    window.counts.add(sample->counts);
  }
  return window;
}

}  // namespace holdfast::status
