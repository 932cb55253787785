// What `holdfast admin VERB ...` asks of a daemon: its words as the requests of the admin socket,
// one after the other. Pure; any thread.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "daemon/admin_client.h"

namespace holdfast::daemon {

// Of the words from the verb on. Errors: what is wrong with them, for people; nothing is to be
// asked then.
base::Result<std::vector<AdminCall>> admin_calls(const std::vector<std::string>& words);

}  // namespace holdfast::daemon
