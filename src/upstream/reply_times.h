// What an answer says of time: how long to wait, and what its sender's clock shows. Both
// clocks may be wrong, so a moment it names is taken by its own clock, which Date tells
// (RFC 9110, 6.6.1). Pure functions; any thread.
#pragma once

#include <chrono>
#include <optional>

#include "upstream/message.h"

namespace holdfast::upstream {

// Retry-After in either form (RFC 9110, 10.2.3), from its arrival on: a moment counts from
// the answer's Date, if it has one. Between zero and a day; zero if it is malformed.
std::optional<std::chrono::seconds> wait_told(const Fields& fields, base::WallTime received);

// How far its sender's clock is ahead of ours; negative: behind. Null where its Date does
// not tell: it has none, or comes from a cache (Age).
std::optional<std::chrono::seconds> clock_ahead(const Fields& fields, base::WallTime received);

}  // namespace holdfast::upstream
