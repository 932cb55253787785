// Cache-Control as RFC 9111, section 5.2 reads it, and entity tags (RFC 9110, 8.8.3).
// Pure functions; any thread.
#pragma once

#include <chrono>
#include <optional>
#include <string_view>

namespace holdfast::http {

// Directives of a response. Unknown ones are ignored. A delta-seconds value that
// is too large counts as 2^31 (RFC 9111, 1.2.2); one that is malformed counts as
// 0, so a doubtful response is stale rather than fresh (4.2.1); but a window for stale
// responses without a value is ignored. Of repeated directives the strictest counts.
// In an element that is malformed, whatever looks like a directive counts too. That is one beside
// the grammar ("no-store;max-age=0"), one of a known directive with an argument that this cannot
// have
// ("max-age=600|no-store"), and one whose name no directive has, though it were a token
// ("no-store.", "public|no-store"). An unknown directive with a legal argument is only unknown
// ("no-store-x", "x=no-store", "community=\"no-store\"").
struct CacheControl {
  std::optional<std::chrono::seconds> max_age;
  std::optional<std::chrono::seconds> s_maxage;
  std::optional<std::chrono::seconds> stale_while_revalidate;
  std::optional<std::chrono::seconds> stale_if_error;
  bool no_store = false;
  bool no_cache = false;
  bool is_private = false;
  bool must_revalidate = false;
  bool proxy_revalidate = false;
};

// Adds the directives of one field line to `into`.
void parse_cache_control(std::string_view value, CacheControl& into);

// Directives of a request that are acted on (RFC 9111, 5.2.1). A malformed
// min-fresh counts as 0, which asks for nothing; of repeated ones the largest counts.
struct RequestCacheControl {
  std::chrono::seconds min_fresh{0};
  bool only_if_cached = false;
};
RequestCacheControl parse_request_cache_control(std::string_view value);

// If-None-Match (RFC 9110, 13.1.2): a list or "*", weak comparison.
bool etag_matches(std::string_view if_none_match, std::string_view etag);

}  // namespace holdfast::http
