// What PathTemplate, TargetTemplate and RouteTable read alike. Pure functions; any thread.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>

namespace holdfast::proxy {

// Takes the first segment off `path`, which starts with the slash before it.
inline std::string_view take_segment(std::string_view& path) {
  path.remove_prefix(1);
  const std::string_view segment = path.substr(0, path.find('/'));
  path.remove_prefix(segment.size());
  return segment;
}

// Without port, and without the dot that ends a name from the root (RFC 3986, 3.2.2).
inline std::string_view host_name(std::string_view host) {
  const auto bracket = host.find(']');
  const auto from = bracket == std::string_view::npos ? 0 : bracket;
  host = host.substr(0, host.find(':', from));
  if (host.ends_with('.')) host.remove_suffix(1);
  return host;
}

// [a-z_][a-z0-9_]*
inline bool is_parameter_name(std::string_view text) {
  const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || c == '_'; };
  const auto is_part = [&](char c) { return is_letter(c) || (c >= '0' && c <= '9'); };
  return !text.empty() && is_letter(text[0]) && std::all_of(text.begin(), text.end(), is_part);
}

// As texts stand in errors.
inline std::string in_quotes(std::string_view text) {
  return "\"" + std::string(text) + "\"";
}

}  // namespace holdfast::proxy
