// `holdfast admin VERB ...`: the client of a running daemon's admin socket.
#pragma once

namespace holdfast::daemon {

// `argv` starts at "admin". Prints the daemon's JSON, or what is wrong on
// standard error. Exit code: 0 done, 1 the daemon refused or cannot be reached,
// 2 usage. Blocks, at most half a minute.
int admin_command(int argc, const char* const* argv);

}  // namespace holdfast::daemon
