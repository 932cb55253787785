// What of a section may be a secret, and how it is shown then. Pure functions; any thread.
#pragma once

#include <string>
#include <string_view>

namespace holdfast::config {

// A target's template, whose path or query may hold a key for all requests.
std::string masked_target(std::string_view target);
// What was made of that template, with the same pieces masked.
std::string masked_target(std::string_view made, std::string_view target);

// Fields whose value gives access to something, as their names have it.
bool is_secret_field(std::string_view name);

}  // namespace holdfast::config
