// What a fetch by a route asks the upstream for, and what it takes for an answer: the one place
// where that is decided, for flights and for people who ask once, to see. Pure functions; what they
// make is for the thread of Route::validate().
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/random.h"
#include "http/request.h"
#include "proxy/asked.h"
#include "proxy/route.h"
#include "upstream/fetcher.h"

namespace holdfast::proxy {

// Who may outlive a route has this from it; null where the route outlives all fetches anyway.
using RouteHold = std::shared_ptr<const void>;

// Of a route of mode resilient. `beside`: fields that are not in the key.
upstream::FetchRequest fetch_request(Route& route, const std::string& key,
                                     const upstream::Fields& beside = {}, RouteHold hold = {});

// A client's request to a route of mode rfc9111. `random`: for a trace that it continues.
AskedPtr make_asked(const http::Request& request, const Route& route, std::string key,
                    base::Random& random);

// Of a route of mode rfc9111. `clock` outlives it.
struct HttpFetch {
  bool ranged = false;  // a part is asked for, to complete what is stored
  // Called from inside a fetch where an answer fails by its status alone; may be null.
  std::function<void()> refused = {};
};
upstream::FetchRequest http_fetch_request(Route& route, const std::string& key,
                                          const AskedPtr& asked, const base::Clock& clock,
                                          HttpFetch more = {}, RouteHold hold = {});

}  // namespace holdfast::proxy
