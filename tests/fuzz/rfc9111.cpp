// What upstreams and clients may write into the fields that RFC 9111's rules are about. The first
// byte is the parser, so that one corpus serves all; lines follow.
//
// Promises: lifetimes stay within bounds; whatever the careful parser of http/ finds forbidden is
// forbidden here too; a dictionary is taken whole or not at all; ranges are within the content and
// do not overlap; fields that were stored read back as they were, and none of them ends its line;
// an update leaves one meaning of each name; what is invalidated beside the target is a path;
// preferences are normal once they are normalised; a tag matches itself.
#include <algorithm>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "http/cache_control.h"
#include "http/field_syntax.h"
#include "require.h"
#include "rfc9111/conditions.h"
#include "rfc9111/directives.h"
#include "rfc9111/fields.h"
#include "rfc9111/invalidation.h"
#include "rfc9111/language.h"
#include "rfc9111/ranges.h"
#include "rfc9111/sf_dictionary.h"
#include "rfc9111/storing.h"

using namespace holdfast;
using namespace holdfast::rfc9111;

namespace {

using Lines = std::vector<std::string_view>;

constexpr std::chrono::seconds kMost{std::int64_t{1} << 31};

Lines lines_in(std::string_view text) {
  Lines lines;
  while (!text.empty()) {
    lines.push_back(text.substr(0, text.find('\n')));
    text.remove_prefix(std::min(text.size(), lines.back().size() + 1));
  }
  return lines;
}

// "Name: value" each.
upstream::Fields fields_in(std::string_view text) {
  upstream::Fields fields;
  for (const std::string_view line : lines_in(text)) {
    const auto colon = std::min(line.find(": "), line.size());
    fields.push_back({std::string(line.substr(0, colon)),
                      std::string(line.substr(std::min(colon + 2, line.size())))});
  }
  return fields;
}

std::string_view at(const Lines& lines, std::size_t index) {
  return index < lines.size() ? lines[index] : std::string_view();
}

void check_dictionary(std::string_view text) {
  const auto members = parse_sf_dictionary(text);
  if (!members) return;
  std::set<std::string> keys;
  for (const SfMember& member : *members) {
    REQUIRE_HOLDS(!member.key.empty() && keys.insert(member.key).second);
    REQUIRE_HOLDS(member.integer > -1'000'000'000'000'000 &&
                  member.integer < 1'000'000'000'000'000);
    for (const char c : member.text) REQUIRE_HOLDS(c >= 0x20 && c <= 0x7e);
  }
  // Two lines are one dictionary with the members of both (RFC 9651, 4.2).
  if (members->empty()) return;
  const auto twice = parse_sf_dictionary(std::string(text) + ", " + std::string(text));
  REQUIRE_HOLDS(twice && twice->size() == members->size());
  REQUIRE_HOLDS(!parse_sf_dictionary(std::string(text) + ","));
}

void check_lifetime(const std::optional<std::chrono::seconds>& lifetime) {
  REQUIRE_HOLDS(!lifetime || (lifetime->count() >= 0 && *lifetime <= kMost));
}

void check_directives(const Lines& lines) {
  upstream::Fields fields;
  http::CacheControl careful;
  for (const std::string_view line : lines) {
    fields.push_back({"Cache-Control", std::string(line)});
    http::parse_cache_control(line, careful);
  }
  const ResponseDirectives found = response_directives(fields, {});
  for (const auto& lifetime :
       {found.max_age, found.s_maxage, found.stale_while_revalidate, found.stale_if_error}) {
    check_lifetime(lifetime);
  }
  REQUIRE_HOLDS(found.no_store == careful.no_store);
  REQUIRE_HOLDS((found.no_cache || !found.no_cache_fields.empty()) == careful.no_cache);
  REQUIRE_HOLDS((found.is_private || !found.private_fields.empty()) == careful.is_private);
  REQUIRE_HOLDS(found.must_revalidate == careful.must_revalidate);
  REQUIRE_HOLDS(found.proxy_revalidate == careful.proxy_revalidate);
  REQUIRE_HOLDS(found.max_age.has_value() == careful.max_age.has_value());
  REQUIRE_HOLDS(!found.max_age || *found.max_age >= std::chrono::seconds(0));

  const std::vector<std::string> targeted{"cdn-cache-control"};
  for (upstream::Field& field : fields) field.name = "CDN-Cache-Control";
  const auto value = joined_lines(fields, "cdn-cache-control");
  const auto members = value ? parse_sf_dictionary(*value) : std::nullopt;
  const ResponseDirectives strict = response_directives(fields, targeted);
  REQUIRE_HOLDS(strict.targeted == (members && !members->empty()));
  check_lifetime(strict.max_age);
  check_lifetime(strict.s_maxage);
  fields.push_back({"Cache-Control", "no-store"});
  REQUIRE_HOLDS(strict.targeted || response_directives(fields, targeted).no_store);
}

void check_request(const Lines& lines) {
  const RequestDirectives wanted = request_directives(at(lines, 0), at(lines, 1));
  check_lifetime(wanted.max_age);
  check_lifetime(wanted.min_fresh);
  const http::RequestCacheControl other = http::parse_request_cache_control(at(lines, 0));
  REQUIRE_HOLDS(!wanted.only_if_cached || other.only_if_cached);
}

// Lines: a length, Range, Content-Range, how many bytes came.
void check_ranges(const Lines& lines) {
  std::uint64_t numbers[2] = {0, 0};
  for (const std::size_t i : {0, 1}) {
    for (const char c : at(lines, i * 3).substr(0, 12)) {
      if (http::is_digit(c)) numbers[i] = numbers[i] * 10 + static_cast<std::uint64_t>(c - '0');
    }
  }
  const std::uint64_t length = numbers[0];
  const Ranges found = ranges_of(at(lines, 1), length);
  REQUIRE_HOLDS((found.verdict == Ranged::Partial) == !found.ranges.empty());
  REQUIRE_HOLDS(found.ranges.size() <= kMostRanges);
  std::vector<ByteRange> sorted = found.ranges;
  std::sort(sorted.begin(), sorted.end(),
            [](const ByteRange& a, const ByteRange& b) { return a.first < b.first; });
  for (std::size_t i = 0; i < sorted.size(); ++i) {
    REQUIRE_HOLDS(sorted[i].first <= sorted[i].last && sorted[i].last < length);
    REQUIRE_HOLDS(i == 0 || sorted[i].first > sorted[i - 1].last + 1);
  }
  if (const auto range = parse_content_range(at(lines, 2))) {
    REQUIRE_HOLDS(parse_content_range(to_text(*range)) == range);
    REQUIRE_HOLDS(content_range_of(at(lines, 2), range->range.length(), false) == range);
    REQUIRE_HOLDS(content_range_of(at(lines, 2), range->range.length(), true) == range);
  }
  for (const bool lenient : {false, true}) {
    const auto range = content_range_of(at(lines, 2), numbers[1], lenient);
    if (!range) continue;
    REQUIRE_HOLDS(range->range.length() == numbers[1]);
    REQUIRE_HOLDS(!range->complete || range->range.last < *range->complete);
    REQUIRE_HOLDS(parse_content_range(to_text(*range)) == range);
    if (const auto parts = contained(*range, at(lines, 1))) {
      for (const ByteRange& part : *parts) {
        REQUIRE_HOLDS(part.first >= range->range.first && part.last <= range->range.last);
      }
    }
    if (const auto missing = missing_range(*range)) {
      REQUIRE_HOLDS(ranges_of(*missing, *range->complete).ranges.size() == 1);
    }
  }
}

std::vector<std::string> sorted_lines(std::string_view lines) {
  std::vector<std::string> sorted;
  for (const upstream::Field& field : fields_of(lines))
    sorted.push_back(field.name + ": " + field.value);
  std::sort(sorted.begin(), sorted.end());
  return sorted;
}

// Fields, an empty line, and those of an update.
void check_fields(std::string_view text) {
  const std::size_t split = std::min(text.find("\n\n"), text.size());
  const upstream::Fields fields = fields_in(text.substr(0, split));
  const upstream::Fields update = fields_in(text.substr(std::min(split + 2, text.size())));
  const std::string lines = end_to_end_lines(fields);
  const upstream::Fields kept = fields_of(lines);
  REQUIRE_HOLDS(kept.size() <= fields.size());
  for (const upstream::Field& field : kept) {
    REQUIRE_HOLDS(http::is_token(field.name) && !is_of_connection(field.name));
    REQUIRE_HOLDS(std::none_of(field.value.begin(), field.value.end(), http::is_forbidden_control));
    REQUIRE_HOLDS(joined_lines(lines, field.name).has_value());
  }
  REQUIRE_HOLDS(end_to_end_lines(kept) == lines);
  const std::string newer = merged(lines, update);
  REQUIRE_HOLDS(end_to_end_lines(fields_of(newer)) == newer);
  REQUIRE_HOLDS(sorted_lines(merged(newer, update)) == sorted_lines(newer));
  REQUIRE_HOLDS(merged(lines, {}) == lines);
  REQUIRE_HOLDS(find_line(newer, "etag") == find_line(lines, "etag") || !find_line(lines, "etag"));
  const std::string repeated = lines_for_304(newer);
  REQUIRE_HOLDS(repeated.size() <= newer.size() && lines_for_304(repeated) == repeated);
  // Whatever it was made of, judging it ends well.
  const Judged judged = judge(200, fields, {}, {}, base::WallTime{}, {});
  check_lifetime(judged.freshness_lifetime);
  check_lifetime(judged.initial_age);
}

// Host, target, reference.
void check_invalidation(const Lines& lines) {
  const std::string_view target = at(lines, 1);
  // Of what no request's target holds once it is canonical nothing is promised.
  if (target.find_first_of("# \t") != target.npos || target.find("/.") != target.npos ||
      std::any_of(target.begin(), target.end(), http::is_forbidden_control)) {
    return;
  }
  const upstream::Fields fields{{"Content-Location", std::string(at(lines, 2))}};
  const auto found = also_invalidated(at(lines, 0), target, fields);
  REQUIRE_HOLDS(found.size() <= 1);
  for (const std::string& path : found) {
    REQUIRE_HOLDS(path != target && path.find('#') == path.npos);
    if (!target.starts_with('/')) continue;
    REQUIRE_HOLDS(path.starts_with('/'));
    // A path is its own reference, but one that looks like an authority.
    if (path.starts_with("//")) continue;
    REQUIRE_HOLDS(also_invalidated(at(lines, 0), target, {{"Location", path}}) == found);
  }
  REQUIRE_HOLDS(found.empty() || !locates_target(at(lines, 0), target, fields));
}

// A list, and a tag.
void check_texts(const Lines& lines) {
  const std::string normal = normalised_preferences(at(lines, 0));
  REQUIRE_HOLDS(normalised_preferences(normal) == normal);
  if (const auto best = best_language(at(lines, 0))) {
    REQUIRE_HOLDS(best_language(normal) == best);
  }
  const std::string tag(http::trim(at(lines, 1)));
  const std::string stored = end_to_end_lines({{"ETag", tag}});
  if (tag.empty() || stored.empty()) return;
  REQUIRE_HOLDS(compare_head(stored, 0, {{"ETag", tag}}) == HeadVerdict::Same);
  REQUIRE_HOLDS(!share_strong_validator(stored, stored) || if_range_holds(tag, stored));
  evaluate({.if_none_match = at(lines, 0), .if_modified_since = at(lines, 0)}, 200, stored, {});
  if (tag.find(',') != tag.npos) return;
  REQUIRE_HOLDS(evaluate({.if_none_match = tag}, 200, stored, {}) == Precondition::NotModified);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0 || size > 4'096) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data + 1), size - 1);
  switch (data[0]) {
    case 's':
      check_dictionary(input);
      break;
    case 'c':
      check_directives(lines_in(input));
      break;
    case 'q':
      check_request(lines_in(input));
      break;
    case 'r':
      check_ranges(lines_in(input));
      break;
    case 'f':
      check_fields(input);
      break;
    case 'i':
      check_invalidation(lines_in(input));
      break;
    case 'p':
      check_texts(lines_in(input));
      break;
    default:
      break;
  }
  return 0;
}
