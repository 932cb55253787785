// The first route: GET /lookup/{ip} asks the upstream for /geoip/{ip}.
#pragma once

#include <memory>

#include "proxy/body_rules.h"
#include "proxy/route.h"

namespace holdfast::proxy {

// Says what an address is without the upstream. Origin loop only.
class OfflineGeoip {
 public:
  virtual ~OfflineGeoip() = default;
  // The upstream's JSON as far as the source knows it, or null.
  virtual std::optional<std::string> lookup(std::string_view ip) = 0;
};

// What the upstream's content has to be: an object with each of ip, location, postal_code,
// network_name, domain, latitude and longitude, text or coordinate, or null but for the ip, which
// is the one that was asked for.
BodyRules lookup_body_rules(std::size_t max_body_bytes = 1U << 20);

// `offline` may be null. `max_body_bytes` bounds what validate() accepts; it is
// the transport's limit, so that the parser never grows past it.
std::unique_ptr<Route> make_geoip_route(std::unique_ptr<OfflineGeoip> offline,
                                        std::size_t max_body_bytes = 1U << 20);

}  // namespace holdfast::proxy
