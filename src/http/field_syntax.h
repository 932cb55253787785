// The small grammar that every parser of this folder shares (RFC 9110, 5.6).
// Pure functions; any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace holdfast::http {

// tchar (RFC 9110, 5.6.2).
inline constexpr std::array<bool, 256> kTokenChars = [] {
  std::array<bool, 256> table{};
  for (int c = '0'; c <= '9'; ++c) table[static_cast<std::size_t>(c)] = true;
  for (int c = 'a'; c <= 'z'; ++c) table[static_cast<std::size_t>(c)] = true;
  for (int c = 'A'; c <= 'Z'; ++c) table[static_cast<std::size_t>(c)] = true;
  for (const char c :
       {'!', '#', '$', '%', '&', '\'', '*', '+', '-', '.', '^', '_', '`', '|', '~'}) {
    table[static_cast<unsigned char>(c)] = true;
  }
  return table;
}();

inline bool is_token_char(char c) {
  return kTokenChars[static_cast<unsigned char>(c)];
}

inline bool is_token(std::string_view text) {
  for (const char c : text) {
    if (!is_token_char(c)) return false;
  }
  return !text.empty();
}

inline bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// A control byte that no field value or target may hold: all but HTAB, and DEL.
inline bool is_forbidden_control(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return (byte < 0x20 && byte != '\t') || byte == 0x7f;
}

inline std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// Whether `text` is `lower` without regard to case. `lower` must consist of
// lower-case letters, digits and "-", and `text` of visible ASCII.
inline bool equals_ignoring_case(std::string_view text, std::string_view lower) {
  if (text.size() != lower.size()) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if ((c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c) != lower[i]) return false;
  }
  return true;
}

// unreserved and sub-delims (RFC 3986, 3.2.2): tokens with some more, some less.
inline constexpr auto kHostChars = [] {
  auto table = kTokenChars;
  for (const char c : {'(', ')', ',', ';', '='}) table[static_cast<unsigned char>(c)] = true;
  for (const char c : {'#', '^', '`', '|', '%'}) table[static_cast<unsigned char>(c)] = false;
  return table;
}();

inline bool is_host_char(char c) {
  return kHostChars[static_cast<unsigned char>(c)];
}

inline bool is_hex(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

// uri-host [ ":" port ], and not empty: an http URI without a host is invalid
// (RFC 9110, 4.2.1).
inline bool is_valid_host(std::string_view host) {
  std::size_t at = 0;
  if (!host.empty() && host[0] == '[') {
    const auto close = host.find(']');
    if (close == std::string_view::npos || close == 1) return false;
    for (const char c : host.substr(1, close - 1)) {
      if (!is_hex(c) && c != ':' && c != '.') return false;
    }
    at = close + 1;
  } else {
    while (at < host.size()) {
      if (is_host_char(host[at])) {
        ++at;
      } else if (host[at] == '%' && host.size() - at >= 3 && is_hex(host[at + 1]) &&
                 is_hex(host[at + 2])) {
        at += 3;
      } else {
        break;
      }
    }
    if (at == 0) return false;
  }
  if (at == host.size()) return true;
  if (host[at] != ':') return false;
  const auto port = host.substr(at + 1);
  if (port.size() > 5) return false;
  for (const char c : port) {
    if (!is_digit(c)) return false;
  }
  return true;
}

// The end of the quoted-string that starts at text[at]: the index after its
// closing quote, or the end of the text if it is never closed.
inline std::size_t quoted_end(std::string_view text, std::size_t at) {
  for (std::size_t i = at + 1; i < text.size(); ++i) {
    if (text[i] == '\\') {
      ++i;
    } else if (text[i] == '"') {
      return i + 1;
    }
  }
  return text.size();
}

// Calls `each` with every trimmed, non-empty element of a comma-separated list
// whose elements may hold quoted strings: a comma in those ends none.
template <typename Each>
void for_each_element(std::string_view list, Each each) {
  for (std::size_t at = 0; at < list.size();) {
    std::size_t end = at;
    while (end < list.size() && list[end] != ',') {
      end = list[end] == '"' ? quoted_end(list, end) : end + 1;
    }
    const auto element = trim(list.substr(at, end - at));
    at = end + 1;
    if (!element.empty()) each(element);
  }
}

// Calls `each` with every trimmed, non-empty element of a comma-separated list
// whose elements hold no quoted strings.
template <typename Each>
void for_each_token(std::string_view list, Each each) {
  while (!list.empty()) {
    const auto comma = list.find(',');
    const auto element = trim(list.substr(0, comma));
    if (!element.empty()) each(element);
    if (comma == std::string_view::npos) return;
    list.remove_prefix(comma + 1);
  }
}

}  // namespace holdfast::http
