// The numbers of RFC 8259, 6, as text: what is one, and which two are the same, of any size.
// Pure functions; any thread.
#pragma once

#include <string_view>

namespace holdfast::proxy {

// The whole of `text` is one number.
bool is_json_number(std::string_view text);

// Of a number: written without fraction and exponent.
bool is_written_as_integer(std::string_view text);

// Of a number: too large, whatever its sign, for a double that is finite.
bool is_beyond_double(std::string_view text);

// Of two numbers: by their exact values, so 1e400 is 10e399. But an exponent of more than 18
// digits is the same as none that is written otherwise.
bool same_json_number(std::string_view one, std::string_view other);

}  // namespace holdfast::proxy
