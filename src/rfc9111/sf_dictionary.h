// Dictionaries of Structured Fields (RFC 9651, 3.2 and 4.2.2), as far as cache directives need
// them: every type is read by its grammar, parameters and the items of inner lists are checked and
// dropped. Pure functions; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace holdfast::rfc9111 {

enum class SfType {
  Integer,
  Decimal,
  String,
  Token,
  ByteSequence,
  Boolean,
  Date,
  DisplayString,
  InnerList,
};

struct SfMember {
  std::string key;
  SfType type = SfType::Boolean;
  std::int64_t integer = 0;  // of an Integer
  bool boolean = false;      // of a Boolean; a key alone is true
  std::string text;          // of a String, without its quotes and escapes, and of a Token
};

// The members in order, of one key only the last value; none of an empty text. Null if anything of
// it is malformed. `text`: the field's lines, joined by ", " (RFC 9651, 4.2).
std::optional<std::vector<SfMember>> parse_sf_dictionary(std::string_view text);

}  // namespace holdfast::rfc9111
