// What the settings name on this machine, looked at without starting: addresses to listen at,
// files and folders. Main's thread; blocks.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "config/routing.h"
#include "config/settings.h"
#include "http/server.h"

namespace holdfast::daemon {

// Where the settings say to listen.
std::vector<http::ListenAddress> listen_addresses(const config::Settings& settings);

// More serving loops than may run at a time, for a warning; empty: there are not.
std::string too_many_workers(unsigned workers, unsigned usable_processors);

// Fewer connections of clients than the settings allow, for a warning.
std::string fewer_connections(const config::Settings& settings, std::size_t descriptors,
                              std::size_t max_connections);

// What is wrong with the files that it names for TLS, told by its setting.
base::Result<void> check_tls_files(const config::UpstreamConfig& upstream);

// For --check-config: warnings besides the settings' own, or what is wrong, named by its
// setting. A port in use is nothing wrong: by the daemon whose settings are checked, most
// likely.
base::Result<std::vector<std::string>> check_start(const config::Settings& settings);

}  // namespace holdfast::daemon
