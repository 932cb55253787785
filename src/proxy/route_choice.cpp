#include "proxy/route_choice.h"

#include "proxy/canonical_path.h"

namespace holdfast::proxy {

std::string allowed_text(MethodSet allowed) {
  const MethodSet options = *MethodSet::named("OPTIONS");
  return allowed.without(options).text() + ", OPTIONS";
}

std::string only_served(MethodSet allowed) {
  std::string names = allowed.text();
  const std::size_t last = names.rfind(", ");
  const char* const verb = last == std::string::npos ? " is served here" : " are served here";
  if (last != std::string::npos) names.replace(last, 2, " and ");
  return "only " + names + verb;
}

void RouteChoice::add(std::size_t route, const RoutePlan& plan) {
  static_cast<void>(table_.add(route, plan.match, plan.host, plan.methods));
  if (!plan.batch_path.empty()) batches_.push_back({plan.batch_path, route});
}

std::size_t RouteChoice::batch_at(std::string_view path) const {
  for (const Batch& batch : batches_) {
    if (batch.path == path) return batch.route;
  }
  return kNone;
}

Taken RouteChoice::take(const http::Request& request, std::string& storage,
                        Parameters& parameters) const {
  Taken taken;
  std::string_view path;
  if (const char* problem = canonical_path(request.path, storage, path)) {
    taken.by = Taken::By::BadPath;
    taken.why = problem;
    return taken;
  }
  // Before any route: where a batch is, a route of all methods is for the rest.
  if (request.method == http::Method::Post) {
    taken.route = batch_at(path);
    if (taken.route != kNone) {
      taken.by = Taken::By::Batch;
      return taken;
    }
  }
  const RouteTable::Match match =
      table_.find(request.field(http::Known::Host), request.method_name, path, parameters);
  taken.route = match.route;
  taken.allowed = match.allowed;
  if (match.outcome == RouteTable::Outcome::Found) {
    taken.by = Taken::By::Route;
    return taken;
  }
  if (const std::size_t batch = batch_at(path); batch != kNone) {
    taken.route = batch;
    taken.by = Taken::By::BadMethod;
    taken.allowed |= *MethodSet::named("POST");
    return taken;
  }
  switch (match.outcome) {
    case RouteTable::Outcome::Found:
      break;
    case RouteTable::Outcome::BadParameter:
      taken.by = Taken::By::BadValue;
      taken.why = match.objection;
      break;
    case RouteTable::Outcome::MethodNotAllowed:
      taken.by = Taken::By::BadMethod;
      break;
    case RouteTable::Outcome::NotFound:
      // For OPTIONS alone: it is what balancers check with unless they are told better.
      taken.by = path == "/" && request.method == http::Method::Options ? Taken::By::OwnOptions
                                                                        : Taken::By::Nobody;
      taken.why = "no such path";
      break;
  }
  return taken;
}

}  // namespace holdfast::proxy
