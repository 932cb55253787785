// Lists of preferences, as Accept-Language and Accept-Encoding are (RFC 9110, 12.4.2 and 12.5), so
// that requests which say the same have the same text. Pure functions; any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace holdfast::rfc9111 {

// In lower case, by descending quality and then by name, each once: "de, en;q=0.5, *;q=0". Quality
// is written as short as can be, and not at all if it is 1; what is not wanted (q=0) stays in, as
// that means something. What is malformed is left out only if it is empty; else it stands last, in
// lower case. Normalised again it is the same.
std::string normalised_preferences(std::string_view list);

// The one language that is wanted most, in lower case. Null if several are wanted equally, or any.
std::optional<std::string> best_language(std::string_view accept_language);

}  // namespace holdfast::rfc9111
