// HTTP-date in its three forms (RFC 9110, 5.6.7), without locale or time zone: clients and
// the upstream both say it. Pure functions; any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"

namespace holdfast::base {

// Of the names of days and months, and of "GMT". A date's letters have one case (RFC 9110, 5.6.7);
// a cache should read an expiry by any (RFC 9111, 4.2).
enum class DateCase { Exact, Any };

// Null if it is none of the three forms.
std::optional<WallTime> parse_http_date(std::string_view value, DateCase letters = DateCase::Exact);
// IMF-fixdate: "Sun, 06 Nov 1994 08:49:37 GMT".
std::string format_http_date(WallTime time);

}  // namespace holdfast::base
