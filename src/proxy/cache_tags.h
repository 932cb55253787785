// CacheTags reads what an answer may be purged by besides its key: its Cache-Tag, Surrogate-Key and
// Cache-Groups (RFC 9875), and what its route has for all of its answers. A plain value.
//
// Bounded by cache::kMostTags and kLongestTag. What is beyond, or is not to be read, is not kept,
// but the answer is marked as having more: any purge of a tag takes it then, as nobody knows
// whether it is one of those.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "upstream/message.h"

namespace holdfast::proxy {

class CacheTags {
 public:
  // Of a route: they come first.
  void add(std::string_view tag);
  // The value of a line. Tags between commas or blanks, as several CDNs have them each.
  void add_cache_tag(std::string_view value);
  // Between blanks.
  void add_surrogate_key(std::string_view value);
  // All lines of the field: one list of strings (RFC 9651, 3.1), whose parameters say nothing. If
  // it is not that, none of it counts.
  void add_cache_groups(std::string_view joined_lines);

  // As cache::StoredParts::tags has them.
  std::string take();
  // So many were not kept; at least one, if it cannot be told.
  std::size_t left_out() const { return left_out_; }

 private:
  std::vector<std::string> tags_;
  std::size_t left_out_ = 0;
};

// Whether any field of these says tags. They go to no client.
bool has_cache_tags(const upstream::Fields& fields);
CacheTags cache_tags_of(const upstream::Fields& fields, const std::vector<std::string>& of_route);

}  // namespace holdfast::proxy
