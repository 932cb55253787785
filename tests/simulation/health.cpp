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

void Health::lacking(bool yes, base::Duration noticed) {
  const base::SteadyTime now = scheduler_.now();
  const bool was = !lacks_.empty() && lacks_.back().ended == base::SteadyTime::max();
  if (was == yes) return;
  if (yes) {
    lacks_.push_back({now, base::SteadyTime::max(), noticed});
  } else {
    lacks_.back().ended = now;
  }
}

bool Health::must_be_known(base::Duration longer) const {
  if (unreachable_.empty()) return true;
  const base::SteadyTime ended = unreachable_.back().second;
  if (ended == base::SteadyTime::max()) return false;
  // Who sends nothing finds out nothing: it begins anew then.
  base::SteadyTime since = ended;
  const base::Duration noticed = kNoticed + natural_since(ended) + longer;
  for (const Span& lack : lacks_) {
    if (lack.begun - since > noticed || lack.ended <= since) continue;
    if (lack.ended == base::SteadyTime::max()) return false;
    since = lack.ended;
  }
  return scheduler_.now() - since > noticed;
}

std::vector<Health::Span> Health::of_no_use() const {
  std::vector<Span> all = lacks_;
  for (const auto& [begun, ended] : unreachable_) all.push_back({begun, ended, kNoticed});
  std::sort(all.begin(), all.end(), [](const Span& a, const Span& b) { return a.begun < b.begun; });
  std::vector<Span> apart;
  for (const Span& one : all) {
    if (apart.empty() || apart.back().until() < one.begun) {
      apart.push_back(one);
      continue;
    }
    // An outage in which nothing could be sent for a while is noticed to be over as late as any.
    Span& last = apart.back();
    last.ended = std::max(last.ended, one.ended);
    last.noticed = std::max(last.noticed, one.noticed);
  }
  return apart;
}

base::Duration Health::lost(base::SteadyTime from, base::SteadyTime to) const {
  base::Duration sum{};
  for (const Span& span : of_no_use()) {
    const base::SteadyTime first = std::max(span.begun, from);
    const base::SteadyTime last = std::min(span.until(), to);
    if (last > first) sum += last - first;
  }
  return sum;
}

base::Duration Health::of_use(base::SteadyTime from, base::SteadyTime to) const {
  base::Duration longest{};
  base::SteadyTime begun = from;
  for (const Span& span : of_no_use()) {
    if (span.begun >= to) break;
    if (span.begun > begun) longest = std::max(longest, span.begun - begun - kFoundOut);
    begun = std::max(begun, std::min(to, span.until()));
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
