// Text whose letters' case does not count. Pure functions; any thread.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>

#include "base/ascii.h"

namespace holdfast::rfc9111 {

inline std::string in_lower_case(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(), base::ascii_lower);
  return lower;
}

inline bool is_same_text(std::string_view one, std::string_view other) {
  return std::equal(one.begin(), one.end(), other.begin(), other.end(),
                    [](char a, char b) { return base::ascii_lower(a) == base::ascii_lower(b); });
}

}  // namespace holdfast::rfc9111
