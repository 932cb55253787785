// FairPlaces shares a number of places among who asks for some, so that one who keeps many for long
// never takes the last ones of the others. One thread.
//
// Nobody has more than four times as many as are free (dynamic thresholds: Choudhury and Hahne,
// IEEE/ACM Transactions on Networking 6, 1998): one alone gets four fifths of all, two get four
// ninths each, and some are always free for who has none.
#pragma once

#include <cstddef>
#include <unordered_map>

namespace holdfast::proxy {

class FairPlaces {
 public:
  explicit FairPlaces(std::size_t most) : most_(most) {}

  // False: there is none for this one now. A place that was taken is given back by leave().
  bool take(const void* who) {
    const auto found = taken_.find(who);
    const std::size_t own = found == taken_.end() ? 0 : found->second;
    if (own >= kPerFree * (most_ - all_)) return false;
    ++taken_[who];
    ++all_;
    return true;
  }
  void leave(const void* who) {
    const auto found = taken_.find(who);
    if (--found->second == 0) taken_.erase(found);
    --all_;
  }

 private:
  static constexpr std::size_t kPerFree = 4;

  const std::size_t most_;
  std::size_t all_ = 0;
  std::unordered_map<const void*, std::size_t> taken_;  // none are zero
};

}  // namespace holdfast::proxy
