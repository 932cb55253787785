#include "proxy/resting_keys.h"

#include <algorithm>

namespace holdfast::proxy {

bool RestingKeys::resting(std::string_view key, base::SteadyTime now) const {
  const auto found = keys_.find(key);
  return found != keys_.end() && now < found->second.until;
}

void RestingKeys::failed(std::string_view key, base::SteadyTime now, base::Random& random) {
  auto found = keys_.find(key);
  if (found == keys_.end()) {
    if (keys_.size() >= settings_.max_keys) make_room(now);
    found = keys_.emplace(std::string(key), Rest{now, base::Duration(0)}).first;
  }
  Rest& rest = found->second;
  rest.length = std::clamp(rest.length * 2, settings_.first, settings_.most);
  rest.until = now + rest.length / 2 + random.up_to(rest.length / 2);
}

void RestingKeys::succeeded(std::string_view key) {
  const auto found = keys_.find(key);
  if (found != keys_.end()) keys_.erase(found);
}

void RestingKeys::make_room(base::SteadyTime now) {
  std::erase_if(keys_, [now](const auto& entry) { return entry.second.until <= now; });
  // Leaves room for more than one, or the next failure would search again.
  if (keys_.size() > settings_.max_keys - settings_.max_keys / 4) keys_.clear();
}

}  // namespace holdfast::proxy
