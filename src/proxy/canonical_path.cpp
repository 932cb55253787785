// Nearly every path is canonical as it comes, and made of letters, digits and a few more: that is
// told of eight bytes at a time. Any other is scanned once more, and written anew only from the
// first byte on that must change. Dot segments are looked for in the result: there an unreserved
// character is never escaped, and hex is upper case, so each has one spelling left.
#include "proxy/canonical_path.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "base/byte_words.h"
#include "proxy/percent_encoding.h"

namespace holdfast::proxy {
namespace {

enum class ByteKind : std::uint8_t {
  Unreserved,
  Plain,    // the rest of pchar (RFC 3986, 3.3), and "/"
  Escape,   // "%"
  Foreign,  // belongs into no URI but escaped
  Backslash,
  Delimiter,
  Control,
};

constexpr std::array<ByteKind, 256> kKinds = [] {
  std::array<ByteKind, 256> kinds{};
  for (std::size_t c = 0; c < kinds.size(); ++c) {
    const auto byte = static_cast<unsigned char>(c);
    const bool control = byte < 0x20 || byte == 0x7f;
    kinds[c] = control               ? ByteKind::Control
               : is_unreserved(byte) ? ByteKind::Unreserved
                                     : ByteKind::Foreign;
  }
  for (const char c : {'!', '$', '&', '\'', '(', ')', '*', '+', ',', ';', '=', ':', '@', '/'}) {
    kinds[static_cast<unsigned char>(c)] = ByteKind::Plain;
  }
  kinds['%'] = ByteKind::Escape;
  kinds['\\'] = ByteKind::Backslash;
  kinds['?'] = kinds['#'] = ByteKind::Delimiter;
  return kinds;
}();

ByteKind kind_of(char c) {
  return kKinds[static_cast<unsigned char>(c)];
}

// Of a word, the bytes that stand for themselves: most of those that do, so that a word with
// another is one to look at closely.
std::uint64_t plain_bytes(std::uint64_t word) {
  constexpr std::uint64_t kCase = 0x20 * base::kOneEach;
  return ~word & (base::bytes_within(word, '-', ':') | base::bytes_within(word | kCase, 'a', 'z') |
                  base::bytes_equal(word, '_'));
}

// Whether it is canonical without an escape, and no segment so much as begins with a dot. False
// says nothing.
bool is_plain(std::string_view path) {
  constexpr std::size_t kBytes = base::kWordBytes;
  if (path.size() <= kBytes) return false;
  // A word with the one a byte before it; of the last ones some bytes were looked at before.
  const char* const last = path.data() + path.size() - kBytes;
  for (const char* at = path.data() + 1;; at = std::min(at + kBytes, last)) {
    const std::uint64_t word = base::read_word(at);
    const std::uint64_t first =
        base::bytes_equal(base::read_word(at - 1), '/') & base::bytes_equal(word, '.');
    if (plain_bytes(word) != base::kTopBits || first != 0) return false;
    if (at == last) return true;
  }
}

bool is_canonical_escape(std::string_view text) {
  const int byte = escaped_byte(text);
  if (byte < 0) return false;
  const ByteKind kind = kKinds[static_cast<std::size_t>(byte)];
  return kind != ByteKind::Unreserved && kind != ByteKind::Control && text[1] < 'a' &&
         text[2] < 'a';
}

// How much of the path may stay as it is.
std::size_t canonical_prefix(std::string_view path) {
  std::size_t at = 0;
  while (at < path.size()) {
    const ByteKind kind = kind_of(path[at]);
    if (kind <= ByteKind::Plain) {
      ++at;
    } else if (kind == ByteKind::Escape && is_canonical_escape(path.substr(at))) {
      at += kEscapeSize;
    } else {
      break;
    }
  }
  return at;
}

const char* append_canonical(std::string_view text, std::string& out) {
  for (std::size_t at = 0; at < text.size(); ++at) {
    const auto raw = static_cast<unsigned char>(text[at]);
    switch (kKinds[raw]) {
      case ByteKind::Unreserved:
      case ByteKind::Plain:
        out += text[at];
        break;
      case ByteKind::Foreign:
        append_escaped(raw, out);
        break;
      case ByteKind::Backslash:
        return "a backslash in the path";
      case ByteKind::Delimiter:
        return "a \"?\" or \"#\" inside the path";
      case ByteKind::Control:
        return "a control character in the path";
      case ByteKind::Escape: {
        const int byte = escaped_byte(text.substr(at));
        if (byte < 0) return "a malformed percent-encoding in the path";
        const ByteKind meant = kKinds[static_cast<std::size_t>(byte)];
        if (meant == ByteKind::Control) return "a control character in the path";
        if (meant == ByteKind::Unreserved) {
          out += static_cast<char>(byte);
        } else {
          append_escaped(static_cast<unsigned char>(byte), out);
        }
        at += kEscapeSize - 1;
        break;
      }
    }
  }
  return nullptr;
}

bool ends_in_separator(std::string_view text) {
  return text.ends_with('/') || text.ends_with("%2F") || text.ends_with("%5C");
}

bool is_end_of_name(std::string_view text) {
  return text.empty() || text[0] == '/' || text[0] == ';' || text.starts_with("%2F") ||
         text.starts_with("%5C") || text.starts_with("%3B");
}

bool has_dot_segment(std::string_view canonical) {
  constexpr auto kNone = std::string_view::npos;
  for (auto at = canonical.find('.'); at != kNone; at = canonical.find('.', at + 1)) {
    if (!ends_in_separator(canonical.substr(0, at))) continue;
    std::string_view after = canonical.substr(at + 1);
    if (after.starts_with('.')) after.remove_prefix(1);
    if (is_end_of_name(after)) return true;
  }
  return false;
}

}  // namespace

const char* canonical_path(std::string_view path, std::string& storage,
                           std::string_view& canonical) {
  if (!path.starts_with('/')) return "a path that does not start with a slash";
  if (is_plain(path)) {
    canonical = path;
    return nullptr;
  }
  std::string_view result = path;
  const std::size_t good = canonical_prefix(path);
  if (good < path.size()) {
    storage.assign(path.substr(0, good));
    if (const char* objection = append_canonical(path.substr(good), storage)) return objection;
    result = storage;
  }
  if (has_dot_segment(result)) return "a dot segment in the path";
  canonical = result;
  return nullptr;
}

}  // namespace holdfast::proxy
