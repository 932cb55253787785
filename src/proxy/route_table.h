// RouteTable finds the route of a request. Filled at the start, then only read, by any thread.
//
// The most specific route wins, whatever the order in which they were added: one for the
// request's host before one for any; then, segment by segment, a literal before a parameter, and
// parameters in the order of ParameterType, so {x} and {x:rest} last. A route whose later
// segments or methods do not fit is passed over for the next one that does.
//
// The routes of a host are a tree with a node for each segment, and a look-up walks down it once,
// with a step back where a more specific branch ends: its cost grows with the segments of the
// path and the types that stand beside each other, not with the number of routes. (Two hundred
// routes that differ in their first literal cost one hash look-up, as one does.) No node is
// visited twice for a path, however it is made.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "proxy/literal_table.h"
#include "proxy/method_set.h"
#include "proxy/parameters.h"
#include "proxy/path_template.h"

namespace holdfast::proxy {

class RouteTable {
 public:
  enum class Outcome : std::uint8_t {
    Found,             // `route`
    MethodNotAllowed,  // 405: routes take the path, with the methods of `allowed`
    BadParameter,      // 400: `route` would, but for what `objection` says of a parameter
    NotFound,          // 404
  };
  struct Match {
    Outcome outcome = Outcome::NotFound;
    std::size_t route = 0;
    MethodSet allowed;
    const char* objection = nullptr;  // for people; static text
  };

  RouteTable();

  // `route` is the caller's number for it. `host` without port, in any case; empty: any. Null,
  // or the route added before that takes exactly the same paths for the same host and some of
  // the same methods: this one is not added then.
  std::optional<std::size_t> add(std::size_t route, const PathTemplate& path, std::string_view host,
                                 MethodSet methods);

  // `host` is the request's Host field, whose port and case do not count; `path` its path in
  // canonical form ("*" is no route's). `parameters` then holds the values of a route that was
  // found, in the order of its template, and else none. On the serving path: never allocates.
  //
  // Where no route fits: if some take the path but not the method, `allowed` has the methods of
  // all of them. Else the most specific route that takes the method, and the path but for a
  // parameter, has the `objection`. Else, if both are wrong in all that come near, it is the
  // methods again.
  Match find(std::string_view host, std::string_view method, std::string_view path,
             Parameters& parameters) const;

 private:
  struct HostHash {
    using is_transparent = void;
    std::size_t operator()(std::string_view host) const;
  };
  struct HostEqual {
    using is_transparent = void;
    bool operator()(std::string_view a, std::string_view b) const;
  };
  struct Entry {
    std::size_t route;
    MethodSet methods;
  };
  using NodeIndex = std::uint32_t;
  struct Node {
    LiteralTable literals;  // the root, which is below nothing, is none
    // By ParameterType, but Rest, which has nothing below it. 0: none.
    std::array<NodeIndex, kParameterTypes - 1> parameters{};
    std::vector<Entry> ending;  // routes whose last segment this is
    std::vector<Entry> rest;    // routes that take all that follows
  };
  struct Search;

  NodeIndex new_node();
  NodeIndex child(NodeIndex parent, const PathTemplate::Segment& segment);
  bool search(NodeIndex node, std::string_view left, Search& state) const;

  std::vector<Node> nodes_;
  std::unordered_map<std::string, NodeIndex, HostHash, HostEqual> hosts_;
};

}  // namespace holdfast::proxy
