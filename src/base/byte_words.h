// Eight bytes of a text at a time, for what looks at every byte of every request. Each function
// says something of each byte of a word by that byte's top bit. Pure functions; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace holdfast::base {

inline constexpr std::size_t kWordBytes = sizeof(std::uint64_t);
inline constexpr std::uint64_t kOneEach = 0x0101010101010101U;
inline constexpr std::uint64_t kTopBits = 0x80 * kOneEach;

inline std::uint64_t read_word(const char* from) {
  std::uint64_t word;
  std::memcpy(&word, from, sizeof word);
  return word;
}

// Of the bytes below 0x80 those from `first` to `last`, both at most 0x7f; of others anything.
constexpr std::uint64_t bytes_within(std::uint64_t word, std::uint64_t first, std::uint64_t last) {
  const std::uint64_t low = word & ~kTopBits;
  return (low + (0x80 - first) * kOneEach) & ~(low + (0x7f - last) * kOneEach) & kTopBits;
}

// Those that are `byte`, at most 0x7f; of those above 0x7f anything.
constexpr std::uint64_t bytes_equal(std::uint64_t word, std::uint64_t byte) {
  const std::uint64_t other = (word ^ (byte * kOneEach)) & ~kTopBits;
  return ~(other + 0x7f * kOneEach) & kTopBits;
}

}  // namespace holdfast::base
