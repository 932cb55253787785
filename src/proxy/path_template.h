// PathTemplate says which paths a route takes: "/lookup/{ip:ip}". Data, once parsed; any thread.
//
// A template is a path whose segments are literals in canonical form (canonical_path.h) or
// parameters. A parameter is a whole segment: {x}, or with a type {x:ip} {x:uuid} {x:int} {x:hex}
// {x:rest}; parameters.h says what each takes, and what its value is. {x:rest} comes last and takes
// all that follows the slash before it: "/a/{x:rest}" takes "/a/" and "/a/b/c", and not "/a".
// Names are [a-z_][a-z0-9_]*, each for one parameter.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "proxy/parameters.h"

namespace holdfast::proxy {

class PathTemplate {
 public:
  struct Segment {
    std::string text;                   // the literal, or the parameter's name
    std::optional<ParameterType> type;  // null: a literal
  };

  // Errors name the segment and what is wrong with it.
  static base::Result<PathTemplate> parse(std::string_view text);

  // Whether the template takes the path, which must be canonical ("*" is no template's); `out`
  // then holds the values in the order of the template, and else nothing. On the serving path:
  // never allocates.
  bool match(std::string_view canonical_path, Parameters& out) const;

  // Where all fits but the type of a parameter: what to tell the client with 400 (static text,
  // of the first such parameter). Null where the path fits, or is another one altogether.
  const char* why(std::string_view canonical_path) const;

  std::string_view text() const { return text_; }
  const std::vector<Segment>& segments() const { return segments_; }

  // In order, as Parameters has their values.
  std::vector<std::string> parameter_names() const;
  std::optional<std::size_t> parameter_index(std::string_view name) const;

 private:
  PathTemplate() = default;

  std::string text_;
  std::vector<Segment> segments_;
};

}  // namespace holdfast::proxy
