#include "rfc9111/directives.h"

#include <algorithm>

#include "base/ascii.h"
#include "http/cache_control.h"
#include "http/field_syntax.h"
#include "rfc9111/fields.h"
#include "rfc9111/letters.h"
#include "rfc9111/sf_dictionary.h"

namespace holdfast::rfc9111 {
namespace {

using http::equals_ignoring_case;
using std::chrono::seconds;

constexpr seconds kMostDelta{std::int64_t{1} << 31};  // RFC 9111, 1.2.2

std::optional<seconds> delta_of(std::string_view text) {
  if (text.empty() || !std::all_of(text.begin(), text.end(), http::is_digit)) return std::nullopt;
  seconds value{0};
  for (const char c : text) value = std::min(kMostDelta, value * 10 + seconds(c - '0'));
  return value;
}

struct Argument {
  bool present = false;
  bool well_formed = true;  // absent, a token, or a quoted-string that ends where the element does
  std::string_view text;    // without its quotes; escapes stay, as none of ours has any
};

Argument argument_of(std::string_view element, std::size_t equals) {
  if (equals == std::string_view::npos) return {};
  std::string_view text = element.substr(equals + 1);
  if (!text.starts_with('"')) return {true, http::is_token(text), text};
  const bool closed = text.size() >= 2 && text.back() == '"' &&
                      http::quoted_end(text, 0) == text.size() && !text.ends_with("\\\"");
  text.remove_prefix(1);
  if (closed) text.remove_suffix(1);
  return {true, closed, text};
}

// What fields are called by anybody. A token may have more in it, but then somebody meant something
// else by it.
bool is_field_name(std::string_view name) {
  return std::all_of(name.begin(), name.end(), [](char c) {
    const char lower = base::ascii_lower(c);
    return (lower >= 'a' && lower <= 'z') || http::is_digit(c) || c == '-' || c == '_';
  });
}

// The names of a qualified no-cache or private, in lower case. False, and none are added, if one of
// them is no name, or there is none.
bool add_field_names(std::string_view list, std::vector<std::string>& names) {
  std::vector<std::string> found;
  bool all = true;
  http::for_each_token(list, [&](std::string_view name) {
    all = all && is_field_name(name);
    found.push_back(in_lower_case(name));
  });
  if (!all || found.empty()) return false;
  names.insert(names.end(), found.begin(), found.end());
  return true;
}

void keep_first(std::optional<seconds>& slot, seconds value) {
  if (!slot) slot = value;
}

// What a directive of a number may be called, and where it goes. Null if it is another's name.
std::optional<seconds>* delta_named(std::string_view name, ResponseDirectives& into) {
  if (equals_ignoring_case(name, "max-age")) return &into.max_age;
  if (equals_ignoring_case(name, "s-maxage")) return &into.s_maxage;
  if (equals_ignoring_case(name, "stale-while-revalidate")) return &into.stale_while_revalidate;
  if (equals_ignoring_case(name, "stale-if-error")) return &into.stale_if_error;
  return nullptr;
}

bool* flag_that_forbids(std::string_view name, ResponseDirectives& into) {
  if (equals_ignoring_case(name, "no-store")) return &into.no_store;
  if (equals_ignoring_case(name, "must-revalidate")) return &into.must_revalidate;
  if (equals_ignoring_case(name, "proxy-revalidate")) return &into.proxy_revalidate;
  return nullptr;
}

bool* flag_that_allows(std::string_view name, ResponseDirectives& into) {
  if (equals_ignoring_case(name, "public")) return &into.is_public;
  if (equals_ignoring_case(name, "must-understand")) return &into.must_understand;
  if (equals_ignoring_case(name, "immutable")) return &into.immutable;
  return nullptr;
}

struct Qualified {
  bool* whole = nullptr;
  std::vector<std::string>* names = nullptr;
};

Qualified qualified_named(std::string_view name, ResponseDirectives& into) {
  if (equals_ignoring_case(name, "no-cache")) return {&into.no_cache, &into.no_cache_fields};
  if (equals_ignoring_case(name, "private")) return {&into.is_private, &into.private_fields};
  return {};
}

// A directive that is known. False if it is not one, or not one to the letter.
bool apply_directive(std::string_view name, const Argument& argument, ResponseDirectives& into) {
  const Qualified qualified = qualified_named(name, into);
  if (qualified.whole) {
    const bool named = argument.present && argument.well_formed &&
                       add_field_names(argument.text, *qualified.names);
    if (!named) *qualified.whole = true;
    return named || !argument.present;
  }
  if (std::optional<seconds>* slot = delta_named(name, into)) {
    const auto value = argument.well_formed ? delta_of(argument.text) : std::nullopt;
    const bool window = slot == &into.stale_while_revalidate || slot == &into.stale_if_error;
    // A window without a value says that stale responses are welcome, and not for how long: nothing
    // that could be kept to, and least of all "never".
    if (argument.present || !window) keep_first(*slot, value.value_or(seconds(0)));
    return value.has_value();
  }
  if (bool* flag = flag_that_forbids(name, into)) {
    *flag = true;
    return !argument.present;
  }
  bool* flag = flag_that_allows(name, into);
  if (!flag || argument.present) return false;
  *flag = true;
  return true;
}

// Whoever wrote it meant something by it, and to store what must not be is worse than to ask once
// too often. Says nothing of an unknown directive that is one by the grammar.
void apply_with_care(std::string_view element, ResponseDirectives& into) {
  http::CacheControl found;
  http::parse_cache_control(element, found);
  into.no_store = into.no_store || found.no_store;
  into.no_cache = into.no_cache || found.no_cache;
  into.is_private = into.is_private || found.is_private;
  into.must_revalidate = into.must_revalidate || found.must_revalidate;
  into.proxy_revalidate = into.proxy_revalidate || found.proxy_revalidate;
  if (found.max_age) keep_first(into.max_age, seconds(0));
  if (found.s_maxage) keep_first(into.s_maxage, seconds(0));
}

void read_cache_control(std::string_view line, ResponseDirectives& into) {
  http::for_each_element(line, [&into](std::string_view element) {
    const std::size_t equals = element.find('=');
    const Argument argument = argument_of(element, equals);
    if (!apply_directive(element.substr(0, equals), argument, into)) {
      apply_with_care(element, into);
    }
  });
}

// RFC 9213, 2.1.
void apply_member(const SfMember& member, ResponseDirectives& into) {
  const bool is_flag = member.type == SfType::Boolean;
  if (is_flag && !member.boolean) return;
  const Qualified qualified = qualified_named(member.key, into);
  if (qualified.whole) {
    const bool text = member.type == SfType::String || member.type == SfType::Token;
    if (!text || !add_field_names(member.text, *qualified.names)) *qualified.whole = true;
  } else if (std::optional<seconds>* slot = delta_named(member.key, into)) {
    const bool number = member.type == SfType::Integer && member.integer >= 0;
    const bool window = slot == &into.stale_while_revalidate || slot == &into.stale_if_error;
    if (number || !window) {
      *slot = number ? std::min(kMostDelta, seconds(member.integer)) : seconds(0);
    }
  } else if (bool* forbids = flag_that_forbids(member.key, into)) {
    *forbids = true;
  } else if (bool* allows = flag_that_allows(member.key, into)) {
    *allows = is_flag;
  }
}

}  // namespace

ResponseDirectives response_directives(const upstream::Fields& fields,
                                       std::span<const std::string> targeted) {
  ResponseDirectives directives;
  for (const std::string& name : targeted) {
    const std::optional<std::string> value = joined_lines(fields, name);
    if (!value) continue;
    const auto members = parse_sf_dictionary(*value);
    if (!members || members->empty()) continue;
    directives.targeted = true;
    for (const SfMember& member : *members) apply_member(member, directives);
    return directives;
  }
  for (const upstream::Field& field : fields) {
    if (upstream::is_field(field, "Cache-Control")) read_cache_control(field.value, directives);
  }
  return directives;
}

RequestDirectives request_directives(std::string_view cache_control, std::string_view pragma) {
  RequestDirectives wanted;
  http::for_each_element(cache_control, [&wanted](std::string_view element) {
    const std::size_t equals = element.find('=');
    const std::string_view name = element.substr(0, equals);
    if (equals_ignoring_case(name, "no-cache")) {
      wanted.no_cache = true;
    } else if (equals_ignoring_case(name, "no-store")) {
      wanted.no_store = true;
    } else if (equals_ignoring_case(name, "only-if-cached")) {
      wanted.only_if_cached = true;
    } else if (equals_ignoring_case(name, "max-age") || equals_ignoring_case(name, "min-fresh")) {
      const Argument argument = argument_of(element, equals);
      const seconds value =
          (argument.well_formed ? delta_of(argument.text) : std::nullopt).value_or(seconds(0));
      if (equals_ignoring_case(name, "min-fresh")) {
        wanted.min_fresh = std::max(wanted.min_fresh, value);
      } else {
        wanted.max_age = wanted.max_age ? std::min(*wanted.max_age, value) : value;
      }
    }
  });
  if (cache_control.empty()) {
    http::for_each_token(pragma, [&wanted](std::string_view element) {
      wanted.no_cache = wanted.no_cache || equals_ignoring_case(element, "no-cache");
    });
  }
  return wanted;
}

}  // namespace holdfast::rfc9111
