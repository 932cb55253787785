// UTF-8 validity is Unicode's table 3-7: no overlong form, no surrogate, nothing
// past U+10FFFF. Each byte that cannot be part of a valid sequence becomes one
// U+FFFD.
#include <array>
#include <cstdint>

#include "observe/log.h"

namespace holdfast::observe {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

// Bytes that go out as they are: printable ASCII but the quote and the backslash.
constexpr std::array<bool, 256> make_plain() {
  std::array<bool, 256> plain{};
  for (std::size_t c = 0x20; c < 0x7F; ++c) plain[c] = c != '"' && c != '\\';
  return plain;
}
constexpr std::array<bool, 256> kPlain = make_plain();

std::uint8_t byte_at(std::string_view text, std::size_t i) {
  return i < text.size() ? static_cast<std::uint8_t>(text[i]) : 0;  // 0 continues nothing
}

bool between(std::uint8_t byte, std::uint8_t low, std::uint8_t high) {
  return byte >= low && byte <= high;
}

// Length of the valid sequence of two to four bytes at `i`; 0 if there is none.
std::size_t sequence_length(std::string_view text, std::size_t i) {
  const std::uint8_t lead = byte_at(text, i);
  const std::uint8_t second = byte_at(text, i + 1);
  const bool third = between(byte_at(text, i + 2), 0x80, 0xBF);
  const bool fourth = between(byte_at(text, i + 3), 0x80, 0xBF);
  if (between(lead, 0xC2, 0xDF)) return between(second, 0x80, 0xBF) ? 2 : 0;
  if (between(lead, 0xE0, 0xEF)) {
    const std::uint8_t low = lead == 0xE0 ? 0xA0 : 0x80;
    const std::uint8_t high = lead == 0xED ? 0x9F : 0xBF;
    return between(second, low, high) && third ? 3 : 0;
  }
  if (between(lead, 0xF0, 0xF4)) {
    const std::uint8_t low = lead == 0xF0 ? 0x90 : 0x80;
    const std::uint8_t high = lead == 0xF4 ? 0x8F : 0xBF;
    return between(second, low, high) && third && fourth ? 4 : 0;
  }
  return 0;
}

void append_escape(std::string& out, std::uint8_t code) {
  constexpr char kHex[] = "0123456789abcdef";
  switch (code) {
    case '"':
      out += "\\\"";
      return;
    case '\\':
      out += "\\\\";
      return;
    case '\n':
      out += "\\n";
      return;
    case '\r':
      out += "\\r";
      return;
    case '\t':
      out += "\\t";
      return;
    default:
      out += "\\u00";
      out += kHex[code >> 4];
      out += kHex[code & 0xF];
  }
}

}  // namespace

void append_json_escaped(std::string& out, std::string_view text) {
  std::size_t i = 0;
  while (i < text.size()) {
    const std::size_t start = i;
    while (i < text.size() && kPlain[static_cast<std::uint8_t>(text[i])]) ++i;
    out.append(text, start, i - start);
    if (i == text.size()) return;

    const std::uint8_t byte = byte_at(text, i);
    if (byte < 0x80) {
      append_escape(out, byte);
      ++i;
      continue;
    }
    const std::size_t length = sequence_length(text, i);
    if (length == 0) {
      out += kReplacement;
      ++i;
    } else if (byte == 0xC2 && byte_at(text, i + 1) < 0xA0) {
      append_escape(out, byte_at(text, i + 1));  // C1 controls: U+0080 to U+009F
      i += length;
    } else {
      out.append(text, i, length);
      i += length;
    }
  }
}

}  // namespace holdfast::observe
