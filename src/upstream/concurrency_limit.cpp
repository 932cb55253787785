#include "upstream/concurrency_limit.h"

#include <algorithm>
#include <cmath>

namespace holdfast::upstream {
namespace {

constexpr std::size_t kShortestRound = 10;
constexpr std::size_t kEnoughLight = 3;
// Where none had the origin to itself, what is usual follows slowly upwards, so that a
// persistent queue does not become the new normal at once, and quickly downwards.
constexpr double kUpwards = 0.05;
constexpr double kDownwards = 0.5;
constexpr double kSteepest = 0.5;
constexpr double kTimeoutDecrease = 0.75;

base::Duration median(std::vector<base::Duration>& durations) {
  const auto middle = durations.begin() + static_cast<std::ptrdiff_t>(durations.size() / 2);
  std::nth_element(durations.begin(), middle, durations.end());
  return std::max(*middle, base::Duration(1));
}

}  // namespace

ConcurrencyLimit::ConcurrencyLimit(Settings settings)
    : settings_(settings),
      limit_(settings.max),
      proven_(std::min(settings.initial, settings.max)) {}

base::SteadyTime ConcurrencyLimit::free_at(int in_flight) const {
  if (in_flight >= limit()) return base::SteadyTime::max();
  return in_flight < proven_ ? base::SteadyTime::min() : next_unproven_;
}

void ConcurrencyLimit::sent(base::SteadyTime now, int in_flight) {
  if (in_flight > proven_) next_unproven_ = now + settings_.unproven_spacing;
}

void ConcurrencyLimit::answered(base::Duration latency, int in_flight) {
  round_.push_back(latency);
  if (in_flight * 2 <= limit()) light_.push_back(latency);
  most_answered_ = std::max(most_answered_, in_flight);
  proven_ = std::max(proven_, in_flight);
  end_round_if_full();
}

void ConcurrencyLimit::timed_out() {
  ++timeouts_;
  end_round_if_full();
}

void ConcurrencyLimit::restart() {
  limit_ = std::min(settings_.initial, settings_.max);
  refused();
  round_.clear();
  light_.clear();
  timeouts_ = 0;
  most_answered_ = 0;
}

void ConcurrencyLimit::end_round_if_full() {
  const auto size = round_.size() + static_cast<std::size_t>(timeouts_);
  if (size < std::max(kShortestRound, static_cast<std::size_t>(limit_))) return;

  if (static_cast<std::size_t>(timeouts_) * 2 > size) {
    limit_ *= kTimeoutDecrease;
  } else {
    const base::Duration usual = median(round_);
    if (light_.size() >= kEnoughLight) {
      unloaded_ = median(light_);
    } else if (unloaded_ == base::Duration::zero()) {
      unloaded_ = usual;
    } else {
      unloaded_ += base::scaled(usual - unloaded_, usual > unloaded_ ? kUpwards : kDownwards);
    }
    const double gradient =
        std::clamp(settings_.tolerance * static_cast<double>(unloaded_.count()) /
                       static_cast<double>(usual.count()),
                   kSteepest, 1.0);
    if (gradient < 1.0) {
      limit_ = std::max(limit_ * gradient, std::min<double>(limit_, most_answered_));
    } else if (most_answered_ * 2 >= limit()) {
      limit_ += std::sqrt(limit_);
    }
  }
  limit_ = std::clamp(limit_, 1.0, static_cast<double>(settings_.max));
  round_.clear();
  light_.clear();
  timeouts_ = 0;
  most_answered_ = 0;
}

}  // namespace holdfast::upstream
