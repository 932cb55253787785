// HTTP-date in its three forms (RFC 9110, 5.6.7), without locale or time zone: clients and
// the upstream both say it. Pure functions; any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"

namespace holdfast::base {

// Null if it is none of the three forms.
std::optional<WallTime> parse_http_date(std::string_view value);
// IMF-fixdate: "Sun, 06 Nov 1994 08:49:37 GMT".
std::string format_http_date(WallTime time);

}  // namespace holdfast::base
