// The client of a running daemon's admin socket, for the commands. Blocks, at most half a minute.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace holdfast::daemon {

// Where the service's is, for who has not been told.
inline constexpr const char* kUsualAdminSocket = "/run/holdfast/admin.sock";

struct AdminCall {
  bool is_post = false;
  std::string target;  // "/purge?ip=8.8.8.8"
};

struct AdminAnswer {
  int status = 0;
  std::string body;
};

// Errors: Unavailable if nobody listens there, else Io; they begin with the path.
base::Result<AdminAnswer> ask_admin(const std::string& path, const AdminCall& call);

// A value as it stands in the query of a target: nothing in it ends it, or the target.
std::string escaped_argument(std::string_view value);

}  // namespace holdfast::daemon
