#include "http/cache_control.h"

#include <algorithm>

#include "http/field_syntax.h"

namespace holdfast::http {
namespace {

using std::chrono::seconds;

constexpr seconds kMaxDelta{std::int64_t{1} << 31};  // RFC 9111, 1.2.2

// delta-seconds; malformed counts as 0, too large as 2^31.
seconds parse_delta(std::string_view text) {
  if (text.empty()) return seconds(0);
  seconds value{0};
  for (const char c : text) {
    if (!is_digit(c)) return seconds(0);
    value = std::min(kMaxDelta, value * 10 + seconds(c - '0'));
  }
  return value;
}

void keep_strictest(std::optional<seconds>& slot, std::string_view value) {
  const seconds delta = parse_delta(value);
  slot = slot ? std::min(*slot, delta) : delta;
}

// Without a value it says that stale responses are welcome, and not for how long: nothing
// that could be kept to, and least of all "never" (RFC 5861 knows no such form).
void keep_window(std::optional<seconds>& slot, std::string_view value) {
  if (!value.empty()) keep_strictest(slot, value);
}

bool is_delta(std::string_view name) {
  return equals_ignoring_case(name, "max-age") || equals_ignoring_case(name, "s-maxage") ||
         equals_ignoring_case(name, "stale-while-revalidate") ||
         equals_ignoring_case(name, "stale-if-error");
}

// What a directive's name is made of. All others of a token's characters are in the name of none
// that is known; where one is, somebody took it for a separator.
bool is_name_char(char c) {
  return is_token_char(c) && (is_digit(c) || c == '-' || c == '_' || c == '.' ||
                              ((c | 0x20) >= 'a' && (c | 0x20) <= 'z'));
}

// A dot is one in "vendor.private", a name of its own, and the end of a sentence in "no-store.".
bool is_plain_name(std::string_view name) {
  return std::all_of(name.begin(), name.end(), is_name_char) && !name.starts_with('.') &&
         !name.ends_with('.');
}

// Whether the argument is one that a directive of that name may have. An unknown one may have any.
bool takes_argument(std::string_view name, std::string_view argument) {
  const bool fields =
      equals_ignoring_case(name, "no-cache") || equals_ignoring_case(name, "private");
  if (fields) {
    return std::all_of(argument.begin(), argument.end(), [](char c) {
      return (is_name_char(c) && c != '.') || c == ',' || c == ' ' || c == '\t';
    });
  }
  return !is_delta(name) || std::all_of(argument.begin(), argument.end(), is_digit);
}

void apply(std::string_view name, std::string_view value, CacheControl& into) {
  if (equals_ignoring_case(name, "max-age")) {
    keep_strictest(into.max_age, value);
  } else if (equals_ignoring_case(name, "s-maxage")) {
    keep_strictest(into.s_maxage, value);
  } else if (equals_ignoring_case(name, "stale-while-revalidate")) {
    keep_window(into.stale_while_revalidate, value);
  } else if (equals_ignoring_case(name, "stale-if-error")) {
    keep_window(into.stale_if_error, value);
  } else if (equals_ignoring_case(name, "no-store")) {
    into.no_store = true;
  } else if (equals_ignoring_case(name, "no-cache")) {
    // With field names as its argument it restricts only those fields; taking it
    // for the whole response is stricter, and allowed (RFC 9111, 5.2.2.4).
    into.no_cache = true;
  } else if (equals_ignoring_case(name, "private")) {
    into.is_private = true;
  } else if (equals_ignoring_case(name, "must-revalidate")) {
    into.must_revalidate = true;
  } else if (equals_ignoring_case(name, "proxy-revalidate")) {
    into.proxy_revalidate = true;
  }
}

struct Directive {
  std::string_view element;  // all of it, without space around it
  std::string_view name;     // up to the "="; maybe no token
  std::string_view argument;
  // token [ "=" ( token / quoted-string ) ] (RFC 9111, 5.2), of a name that may be one and with
  // an argument that it may have.
  bool well_formed = false;
};

Directive directive_of(std::string_view element) {
  const auto equals = element.find('=');
  Directive directive{element, trim(element.substr(0, equals)), {}, false};
  directive.well_formed = is_token(directive.name) && is_plain_name(directive.name);
  if (equals == std::string_view::npos) return directive;
  std::string_view& argument = directive.argument;
  argument = trim(element.substr(equals + 1));
  // Both forms are to be accepted for every directive (RFC 9111, 5.2).
  const bool quoted = argument.size() >= 2 && argument.front() == '"' && argument.back() == '"';
  // Space around the "=" is forgiven a number. Of quotes behind it nobody knows whether others
  // take them for an argument or for directives.
  const bool spaced =
      equals > directive.name.size() || !element.substr(equals + 1).starts_with('"');
  const bool whole =
      quoted ? !spaced && quoted_end(argument, 0) == argument.size() : is_token(argument);
  directive.well_formed = directive.well_formed && whole;
  if (quoted) argument = argument.substr(1, argument.size() - 2);
  directive.well_formed = directive.well_formed && takes_argument(directive.name, argument);
  return directive;
}

// Calls each(directive) for every element of a field line.
template <typename Each>
void for_each_directive(std::string_view value, Each each) {
  for_each_element(value, [&each](std::string_view element) { each(directive_of(element)); });
}

std::string_view without_dots(std::string_view name) {
  while (name.starts_with('.')) name.remove_prefix(1);
  while (name.ends_with('.')) name.remove_suffix(1);
  return name;
}

// What stands between characters that do not belong, each piece as a directive.
template <typename Belongs>
void apply_pieces(std::string_view element, Belongs belongs, CacheControl& into) {
  for (std::size_t at = 0; at < element.size();) {
    std::size_t end = at;
    while (end < element.size() && (belongs(element[end]) || element[end] == '=')) ++end;
    const auto piece = element.substr(at, end - at);
    const auto equals = std::min(piece.find('='), piece.size());
    const auto value = piece.substr(std::min(equals + 1, piece.size()));
    apply(without_dots(piece.substr(0, equals)), value, into);
    for (std::size_t from = 0; from < value.size();) {  // of "=private", or "x==no-store"
      const std::size_t to = std::min(value.find('=', from), value.size());
      apply(without_dots(value.substr(from, to - from)), {}, into);
      from = to + 1;
    }
    at = end + 1;
  }
}

// Whatever in a malformed element looks like a directive of its own: after a semicolon, a bar
// or a space instead of a comma, or in quotes that nobody closed. Of a number, what a token may
// hold is looked at too, so that "600|5" is none.
void apply_all_in(std::string_view element, CacheControl& into) {
  apply_pieces(element, is_name_char, into);
  apply_pieces(element, is_token_char, into);
}

// An entity-tag without its weakness: `"x"` of `W/"x"`.
std::string_view opaque_tag(std::string_view tag) {
  if (tag.size() >= 2 && tag[0] == 'W' && tag[1] == '/') tag.remove_prefix(2);
  return tag;
}

}  // namespace

void parse_cache_control(std::string_view value, CacheControl& into) {
  for_each_directive(value, [&into](const Directive& directive) {
    apply(directive.name, directive.argument, into);
    // Whoever wrote it meant something by it, and to store what must not be is worse than
    // to ask once too often.
    if (!directive.well_formed) apply_all_in(directive.element, into);
  });
}

RequestCacheControl parse_request_cache_control(std::string_view value) {
  RequestCacheControl wanted;
  for_each_directive(value, [&wanted](const Directive& directive) {
    if (equals_ignoring_case(directive.name, "min-fresh")) {
      wanted.min_fresh = std::max(wanted.min_fresh, parse_delta(directive.argument));
    } else if (equals_ignoring_case(directive.name, "only-if-cached")) {
      wanted.only_if_cached = true;
    }
  });
  return wanted;
}

bool etag_matches(std::string_view if_none_match, std::string_view etag) {
  const auto list = trim(if_none_match);
  if (list == "*") return true;
  const auto wanted = opaque_tag(etag);
  // Walked tag by tag, as an opaque tag may hold commas. An entity-tag knows no
  // escapes: it ends at the next quote (RFC 9110, 8.8.3).
  std::size_t at = 0;
  while ((at = list.find('"', at)) != std::string_view::npos) {
    const auto close = list.find('"', at + 1);
    if (close == std::string_view::npos) return false;
    if (list.substr(at, close + 1 - at) == wanted) return true;
    at = close + 1;
  }
  return false;
}

}  // namespace holdfast::http
