// "Did you mean …?": the nearest of the names that exist. Pure; any thread.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace holdfast::base {

// Empty if nothing is near: a wrong hint is worse than none. Case, and whether
// words are joined by - or _, do not count.
std::string nearest(std::string_view word, const std::vector<std::string>& names);

// How many letters have to be inserted, removed, replaced or swapped with their neighbour to make
// one of the other.
std::size_t edits(std::string_view a, std::string_view b);

}  // namespace holdfast::base
