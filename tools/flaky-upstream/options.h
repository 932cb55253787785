// The command line of flaky-upstream. Uses CLI11; exits nowhere.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "upstream.h"

namespace holdfast::flaky {

struct Options {
  std::string bind_address = "127.0.0.1";
  std::uint16_t port = 8000;
  std::uint16_t control_port = 8001;
  std::vector<std::string> mmdb;  // empty: answers are generated
  std::string print_ip;           // not empty: print its answer and end
  Mode mode;
  UpstreamSettings upstream;
};

// None if the process should end with `exit_code` now: help was asked for (and
// printed), or something is wrong (and one line on stderr names the option).
std::optional<Options> parse_options(int argc, const char* const* argv, int& exit_code);

}  // namespace holdfast::flaky
