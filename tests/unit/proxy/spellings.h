// Paths at random, what they mean, and other spellings of them; written apart from what is
// tested by them.
#pragma once

#include <cctype>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"

namespace holdfast::proxy::test {

// One byte of a path. Whether it was escaped tells reserved characters apart (RFC 3986, 2.2),
// and nothing of all others.
struct PathByte {
  unsigned char byte;
  bool escaped;
  bool operator==(const PathByte&) const = default;
};

inline bool is_reserved(unsigned char byte) {
  return std::string_view("!$&'()*+,;=:@/?#\\%").find(static_cast<char>(byte)) !=
         std::string_view::npos;
}

// Of a path whose escapes are well-formed.
inline std::vector<PathByte> meaning(std::string_view path) {
  std::vector<PathByte> bytes;
  for (std::size_t i = 0; i < path.size(); ++i) {
    auto byte = static_cast<unsigned char>(path[i]);
    bool escaped = false;
    if (byte == '%') {
      byte = static_cast<unsigned char>(std::stoi(std::string(path.substr(i + 1, 2)), nullptr, 16));
      escaped = true;
      i += 2;
    }
    bytes.push_back({byte, escaped && is_reserved(byte)});
  }
  return bytes;
}

inline std::string escape(unsigned char byte, bool upper) {
  const std::string_view hex = upper ? "0123456789ABCDEF" : "0123456789abcdef";
  return {'%', hex[byte >> 4U], hex[byte & 15U]};
}

// The same path, with escapes where none are needed, and none where they are not.
inline std::string respelt(std::string_view path, base::Random& random) {
  std::string out;
  for (const PathByte& one : meaning(path)) {
    const bool free = !is_reserved(one.byte);
    if (one.escaped || (free && random.below(2) == 0)) {
      out += escape(one.byte, random.below(2) == 0);
    } else {
      out += static_cast<char>(one.byte);
    }
  }
  return out;
}

// Short, from few pieces, so that dots, slashes and the like come together, and two of them are
// sometimes the same.
inline std::string random_path(base::Random& random) {
  static constexpr std::string_view kPieces[] = {
      "/",   "/", "a", "%61", "A", ".",   "%2e",  "%2F", "%2f", ";", "%3b", "%5C", ":",
      "%3A", "1", "~", "%7e", " ", "%20", "\xe9", "%E9", "%25", "|", "+",   "-"};
  std::string path = "/";
  for (auto left = random.below(7); left > 0; --left) {
    path += kPieces[random.below(std::size(kPieces))];
  }
  return path;
}

}  // namespace holdfast::proxy::test
