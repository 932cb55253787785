// The command line of cache-warm. Uses CLI11; exits nowhere.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "plan.h"
#include "target.h"

namespace holdfast::warm {

// Exit codes, also for scripts and systemd units.
inline constexpr int kAllStored = 0;
inline constexpr int kNotAllStored = 1;
inline constexpr int kUsage = 2;  // nothing was asked

struct Options {
  std::vector<std::string> files;  // "-" is standard input
  std::string url = "http://127.0.0.1:3000";
  std::string host;  // sent as Host; empty: that of `url`
  Pattern pattern;   // --route
  std::size_t max_addresses = 1'000'000;
  bool strict = false;
  std::chrono::seconds refresh_within = std::chrono::hours(1);
  base::Duration timeout = std::chrono::seconds(30);
  std::optional<base::Duration> wait;
  bool json = false;
  bool quiet = false;
  PlanSettings plan;
};

// None if the process should end with `exit_code` now: help was asked for (and
// printed), or something is wrong (and one line on stderr names the option).
std::optional<Options> parse_options(int argc, const char* const* argv, int& exit_code);

}  // namespace holdfast::warm
