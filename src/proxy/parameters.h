// What a path's parameters hold: "8.8.8.8" for the {ip:ip} of "/lookup/{ip:ip}".
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace holdfast::proxy {

// In order of precedence: where two fit, the earlier one is the more specific.
enum class ParameterType : std::uint8_t {
  Ip,       // {x:ip}: an address in any spelling, also an escaped one; as canonical_ip() has it
  Uuid,     // {x:uuid}: 8-4-4-4-12 hex digits; in lower case
  Int,      // {x:int}: at most 18 digits, perhaps after "-"; no leading zeros, no "-0"
  Hex,      // {x:hex}: 1 to 128 hex digits; in lower case
  Segment,  // {x}: a segment that is not empty; its canonical text, escapes and all
  Rest,     // {x:rest}: all that follows, slashes and all; may be empty
};
inline constexpr std::size_t kParameterTypes = 6;

// By the name after the colon; Segment has none.
std::optional<ParameterType> parameter_type(std::string_view name);
std::vector<std::string> parameter_type_names();

// What a client is told whose text is not of the type; null for Segment and Rest.
const char* parameter_objection(ParameterType type);

// The values of one path, in the order of the template. A value is a view of the path, or of
// the Parameters themselves where its canonical form differs: valid as long as both are. Never
// allocates. About a kilobyte, not written until it is needed.
class Parameters {
 public:
  static constexpr std::size_t kMost = 8;

  Parameters() = default;
  Parameters(const Parameters&) = delete;
  Parameters& operator=(const Parameters&) = delete;

  std::size_t size() const { return size_; }
  std::string_view operator[](std::size_t index) const {
    return {values_[index].data, values_[index].size};
  }

  // Adds the value that `text`, of a canonical path, has as a `type`. False, and nothing is
  // added, if it has none. There must be fewer than kMost so far.
  bool take(ParameterType type, std::string_view text);
  // Forgets all but the first `size`.
  void truncate(std::size_t size) { size_ = size; }

 private:
  static constexpr std::size_t kLongestCopy = 128;

  bool take_ip(std::string_view text);
  bool take_lower(std::string_view text);

  void add(std::string_view value) { values_[size_++] = {value.data(), value.size()}; }

  // A view that a constructor need not touch.
  struct Value {
    const char* data;
    std::size_t size;
  };

  std::size_t size_ = 0;
  std::array<Value, kMost> values_;
  // One place for each value, so that what is forgotten needs no accounts.
  std::array<std::array<char, kLongestCopy>, kMost> copies_;
};

}  // namespace holdfast::proxy
