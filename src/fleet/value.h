// Value is one stored response as the shared tier holds it: what a node of the fleet
// writes down for the others. Anybody who reaches the tier may write there, so what comes
// from it is believed only as far as it can be shown: the format to the last byte, a
// checksum against accidents, and a keyed one (HMAC-SHA-256) against other people, where
// there is a key. Whether it could be an answer for its key at all is for the reader's
// rules. Pure functions; any thread.
//
//   "HF" version flags | length (4) | payload | sum (8 or 32)
//
// Numbers are little-endian. `length` is the payload's once decompressed. The payload is the
// numbers of Value in their order, 8 bytes each, then its texts, each behind its length (4).
// The sum is over all before it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace holdfast::fleet {

// The version a value is written in. What another version wrote is not read.
inline constexpr unsigned char kValueVersion = 1;

struct Value {
  std::int64_t status = 0;
  std::int64_t kind = 0;           // what is stored: its writer's and reader's business
  std::int64_t response_time = 0;  // milliseconds since the Unix epoch
  // In seconds.
  std::int64_t initial_age = 0;
  std::int64_t freshness_lifetime = 0;
  std::int64_t stale_while_revalidate = 0;
  std::int64_t stale_if_error = 0;

  std::string route;    // whose rules it was judged by
  std::string key;      // the whole of it
  std::string fetched;  // how far the journal of purges was read when its fetch began
  std::string upstream_etag;
  std::string upstream_last_modified;
  std::string fields;
  std::string tags;
  std::string body;

  bool operator==(const Value&) const = default;
};

class ValueFormat {
 public:
  struct Settings {
    // No longer value is written, nor read: the bytes on the tier, and what they come to.
    std::size_t limit_bytes = 1024 * 1024;
    // Payloads from this size on are compressed.
    std::size_t compress_from_bytes = 1024;
    // The fleet's secret; empty: none, and sums are checksums.
    std::string secret;
  };
  explicit ValueFormat(Settings settings);

  // Empty if it would be longer than the limit, or there was no memory for it.
  std::string encode(const Value& value) const;

  // What was found under `key`: a value says which it was written under. Errors: TooNew (of
  // another version), Full (longer than the limit), Corrupt (anything else; the message says
  // what).
  base::Result<Value> decode(std::string_view key, std::string_view bytes) const;

 private:
  std::string sum(std::string_view bytes) const;

  Settings settings_;
};

}  // namespace holdfast::fleet
