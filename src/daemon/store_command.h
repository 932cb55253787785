// `holdfast store ...`: does what the command line asks with a store's file, and
// says on standard output and error how that went. Main's thread; blocks.
#pragma once

#include "config/store_command.h"

namespace holdfast::daemon {

// Returns the process's exit code: 0 good, 1 something is damaged or was refused,
// 2 the file (or what is read or written) cannot be used.
int run_store_command(const config::StoreCommand& command);

}  // namespace holdfast::daemon
