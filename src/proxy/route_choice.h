// RouteChoice says who takes a request, by its method, Host and path: the one place where that is
// decided, for the service and for people who ask. Filled before the workers start, then only read;
// any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "http/request.h"
#include "proxy/method_set.h"
#include "proxy/parameters.h"
#include "proxy/route.h"
#include "proxy/route_table.h"

namespace holdfast::proxy {

// What the service's own paths take.
inline constexpr MethodSet kReadableMethods = [] {
  MethodSet methods = *MethodSet::named("GET");
  methods |= *MethodSet::named("HEAD");
  return methods;
}();

struct Taken {
  enum class By : std::uint8_t {
    Route,       // `route`
    Batch,       // `route`, an array of its parameters
    BadPath,     // 400: `why`
    BadValue,    // 400: `route` would, but for what `why` says of a parameter
    BadMethod,   // 405, or 204 to OPTIONS: the methods of `allowed` are taken there
    OwnOptions,  // 204: the answer to OPTIONS for "/" where no route has that path
    Nobody,      // 404: `why`
  };
  By by = By::Nobody;
  std::size_t route = 0;
  const char* why = nullptr;  // for people; static text
  MethodSet allowed;
};

// For an Allow field, with OPTIONS, which is always answered.
std::string allowed_text(MethodSet allowed);
// "only GET and HEAD are served here"
std::string only_served(MethodSet allowed);

class RouteChoice {
 public:
  RouteChoice() = default;

  // `route` is the caller's number. Of two that take the same the first is kept: whoever plans
  // routes has refused such before.
  void add(std::size_t route, const RoutePlan& plan);

  // As RouteTable::find() has it.
  RouteTable::Match find(std::string_view host, std::string_view method, std::string_view path,
                         Parameters& parameters) const {
    return table_.find(host, method, path, parameters);
  }
  // The route that takes a POST of many there, else kNone.
  static constexpr std::size_t kNone = SIZE_MAX;
  std::size_t batch_at(std::string_view path) const;

  // The request's path as it came. `parameters` holds the values of a Route, which may be views of
  // `storage`. On the serving path: allocates nothing but what `storage` needs to grow.
  Taken take(const http::Request& request, std::string& storage, Parameters& parameters) const;

 private:
  struct Batch {
    std::string path;
    std::size_t route;
  };
  RouteTable table_;
  std::vector<Batch> batches_;
};

}  // namespace holdfast::proxy
