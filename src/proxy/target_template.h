// TargetTemplate writes what is asked of the upstream from a path's parameters: "/geoip/{ip}", or
// "/v1?format=json&ip={ip}". Data, once parsed; any thread.
//
// In the path a value stands as it is: it is canonical text already, so that it reads back as it
// was, and the whole target is a canonical path. One parameter may stand in a segment, with text
// around it ("/{id}.json"). In the query all of a value but unreserved characters, ":" and "/" is
// percent-encoded, and what is an escape already stays one: no "&", "=", "+" or ";" of a client's
// can begin something new there.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "proxy/parameters.h"
#include "proxy/path_template.h"

namespace holdfast::proxy {

class TargetTemplate {
 public:
  // `match` is the template whose parameters append() will be given; not all must be used.
  static base::Result<TargetTemplate> parse(std::string_view text, const PathTemplate& match);

  // On the serving path: allocates nothing but what `out` needs to grow.
  void append(const Parameters& parameters, std::string& out) const;

  std::string_view text() const { return text_; }

 private:
  // A text, and the parameter that follows it.
  struct Part {
    std::string literal;
    std::optional<std::size_t> parameter;
    bool in_query = false;
  };

  TargetTemplate() = default;
  static base::Result<std::vector<Part>> parts(std::string_view text, const PathTemplate& match,
                                               bool in_query);

  std::string text_;
  std::vector<Part> parts_;
};

}  // namespace holdfast::proxy
