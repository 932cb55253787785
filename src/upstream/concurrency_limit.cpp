#include "upstream/concurrency_limit.h"

#include <algorithm>
#include <cmath>

namespace holdfast::upstream {
namespace {

constexpr std::size_t kShortestRound = 10;
// The long-term median follows slowly upwards, so that a persistent queue does
// not become the new normal at once, and quickly downwards.
constexpr double kUpwards = 0.05;
constexpr double kDownwards = 0.5;
constexpr double kSteepest = 0.5;
constexpr double kTimeoutDecrease = 0.75;

base::Duration scaled(base::Duration duration, double factor) {
  return std::chrono::duration_cast<base::Duration>(duration * factor);
}

}  // namespace

ConcurrencyLimit::ConcurrencyLimit(Settings settings)
    : settings_(settings), limit_(std::min(settings.initial, settings.max)) {}

void ConcurrencyLimit::sent(base::SteadyTime now, int in_flight) {
  // A limit that was found long ago and not used since is a guess (compare RFC
  // 7661 on TCP's congestion window): halve it per idle period, down to the start.
  const double floor = std::min(settings_.initial, settings_.max);
  if (limit_ > floor && now - last_used_ > settings_.idle) {
    const auto periods = static_cast<double>((now - last_used_) / settings_.idle);
    limit_ = std::max(floor, limit_ * std::exp2(-std::min(periods, 10.0)));
    last_used_ = now;
  }
  if (in_flight * 2 >= limit()) last_used_ = now;
  most_in_flight_ = std::max(most_in_flight_, in_flight);
}

void ConcurrencyLimit::answered(base::Duration latency) {
  round_.push_back(latency);
  end_round_if_full();
}

void ConcurrencyLimit::timed_out() {
  ++timeouts_;
  end_round_if_full();
}

void ConcurrencyLimit::restart() {
  limit_ = std::min(settings_.initial, settings_.max);
  round_.clear();
  timeouts_ = 0;
  most_in_flight_ = 0;
}

void ConcurrencyLimit::end_round_if_full() {
  const auto size = round_.size() + static_cast<std::size_t>(timeouts_);
  if (size < std::max(kShortestRound, static_cast<std::size_t>(limit_))) return;

  if (static_cast<std::size_t>(timeouts_) * 2 > size) {
    limit_ *= kTimeoutDecrease;
  } else {
    const auto middle = round_.begin() + static_cast<std::ptrdiff_t>(round_.size() / 2);
    std::nth_element(round_.begin(), middle, round_.end());
    const base::Duration median = std::max(*middle, base::Duration(1));
    if (usual_ == base::Duration::zero()) usual_ = median;
    usual_ += scaled(median - usual_, median > usual_ ? kUpwards : kDownwards);
    const double gradient = std::clamp(settings_.tolerance * static_cast<double>(usual_.count()) /
                                           static_cast<double>(median.count()),
                                       kSteepest, 1.0);
    const bool used = most_in_flight_ * 2 >= limit();
    if (gradient < 1.0) {
      limit_ *= gradient;
    } else if (used) {
      limit_ += std::sqrt(limit_);
    }
  }
  limit_ = std::clamp(limit_, 1.0, static_cast<double>(settings_.max));
  round_.clear();
  timeouts_ = 0;
  most_in_flight_ = 0;
}

}  // namespace holdfast::upstream
