// What the settings come to, for people: whom they ask, what for, how long what is kept. No secret
// is in it. Pure functions; any thread.
#pragma once

#include <string>

#include "config/routing.h"
#include "config/settings.h"

namespace holdfast::daemon {

// In lines: each upstream, each route, the store, where it listens, its admin socket.
std::string settings_summary(const config::Settings& settings);

// For one line of the log: "api http://localhost:8000, geo https://geo.example", and the routes'
// names; of many, the first.
std::string upstreams_in_short(const config::Routing& routing);
std::string routes_in_short(const config::Routing& routing);

// For whoever starts the program by hand and has not said whom to ask: what it serves, at which
// port, whom it asks, and how to change that; a few lines. Empty if that has been said.
std::string first_words(const config::Settings& settings, const std::string& port);

}  // namespace holdfast::daemon
