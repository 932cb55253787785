#include "rfc9111/conditions.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "base/http_date.h"
#include "http/cache_control.h"
#include "http/field_syntax.h"
#include "rfc9111/fields.h"

namespace holdfast::rfc9111 {
namespace {

std::string_view without_weakness(std::string_view tag) {
  if (tag.starts_with("W/")) tag.remove_prefix(2);
  return tag;
}

bool is_quoted_tag(std::string_view tag) {
  return tag.size() >= 2 && tag.front() == '"' && tag.find('"', 1) == tag.size() - 1;
}

// RFC 9110, 8.8.3.
bool is_entity_tag(std::string_view tag) {
  return is_quoted_tag(without_weakness(tag));
}

// What it names, with quotes or without.
std::string_view name_in(std::string_view tag) {
  if (!is_entity_tag(tag)) return tag;
  tag = without_weakness(tag);
  return tag.substr(1, tag.size() - 2);
}

// Calls each(tag) for each of a list. An opaque tag may hold commas, and knows no escapes.
template <typename Each>
void for_each_entity_tag(std::string_view list, Each each) {
  for (std::size_t at = 0; at < list.size();) {
    bool quoted = false;
    std::size_t end = at;
    for (; end < list.size() && (quoted || list[end] != ','); ++end) {
      quoted = quoted != (list[end] == '"');
    }
    const auto tag = http::trim(list.substr(at, end - at));
    at = end + 1;
    if (!tag.empty()) each(tag);
  }
}

bool is_one_of(std::string_view if_none_match, std::string_view etag) {
  if (http::trim(if_none_match) == "*") return true;
  if (etag.empty()) return false;
  if (is_entity_tag(etag) && http::etag_matches(if_none_match, etag)) return true;
  bool found = false;
  for_each_entity_tag(if_none_match, [&](std::string_view tag) {
    const bool proper = is_entity_tag(tag) && is_entity_tag(etag);
    found = found || tag == etag || (!proper && name_in(tag) == name_in(etag));
  });
  return found;
}

std::optional<base::WallTime> date_of(std::string_view lines, std::string_view name) {
  const auto value = find_line(lines, name);
  return value ? base::parse_http_date(*value, base::DateCase::Any) : std::nullopt;
}

// RFC 9110, 8.8.2.2: whoever wrote both can have changed it once more in the same second only
// before it said so.
bool has_strong_date(std::string_view lines) {
  const auto date = date_of(lines, "date");
  const auto modified = date_of(lines, "last-modified");
  return date && modified && *date - *modified >= std::chrono::seconds(1);
}

// To the letter, or the same instant in other letters.
bool is_same_date(std::string_view one, std::string_view other) {
  if (one == other) return true;
  const auto date = base::parse_http_date(one, base::DateCase::Any);
  return date && date == base::parse_http_date(other, base::DateCase::Any);
}

std::optional<std::uint64_t> whole_number(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

}  // namespace

bool is_strong_tag(std::string_view tag) {
  return is_quoted_tag(tag);
}

Precondition evaluate(const Conditions& conditions, int status, std::string_view stored_lines,
                      base::WallTime response_time) {
  if (status < 200 || status > 299) return Precondition::None;
  if (!conditions.if_none_match.empty()) {
    const auto etag = find_line(stored_lines, "etag").value_or(std::string_view());
    return is_one_of(conditions.if_none_match, http::trim(etag)) ? Precondition::NotModified
                                                                 : Precondition::None;
  }
  const auto since = base::parse_http_date(conditions.if_modified_since, base::DateCase::Any);
  if (!since) return Precondition::None;
  auto changed = date_of(stored_lines, "last-modified");
  if (!changed) changed = date_of(stored_lines, "date");
  const auto at = std::chrono::floor<std::chrono::seconds>(changed.value_or(response_time));
  return at <= *since ? Precondition::NotModified : Precondition::None;
}

HeadVerdict compare_head(std::string_view stored_lines, std::uint64_t content_bytes,
                         const upstream::Fields& of_head) {
  if (const std::string* etag = upstream::find_field(of_head, "ETag")) {
    if (find_line(stored_lines, "etag") != *etag) return HeadVerdict::Changed;
  }
  if (const std::string* modified = upstream::find_field(of_head, "Last-Modified")) {
    const auto stored = find_line(stored_lines, "last-modified");
    if (!stored || !is_same_date(*stored, *modified)) return HeadVerdict::Changed;
  }
  if (const std::string* length = upstream::find_field(of_head, "Content-Length")) {
    if (whole_number(http::trim(*length)) != content_bytes) return HeadVerdict::Changed;
  }
  return HeadVerdict::Same;
}

bool share_strong_validator(std::string_view stored_lines, std::string_view other_lines) {
  const auto etag = find_line(stored_lines, "etag");
  const auto other_etag = find_line(other_lines, "etag");
  if (etag || other_etag) return etag == other_etag && is_strong_tag(*etag);
  const auto modified = find_line(stored_lines, "last-modified");
  return modified && modified == find_line(other_lines, "last-modified") &&
         has_strong_date(stored_lines) && has_strong_date(other_lines);
}

bool if_range_holds(std::string_view if_range, std::string_view stored_lines) {
  if_range = http::trim(if_range);
  if (if_range.empty()) return true;
  if (is_entity_tag(if_range)) {
    return is_strong_tag(if_range) && find_line(stored_lines, "etag") == if_range;
  }
  return find_line(stored_lines, "last-modified") == if_range && has_strong_date(stored_lines);
}

}  // namespace holdfast::rfc9111
