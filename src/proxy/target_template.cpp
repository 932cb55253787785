#include "proxy/target_template.h"

#include "base/suggest.h"
#include "proxy/canonical_path.h"
#include "proxy/percent_encoding.h"
#include "proxy/template_text.h"

namespace holdfast::proxy {
namespace {

using base::invalid_input;
using Status = base::Result<void>;

// Whether this is the canonical form of something, as a path.
const char* objection_to(const std::string& path) {
  std::string storage;
  std::string_view canonical;
  if (const char* objection = canonical_path(path, storage, canonical)) return objection;
  return canonical == path ? nullptr : "not in canonical form";
}

// A segment is judged with values put into it: by what one may be, "x", and by what leaves the
// text around it alone with its dots, an escaped slash. Values themselves hold no dot segment,
// so the two are the worst there is.
Status check_segment(std::string_view segment) {
  const auto opening = segment.find('{');
  const auto closing = segment.find('}');
  const std::string before(segment.substr(0, opening));
  std::string after;
  if (opening != std::string_view::npos) {
    after = segment.substr(closing + 1);
    if (after.find('{') != std::string::npos) {
      return invalid_input("segment " + in_quotes(segment) + ": more than one parameter");
    }
  }
  for (const char* value : {"x", "%2F"}) {
    const std::string path =
        opening == std::string_view::npos ? "/" + before : "/" + before + value + after;
    if (const char* objection = objection_to(path)) {
      return invalid_input("segment " + in_quotes(segment) + ": " + objection);
    }
  }
  return {};
}

bool is_query_char(char c) {
  constexpr std::string_view kOthers = "!$&'()*+,;=:@/?";  // RFC 3986, 3.4
  return is_unreserved(static_cast<unsigned char>(c)) || kOthers.find(c) != kOthers.npos;
}

Status check_query(std::string_view literal) {
  for (std::size_t at = 0; at < literal.size(); ++at) {
    if (is_query_char(literal[at])) continue;
    if (escaped_byte(literal.substr(at)) < 0) {
      return invalid_input("query: " + in_quotes(literal.substr(at, 1)) +
                           " must be percent-encoded");
    }
    at += kEscapeSize - 1;
  }
  return {};
}

base::Result<std::size_t> parameter_of(std::string_view name, const PathTemplate& match) {
  const std::string where = "parameter {" + std::string(name) + "}: ";
  const auto colon = name.find(':');
  if (colon != std::string_view::npos && is_parameter_name(name.substr(0, colon))) {
    return invalid_input(where + "its type stands where it is matched; here it is {" +
                         std::string(name.substr(0, colon)) + "}");
  }
  if (const auto index = match.parameter_index(name)) return *index;
  const std::vector<std::string> names = match.parameter_names();
  std::string message = where + "there is none of that name in " + in_quotes(match.text());
  const std::string near = base::nearest(name, names);
  if (!near.empty()) message += "; did you mean {" + near + "}?";
  return invalid_input(std::move(message));
}

void append_for_query(std::string_view value, std::string& out) {
  for (const char c : value) {
    const auto byte = static_cast<unsigned char>(c);
    // A "%" is the start of an escape: values come from canonical paths.
    if (is_unreserved(byte) || c == '%' || c == ':' || c == '/') {
      out += c;
    } else {
      append_escaped(byte, out);
    }
  }
}

}  // namespace

base::Result<std::vector<TargetTemplate::Part>> TargetTemplate::parts(std::string_view text,
                                                                      const PathTemplate& match,
                                                                      bool in_query) {
  std::vector<Part> found;
  while (!text.empty()) {
    const auto brace = text.find_first_of("{}");
    Part part{std::string(text.substr(0, brace)), std::nullopt, in_query};
    text.remove_prefix(part.literal.size());
    if (!text.empty()) {
      if (text[0] == '}') return invalid_input("a \"}\" that closes nothing");
      const auto end = text.find_first_of("{}", 1);
      if (end == std::string_view::npos || text[end] == '{') {
        return invalid_input(in_quotes(text) + ": a \"{\" that is not closed");
      }
      const auto index = parameter_of(text.substr(1, end - 1), match);
      if (!index) return tl::unexpected(index.error());
      part.parameter = *index;
      text.remove_prefix(end + 1);
    }
    found.push_back(std::move(part));
  }
  return found;
}

base::Result<TargetTemplate> TargetTemplate::parse(std::string_view text,
                                                   const PathTemplate& match) {
  if (!text.starts_with('/'))
    return invalid_input(in_quotes(text) + " does not start with a slash");
  TargetTemplate result;
  result.text_ = text;
  const auto question = text.find('?');
  const std::string_view path = text.substr(0, question);
  auto found = parts(path, match, false);
  if (!found) return tl::unexpected(found.error());
  result.parts_ = *std::move(found);
  for (std::string_view left = path; !left.empty();) {
    if (Status status = check_segment(take_segment(left)); !status) {
      return tl::unexpected(status.error());
    }
  }
  if (question == std::string_view::npos) return result;

  found = parts(text.substr(question), match, true);
  if (!found) return tl::unexpected(found.error());
  for (Part& part : *found) {
    if (Status status = check_query(part.literal); !status) return tl::unexpected(status.error());
    result.parts_.push_back(std::move(part));
  }
  return result;
}

void TargetTemplate::append(const Parameters& parameters, std::string& out) const {
  for (const Part& part : parts_) {
    out += part.literal;
    if (!part.parameter) continue;
    const std::string_view value = parameters[*part.parameter];
    if (part.in_query) {
      append_for_query(value, out);
    } else {
      out += value;
    }
  }
}

}  // namespace holdfast::proxy
