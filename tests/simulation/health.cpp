#include "health.h"

namespace holdfast::simulation {
namespace {

// What is dead may lie in wait for so long: kept connections, what was learned before.
constexpr base::Duration kLingers = std::chrono::seconds(10);

}  // namespace

void Health::reachable(bool yes) {
  const base::SteadyTime now = scheduler_.now();
  const bool was = unreachable_.empty() || unreachable_.back().second != base::SteadyTime::max();
  if (was == yes) return;
  if (yes) {
    unreachable_.back().second = now;
  } else {
    unreachable_.emplace_back(now, base::SteadyTime::max());
  }
}

void Health::natural(base::Duration takes) {
  if (natural_.empty() || natural_.back().second != takes) {
    natural_.emplace_back(scheduler_.now(), takes);
  }
}

bool Health::must_be_known(base::Duration longer) const {
  if (unreachable_.empty()) return true;
  const base::SteadyTime ended = unreachable_.back().second;
  return ended != base::SteadyTime::max() &&
         scheduler_.now() - ended > kNoticed + natural_since(ended) + longer;
}

base::Duration Health::lost(base::SteadyTime from, base::SteadyTime to) const {
  base::Duration sum{};
  base::SteadyTime counted = from;  // up to here
  for (const auto& [begun, ended] : unreachable_) {
    const base::SteadyTime noticed =
        ended == base::SteadyTime::max() ? to : std::min(to, ended + kNoticed);
    const base::SteadyTime first = std::max(begun, counted);
    if (noticed <= first) continue;
    sum += noticed - first;
    counted = noticed;
  }
  return sum;
}

base::Duration Health::of_use(base::SteadyTime from, base::SteadyTime to) const {
  base::Duration longest{};
  base::SteadyTime begun = from;
  for (const auto& [first, ended] : unreachable_) {
    if (first >= to) break;
    if (first > begun) longest = std::max(longest, first - begun - kFoundOut);
    begun = std::max(begun, ended == base::SteadyTime::max() ? to : ended + kNoticed);
  }
  return std::max(longest, to - begun);
}

base::Duration Health::natural_since(base::SteadyTime from) const {
  base::Duration longest{};
  for (auto one = natural_.rbegin(); one != natural_.rend(); ++one) {
    longest = std::max(longest, one->second);
    if (one->first <= from) break;
  }
  return longest;
}

bool Health::calm_since(base::SteadyTime from) const {
  return disturbed_at_ == base::SteadyTime::min() || disturbed_at_ + kLingers < from;
}

}  // namespace holdfast::simulation
