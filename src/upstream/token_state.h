// TokenState knows whether an origin accepts our bearer token. Refused (401 or 403 for
// several keys, with no success between), it lets only a check through now and then, at a
// growing interval, until one is accepted or the token changes: asking on would
// cost the upstream requests and us, maybe, the account. One thread.
//
// A 401 is about us and a 403 about what was asked for, so one key's 403s count once; and
// so do its 401s where the token was accepted before. If something is at hand that was
// answered lately, its owner asks for that before it confirms the doubt.
#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string_view>
#include <vector>

#include "base/clock.h"

namespace holdfast::upstream {

class TokenState {
 public:
  enum class State { Unknown, Accepted, Refused };

  struct Settings {
    // One 403 may be about one request; so many in a row, with no success, are not.
    std::size_t refusals_in_a_row = 3;
    base::Duration check_base = std::chrono::seconds(2);
    base::Duration check_cap = std::chrono::minutes(1);
    base::Duration lately = std::chrono::minutes(1);
  };

  explicit TokenState(Settings settings) : settings_(settings), interval_(settings.check_base) {}

  State state() const { return state_; }
  int status() const { return status_; }  // of the last refusal: 401, 403; 0: none
  base::SteadyTime next_check() const { return next_check_; }

  // May an attempt be sent? When refused, a true answer admits that one only.
  bool admit(base::SteadyTime now) {
    if (state_ != State::Refused) return true;
    if (now < next_check_) return false;
    interval_ = std::min(interval_ * 2, settings_.check_cap);
    next_check_ = now + interval_;
    return true;
  }
  void accepted(base::SteadyTime now = {}) {
    state_ = State::Accepted;
    accepted_at_ = now;
    refusals_.clear();
    interval_ = settings_.check_base;
  }
  // `key`: a hash of what was asked for, if that matters. True: enough of them, so that it
  // may be the token; the caller confirms it, or finds out that it is not.
  bool refused(int status, std::optional<std::size_t> key = {}) {
    status_ = status;
    const bool by_key = key && (status == 403 || state_ == State::Accepted);
    if (!by_key) {
      refusals_.push_back(std::nullopt);
    } else if (std::find(refusals_.begin(), refusals_.end(), key) == refusals_.end()) {
      refusals_.push_back(key);
    }
    const bool enough = refusals_.size() >= settings_.refusals_in_a_row;
    if (refusals_.size() > settings_.refusals_in_a_row) refusals_.erase(refusals_.begin());
    return enough && state_ != State::Refused;
  }
  void confirm(base::SteadyTime now) {
    if (state_ == State::Refused) return;
    state_ = State::Refused;
    next_check_ = now + interval_;
  }
  // Nothing is sent with it, but for the check when that is due.
  bool refuses(base::SteadyTime now) const { return state_ == State::Refused && now < next_check_; }
  // It was accepted so lately that a refusal may be somebody's mistake.
  bool good_lately(base::SteadyTime now) const {
    return state_ == State::Accepted && now - accepted_at_ <= settings_.lately;
  }
  // Another token: nothing is known of it.
  void changed() { *this = TokenState(settings_); }

 private:
  Settings settings_;
  State state_ = State::Unknown;
  int status_ = 0;
  std::vector<std::optional<std::size_t>> refusals_;  // since the last success, by key
  base::SteadyTime accepted_at_{};
  base::Duration interval_;
  base::SteadyTime next_check_{};
};

inline std::string_view to_string(TokenState::State state) {
  switch (state) {
    case TokenState::State::Unknown:
      return "unknown";
    case TokenState::State::Accepted:
      return "accepted";
    case TokenState::State::Refused:
      return "refused";
  }
  return "unknown";
}

}  // namespace holdfast::upstream
