#include "text.h"

#include <array>
#include <charconv>
#include <cmath>

namespace holdfast::flaky {
namespace {

bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

std::string quoted(std::string_view text) {
  return "\"" + std::string(text) + "\"";
}

}  // namespace

std::string_view trim(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> pieces;
  while (!text.empty()) {
    const auto end = text.find(separator);
    const auto piece = trim(text.substr(0, end));
    if (!piece.empty()) pieces.push_back(piece);
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return pieces;
}

base::Result<double> parse_number(std::string_view text) {
  double value = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
  if (text.empty() || error != std::errc() || end != text.data() + text.size() ||
      !std::isfinite(value) || std::signbit(value)) {
    return base::invalid_input(quoted(text) + " is not a number of zero or more");
  }
  return value;
}

base::Result<std::uint64_t> parse_count(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) {
    return base::invalid_input(quoted(text) + " is not a whole number of zero or more");
  }
  return value;
}

base::Result<double> parse_fraction(std::string_view text) {
  const auto value = parse_number(text);
  if (!value || *value > 1) {
    return base::invalid_input(quoted(text) + " is not a fraction between 0 and 1");
  }
  return *value;
}

base::Result<base::Duration> parse_duration(std::string_view text) {
  if (text == "0") return base::Duration::zero();
  struct Unit {
    std::string_view name;
    double nanoseconds;
  };
  static constexpr std::array kUnits{Unit{"us", 1e3}, Unit{"ms", 1e6}, Unit{"s", 1e9},
                                     Unit{"m", 60e9}, Unit{"h", 3600e9}};
  for (const auto& unit : kUnits) {
    if (!text.ends_with(unit.name)) continue;
    const auto number = parse_number(text.substr(0, text.size() - unit.name.size()));
    if (!number) continue;                                 // "20ms" also ends with "s"
    if (*number * unit.nanoseconds > 30 * 86400e9) break;  // no fault lasts a month
    return base::Duration(static_cast<base::Duration::rep>(*number * unit.nanoseconds));
  }
  return base::invalid_input(quoted(text) + " is not a duration such as 250us, 20ms, 1.5s, 5m");
}

bool percent_decode(std::string_view text, std::string& decoded) {
  decoded.clear();
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      decoded += text[i];
      continue;
    }
    if (text.size() - i < 3) return false;
    const int high = hex_digit(text[i + 1]);
    const int low = hex_digit(text[i + 2]);
    if (high < 0 || low < 0) return false;
    decoded += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return true;
}

bool equals_ignoring_case(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (lower(a[i]) != lower(b[i])) return false;
  }
  return true;
}

void append_json_string(std::string& out, std::string_view text) {
  static constexpr std::string_view kHex = "0123456789abcdef";
  out += '"';
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20) {
      out += "\\u00";
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    } else {
      out += c;
    }
  }
  out += '"';
}

std::uint64_t fnv1a(std::string_view bytes, std::uint64_t basis) {
  for (const char c : bytes) {
    basis ^= static_cast<unsigned char>(c);
    basis *= 0x100000001b3;
  }
  return basis;
}

}  // namespace holdfast::flaky
