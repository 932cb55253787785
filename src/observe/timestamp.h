// Wall-clock moments as people and log collectors read them.
#pragma once

#include <string>

#include "base/clock.h"

namespace holdfast::observe {

// Appends RFC 3339 in UTC with milliseconds: 2026-01-31T23:59:59.999Z. Any thread.
void append_timestamp(std::string& out, base::WallTime when);

inline std::string timestamp(base::WallTime when) {
  std::string out;
  append_timestamp(out, when);
  return out;
}

}  // namespace holdfast::observe
