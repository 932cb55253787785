// Endpoint is where a node of the shared tier is, as SHARED_STORE says it. Pure functions;
// any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace holdfast::fleet {

struct Endpoint {
  std::string host;  // a name or an address, without brackets; empty: a Unix socket
  std::uint16_t port = 6379;
  std::string path;  // of the Unix socket
  std::string user;  // empty: the node's default user
  int database = 0;
  // As it is told to people, and what rendezvous hashing goes by: no user in it.
  std::string name;

  bool operator==(const Endpoint&) const = default;
};

// redis://[user@]host[:port][/database] or unix:/path, several separated by commas. The
// password is not said here: it would be seen in process lists. Errors: InvalidInput, which says
// what is wrong with which.
base::Result<std::vector<Endpoint>> parse_endpoints(std::string_view text);

}  // namespace holdfast::fleet
