// How the fields of a stored response are kept: "Name: value\r\n" each, one after the other, and
// neither name nor value holds a line's end. Pure functions; any thread.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>

namespace holdfast::rfc9111 {

struct FieldLine {
  std::string_view name;
  std::string_view value;
  std::string_view line;  // with its end
};

// The first of `lines`, which is not empty.
inline FieldLine first_line(std::string_view lines) {
  const std::size_t end = std::min(lines.find("\r\n"), lines.size());
  const std::string_view text = lines.substr(0, end);
  const std::size_t colon = std::min(text.find(": "), end);
  return {text.substr(0, colon), text.substr(std::min(colon + 2, end)),
          lines.substr(0, std::min(end + 2, lines.size()))};
}

// Calls each(FieldLine).
template <typename Each>
void for_each_line(std::string_view lines, Each each) {
  while (!lines.empty()) {
    const FieldLine first = first_line(lines);
    lines.remove_prefix(first.line.size());
    each(first);
  }
}

inline void append_line(std::string_view name, std::string_view value, std::string& lines) {
  lines.append(name).append(": ").append(value).append("\r\n");
}

}  // namespace holdfast::rfc9111
