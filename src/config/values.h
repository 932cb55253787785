// How the text of a setting becomes a value, and back. Pure functions; any
// thread. An error's message completes the sentence "CACHE_TTL="abc": …" and
// says what is expected; it never repeats the value.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace holdfast::config {

inline bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// So that no sum of a few can overflow.
inline constexpr base::Duration kLongestDuration = std::chrono::days(3650);

// "250ms", "2s", "5m", "24h", "30d", "1h30m"; "0". At most kLongestDuration. A sign
// is for the signed form alone.
base::Result<base::Duration> parse_duration(std::string_view text);
base::Result<base::Duration> parse_signed_duration(std::string_view text);
std::string format_duration(base::Duration duration);  // whole milliseconds

// "65536", "512KiB", "64MiB", "2GiB", "1TiB", in any case; powers of 1024. "MB"
// is refused: it means two things.
base::Result<std::uint64_t> parse_size(std::string_view text);
std::string format_size(std::uint64_t bytes);

// Decimal digits and nothing else.
base::Result<std::uint64_t> parse_count(std::string_view text, std::uint64_t least,
                                        std::uint64_t most);

// The words of settings are understood in any case: two texts that differ in nothing else.
bool same_word(std::string_view one, std::string_view other);

// on, true, yes, 1; off, false, no, 0.
base::Result<bool> parse_switch(std::string_view text);

// An absolute http or https URL with a host and at most a port and a path;
// scheme and host in lower case, no slash at the end. No credentials, query,
// fragment or dot segments.
base::Result<std::string> parse_base_url(std::string_view text);

// A numeric IPv4 or IPv6 address, in canonical form, without brackets or scope.
base::Result<std::string> parse_address(std::string_view text);

// Why nobody can listen at all of these numeric addresses, on one port: one of them
// includes another. Empty: they do not meet.
std::string overlap_of(const std::vector<std::string>& addresses);

// A credential as it may stand in a header field: visible ASCII. Blanks and line
// ends around it are dropped.
base::Result<std::string> parse_token(std::string_view text);

// When to start a second attempt: never, after a fixed time, or after the time
// that this percentage of attempts took at most.
struct Hedge {
  enum class Kind { Off, After, Percentile };
  Kind kind = Kind::Percentile;
  base::Duration after{};    // Kind::After
  unsigned percentile = 95;  // Kind::Percentile; 1 to 99

  friend bool operator==(const Hedge&, const Hedge&) = default;
};
base::Result<Hedge> parse_hedge(std::string_view text);
std::string format_hedge(const Hedge& hedge);

// The parts of a comma-separated list, blanks around them dropped. An empty part
// is an error.
base::Result<std::vector<std::string>> split_list(std::string_view text);

std::string_view trimmed(std::string_view text);

}  // namespace holdfast::config
