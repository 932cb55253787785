#include "rfc9111/invalidation.h"

#include <algorithm>
#include <optional>

#include "http/field_syntax.h"
#include "rfc9111/letters.h"

namespace holdfast::rfc9111 {
namespace {

// RFC 3986, 4.1, without the fragment.
struct Reference {
  std::string scheme;  // in lower case; empty: none
  std::optional<std::string_view> authority;
  std::string_view path;
  std::optional<std::string_view> query;
};

bool is_scheme_char(char c) {
  const char lower = base::ascii_lower(c);
  return (lower >= 'a' && lower <= 'z') || http::is_digit(c) || c == '+' || c == '-' || c == '.';
}

// RFC 3986, appendix B.
Reference parse_reference(std::string_view text) {
  Reference out;
  text = text.substr(0, text.find('#'));
  const std::size_t colon = text.find(':');
  if (colon != text.npos && colon > 0 && !http::is_digit(text[0]) &&
      std::all_of(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(colon),
                  is_scheme_char)) {
    out.scheme = in_lower_case(text.substr(0, colon));
    text.remove_prefix(colon + 1);
  }
  if (const std::size_t mark = text.find('?'); mark != text.npos) {
    out.query = text.substr(mark + 1);
    text = text.substr(0, mark);
  }
  if (text.starts_with("//")) {
    const std::size_t end = std::min(text.find('/', 2), text.size());
    out.authority = text.substr(2, end - 2);
    text.remove_prefix(end);
  }
  out.path = text;
  return out;
}

// Without its port, if that is the default of `scheme`, or of either where it is not known.
std::string_view without_default_port(std::string_view host, std::string_view scheme) {
  if (host.ends_with(':')) return host.substr(0, host.size() - 1);
  if (scheme != "https" && host.ends_with(":80")) return host.substr(0, host.size() - 3);
  if (scheme != "http" && host.ends_with(":443")) return host.substr(0, host.size() - 4);
  return host;
}

bool is_same_origin(const Reference& reference, std::string_view host) {
  if (!reference.authority) return reference.scheme.empty();
  if (!reference.scheme.empty() && reference.scheme != "http" && reference.scheme != "https") {
    return false;
  }
  return !host.empty() && is_same_text(without_default_port(*reference.authority, reference.scheme),
                                       without_default_port(host, reference.scheme));
}

// RFC 3986, 5.2.4, of a path that starts with "/".
std::string without_dot_segments(std::string_view path) {
  std::string out;
  while (!path.empty()) {
    const std::size_t end = std::min(path.find('/', 1), path.size());
    const std::string_view segment = path.substr(0, end);  // with its "/"
    path.remove_prefix(end);
    if (segment == "/." || segment == "/..") {
      if (segment == "/..") out.resize(std::min(out.rfind('/'), out.size()));
      if (path.empty()) out += '/';
    } else {
      out += segment;
    }
  }
  return out;
}

// RFC 3986, 5.2.2. Null if it is another origin's.
std::optional<std::string> resolved(std::string_view host, std::string_view target,
                                    std::string_view value) {
  value = http::trim(value);
  if (std::any_of(value.begin(), value.end(), http::is_forbidden_control)) return std::nullopt;
  const Reference reference = parse_reference(value);
  if (!is_same_origin(reference, host)) return std::nullopt;
  const std::string_view base = target.substr(0, target.find('?'));
  std::string path;
  if (reference.path.empty() && !reference.authority) {
    if (!reference.query) return std::string(target);
    path = base;
  } else {
    if (!reference.path.starts_with('/')) {
      path = reference.authority ? "/" : base.substr(0, base.rfind('/') + 1);
    }
    path += reference.path;
    if (!path.starts_with('/')) return std::nullopt;  // the target is none of a path, as "*" is
    path = without_dot_segments(path);
  }
  if (reference.query) path.append("?").append(*reference.query);
  return path;
}

}  // namespace

std::vector<std::string> also_invalidated(std::string_view host, std::string_view target,
                                          const upstream::Fields& fields) {
  std::vector<std::string> targets;
  for (const upstream::Field& field : fields) {
    if (!is_same_text(field.name, "location") && !is_same_text(field.name, "content-location")) {
      continue;
    }
    auto found = resolved(host, target, field.value);
    if (!found || *found == target ||
        std::find(targets.begin(), targets.end(), *found) != targets.end()) {
      continue;
    }
    targets.push_back(std::move(*found));
  }
  return targets;
}

bool locates_target(std::string_view host, std::string_view target,
                    const upstream::Fields& fields) {
  const std::string* value = upstream::find_field(fields, "Content-Location");
  return value && resolved(host, target, *value) == target;
}

}  // namespace holdfast::rfc9111
