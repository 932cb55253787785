// What one worker has of the routes; for the sources of Service alone.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "proxy/service.h"

namespace holdfast::proxy {

// As the settings have it: "1 MiB", "1500 B".
inline std::string bytes_in_words(std::uint64_t bytes) {
  const char* unit = "B";
  for (const char* larger : {"KiB", "MiB", "GiB", "TiB"}) {
    if (bytes == 0 || bytes % 1024 != 0) break;
    bytes /= 1024;
    unit = larger;
  }
  return std::to_string(bytes) + " " + unit;
}

// A route, and what this worker has of its own for it.
struct Service::Served : std::enable_shared_from_this<Served> {
  Served(const Routes::Entry& entry, const Parts& parts)
      : route(entry.route),
        flights(entry.flights),
        hold(entry.hold),
        passer(entry.passer),
        caches_http(entry.route.plan().storing.http.on),
        stored_only(entry.route.plan().stored_only),
        counts(parts.metrics, parts.shard, entry.route.name()),
        too_large("the content is larger than the " +
                  bytes_in_words(entry.route.plan().max_request_body_bytes) +
                  " that this route takes (max_request_body)") {}

  Route& route;
  Flights& flights;
  const std::shared_ptr<const void> hold;
  upstream::Passer* const passer;
  const bool caches_http;  // mode rfc9111
  const bool stored_only;  // its upstream is never asked
  RequestMetrics counts;
  const std::string too_large;
  std::shared_ptr<Batches> batches;  // null: it takes none
};

struct Service::Table {
  std::shared_ptr<const Routes> routes;
  std::vector<std::shared_ptr<Served>> served;  // as the routes are numbered
};

}  // namespace holdfast::proxy
