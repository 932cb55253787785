// How long a test waits for what must come before it calls that a hang. Nothing is measured by
// it: a machine that stands still for a while must not fail a test, and a test that runs into it
// has failed anyway. Below the time meson gives a whole program.
#pragma once

#include <chrono>

namespace holdfast {

inline constexpr std::chrono::seconds kPatience{120};

}  // namespace holdfast
