// RefreshGate keeps a worker from asking for the same background refresh again
// and again while a stale response is popular: one request per key and interval.
// A fixed table without chains: two keys in one slot cost a few more requests,
// which the flights refuse. One thread, no allocation.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <functional>
#include <string_view>

#include "base/clock.h"

namespace holdfast::proxy {

class RefreshGate {
 public:
  // True if a refresh of `key` should be asked for now; then false for the interval.
  bool open(std::string_view key, base::SteadyTime now) {
    const std::size_t hash = std::hash<std::string_view>{}(key);
    Slot& slot = slots_[hash % slots_.size()];
    if (slot.hash == hash && now < slot.closed_until) return false;
    slot = {hash, now + kInterval};
    return true;
  }

 private:
  static constexpr base::Duration kInterval = std::chrono::seconds(1);
  struct Slot {
    std::size_t hash = 0;
    base::SteadyTime closed_until{};
  };
  std::array<Slot, 1024> slots_{};
};

}  // namespace holdfast::proxy
