// Position is a place in the journal of purges of one node: the id of an entry of a Redis stream,
// which is larger than those of all entries before it. Pure functions; any thread.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace holdfast::fleet {

struct Position {
  std::uint64_t time = 0;  // milliseconds, by the node's clock, or later
  std::uint64_t sequence = 0;

  auto operator<=>(const Position&) const = default;
};

// "1767225600123-0"
std::string to_string(const Position& position);
std::optional<Position> parse_position(std::string_view text);

}  // namespace holdfast::fleet
