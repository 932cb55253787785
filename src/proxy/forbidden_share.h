// ForbiddenShare knows whether the upstream forbids to store most of what it says: then there
// is little that could answer while it fails, and people should hear of it before. One thread.
#pragma once

#include <bitset>
#include <cstddef>

namespace holdfast::proxy {

class ForbiddenShare {
 public:
  // An answer came. Returns whether most() has changed.
  bool note(bool forbidden) {
    latest_[next_++ % kLatest] = forbidden;
    if (count_ < kLatest) ++count_;
    if (count_ < kThatTell) return false;
    // Between a quarter and a half it stays what it was.
    const bool now = most_ ? share() >= 0.25 : share() > 0.5;
    const bool changed = now != most_;
    most_ = now;
    return changed;
  }

  bool most() const { return most_; }
  // Of the latest hundred.
  double share() const {
    return count_ == 0 ? 0 : static_cast<double>(latest_.count()) / static_cast<double>(count_);
  }

 private:
  static constexpr std::size_t kLatest = 100;
  static constexpr std::size_t kThatTell = 20;

  std::bitset<kLatest> latest_;
  std::size_t next_ = 0;
  std::size_t count_ = 0;
  bool most_ = false;
};

}  // namespace holdfast::proxy
