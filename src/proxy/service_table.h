// What one worker has of the routes; for the sources of Service alone.
#pragma once

#include <memory>
#include <vector>

#include "proxy/service.h"

namespace holdfast::proxy {

// A route, and what this worker has of its own for it.
struct Service::Served : std::enable_shared_from_this<Served> {
  Served(const Routes::Entry& entry, const Parts& parts)
      : route(entry.route),
        flights(entry.flights),
        hold(entry.hold),
        passer(entry.passer),
        counts(parts.metrics, parts.shard, entry.route.name()) {}

  Route& route;
  Flights& flights;
  const std::shared_ptr<const void> hold;
  upstream::Passer* const passer;
  RequestMetrics counts;
  std::shared_ptr<Batches> batches;  // null: it takes none
};

struct Service::Table {
  std::shared_ptr<const Routes> routes;
  std::vector<std::shared_ptr<Served>> served;  // as the routes are numbered
};

}  // namespace holdfast::proxy
