// `holdfast explain ...`: says on standard output what becomes of a request, by the settings and,
// if it runs, by the daemon that was started with them. Main's thread; blocks.
#pragma once

#include <string>

#include "base/result.h"
#include "config/config.h"

namespace holdfast::daemon {

struct Explained {
  std::string text;    // to print
  bool taken = false;  // by a route
};

// Errors: what is wrong with the settings, in one line.
base::Result<Explained> explain_command(const config::ToExplain& what);

}  // namespace holdfast::daemon
