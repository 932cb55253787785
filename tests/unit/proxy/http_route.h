// A route of mode rfc9111 as the tests of the proxy serve it: /{path:rest}, any method, whose
// answers are the upstream's to describe.
#pragma once

#include <utility>

#include "proxy/route.h"

namespace holdfast::proxy::test {

inline RoutePlan http_plan(StoringPolicy storing = {}) {
  const PathTemplate match = PathTemplate::parse("/{path:rest}").value();
  storing.http.on = true;
  storing.is_json = false;
  return {.name = "all",
          .key_prefix = "all/",
          .match = match,
          .target = TargetTemplate::parse("/{path}", match).value(),
          .methods = MethodSet::all(),
          .query = QueryRules::parse({}).value(),
          .storing = std::move(storing)};
}

}  // namespace holdfast::proxy::test
