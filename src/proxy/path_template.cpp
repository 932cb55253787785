#include "proxy/path_template.h"

#include <algorithm>

#include "base/suggest.h"
#include "proxy/canonical_path.h"
#include "proxy/template_text.h"

namespace holdfast::proxy {
namespace {

using base::invalid_input;
using Segment = PathTemplate::Segment;

base::Result<ParameterType> parse_type(std::string_view segment, std::string_view name) {
  if (const auto type = parameter_type(name)) return *type;
  std::string message = "parameter " + std::string(segment) + ": unknown type " + in_quotes(name);
  const std::string near = base::nearest(name, parameter_type_names());
  if (!near.empty()) message += "; did you mean " + in_quotes(near) + "?";
  return invalid_input(std::move(message));
}

base::Result<Segment> parse_parameter(std::string_view segment) {
  const std::string_view inside = segment.substr(1, segment.size() - 2);
  const auto colon = inside.find(':');
  const std::string_view name = inside.substr(0, colon);
  const std::string where = "parameter " + std::string(segment) + ": ";
  if (name.empty()) return invalid_input(where + "it has no name");
  if (!is_parameter_name(name)) {
    return invalid_input(where + "a name is lower-case letters, digits and \"_\", no digit first");
  }
  if (colon == std::string_view::npos) return Segment{std::string(name), ParameterType::Segment};
  const auto type = parse_type(segment, inside.substr(colon + 1));
  if (!type) return tl::unexpected(type.error());
  return Segment{std::string(name), *type};
}

base::Result<Segment> parse_literal(std::string_view segment) {
  std::string storage;
  std::string_view canonical;
  const std::string path = "/" + std::string(segment);
  if (const char* objection = canonical_path(path, storage, canonical)) {
    return invalid_input("segment " + in_quotes(segment) + ": " + objection);
  }
  if (canonical != path) {
    return invalid_input("segment " + in_quotes(segment) + " is not in canonical form, which is " +
                         in_quotes(canonical.substr(1)));
  }
  return Segment{std::string(segment), std::nullopt};
}

base::Result<Segment> parse_segment(std::string_view segment) {
  const auto opening = std::count(segment.begin(), segment.end(), '{');
  const auto closing = std::count(segment.begin(), segment.end(), '}');
  if (opening == 0 && closing == 0) return parse_literal(segment);
  const std::string where = "segment " + in_quotes(segment) + ": ";
  if (opening > closing) return invalid_input(where + "a \"{\" that is not closed");
  if (opening < closing) return invalid_input(where + "a \"}\" that closes nothing");
  if (opening > 1 || !segment.starts_with('{') || !segment.ends_with('}')) {
    return invalid_input(where + "a parameter is a whole segment");
  }
  return parse_parameter(segment);
}

}  // namespace

base::Result<PathTemplate> PathTemplate::parse(std::string_view text) {
  if (!text.starts_with('/'))
    return invalid_input(in_quotes(text) + " does not start with a slash");
  PathTemplate result;
  result.text_ = text;
  std::size_t parameters = 0;
  for (std::string_view left = text; !left.empty();) {
    const std::string_view written = take_segment(left);
    auto segment = parse_segment(written);
    if (!segment) return tl::unexpected(segment.error());
    if (segment->type) {
      const std::string where = "parameter " + std::string(written) + ": ";
      if (result.parameter_index(segment->text)) {
        return invalid_input(where + "the name " + in_quotes(segment->text) + " is there twice");
      }
      if (segment->type == ParameterType::Rest && !left.empty()) {
        return invalid_input(where + "what takes the rest of a path comes last");
      }
      if (++parameters > Parameters::kMost) {
        return invalid_input(where + "at most " + std::to_string(Parameters::kMost) +
                             " parameters are possible");
      }
    }
    result.segments_.push_back(*std::move(segment));
  }
  return result;
}

bool PathTemplate::match(std::string_view canonical_path, Parameters& out) const {
  out.truncate(0);
  const auto takes_all = [&] {
    std::string_view left = canonical_path;
    for (const Segment& segment : segments_) {
      if (left.empty()) return false;
      if (segment.type == ParameterType::Rest) return out.take(*segment.type, left.substr(1));
      const std::string_view text = take_segment(left);
      if (segment.type ? !out.take(*segment.type, text) : text != segment.text) return false;
    }
    return left.empty();
  };
  if (canonical_path.starts_with('/') && takes_all()) return true;
  out.truncate(0);
  return false;
}

const char* PathTemplate::why(std::string_view canonical_path) const {
  if (!canonical_path.starts_with('/')) return nullptr;
  Parameters scratch;
  const char* objection = nullptr;
  std::string_view left = canonical_path;
  for (const Segment& segment : segments_) {
    if (left.empty()) return nullptr;
    if (segment.type == ParameterType::Rest) return objection;
    const std::string_view text = take_segment(left);
    if (!segment.type) {
      if (text != segment.text) return nullptr;
    } else if (!scratch.take(*segment.type, text)) {
      const char* theirs = parameter_objection(*segment.type);
      if (theirs == nullptr) return nullptr;
      if (objection == nullptr) objection = theirs;
    }
  }
  return left.empty() ? objection : nullptr;
}

std::vector<std::string> PathTemplate::parameter_names() const {
  std::vector<std::string> names;
  for (const Segment& segment : segments_) {
    if (segment.type) names.push_back(segment.text);
  }
  return names;
}

std::optional<std::size_t> PathTemplate::parameter_index(std::string_view name) const {
  std::size_t index = 0;
  for (const Segment& segment : segments_) {
    if (!segment.type) continue;
    if (segment.text == name) return index;
    ++index;
  }
  return std::nullopt;
}

}  // namespace holdfast::proxy
