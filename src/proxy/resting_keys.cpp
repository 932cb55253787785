#include "proxy/resting_keys.h"

#include <algorithm>
#include <utility>

namespace holdfast::proxy {

bool RestingKeys::resting(std::string_view key, base::SteadyTime now) const {
  const auto found = keys_.find(key);
  return found != keys_.end() && now < found->second.until;
}

base::Duration RestingKeys::left(std::string_view key, base::SteadyTime now) const {
  return resting(key, now) ? keys_.find(key)->second.until - now : base::Duration::zero();
}

void RestingKeys::failed(std::string_view key, base::SteadyTime now, base::Random& random,
                         std::string_view word) {
  Rest& its = rest(key, now, random);
  its.told = nullptr;
  its.word = word;
}

void RestingKeys::failed(std::string_view key, base::SteadyTime now, base::Random& random,
                         std::string_view word, Answer told) {
  told.forwarded = told.collapsed = false;
  Rest& its = rest(key, now, random);
  its.told = std::make_shared<const Answer>(std::move(told));
  its.word = word;
}

void RestingKeys::not_before(std::string_view key, base::SteadyTime now, base::Duration wait) {
  const auto found = keys_.find(key);
  if (found == keys_.end()) return;
  found->second.until = std::max(found->second.until, now + std::min(wait, settings_.most));
}

void RestingKeys::missing(std::string_view key, base::SteadyTime now, base::Random& random) {
  Rest& its = rest(key, now, random);
  its.told = nullptr;
  its.word = {};
  if (!its.missing_since) its.missing_since = now;
}

std::optional<Answer> RestingKeys::told(std::string_view key, base::SteadyTime now) const {
  const auto found = keys_.find(key);
  if (found == keys_.end() || now >= found->second.until || !found->second.told) {
    return std::nullopt;
  }
  Answer answer = *found->second.told;
  answer.retry_after = std::max(std::chrono::seconds(1),
                                std::chrono::ceil<std::chrono::seconds>(found->second.until - now));
  return answer;
}

std::string_view RestingKeys::word(std::string_view key, base::SteadyTime now) const {
  return resting(key, now) ? keys_.find(key)->second.word : std::string_view();
}

std::optional<base::SteadyTime> RestingKeys::missing_since(std::string_view key) const {
  const auto found = keys_.find(key);
  return found == keys_.end() ? std::nullopt : found->second.missing_since;
}

RestingKeys::Rest& RestingKeys::rest(std::string_view key, base::SteadyTime now,
                                     base::Random& random) {
  auto found = keys_.find(key);
  if (found == keys_.end()) {
    if (keys_.size() >= settings_.max_keys || key_bytes_ >= settings_.max_key_bytes) {
      make_room(now);
    }
    key_bytes_ += key.size();
    found = keys_.emplace(std::string(key), Rest{now, base::Duration(0), nullptr, {}, {}}).first;
  }
  Rest& rest = found->second;
  rest.length = std::clamp(rest.length * 2, settings_.first, settings_.most);
  rest.until = now + rest.length / 2 + random.up_to(rest.length / 2);
  return rest;
}

void RestingKeys::succeeded(std::string_view key) {
  const auto found = keys_.find(key);
  if (found == keys_.end()) return;
  key_bytes_ -= found->first.size();
  keys_.erase(found);
}

void RestingKeys::make_room(base::SteadyTime now) {
  std::erase_if(keys_, [this, now](const auto& entry) {
    if (entry.second.until > now) return false;
    key_bytes_ -= entry.first.size();
    return true;
  });
  // Leaves room for more than one, or the next failure would search again.
  if (keys_.size() > settings_.max_keys - settings_.max_keys / 4 ||
      key_bytes_ > settings_.max_key_bytes - settings_.max_key_bytes / 4) {
    keys_.clear();
    key_bytes_ = 0;
  }
}

}  // namespace holdfast::proxy
