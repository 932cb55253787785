#include "upstream/answer_times.h"

#include <algorithm>

namespace holdfast::upstream {
namespace {

constexpr base::Duration kLongestCut = std::chrono::seconds(8);
constexpr base::Duration kRtoMin = std::chrono::milliseconds(200);
// Packets between programs on one machine, or in one rack, are hardly ever lost.
constexpr base::Duration kNextDoor = std::chrono::milliseconds(2);

}  // namespace

base::Duration retransmission(base::Duration round_trip) {
  if (round_trip < kNextDoor) return base::Duration::zero();
  return kRtoMin + round_trip + round_trip / 2;
}

void AnswerTimes::answered(base::Duration took) {
  window_.add(took);
  cut_floor_ = base::Duration::zero();
}

void AnswerTimes::cut_off(base::Duration after) {
  cut_floor_ = std::min(std::max(cut_floor_, after * 2), kLongestCut);
}

base::Duration AnswerTimes::suspect_after(base::Duration round_trip) const {
  if (window_.count() == 0) return settings_.unknown;
  const base::Duration late =
      known() ? base::scaled(*window_.percentile(settings_.quantile), settings_.headroom)
              : std::min(base::scaled(longest(), settings_.headroom_few),
                         std::max(settings_.unknown, base::scaled(longest(), settings_.headroom)));
  return std::max({late, settings_.floor, usual() + retransmission(round_trip)});
}

base::Duration AnswerTimes::spacing(int races, bool alive, base::Duration left,
                                    base::Duration round_trip) const {
  base::Duration wait;
  base::Duration cap;
  if (lost_mostly()) {
    wait = std::max({window_.percentile(settings_.quantile).value_or(base::Duration()),
                     settings_.floor, usual() + retransmission(round_trip)});
    if (alive) return wait;
    cap = std::max(std::min(settings_.spacing, left / settings_.lost_share), wait);
  } else {
    wait = std::max({settings_.spacing, suspect_after(round_trip) * 4, longest() * 5 / 4});
    cap = std::max(settings_.spacing_cap, longest() * 5 / 4);
  }
  for (int more = 1; more < races && wait < cap; ++more) wait *= 2;
  return std::min(wait, cap);
}

base::Duration AnswerTimes::superfluous_after() const {
  const base::Duration slow = longest() * 5 / 4;
  return lost_mostly() ? std::max(suspect_after({}), slow) : std::max(silence(), slow);
}

base::Duration AnswerTimes::silence() const {
  if (window_.count() == 0) return settings_.silence_most;
  return std::clamp(longest() * 4, settings_.silence_least, settings_.silence_most);
}

}  // namespace holdfast::upstream
