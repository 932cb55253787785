// Routing as texts in the program; built_in_routing() is in routing.h. Any thread.
#pragma once

#include <string_view>

#include "config/routing.h"

namespace holdfast::config {

// An example with every key that the built-in one does not have.
std::string_view another_routing();

// Likewise, of mode "rfc9111".
std::string_view http_routing();

}  // namespace holdfast::config
