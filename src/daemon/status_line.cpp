#include "daemon/status_line.h"

#include <algorithm>
#include <array>
#include <cstdio>

namespace holdfast::daemon {
namespace {

using observe::HealthState;

constexpr base::Duration kWindow = std::chrono::minutes(1);
constexpr std::size_t kLongestError = 200;

// Rounded down: 100 % means that not one was missing.
std::string percent_ok(RecentAnswers::Count count) {
  const double share = static_cast<double>(count.ok) * 1000 / static_cast<double>(count.all);
  std::array<char, 16> text{};
  const int tenths = static_cast<int>(share);
  if (tenths >= 1000) return "100 %";
  std::snprintf(text.data(), text.size(), "%d.%d %%", tenths / 10, tenths % 10);
  return text.data();
}

std::string_view word_for(HealthState upstream) {
  return upstream == HealthState::Ok ? "up" : to_string(upstream);
}

}  // namespace

void RecentAnswers::note(base::SteadyTime now, Count since_start) {
  samples_.push_back({now, since_start});
  while (samples_.size() > 1 && samples_[1].at <= now - kWindow) samples_.pop_front();
}

RecentAnswers::Count RecentAnswers::last_minute() const {
  if (samples_.empty()) return {};
  const Count& now = samples_.back().count;
  const Count& then = samples_.front().count;
  // The counters are read one after the other, while they grow.
  const std::uint64_t all = now.all - then.all;
  return {all, std::min(now.ok - then.ok, all)};
}

std::string status_line(const StatusFacts& facts) {
  if (facts.draining) {
    return "draining; " + std::to_string(facts.in_flight) + " requests in flight";
  }
  std::string line = "serving on " + facts.ports + "; upstream ";
  line += word_for(facts.upstream);
  line += "; " + std::to_string(facts.stored) + " stored";
  if (facts.store != HealthState::Ok) {
    line += " (store ";
    line += to_string(facts.store);
    line += ")";
  }
  if (facts.recent.all == 0) {
    line += "; no lookups in the last minute";
  } else {
    line += "; " + percent_ok(facts.recent) + " 200s of " + std::to_string(facts.recent.all) +
            " in the last minute";
  }
  if (!facts.reload_error.empty()) {
    line += "; last reload failed: ";
    line += facts.reload_error.substr(0, kLongestError);
  }
  // A line is what it must stay.
  std::replace_if(
      line.begin(), line.end(), [](char c) { return (c >= 0 && c < ' ') || c == '\x7f'; }, '?');
  return line;
}

}  // namespace holdfast::daemon
