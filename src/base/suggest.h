// "Did you mean …?": the nearest of the names that exist. Pure; any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace holdfast::base {

// Empty if nothing is near: a wrong hint is worse than none. Case, and whether
// words are joined by - or _, do not count.
std::string nearest(std::string_view word, const std::vector<std::string>& names);

}  // namespace holdfast::base
