// Whether a name was looked up: the resolver's calls of this program go through here, on
// whatever thread.
#pragma once

#include <string>

namespace holdfast::upstream::test {

// How often that name was asked for since the program began; numeric addresses count too.
int lookups_of(const std::string& name);

}  // namespace holdfast::upstream::test
