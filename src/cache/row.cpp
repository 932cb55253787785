#include "cache/row.h"

#include <xxhash.h>

#include <algorithm>

namespace holdfast::cache {
namespace {

// The number written for each is its place here plus one: only append.
constexpr std::array<std::string_view, 5> kCommonFields{
    "Content-Type: application/json\r\n",
    "Content-Type: application/json; charset=utf-8\r\n",
    "Content-Type: application/problem+json\r\n",
    "Content-Type: application/json;charset=utf-8\r\n",
    "Content-Type: application/json; charset=UTF-8\r\n",
};

// Before the fields of another kind, which are as they are: nothing common is taken off.
constexpr char kVerbatim = 0x08;
constexpr char kVariants = 0x07;

std::uint64_t add(std::uint64_t digest, std::string_view text) {
  return XXH3_64bits_withSeed(text.data(), text.size(), digest);
}

}  // namespace

std::int64_t checksum(const Row& row) {
  const std::array<std::string_view, 5> texts{row.key, row.upstream_etag,
                                              row.upstream_last_modified, row.fields, row.body};
  // The numbers and the lengths first, little-endian, so that the file may move
  // between machines; then each text, seeded with the digest so far.
  std::array<unsigned char, 8 * (6 + texts.size())> numbers;
  std::size_t end = 0;
  const auto append = [&](std::int64_t value) {
    auto bits = static_cast<std::uint64_t>(value);
    for (int i = 0; i < 8; ++i, bits >>= 8) {
      numbers[end++] = static_cast<unsigned char>(bits & 0xff);
    }
  };
  append(row.status);
  append(row.response_time);
  append(row.initial_age);
  append(row.freshness_lifetime);
  append(row.stale_while_revalidate);
  append(row.stale_if_error);
  for (const std::string_view text : texts) append(static_cast<std::int64_t>(text.size()));
  std::uint64_t digest = XXH3_64bits(numbers.data(), numbers.size());
  for (const std::string_view text : texts) digest = add(digest, text);
  if (row.has_tags()) {
    end = 0;
    append(row.seen);
    append(static_cast<std::int64_t>(row.tags.size()));
    digest = add(add(digest, {reinterpret_cast<const char*>(numbers.data()), end}), row.tags);
  }
  return static_cast<std::int64_t>(digest);
}

std::int64_t checksum(const PurgeRow& row) {
  std::array<unsigned char, 8 * 4> numbers;
  std::size_t end = 0;
  for (const std::int64_t value : {row.kind, row.soft, row.sequence, row.at}) {
    auto bits = static_cast<std::uint64_t>(value);
    for (int i = 0; i < 8; ++i, bits >>= 8) {
      numbers[end++] = static_cast<unsigned char>(bits & 0xff);
    }
  }
  return static_cast<std::int64_t>(add(XXH3_64bits(numbers.data(), numbers.size()), row.what));
}

PurgeRow to_purge_row(const Purge& purge) {
  return {static_cast<std::int64_t>(purge.kind), purge.soft ? 1 : 0, purge.what,
          static_cast<std::int64_t>(purge.sequence), purge.at.time_since_epoch().count()};
}

Purge to_purge(const PurgeRow& row, bool sound) {
  Purge purge;
  purge.sequence = static_cast<std::uint64_t>(std::max<std::int64_t>(row.sequence, 0));
  purge.at = base::WallTime(std::chrono::milliseconds(row.at));
  const bool known = row.kind >= 0 && row.kind <= static_cast<std::int64_t>(Purge::Kind::Tag);
  if (!sound || !known) {
    // A number that is nonsense must not use up all that are left.
    constexpr std::uint64_t kMostLikely = std::uint64_t{1} << 48;
    purge.sequence = std::min(purge.sequence, kMostLikely);
    return purge;
  }
  purge.kind = static_cast<Purge::Kind>(row.kind);
  purge.soft = row.soft != 0;
  purge.what = row.what;
  return purge;
}

void PurgeTable::add(const PurgeRow& row, bool sound) {
  if (row.kind == kLineageKind) {
    if (sound) lineage = row.what;
  } else if (row.kind == kSweptKind) {
    // Swept once more, if that is not certain.
    if (sound) swept = static_cast<std::uint64_t>(std::max<std::int64_t>(row.sequence, 0));
  } else {
    purges.push_back(to_purge(row, sound));
  }
}

std::int64_t key_hash(std::string_view key) {
  // Signed, so that SQLite needs four bytes for it, not six.
  return static_cast<std::int32_t>(XXH3_64bits(key.data(), key.size()) & 0xffff'ffffU);
}

std::uint64_t key_digest(std::string_view key) {
  return XXH3_64bits(key.data(), key.size());
}

std::int64_t hour_of(base::WallTime when) {
  return std::chrono::floor<std::chrono::hours>(when.time_since_epoch()).count();
}

std::int64_t expiry_hour(const StoredResponse& stored) {
  const auto window = std::max(stored.stale_while_revalidate, stored.stale_if_error);
  const auto usable = stored.freshness_lifetime - stored.initial_age + window;
  return hour_of(stored.response_time + usable) + 1;
}

std::string_view pack_fields(std::string_view fields, Kind kind, std::string& packed) {
  if (kind != Kind::Response) {
    packed.assign(1, kind == Kind::Verbatim ? kVerbatim : kVariants);
    return packed.append(fields);
  }
  for (std::size_t i = 0; i < kCommonFields.size(); ++i) {
    if (!fields.starts_with(kCommonFields[i])) continue;
    packed.assign(1, static_cast<char>(i + 1));
    packed.append(fields.substr(kCommonFields[i].size()));
    return packed;
  }
  return fields;
}

bool unpack_fields(std::string_view packed, Kind& kind, std::string& fields) {
  kind = Kind::Response;
  if (packed.starts_with(kVerbatim) || packed.starts_with(kVariants)) {
    kind = packed.front() == kVerbatim ? Kind::Verbatim : Kind::Variants;
    fields = packed.substr(1);
    return true;
  }
  const auto first = packed.empty() ? 0xffU : static_cast<unsigned char>(packed.front());
  if (first >= 0x09) {
    fields = packed;
    return true;
  }
  if (first == 0 || first > kCommonFields.size()) return false;
  fields = kCommonFields[first - 1];
  fields.append(packed.substr(1));
  return true;
}

Row to_row(std::string_view key, const StoredResponse& stored, std::string& packed) {
  Row row;
  row.key = key;
  row.status = stored.status;
  row.response_time = stored.response_time.time_since_epoch().count();
  row.initial_age = stored.initial_age.count();
  row.freshness_lifetime = stored.freshness_lifetime.count();
  row.stale_while_revalidate = stored.stale_while_revalidate.count();
  row.stale_if_error = stored.stale_if_error.count();
  row.upstream_etag = stored.upstream_etag;
  row.upstream_last_modified = stored.upstream_last_modified;
  row.fields = pack_fields(stored.fields, stored.kind, packed);
  row.body = stored.body;
  row.seen = static_cast<std::int64_t>(stored.seen);
  row.tags = stored.tags;
  return row;
}

StoredPtr from_row(const Row& row) {
  using std::chrono::milliseconds;
  using std::chrono::seconds;
  // Nothing before 1970 or after 9999: a time further out is nonsense, and sums
  // with it could overflow.
  constexpr std::int64_t kLastTime = 253'402'300'799'999;
  if (row.status < 200 || row.status > 599) return nullptr;  // 1xx is no answer
  if (row.seen < 0) return nullptr;
  if (row.response_time < 0 || row.response_time > kLastTime) return nullptr;
  StoredParts parts;
  if (!unpack_fields(row.fields, parts.kind, parts.fields)) return nullptr;
  parts.status = static_cast<int>(row.status);
  parts.body = row.body;
  parts.upstream_etag = row.upstream_etag;
  parts.upstream_last_modified = row.upstream_last_modified;
  parts.response_time = base::WallTime(milliseconds(row.response_time));
  parts.initial_age = seconds(row.initial_age);
  parts.freshness_lifetime = seconds(row.freshness_lifetime);
  parts.stale_while_revalidate = seconds(row.stale_while_revalidate);
  parts.stale_if_error = seconds(row.stale_if_error);
  parts.tags = row.tags;
  parts.seen = static_cast<std::uint64_t>(row.seen);
  return make_stored(std::move(parts));
}

}  // namespace holdfast::cache
