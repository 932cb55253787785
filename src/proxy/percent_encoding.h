// Percent-encoding (RFC 3986, 2.1), as every parser of this folder reads and writes it.
// Pure functions; any thread.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

namespace holdfast::proxy {

// "%2F".
inline constexpr std::size_t kEscapeSize = 3;

constexpr int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// The byte that the escape at the start of `text` stands for; -1 if none is there.
constexpr int escaped_byte(std::string_view text) {
  if (text.size() < kEscapeSize || text[0] != '%') return -1;
  const int high = hex_digit(text[1]);
  const int low = hex_digit(text[2]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

inline void append_escaped(unsigned char byte, std::string& out) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  const std::array<char, kEscapeSize> escape{'%', kHex[byte >> 4], kHex[byte & 15U]};
  out.append(escape.data(), escape.size());
}

// A field's value as a key holds it: a blank ends it.
inline void append_key_value(std::string_view value, std::string& key) {
  for (const char c : value) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte > ' ' && byte < 0x7F && c != '%') {
      key += c;
    } else {
      append_escaped(byte, key);
    }
  }
}

// RFC 3986, 2.3: escaped or not, these are the same.
constexpr bool is_unreserved(unsigned char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '.' || c == '_' || c == '~';
}

}  // namespace holdfast::proxy
