#include "proxy/routes.h"

#include <utility>

#include "proxy/canonical_path.h"

namespace holdfast::proxy {

using base::invalid_input;

Routes::Routes(std::vector<Entry> entries) : entries_(std::move(entries)) {
  for (std::size_t i = 0; i < entries_.size(); ++i) choice_.add(i, entries_[i].route.plan());
}

const Routes::Entry* Routes::batch_at(std::string_view path) const {
  const std::size_t route = choice_.batch_at(path);
  return route == RouteChoice::kNone ? nullptr : &entries_[route];
}

base::Result<Routes::Named> Routes::named(std::string_view host, std::string_view target,
                                          std::span<const http::FieldLine> fields) const {
  const std::size_t question = target.find('?');
  std::string storage;
  std::string_view path;
  if (const char* problem = canonical_path(target.substr(0, question), storage, path)) {
    return invalid_input(problem);
  }
  Parameters parameters;
  const RouteTable::Match match = find(host, "GET", path, parameters);
  if (match.outcome == RouteTable::Outcome::BadParameter) return invalid_input(match.objection);
  if (match.outcome != RouteTable::Outcome::Found) return invalid_input("no route takes this path");
  Named named{&entries_[match.route], {}};
  http::Request request;
  request.fields = fields;
  request.known[static_cast<std::size_t>(http::Known::Host)] = host;
  if (question != std::string_view::npos) request.query = target.substr(question + 1);
  if (const char* problem = named.entry->route.key(parameters, request, named.key)) {
    return invalid_input(problem);
  }
  return named;
}

base::Result<Routes::Named> Routes::named_by_subject(std::string_view subject) const {
  for (const Entry& entry : entries_) {
    if (entry.route.plan().batch_path.empty()) continue;
    Named named{&entry, {}};
    if (const char* problem = entry.route.key_of_subject(subject, named.key)) {
      return invalid_input(problem);
    }
    return named;
  }
  return invalid_input("no route takes batches; name the path instead");
}

const Routes::Entry* Routes::of_key(std::string_view key) const {
  for (const Entry& entry : entries_) {
    if (entry.route.is_key(key)) return &entry;
  }
  return nullptr;
}

}  // namespace holdfast::proxy
