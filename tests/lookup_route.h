// The lookup as the tests of the proxy serve it. That it is what the built-in configuration says is
// tested in tests/unit/daemon/route_plans.cpp.
#pragma once

#include <memory>
#include <utility>

#include "proxy/route.h"

namespace holdfast::proxy::test {

inline BodyRules lookup_body_rules(std::size_t max_body_bytes = 1U << 20) {
  BodyRules rules;
  rules.json = true;
  rules.max_body_bytes = max_body_bytes;
  for (const char* text :
       {"/ip:string", "/location:string?", "/postal_code:string?", "/network_name:string?",
        "/domain:string?", "/latitude:number?", "/longitude:number?"}) {
    rules.require.push_back(parse_require(text).value());
  }
  rules.equal.push_back(parse_equal("/ip", "ip").value());
  return rules;
}

inline RoutePlan lookup_plan(StoringPolicy storing = {}, std::size_t max_body_bytes = 1U << 20) {
  const PathTemplate match = PathTemplate::parse("/lookup/{ip:ip}").value();
  MethodSet methods = *MethodSet::named("GET");
  methods |= *MethodSet::named("HEAD");
  return {.name = "lookup",
          .key_prefix = "lookup/",
          .match = match,
          .target = TargetTemplate::parse("/geoip/{ip}", match).value(),
          .methods = methods,
          .query = QueryRules::parse({.which = QuerySettings::Which::None}).value(),
          .request_fields = {{"Accept", "application/json"}},
          .batch_path = "/lookup",
          .body = lookup_body_rules(max_body_bytes),
          .storing = std::move(storing)};
}

inline std::unique_ptr<Route> lookup_route(StoringPolicy storing = {},
                                           std::size_t max_body_bytes = 1U << 20) {
  return std::make_unique<Route>(lookup_plan(std::move(storing), max_body_bytes));
}

}  // namespace holdfast::proxy::test
