// Row is one stored response as the store's table holds it, with the checksum
// that decides whether it may be believed. Pure functions; any thread.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "cache/purges.h"
#include "cache/stored_response.h"

namespace holdfast::cache {

// What makes the answer, in the order of the table's columns. Views into what
// the row was made from or read from. Times in whole seconds, except that
// `response_time` is in milliseconds since the Unix epoch.
struct Row {
  std::string_view key;
  std::int64_t status = 0;
  std::int64_t response_time = 0;
  std::int64_t initial_age = 0;
  std::int64_t freshness_lifetime = 0;
  std::int64_t stale_while_revalidate = 0;
  std::int64_t stale_if_error = 0;
  std::string_view upstream_etag;
  std::string_view upstream_last_modified;
  std::string_view fields;  // packed, see pack_fields()
  std::string_view body;
  // Both 0 and empty of rows from before there were such, and of others: NULL on disk.
  std::int64_t seen = 0;
  std::string_view tags;

  bool has_tags() const { return seen != 0 || !tags.empty(); }
};

// One purge as the store's other table holds it: Purge, in numbers.
struct PurgeRow {
  std::int64_t kind = 0;
  std::int64_t soft = 0;
  std::string_view what;
  std::int64_t sequence = 0;
  std::int64_t at = 0;
};
// Rows of that table that are no purge. `what` is a name for the numbers: files that have it count
// by the same ones.
inline constexpr std::int64_t kLineageKind = 14;
// `sequence` is that of the last one whose responses have all been deleted.
inline constexpr std::int64_t kSweptKind = 15;
std::int64_t checksum(const PurgeRow& row);
PurgeRow to_purge_row(const Purge& purge);
// `sound`: its checksum matches. What it was if it does not nobody knows, so it is one of all.
Purge to_purge(const PurgeRow& row, bool sound);

// All of that table.
struct PurgeTable {
  std::vector<Purge> purges;
  std::string lineage;  // empty: none, or not certain
  std::uint64_t swept = 0;

  void add(const PurgeRow& row, bool sound);
};

// XXH3, 64 bits, over every member of Row with its length; over the last two where has_tags().
std::int64_t checksum(const Row& row);

// The low 32 bits of XXH3: narrows a lookup to a row or two, the key decides.
std::int64_t key_hash(std::string_view key);

// All 64 bits of it, the same on every machine and in every release.
std::uint64_t key_digest(std::string_view key);

// Hours since the Unix epoch: fine enough to choose what to evict, coarse enough
// that a popular row is seldom rewritten.
std::int64_t hour_of(base::WallTime when);
// The hour from which nobody may use the response, not even when the upstream fails.
std::int64_t expiry_hour(const StoredResponse& stored);

// The field lines nearly every JSON answer begins with take one byte, below
// 0x09, where no field line can begin, and so does a kind that is not Response. `packed` is used
// if it is needed.
std::string_view pack_fields(std::string_view fields, Kind kind, std::string& packed);
// False if the first byte is one that pack_fields() never writes.
bool unpack_fields(std::string_view packed, Kind& kind, std::string& fields);

// `packed` lends storage and must outlive the row.
Row to_row(std::string_view key, const StoredResponse& stored, std::string& packed);
// Null if the row could not have been written by to_row(): for rows whose
// checksum matches but which came from elsewhere.
StoredPtr from_row(const Row& row);

}  // namespace holdfast::cache
