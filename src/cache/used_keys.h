// UsedKeys remembers, by the low 32 bits of their hash, which keys were used
// since somebody last asked. Made for the path of a hit: any thread, no lock, no
// allocation, a store only when it is news. Forgets when two keys share a slot.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace holdfast::cache {

class UsedKeys {
 public:
  void add(std::int64_t hash) {
    const auto bits = static_cast<std::uint32_t>(hash);
    auto& slot = slots_[bits % kSlots];
    // Zero means an empty slot: that one key in four billion is never noted.
    if (slot.load(std::memory_order_relaxed) != bits) slot.store(bits, std::memory_order_relaxed);
  }

  // Moves them to the end of `hashes`, but no more than make `most` of those; the
  // rest is there the next time. One thread.
  void drain(std::vector<std::int64_t>& hashes, std::size_t most) {
    for (auto& slot : slots_) {
      if (hashes.size() >= most) return;
      if (slot.load(std::memory_order_relaxed) == 0) continue;
      // Signed as key_hash() has it.
      hashes.push_back(static_cast<std::int32_t>(slot.exchange(0, std::memory_order_relaxed)));
    }
  }

 private:
  static constexpr std::size_t kSlots = 32768;  // 128 KiB
  std::array<std::atomic<std::uint32_t>, kSlots> slots_{};
};

}  // namespace holdfast::cache
