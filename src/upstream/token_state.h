// TokenState knows whether the upstream accepts our bearer token. Refused (401
// or 403, several in a row), it lets only a check through now and then, at a
// growing interval, until one is accepted or the token changes: asking on would
// cost the upstream requests and us, maybe, the account. One thread.
#pragma once

#include <algorithm>
#include <string_view>

#include "base/clock.h"

namespace holdfast::upstream {

class TokenState {
 public:
  enum class State { Unknown, Accepted, Refused };

  struct Settings {
    // One 403 may be about one request; so many in a row, with no success, are not.
    int refusals_in_a_row = 3;
    base::Duration check_base = std::chrono::seconds(2);
    base::Duration check_cap = std::chrono::minutes(1);
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
  void accepted() {
    state_ = State::Accepted;
    refusals_ = 0;
    interval_ = settings_.check_base;
  }
  void refused(base::SteadyTime now, int status) {
    status_ = status;
    if (++refusals_ < settings_.refusals_in_a_row || state_ == State::Refused) return;
    state_ = State::Refused;
    next_check_ = now + interval_;
  }
  // Another token: nothing is known of it.
  void changed() { *this = TokenState(settings_); }

 private:
  Settings settings_;
  State state_ = State::Unknown;
  int status_ = 0;
  int refusals_ = 0;
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
