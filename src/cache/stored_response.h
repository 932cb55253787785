// StoredResponse is one upstream answer kept for reuse: a status, the fields
// worth keeping and the content, with what RFC 9111 needs to judge its age.
// Immutable once made and shared between threads; the last owner frees it.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/clock.h"

namespace holdfast::cache {

// What is kept, and how it is answered with.
enum class Kind : std::uint8_t {
  Response,  // fields that were chosen of the upstream's; the rest is ours to say
  Verbatim,  // all end-to-end fields as they came (RFC 9111, 3)
  Variants,  // no response, but how those of a URL are told apart (proxy/variants.h)
};

struct StoredParts {
  int status = 200;
  Kind kind = Kind::Response;
  // Field lines as they are sent, "Name: value\r\n" each: what the upstream said
  // and clients should see. Without Content-Length and Age; and without Date, ETag and
  // Cache-Control but of Verbatim.
  std::string fields;
  std::string body;

  // The upstream's validators, for a conditional refresh. Empty: it gave none.
  std::string upstream_etag;
  std::string upstream_last_modified;

  // When the answer (or the 304 that freshened it) came, on our wall clock.
  base::WallTime response_time;
  // RFC 9111, 4.2.3: corrected_initial_age.
  std::chrono::seconds initial_age{0};
  // RFC 9111, 4.2.1. May be zero: stored, never fresh.
  std::chrono::seconds freshness_lifetime{0};
  // RFC 5861: how long past its freshness lifetime it may still be used.
  std::chrono::seconds stale_while_revalidate{0};
  std::chrono::seconds stale_if_error{0};

  // What it may be purged by, see for_each_tag(): one after the other, "\n" between them. An empty
  // one first: it had more than are kept.
  std::string tags;
  // The last purge there was when its answer was asked for (cache/purges.h).
  std::uint64_t seen = 0;
};

struct StoredResponse : StoredParts {
  // Both derived from the parts, by make_stored(). Empty but of Kind::Response.
  std::string etag;  // strong, quoted, from the content (XXH3, 128 bits)
  std::string head;  // `fields` and ETag, serialised; whoever sends it frames the content

  // The one thing that changes: it was said to be stale, at that time. It stays so; the first
  // time counts.
  void mark_stale(base::WallTime at) const {
    std::int64_t unmarked = kUnmarked;
    stale_since_.compare_exchange_strong(unmarked, at.time_since_epoch().count(),
                                         std::memory_order_relaxed);
  }
  bool marked_stale() const { return stale_since_.load(std::memory_order_relaxed) != kUnmarked; }
  // Of one that is marked.
  base::WallTime stale_since() const {
    return base::WallTime(std::chrono::milliseconds(stale_since_.load(std::memory_order_relaxed)));
  }

 private:
  static constexpr std::int64_t kUnmarked = INT64_MIN;
  mutable std::atomic<std::int64_t> stale_since_{kUnmarked};
};

// Of StoredParts::tags.
inline bool has_more_tags(std::string_view tags) {
  return tags.starts_with('\n');
}
template <typename Each>
void for_each_tag(std::string_view tags, Each each) {
  while (!tags.empty()) {
    const std::string_view tag = tags.substr(0, tags.find('\n'));
    if (!tag.empty()) each(tag);
    tags.remove_prefix(tag.size() < tags.size() ? tag.size() + 1 : tag.size());
  }
}
// What of tags is kept of a response, and how long one may be.
inline constexpr std::size_t kMostTags = 64;
inline constexpr std::size_t kLongestTag = 128;
// Others count as more than are kept.
inline bool is_kept_tag(std::string_view tag) {
  for (const char c : tag) {
    if (c < ' ' || c > '~') return false;
  }
  return !tag.empty() && tag.size() <= kLongestTag;
}

using StoredPtr = std::shared_ptr<const StoredResponse>;

StoredPtr make_stored(StoredParts parts);

// The bytes an entry under `key` costs in memory, with what the heap, the
// control block and the index add.
std::size_t cost_bytes(std::string_view key, const StoredResponse& stored);

}  // namespace holdfast::cache
