// Hands each part its own settings struct, from the operator's.
#pragma once

#include <string>
#include <vector>

#include "cache/memory_cache.h"
#include "cache/sqlite_store.h"
#include "config/routing.h"
#include "config/settings.h"
#include "http/client_limits.h"
#include "http/server.h"
#include "observe/log.h"
#include "proxy/flights.h"
#include "proxy/service.h"
#include "upstream/curl_transport.h"
#include "upstream/settings.h"

namespace holdfast::daemon {

observe::Log::Settings log_settings(const config::Settings& settings);
observe::Level log_level(config::LogLevel level);
cache::MemoryCache::Settings memory_settings(const config::Settings& settings);
cache::StoreSettings store_settings(const config::Settings& settings);
// `largest_body`: of the routes that ask this upstream.
upstream::CurlTransport::Settings transport_settings(const config::UpstreamConfig& upstream,
                                                     std::size_t largest_body);
upstream::Settings upstream_settings(const config::UpstreamConfig& upstream,
                                     std::vector<std::string> origins);
proxy::Flights::Settings flights_settings(const config::UpstreamConfig& upstream);
proxy::StoringPolicy storing_policy(const config::RouteConfig& route);
// Of one worker of `settings.workers`; copies share the limits per client, and places for
// `max_connections`, which may be fewer than the settings say.
http::Server::Settings server_settings(const config::Settings& settings,
                                       std::size_t max_connections);
http::ClientLimits::Settings client_limits(const config::Settings& settings);
proxy::Service::Settings service_settings(const config::Settings& settings);

// What a drain may take beyond the requests' own deadline.
inline constexpr base::Duration kDrainGrace = std::chrono::seconds(1);
// And all of a stop behind it, the store with what it holds among it, so long.
inline constexpr base::Duration kStopGrace = std::chrono::seconds(10);
// How long the process may take to end.
base::Duration stop_patience(const config::Settings& settings);

// The name that has to be looked up to reach an origin; empty where its URL has an address.
std::string host_to_look_up(const std::string& base_url);
// The address in its URL; empty where that has a name.
std::string address_in(const std::string& base_url);

// What metrics, logs and health call each origin of each upstream: "host:port/path", with what may
// be a key in it masked; those that are the same then are numbered. `kept`, by upstream, are those
// that stay as they are; empty: new ones.
std::vector<std::vector<std::string>> origin_names(
    const config::Routing& routing, const std::vector<std::vector<std::string>>& kept);

}  // namespace holdfast::daemon
