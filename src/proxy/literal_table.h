// LiteralTable has the literals that may stand in one place of a path, and what is behind each:
// a hash table of what is known at the start, so it needs no more than to be found in. The
// literals are the configuration's, so nobody can choose them to collide. Filled at the start,
// then only read, by any thread; a look-up allocates nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace holdfast::proxy {

class LiteralTable {
 public:
  static constexpr std::uint32_t kNone = 0;

  // kNone: it is not there.
  std::uint32_t find(std::string_view text) const {
    if (slots_.empty()) return kNone;
    return slots_[place_of(text)].value;
  }

  // `value` is not kNone, and `text` not there yet.
  void add(std::string_view text, std::uint32_t value) {
    if (2 * ++size_ > slots_.size()) grow();
    slots_[place_of(text)] = {std::string(text), value};
  }

 private:
  struct Slot {
    std::string text;
    std::uint32_t value = kNone;
  };

  static std::uint64_t hash(std::string_view text) {
    std::uint64_t hash = text.size();
    const auto mix = [&hash](std::uint64_t word) {
      hash = (hash ^ word) * 0x9e3779b97f4a7c15U;
      hash ^= hash >> 32;
    };
    for (; text.size() > sizeof(std::uint64_t); text.remove_prefix(sizeof(std::uint64_t))) {
      mix(read<std::uint64_t>(text.data()));
    }
    // The last up to eight bytes, some of them twice.
    const char* const data = text.data();
    const std::size_t size = text.size();
    if (size >= sizeof(std::uint32_t)) {
      mix(std::uint64_t{read<std::uint32_t>(data)} << 32 |
          read<std::uint32_t>(data + size - sizeof(std::uint32_t)));
    } else if (size > 0) {
      mix(std::uint64_t{read<std::uint8_t>(data)} << 16 |
          std::uint64_t{read<std::uint8_t>(data + size / 2)} << 8 |
          read<std::uint8_t>(data + size - 1));
    }
    return hash;
  }
  template <typename Word>
  static Word read(const char* from) {
    Word word;
    std::memcpy(&word, from, sizeof word);
    return word;
  }

  // Where it is, or would be. At least half of the slots are free.
  std::size_t place_of(std::string_view text) const {
    const std::size_t mask = slots_.size() - 1;
    std::size_t at = hash(text) & mask;
    while (slots_[at].value != kNone && slots_[at].text != text) at = (at + 1) & mask;
    return at;
  }

  void grow() {
    std::vector<Slot> before(slots_.empty() ? 2 : 2 * slots_.size());
    before.swap(slots_);
    for (Slot& slot : before) {
      if (slot.value != kNone) slots_[place_of(slot.text)] = std::move(slot);
    }
  }

  std::vector<Slot> slots_;  // a power of two of them, or none
  std::size_t size_ = 0;
};

}  // namespace holdfast::proxy
