// The stored responses of one URL that differ by its Vary (RFC 9111, 4.1). Under the URL's own key
// there is then an index in place of a response: which request fields tell them apart, a number of
// its own, and which variants there are. Each variant is a stored response under a key made of
// these: the URL's key, " (number)", and the selection (vary_key.h).
//
// So a request finds its variant by two look-ups, on disk too; and whatever replaces or takes away
// the index takes all of its variants away at once, as nobody finds them under another number.
// Pure functions of what is given; any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cache/stored_response.h"
#include "http/request.h"
#include "proxy/storing_policy.h"
#include "rfc9111/ranges.h"

namespace holdfast::proxy {

using FieldLines = std::span<const http::FieldLine>;

// What an index says, as it is stored.
class VariantIndex {
 public:
  // Another Vary than the last few (the same URL answered by different servers, say) begins anew.
  static constexpr std::size_t kMostSets = 4;
  // No route keeps more; of an index that has more, the rest is not read.
  static constexpr std::size_t kMostVariants = 1024;

  // An index of its own number, without variants.
  explicit VariantIndex(std::uint64_t number) : number_(number) {}
  // Of a stored one, which is Kind::Variants; without sets if it is none. Whatever is in it that
  // to_stored() does not write is left out.
  explicit VariantIndex(const cache::StoredResponse& index);

  // The names of a Vary (VaryNames::list()) become the first set. False: they are already.
  bool put_first(std::string_view names);
  // Notes a variant by its whole key; of more than `most` the oldest is forgotten. False: it is
  // there already.
  bool note(std::string_view key, std::size_t most);
  // The latest first.
  const std::vector<std::string>& sets() const { return sets_; }
  const std::vector<std::uint64_t>& variants() const { return variants_; }

  // The key of the variant of `set` that a request with those fields selects.
  void append_key(std::string_view set, FieldLines fields, const HttpCaching& caching,
                  std::string& key) const;

  // To be stored; kept until something takes its place.
  cache::StoredPtr to_stored(base::WallTime now, std::uint64_t seen) const;

 private:
  std::uint64_t number_;
  std::vector<std::string> sets_;
  std::vector<std::uint64_t> variants_;  // hashes of their keys, the oldest first
};

// What of a content is asked for; all of it where `range` is empty (RFC 9110, 14.2 and 13.1.5).
struct RangeAsked {
  std::string_view range;
  std::string_view if_range;
};

// Finds what is stored under a key, null if nothing is.
using FindStored = std::function<cache::StoredPtr(std::string_view key)>;

struct Selected {
  cache::StoredPtr response;  // null: nothing stored answers a request with those fields
  // Part of what would (206), where the range that is asked for is not in it.
  cache::StoredPtr partial;
  // What it is stored under, or what the request's answer would be if it varies as the last one
  // did; empty: the URL's own key.
  std::string key;
  bool varies = false;  // there is an index
};

// What is stored for a request of that key and those fields: of several that match the one that
// came last (RFC 9111, 4.1).
Selected select_stored(std::string_view key, FieldLines fields, const RangeAsked& range,
                       const HttpCaching& caching, const FindStored& find);
// The same where the key's own entry has been found already, and is an index.
Selected select_variant(std::string_view key, const cache::StoredResponse& index, FieldLines fields,
                        const HttpCaching& caching, const FindStored& find);

// Whether all of that is there: so it is of anything but a stored 206.
bool has_range(const cache::StoredResponse& stored, const RangeAsked& asked);

// Of a stored 206: what of the whole it has. Whether its Content-Range is believed was decided when
// it was stored.
std::optional<rfc9111::ContentRange> stored_range_of(const cache::StoredResponse& partial);

// The URL's own key, of the key of one of its variants (or itself).
std::string_view key_of_url(std::string_view key);
// Behind that: " (number)" and a selection; empty: it is the key of no variant.
std::string_view variant_part(std::string_view key);
// The names that its selection is made of, as VaryNames::list() has them.
std::string variant_names(std::string_view key);
// Whether it is what append_key() could have made.
bool is_variant_part(std::string_view part);

}  // namespace holdfast::proxy
