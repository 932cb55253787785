#include "cache/stored_response.h"

#include <xxhash.h>

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <utility>

namespace holdfast::cache {
namespace {

using std::chrono::seconds;

// RFC 9111, 1.2.2: delta-seconds are kept up to 2^31; beyond that everything is
// "for ever". With this bound no sum of ages and lifetimes can overflow.
constexpr seconds kLongest{std::int64_t{1} << 31};

seconds bounded(seconds value) {
  return std::clamp(value, seconds(0), kLongest);
}

std::string strong_etag(std::string_view content) {
  constexpr std::string_view kHex = "0123456789abcdef";
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, XXH3_128bits(content.data(), content.size()));
  std::string etag;
  etag.reserve(2 * sizeof(canonical.digest) + 2);
  etag += '"';
  for (const unsigned char byte : canonical.digest) {
    etag += kHex[byte >> 4];
    etag += kHex[byte & 0x0f];
  }
  etag += '"';
  return etag;
}

// What a 64-bit glibc heap takes for a block: 8 bytes of its own, in steps of
// 16, at least 32.
constexpr std::size_t heap_bytes(std::size_t size) {
  return std::max<std::size_t>(32, (size + 8 + 15) & ~std::size_t{15});
}

// Up to 15 bytes live inside the std::string.
std::size_t string_heap_bytes(std::size_t capacity) {
  return capacity <= 15 ? 0 : heap_bytes(capacity + 1);
}

// What std::make_shared puts before the object: a vtable pointer, two counters.
constexpr std::size_t kControlBlockBytes = 16;
// The memory cache's entry (its key's heap apart), the hash table's node and
// that node's share of the buckets at the usual load. memory_cache.cpp asserts
// that its entry is no larger.
constexpr std::size_t kIndexBytes = heap_bytes(88) + heap_bytes(24) + 16;

}  // namespace

StoredPtr make_stored(StoredParts parts) {
  auto stored = std::make_shared<StoredResponse>();
  static_cast<StoredParts&>(*stored) = std::move(parts);
  stored->initial_age = bounded(stored->initial_age);
  stored->freshness_lifetime = bounded(stored->freshness_lifetime);
  stored->stale_while_revalidate = bounded(stored->stale_while_revalidate);
  stored->stale_if_error = bounded(stored->stale_if_error);
  // These live for days: no room to grow is kept.
  for (std::string* text : {&stored->fields, &stored->body, &stored->upstream_etag,
                            &stored->upstream_last_modified, &stored->tags}) {
    text->shrink_to_fit();
  }
  if (stored->kind != Kind::Response) return stored;
  stored->etag = strong_etag(stored->body);
  constexpr std::string_view kName = "ETag: ";
  constexpr std::string_view kEnd = "\r\n";
  stored->head.reserve(stored->fields.size() + kName.size() + stored->etag.size() + kEnd.size());
  stored->head.append(stored->fields).append(kName).append(stored->etag).append(kEnd);
  return stored;
}

std::size_t cost_bytes(std::string_view key, const StoredResponse& stored) {
  std::size_t bytes = kIndexBytes + heap_bytes(sizeof(StoredResponse) + kControlBlockBytes);
  bytes += string_heap_bytes(key.size());
  for (const std::string* text :
       {&stored.fields, &stored.body, &stored.upstream_etag, &stored.upstream_last_modified,
        &stored.etag, &stored.head, &stored.tags}) {
    bytes += string_heap_bytes(text->capacity());
  }
  return bytes;
}

}  // namespace holdfast::cache
