// Letters of ASCII, for names of protocols: the locale has no say in these. Pure; any thread.
#pragma once

namespace holdfast::base {

constexpr char ascii_lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

}  // namespace holdfast::base
