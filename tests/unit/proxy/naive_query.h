// What query_rules.h promises, done in the plainest way, and apart from what is tested by it.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "proxy/query_rules.h"
#include "spellings.h"

namespace holdfast::proxy::test {

inline bool is_refused_in_query(std::string_view text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte < 0x20 || byte == 0x7f || byte == '\\' || byte == '#') return true;
    if (byte != '%') continue;
    if (text.size() - i < 3) return true;
    for (const char digit : text.substr(i + 1, 2)) {
      if (std::isxdigit(static_cast<unsigned char>(digit)) == 0) return true;
    }
    if (text.substr(i + 1, 2) == "00") return true;
  }
  return false;
}

inline std::string decoded_query(std::string_view text) {
  std::string out;
  for (const PathByte& one : meaning(text)) out += static_cast<char>(one.byte);
  return out;
}

inline std::string canonical_query(std::string_view text, bool by_name) {
  std::string out;
  for (const PathByte& one : meaning(text)) {
    const char c = static_cast<char>(one.byte);
    const bool unreserved = std::isalnum(one.byte) != 0
                                ? one.byte < 0x80
                                : std::string_view("-._~").find(c) != std::string_view::npos;
    const bool raw = is_reserved(one.byte) && !one.escaped && !(by_name && c == ';');
    out += unreserved || raw ? std::string(1, c) : escape(one.byte, true);
  }
  return out;
}

inline std::vector<std::string> split_query(std::string_view query) {
  std::vector<std::string> out(1);
  for (const char c : query) {
    if (c == '&') {
      out.emplace_back();
    } else {
      out.back() += c;
    }
  }
  return out;
}

inline bool names_it(const QuerySettings& settings, const std::string& name) {
  return std::any_of(settings.names.begin(), settings.names.end(), [&](const std::string& one) {
    return one.ends_with('*') ? name.starts_with(one.substr(0, one.size() - 1)) : name == one;
  });
}

// Null if it is refused.
inline std::optional<std::string> naive_query(const QuerySettings& settings,
                                              std::optional<std::string_view> query) {
  using Which = QuerySettings::Which;
  if (!query || settings.which == Which::None) return "";
  const bool by_name = settings.which != Which::All;
  std::vector<std::pair<std::string, std::string>> kept;  // by name
  bool separable = true;
  for (const std::string& parameter : split_query(*query)) {
    const std::string name = parameter.substr(0, parameter.find('='));
    if (is_refused_in_query(name)) return std::nullopt;
    if (by_name && names_it(settings, decoded_query(name)) != (settings.which == Which::Keep))
      continue;
    if (is_refused_in_query(parameter)) return std::nullopt;
    if (!by_name && parameter.find(';') != parameter.npos) separable = false;
    kept.emplace_back(decoded_query(name), canonical_query(parameter, by_name));
  }
  if (settings.sort && separable) {
    std::stable_sort(kept.begin(), kept.end(),
                     [](const auto& one, const auto& other) { return one.first < other.first; });
  }
  std::string out;
  for (const auto& parameter : kept) out += (out.empty() ? "?" : "&") + parameter.second;
  return out;
}

}  // namespace holdfast::proxy::test
