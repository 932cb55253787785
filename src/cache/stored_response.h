// StoredResponse is one upstream answer kept for reuse: a status, the fields
// worth keeping and the content, with what RFC 9111 needs to judge its age.
// Immutable once made and shared between threads; the last owner frees it.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "base/clock.h"

namespace holdfast::cache {

struct StoredParts {
  int status = 200;
  // Field lines as they are sent, "Name: value\r\n" each: what the upstream said
  // and clients should see. Without Content-Length, Age, Date, ETag, Cache-Control.
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
};

struct StoredResponse : StoredParts {
  // Both derived from the parts, by make_stored().
  std::string etag;  // strong, quoted, from the content (XXH3, 128 bits)
  std::string head;  // `fields` and ETag, serialised; whoever sends it frames the content
};

using StoredPtr = std::shared_ptr<const StoredResponse>;

StoredPtr make_stored(StoredParts parts);

// The bytes an entry under `key` costs in memory, with what the heap, the
// control block and the index add.
std::size_t cost_bytes(std::string_view key, const StoredResponse& stored);

}  // namespace holdfast::cache
