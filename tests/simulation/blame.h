// What is held against an origin, by comparison of two moments: a lack of our own must change
// nothing of it. One thread.
#pragma once

#include <string>

#include "upstream/status.h"

namespace holdfast::simulation {

// What an origin was not blamed for before and is now, or what has been learned of it meanwhile;
// empty: nothing. A breaker that goes on to its next probe is not blamed for it.
std::string blamed_since(const upstream::Status& before, const upstream::Status& after);

}  // namespace holdfast::simulation
