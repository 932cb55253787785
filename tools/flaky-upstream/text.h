// The small texts people type at flaky-upstream: durations, fractions, lists.
// Any thread; nothing blocks. Errors are InvalidInput with a message for people.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace holdfast::flaky {

std::string_view trim(std::string_view text);

// Views into `text`, trimmed, empty pieces dropped.
std::vector<std::string_view> split(std::string_view text, char separator);

// "250us", "20ms", "1.5s", "5m", "1h"; "0" needs no unit.
base::Result<base::Duration> parse_duration(std::string_view text);

// A number in [0, 1].
base::Result<double> parse_fraction(std::string_view text);

// A decimal number that is not negative, nothing else around it.
base::Result<double> parse_number(std::string_view text);
base::Result<std::uint64_t> parse_count(std::string_view text);

// Percent-decoding. False if a '%' is not followed by two hexadecimal digits.
bool percent_decode(std::string_view text, std::string& decoded);

bool equals_ignoring_case(std::string_view a, std::string_view b);

// Appends `text` as a JSON string, in quotes.
void append_json_string(std::string& out, std::string_view text);

// 64-bit FNV-1a: spreads keys and makes validators; no defence against an attacker.
std::uint64_t fnv1a(std::string_view bytes, std::uint64_t basis = 0xcbf29ce484222325);

}  // namespace holdfast::flaky
