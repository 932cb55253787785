#include "upstream/spare_connections.h"

#include <algorithm>

namespace holdfast::upstream {

SpareConnections::Need SpareConnections::look(base::SteadyTime now, std::size_t ready,
                                              base::SteadyTime idle_since) {
  if (ready == 0 && expected_) {
    expected_ = false;
    rest(now);
  }
  const bool quiet = now - traffic_ > settings_.traffic_memory;
  if (settings_.wanted == 0 || quiet || now < rests_until_) return Need::Nothing;
  if (ready < settings_.wanted) {
    if (now < paused_until_) return Need::Nothing;
    paused_until_ = now + settings_.pause;
    return Need::Make;
  }
  return now - idle_since >= settings_.refresh_after ? Need::Refresh : Need::Nothing;
}

void SpareConnections::rest(base::SteadyTime now) {
  if (now < rests_until_) return;
  rest_ = std::clamp(rest_ * 2, settings_.rest_base, settings_.rest_cap);
  rests_until_ = now + rest_;
}

}  // namespace holdfast::upstream
