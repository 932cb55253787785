#include "fleet/position.h"

#include <charconv>

namespace holdfast::fleet {
namespace {

bool read_number(std::string_view text, std::uint64_t& number) {
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  return error == std::errc() && stop == end;
}

}  // namespace

std::string to_string(const Position& position) {
  return std::to_string(position.time) + "-" + std::to_string(position.sequence);
}

std::optional<Position> parse_position(std::string_view text) {
  const std::size_t dash = text.find('-');
  Position position;
  if (dash == std::string_view::npos || !read_number(text.substr(0, dash), position.time) ||
      !read_number(text.substr(dash + 1), position.sequence)) {
    return std::nullopt;
  }
  return position;
}

}  // namespace holdfast::fleet
