#include "base/masked_url.h"

#include <algorithm>
#include <cstddef>

namespace holdfast::base {
namespace {

constexpr std::string_view kMask = "***";
constexpr std::size_t kLongestRun = 15;
constexpr std::size_t kMostDigits = 2;

bool looks_like_a_word(std::string_view part) {
  std::size_t digits = 0;
  std::size_t run = 0;
  for (const char c : part) {
    if (c == '-' || c == '_' || c == '.' || c == '~') {
      run = 0;
      continue;
    }
    const bool digit = c >= '0' && c <= '9';
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    // An escape, or some other sign: no word has one.
    if (!digit && !letter) return false;
    digits += digit ? 1 : 0;
    if (++run > kLongestRun || digits > kMostDigits) return false;
  }
  return true;
}

void append_part(std::string& out, std::string_view part) {
  out += looks_like_a_word(part) ? part : kMask;
}

}  // namespace

std::string masked_url(std::string_view url) {
  std::string out;
  std::string_view rest = url;
  if (const std::size_t scheme = url.find("://"); scheme != url.npos) {
    append_part(out, url.substr(0, scheme));
    out += "://";
    rest = url.substr(scheme + 3);
    std::string_view authority = rest.substr(0, rest.find_first_of("/?#"));
    rest.remove_prefix(authority.size());
    if (const std::size_t at = authority.rfind('@'); at != authority.npos) {
      out.append(kMask).append("@");
      authority.remove_prefix(at + 1);
    }
    out += authority;
  }
  const std::size_t path = std::min(rest.find_first_of("?#"), rest.size());
  for (std::size_t begin = 0; begin <= path;) {
    const std::size_t end = std::min(rest.find('/', begin), path);
    append_part(out, rest.substr(begin, end - begin));
    if (end < path) out += '/';
    begin = end + 1;
  }
  if (path < rest.size()) (out += rest[path]) += kMask;
  return out;
}

}  // namespace holdfast::base
