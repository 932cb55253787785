// Content codings (RFC 9110, 8.4 and 12.5.3): whether a client takes gzip, and
// gzip itself, by zlib. Pure functions; any thread.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace holdfast::http {

// Content smaller than this is sent as it is: it fits into one packet either
// way, and to compress it costs more than to answer.
inline constexpr std::size_t kWorthCodingBytes = 1024;

// Whether `accept_encoding`, the field's value or "" without one, allows gzip and
// does not prefer the content as it is. A member that is malformed counts as a
// refusal of what it names.
bool accepts_gzip(std::string_view accept_encoding);

// The content in the gzip format (RFC 1952), at the fastest level; null if that is no
// smaller, or zlib has no memory. Takes some 10 ms for a MiB.
std::optional<std::string> gzip(std::string_view content);

}  // namespace holdfast::http
