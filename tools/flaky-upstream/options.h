// The command line of flaky-upstream. Uses CLI11; exits nowhere.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "upstream.h"

namespace holdfast::flaky {

struct Options {
  std::vector<std::string> bind_addresses = {"127.0.0.1"};  // the control port: the first
  std::uint16_t port = 8000;
  std::uint16_t control_port = 8001;
  std::vector<std::string> mmdb;  // empty: answers are generated
  std::string print;              // an address, or another API's path and query: print the
                                  // answer and end
  bool tls = false;
  std::string tls_certificate, tls_key;  // files; empty: made here, for tls_names
  std::vector<std::string> tls_names = {"localhost", "127.0.0.1", "::1"};
  std::string tls_ca;  // file for the CA's certificate that was made; empty: a temporary one
  base::Duration handshake_delay{0};
  Mode mode;
  UpstreamSettings upstream;
};

// None if the process should end with `exit_code` now: help was asked for (and
// printed), or something is wrong (and one line on stderr names the option).
std::optional<Options> parse_options(int argc, const char* const* argv, int& exit_code);

}  // namespace holdfast::flaky
