#include "proxy/body_rules.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/ascii.h"
#include "base/suggest.h"

namespace holdfast::proxy {
namespace {

struct JsonTypeName {
  std::string_view name;
  std::string_view words;
  JsonTypes types;
};

constexpr std::array<JsonTypeName, 8> kTypes{{
    {"string", "a string", kString},
    {"number", "a number", kNumber},
    {"integer", "an integer", kInteger},
    {"bool", "true or false", kBool},
    {"array", "an array", kArray},
    {"object", "an object", kObject},
    {"null", "null", kNull},
    {"any", "anything", kAnyType},
}};

tl::unexpected<base::Error> wrong(std::string_view text, const std::string& what) {
  return base::invalid_input((text.empty() ? "\"\"" : std::string(text)) + ": " + what);
}

std::string unknown_type(std::string_view name) {
  std::vector<std::string> names;
  std::string list;
  for (const JsonTypeName& type : kTypes) {
    names.emplace_back(type.name);
    list.append(list.empty() ? "" : ", ").append(type.name);
  }
  const std::string near = base::nearest(name, names);
  return "unknown type \"" + std::string(name) + "\"; " +
         (near.empty() ? "the types are " + list : "did you mean \"" + near + "\"?");
}

base::Result<JsonTypes> parse_types(std::string_view text, std::string_view names) {
  JsonTypes types = 0;
  const bool or_null = names.ends_with('?');
  if (or_null) {
    names.remove_suffix(1);
    types = kNull;
  }
  if (names.find('?') != names.npos) return wrong(text, "\"?\" stands at the end, once");
  for (bool more = true; more;) {
    const std::size_t end = std::min(names.find('|'), names.size());
    const std::string_view name = names.substr(0, end);
    if (name.empty()) return wrong(text, "a type is missing");
    const auto* const found = std::find_if(
        kTypes.begin(), kTypes.end(), [name](const JsonTypeName& t) { return t.name == name; });
    if (found == kTypes.end()) return wrong(text, unknown_type(name));
    types |= found->types;
    more = end < names.size();
    names.remove_prefix(std::min(end + 1, names.size()));
  }
  return types;
}

std::string lowered(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), base::ascii_lower);
  return out;
}

// RFC 9110, 5.6.2.
bool is_token(std::string_view text) {
  const auto in_token = [](char c) {
    return (c >= '0' && c <= '9') || (base::ascii_lower(c) >= 'a' && base::ascii_lower(c) <= 'z') ||
           std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
  };
  return !text.empty() && std::all_of(text.begin(), text.end(), in_token);
}

// Both in lower case.
bool matches(std::string_view part, std::string_view pattern) {
  if (!pattern.starts_with('*')) return part == pattern;
  pattern.remove_prefix(1);
  return part.size() > pattern.size() && part.ends_with(pattern);
}

}  // namespace

std::string in_words(JsonTypes types) {
  if (types == kAnyType) return "anything";
  std::string out;
  for (const JsonTypeName& type : kTypes) {
    if (type.types == kAnyType || (types & type.types) == 0) continue;
    out.append(out.empty() ? "" : " or ").append(type.words);
  }
  return out;
}

base::Result<JsonPointer> parse_pointer(std::string_view text) {
  JsonPointer pointer;
  pointer.text = text;
  if (text.empty()) return pointer;
  if (text.front() != '/') {
    return wrong(text, "a JSON pointer begins with \"/\"; did you mean \"/" + pointer.text + "\"?");
  }
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] == '/') {
      pointer.tokens.emplace_back();
    } else if (text[at] != '~') {
      pointer.tokens.back() += text[at];
    } else if (at + 1 < text.size() && (text[at + 1] == '0' || text[at + 1] == '1')) {
      pointer.tokens.back() += text[++at] == '0' ? '~' : '/';
    } else {
      return wrong(text, "in a JSON pointer \"~\" is written \"~0\", and \"/\" in a name \"~1\"");
    }
  }
  return pointer;
}

base::Result<Require> parse_require(std::string_view text) {
  Require out;
  const std::size_t colon = text.rfind(':');
  const auto pointer = parse_pointer(text.substr(0, colon));
  if (!pointer) return tl::unexpected<base::Error>(pointer.error());
  out.pointer = *pointer;
  if (colon == text.npos) return out;
  const auto types = parse_types(text, text.substr(colon + 1));
  if (!types) return tl::unexpected<base::Error>(types.error());
  out.types = *types;
  return out;
}

base::Result<Equal> parse_equal(std::string_view pointer, std::string_view parameter) {
  const auto parsed = parse_pointer(pointer);
  if (!parsed) return tl::unexpected<base::Error>(parsed.error());
  if (parameter.empty()) return wrong(pointer, "the name of a path parameter is missing");
  return Equal{*parsed, std::string(parameter)};
}

base::Result<RejectIf> parse_reject_if(std::string_view pointer, std::vector<std::string> values) {
  const auto parsed = parse_pointer(pointer);
  if (!parsed) return tl::unexpected<base::Error>(parsed.error());
  if (values.empty()) return wrong(pointer, "no value that would be refused");
  return RejectIf{*parsed, std::move(values)};
}

base::Result<std::string> parse_content_type(std::string_view text) {
  if (text.find(';') != text.npos) {
    return wrong(text, "a media type's parameters do not count here; leave out what follows \";\"");
  }
  const std::size_t slash = text.find('/');
  if (slash == text.npos) {
    return wrong(text, "not a media type; they look like \"application/json\"");
  }
  const std::string_view type = text.substr(0, slash);
  const std::string_view subtype = text.substr(slash + 1);
  if (!is_token(type) || !is_token(subtype)) {
    return wrong(text, "not a media type; they look like \"application/json\"");
  }
  if ((type.find('*') != type.npos && type != "*") ||
      (subtype.rfind('*') != subtype.npos && subtype.rfind('*') != 0)) {
    return wrong(text, "\"*\" is a whole type, a whole subtype or the start of a subtype");
  }
  return lowered(text);
}

bool has_content_type(std::string_view field, std::string_view wanted) {
  std::string_view essence = field.substr(0, field.find(';'));
  while (essence.ends_with(' ') || essence.ends_with('\t')) essence.remove_suffix(1);
  while (essence.starts_with(' ') || essence.starts_with('\t')) essence.remove_prefix(1);
  const std::string given = lowered(essence);
  const std::size_t slash = given.find('/');
  if (slash == given.npos) return false;
  const std::string_view type = std::string_view(given).substr(0, slash);
  const std::string_view subtype = std::string_view(given).substr(slash + 1);
  if (!is_token(type) || !is_token(subtype)) return false;
  const std::size_t wanted_slash = wanted.find('/');
  if (!matches(type, wanted.substr(0, wanted_slash))) return false;
  return matches(subtype, wanted.substr(wanted_slash + 1)) ||
         (wanted == "application/json" && matches(subtype, "*+json"));
}

}  // namespace holdfast::proxy
