// A look-up asks first for a route that fits. Only a request that has none pays for a second
// walk, which takes parameters of a wrong type along to say what is wrong with them.
#include "proxy/route_table.h"

#include <algorithm>

#include "base/ascii.h"
#include "proxy/template_text.h"

namespace holdfast::proxy {
namespace {

// Also child(): no node has the root of all hosts for its child.
constexpr std::uint32_t kAnyHost = 0;

}  // namespace

std::size_t RouteTable::HostHash::operator()(std::string_view host) const {
  std::size_t hash = 14695981039346656037U;  // FNV-1a
  for (const char c : host) {
    hash = (hash ^ static_cast<unsigned char>(base::ascii_lower(c))) * 1099511628211U;
  }
  return hash;
}

bool RouteTable::HostEqual::operator()(std::string_view a, std::string_view b) const {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return base::ascii_lower(x) == base::ascii_lower(y); });
}

struct RouteTable::Search {
  MethodSet method;
  Parameters& parameters;
  bool lenient;  // a parameter may be of a wrong type
  Match match;   // its `route` and `objection` are right once search() says true

  // Of routes that take the path, the one that takes the method.
  bool choose(const std::vector<Entry>& entries) {
    for (const Entry& entry : entries) {
      match.allowed |= entry.methods;
      if (!entry.methods.intersects(method)) continue;
      match.route = entry.route;
      return true;
    }
    return false;
  }
};

RouteTable::RouteTable() {
  new_node();
}

RouteTable::NodeIndex RouteTable::new_node() {
  nodes_.emplace_back();
  return static_cast<NodeIndex>(nodes_.size() - 1);
}

RouteTable::NodeIndex RouteTable::child(NodeIndex parent, const PathTemplate::Segment& segment) {
  if (segment.type) {
    const auto type = static_cast<std::size_t>(*segment.type);
    if (nodes_[parent].parameters[type] == 0) {
      const NodeIndex added = new_node();
      nodes_[parent].parameters[type] = added;
    }
    return nodes_[parent].parameters[type];
  }
  const NodeIndex found = nodes_[parent].literals.find(segment.text);
  if (found != LiteralTable::kNone) return found;
  const NodeIndex added = new_node();
  nodes_[parent].literals.add(segment.text, added);
  return added;
}

std::optional<std::size_t> RouteTable::add(std::size_t route, const PathTemplate& path,
                                           std::string_view host, MethodSet methods) {
  NodeIndex node = kAnyHost;
  const std::string_view name = host_name(host);
  if (!name.empty()) {
    const auto found = hosts_.find(name);
    node = found != hosts_.end() ? found->second : new_node();
    if (found == hosts_.end()) hosts_.emplace(name, node);
  }
  bool takes_rest = false;
  for (const PathTemplate::Segment& segment : path.segments()) {
    takes_rest = segment.type == ParameterType::Rest;
    if (!takes_rest) node = child(node, segment);
  }
  std::vector<Entry>& entries = takes_rest ? nodes_[node].rest : nodes_[node].ending;
  for (const Entry& entry : entries) {
    if (entry.methods.intersects(methods)) return entry.route;
  }
  entries.push_back({route, methods});
  return std::nullopt;
}

bool RouteTable::search(NodeIndex index, std::string_view left, Search& state) const {
  const Node& node = nodes_[index];
  if (left.empty()) return state.choose(node.ending);

  const std::string_view whole = left;
  const std::string_view segment = take_segment(left);
  const NodeIndex literal = node.literals.find(segment);
  if (literal != LiteralTable::kNone && search(literal, left, state)) return true;
  const std::size_t parameters = state.parameters.size();
  const char* const objection = state.match.objection;
  for (std::size_t i = 0; i < node.parameters.size(); ++i) {
    if (node.parameters[i] == 0) continue;
    const auto type = static_cast<ParameterType>(i);
    if (!state.parameters.take(type, segment)) {
      const char* const theirs = parameter_objection(type);
      if (!state.lenient || theirs == nullptr) continue;
      if (objection == nullptr) state.match.objection = theirs;
    }
    if (search(node.parameters[i], left, state)) return true;
    state.parameters.truncate(parameters);
    state.match.objection = objection;
  }
  if (node.rest.empty()) return false;
  state.parameters.take(ParameterType::Rest, whole.substr(1));
  if (state.choose(node.rest)) return true;
  state.parameters.truncate(parameters);
  return false;
}

RouteTable::Match RouteTable::find(std::string_view host, std::string_view method,
                                   std::string_view path, Parameters& parameters) const {
  parameters.truncate(0);
  if (!path.starts_with('/')) return {};
  NodeIndex of_host = kAnyHost;
  if (!hosts_.empty()) {
    const auto found = hosts_.find(host_name(host));
    if (found != hosts_.end()) of_host = found->second;
  }
  Search state{MethodSet::of_request(method), parameters, false, {}};
  for (const bool lenient : {false, true}) {
    state.lenient = lenient;
    const bool found =
        (of_host != kAnyHost && search(of_host, path, state)) || search(kAnyHost, path, state);
    if (found) {
      state.match.outcome = lenient ? Outcome::BadParameter : Outcome::Found;
      if (lenient) parameters.truncate(0);
      state.match.allowed = {};
      return state.match;
    }
    if (!state.match.allowed.empty()) break;
  }
  if (!state.match.allowed.empty()) state.match.outcome = Outcome::MethodNotAllowed;
  return state.match;
}

}  // namespace holdfast::proxy
