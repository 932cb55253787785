// What the admin socket says, as people read it. Pure; any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace holdfast::daemon {

// A JSON document as lines of names and values, what is inside of something further to the right.
// What is no JSON object is left as it is.
std::string readable(std::string_view json);

// The text that a member of the object has, as readable() shows it; none: there is no such member.
std::optional<std::string> text_member(std::string_view json, std::string_view name);

}  // namespace holdfast::daemon
