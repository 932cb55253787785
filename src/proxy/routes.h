// Routes are all that is served, and who answers each, as one reading of the settings has it: never
// changed once made; any thread. Flights are touched on their own loop alone.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/flights.h"
#include "proxy/parameters.h"
#include "proxy/route.h"
#include "proxy/route_choice.h"
#include "upstream/passer.h"

namespace holdfast::proxy {

class Routes {
 public:
  struct Entry {
    Route& route;
    Flights& flights;
    // Who sends what is passed through; null where no route has a method for it.
    upstream::Passer* passer = nullptr;
    // Whoever has it has these; null where they outlive all that is done with them.
    std::shared_ptr<const void> hold = nullptr;
  };

  // Of two that take the same the first is kept: whoever plans routes has refused such before.
  explicit Routes(std::vector<Entry> entries);

  std::size_t size() const { return entries_.size(); }
  const Entry& operator[](std::size_t route) const { return entries_[route]; }

  // As RouteTable::find() has it.
  RouteTable::Match find(std::string_view host, std::string_view method, std::string_view path,
                         Parameters& parameters) const {
    return choice_.find(host, method, path, parameters);
  }
  // As RouteChoice::take() has it.
  Taken take(const http::Request& request, std::string& storage, Parameters& parameters) const {
    return choice_.take(request, storage, parameters);
  }

  // The route that takes a POST of many there; null: none does.
  const Entry* batch_at(std::string_view path) const;

  // For people who name what they mean by its path and query, as a client would send them. Errors
  // say why nothing has that name.
  struct Named {
    const Entry* entry;
    std::string key;
  };
  base::Result<Named> named(std::string_view host, std::string_view target,
                            std::span<const http::FieldLine> fields = {}) const;
  // The same of one of a batch's elements, by the first route that takes batches.
  base::Result<Named> named_by_subject(std::string_view subject) const;
  // The route of a key, null if it is none's.
  const Entry* of_key(std::string_view key) const;

 private:
  std::vector<Entry> entries_;
  RouteChoice choice_;
};

}  // namespace holdfast::proxy
