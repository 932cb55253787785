// Cache directives as a shared cache obeys them: Cache-Control of a response and of a request
// (RFC 9111, 5.2; RFC 5861; RFC 8246), Pragma of a request (5.4), and targeted fields (RFC 9213).
// Pure functions; any thread.
//
// This is the letter of those RFCs, for routes that say so. http/cache_control.h reads the same
// field for routes that ask for more care than for reuse: there the strictest of duplicates counts,
// and "private" with field names is private.
#pragma once

#include <chrono>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "upstream/message.h"

namespace holdfast::rfc9111 {

struct ResponseDirectives {
  // At most 2^31 (RFC 9111, 1.2.2).
  std::optional<std::chrono::seconds> max_age;
  std::optional<std::chrono::seconds> s_maxage;
  std::optional<std::chrono::seconds> stale_while_revalidate;
  std::optional<std::chrono::seconds> stale_if_error;
  bool no_store = false;
  bool no_cache = false;    // of the whole response
  bool is_private = false;  // of the whole response
  bool is_public = false;
  bool must_revalidate = false;
  bool proxy_revalidate = false;
  bool must_understand = false;
  bool immutable = false;
  // The qualified forms, no-cache="a, b" and private="a" (5.2.2.4, 5.2.2.7): names in lower case.
  std::vector<std::string> no_cache_fields;
  std::vector<std::string> private_fields;
  // They came from a targeted field, so that neither Cache-Control nor Expires counts (RFC 9213,
  // 2.2).
  bool targeted = false;
};

// Of all lines of Cache-Control; or, where one of `targeted` (in lower case) is there, valid and
// not empty, of the first of those alone.
//
// Cache-Control: the first of duplicates counts (4.2.1). A lifetime that is no number ("-1",
// "3600.5", "'3600'", none at all, with space before it) counts as 0: such a response is stale
// (4.2.1). So does a window for stale responses, but one without a value is ignored. Token and
// quoted-string are both taken as argument (5.2). Of an element that is no directive by the
// grammar, whatever of it looks like one counts that makes the response less reusable, as
// http::parse_cache_control() finds it, and nothing that makes it more so. Field names that are
// none make no-cache and private those of the whole response.
//
// A targeted field is a Dictionary of RFC 9651, its lines joined; one that is malformed anywhere is
// ignored whole, as is an empty one (RFC 9213, 2.1). Parameters are ignored. A member of a type
// that its directive does not have is not taken for its meaning: max-age and s-maxage then count as
// 0, as in Cache-Control; what forbids reuse counts as forbidding; the rest as absent.
ResponseDirectives response_directives(const upstream::Fields& fields,
                                       std::span<const std::string> targeted);

struct RequestDirectives {
  std::optional<std::chrono::seconds> max_age;  // the smallest; malformed: 0
  std::chrono::seconds min_fresh{0};            // the largest; malformed: 0, which asks for nothing
  bool no_cache = false;
  bool no_store = false;
  bool only_if_cached = false;
  // max-stale is not here: it allows what need not be done (5.2.1.2), and the upstream's word
  // counts.
};

// `cache_control`: the lines of that field joined by ", "; `pragma`: those of that one, which says
// "no-cache" only where the other is absent, that is empty (5.4). Allocates nothing.
RequestDirectives request_directives(std::string_view cache_control, std::string_view pragma);

}  // namespace holdfast::rfc9111
