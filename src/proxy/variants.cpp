// The text of an index, one line each: its number in hexadecimal digits, "v " and the names of a
// set, "h " and the hash of a variant's key.
#include "proxy/variants.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "cache/row.h"
#include "http/field_syntax.h"
#include "proxy/percent_encoding.h"
#include "proxy/vary_key.h"
#include "rfc9111/conditions.h"
#include "rfc9111/fields.h"

namespace holdfast::proxy {
namespace {

constexpr std::string_view kBeforeNumber = " (";
constexpr char kAfterNumber = ')';
constexpr std::size_t kNumberDigits = 16;
constexpr std::string_view kHexDigits = "0123456789abcdef";

// An index is of use for as long as its variants are.
constexpr std::chrono::seconds kForEver{std::int64_t{1} << 31};

void append_hex(std::uint64_t number, std::string& out) {
  std::array<char, kNumberDigits> digits;
  for (std::size_t i = digits.size(); i-- > 0; number >>= 4) {
    digits[i] = kHexDigits[number & 15];
  }
  out.append(digits.data(), digits.size());
}

// As append_hex() writes it, and nothing else.
std::optional<std::uint64_t> hex_of(std::string_view text) {
  std::uint64_t number = 0;
  if (text.size() != kNumberDigits || text.find_first_not_of(kHexDigits) != text.npos) {
    return std::nullopt;
  }
  std::from_chars(text.data(), text.data() + text.size(), number, 16);
  return number;
}

// Of other names than tokens a selection could look like that of another set.
bool is_set(std::string_view names) {
  if (names.empty()) return true;
  for (;;) {
    const std::size_t comma = names.find(',');
    if (!http::is_token(names.substr(0, comma))) return false;
    if (comma == names.npos) return true;
    names.remove_prefix(comma + 1);
  }
}

template <typename Each>
void for_each_line(std::string_view text, Each each) {
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    each(line);
  }
}

constexpr int kPartialContent = 206;

}  // namespace

bool has_range(const cache::StoredResponse& stored, const RangeAsked& asked) {
  if (stored.status != kPartialContent) return true;
  const auto stored_range = stored_range_of(stored);
  return stored_range && rfc9111::if_range_holds(asked.if_range, stored.fields) &&
         rfc9111::contained(*stored_range, asked.range).has_value();
}

std::optional<rfc9111::ContentRange> stored_range_of(const cache::StoredResponse& partial) {
  const auto said = rfc9111::find_line(partial.fields, "content-range");
  return said ? rfc9111::content_range_of(*said, partial.body.size(), true) : std::nullopt;
}

VariantIndex::VariantIndex(const cache::StoredResponse& index) : number_(0) {
  if (index.kind != cache::Kind::Variants) return;
  const std::string_view body = index.body;
  const std::string_view first = body.substr(0, body.find('\n'));
  const auto number = hex_of(first);
  if (!number) return;
  number_ = *number;
  for_each_line(body.substr(first.size()), [this](std::string_view line) {
    const std::string_view said = line.substr(std::min<std::size_t>(2, line.size()));
    if (line.starts_with("v ") && sets_.size() < kMostSets && is_set(said)) {
      sets_.emplace_back(said);
    } else if (line.starts_with("h ") && variants_.size() < kMostVariants) {
      if (const auto hash = hex_of(said)) variants_.push_back(*hash);
    }
  });
}

bool VariantIndex::put_first(std::string_view names) {
  const auto found = std::find(sets_.begin(), sets_.end(), names);
  if (found != sets_.end() && found == sets_.begin()) return false;
  if (found != sets_.end()) {
    std::rotate(sets_.begin(), found, found + 1);
    return true;
  }
  sets_.insert(sets_.begin(), std::string(names));
  if (sets_.size() > kMostSets) sets_.pop_back();
  return true;
}

bool VariantIndex::note(std::string_view key, std::size_t most) {
  const std::uint64_t hash = cache::key_digest(key);
  if (std::find(variants_.begin(), variants_.end(), hash) != variants_.end()) return false;
  variants_.push_back(hash);
  if (variants_.size() > most) {
    variants_.erase(variants_.begin(), variants_.end() - static_cast<std::ptrdiff_t>(most));
  }
  return true;
}

void VariantIndex::append_key(std::string_view set, FieldLines fields, const HttpCaching& caching,
                              std::string& key) const {
  key.append(kBeforeNumber);
  append_hex(number_, key);
  key += kAfterNumber;
  append_selection(set, fields, caching.vary_normalise, key);
}

cache::StoredPtr VariantIndex::to_stored(base::WallTime now, std::uint64_t seen) const {
  cache::StoredParts parts;
  parts.kind = cache::Kind::Variants;
  append_hex(number_, parts.body);
  parts.body += '\n';
  for (const std::string& set : sets_) parts.body.append("v ").append(set).append("\n");
  for (const std::uint64_t variant : variants_) {
    parts.body += "h ";
    append_hex(variant, parts.body);
    parts.body += '\n';
  }
  parts.response_time = now;
  parts.freshness_lifetime = kForEver;
  parts.seen = seen;
  return cache::make_stored(std::move(parts));
}

Selected select_variant(std::string_view key, const cache::StoredResponse& stored,
                        FieldLines fields, const HttpCaching& caching, const FindStored& find) {
  const VariantIndex index(stored);
  Selected selected;
  selected.varies = true;
  const auto look = [&](const std::string& variant) {
    const auto& known = index.variants();
    if (std::find(known.begin(), known.end(), cache::key_digest(variant)) == known.end()) return;
    cache::StoredPtr response = find(variant);
    if (!response || response->kind != cache::Kind::Verbatim) return;
    const bool later =
        !selected.response || response->response_time > selected.response->response_time;
    if (!later) return;
    selected.response = std::move(response);
    selected.key = variant;
  };
  for (const std::string& set : index.sets()) {
    std::string variant(key);
    index.append_key(set, fields, caching, variant);
    if (selected.key.empty()) selected.key = variant;
    look(variant);
  }
  if (selected.response || caching.vary_normalise.empty()) return selected;
  const std::string language = wanted_language(fields);
  if (language.empty()) return selected;
  for (const std::string& set : index.sets()) {
    std::string variant(key);
    index.append_key({}, fields, caching, variant);
    if (append_language_selection(set, fields, caching.vary_normalise, language, variant)) {
      const std::string first = selected.key;
      look(variant);
      if (selected.response) break;
      selected.key = first;
    }
  }
  return selected;
}

Selected select_stored(std::string_view key, FieldLines fields, const RangeAsked& range,
                       const HttpCaching& caching, const FindStored& find) {
  cache::StoredPtr stored = find(key);
  Selected selected;
  if (stored && stored->kind == cache::Kind::Variants) {
    selected = select_variant(key, *stored, fields, caching, find);
  } else if (stored && stored->kind == cache::Kind::Verbatim) {
    selected.response = std::move(stored);
  }
  if (selected.response && !has_range(*selected.response, range)) {
    selected.partial = std::exchange(selected.response, nullptr);
  }
  return selected;
}

std::string_view key_of_url(std::string_view key) {
  return key.substr(0, key.find(kBeforeNumber));
}

std::string_view variant_part(std::string_view key) {
  return key.substr(key_of_url(key).size());
}

std::string variant_names(std::string_view key) {
  std::string names;
  std::string_view part = variant_part(key);
  part.remove_prefix(std::min(part.find(kAfterNumber), part.size()));
  for (std::size_t at; (at = part.find(' ')) != part.npos;) {
    part.remove_prefix(at + 1);
    names.append(names.empty() ? "" : ",").append(part.substr(0, part.find_first_of("=: ")));
  }
  return names;
}

bool is_variant_part(std::string_view part) {
  const std::size_t end = kBeforeNumber.size() + kNumberDigits;
  if (part.size() < end + 1 || !part.starts_with(kBeforeNumber) || part[end] != kAfterNumber) {
    return false;
  }
  const std::string_view number = part.substr(kBeforeNumber.size(), kNumberDigits);
  if (!hex_of(number)) return false;
  part.remove_prefix(end + 1);
  while (!part.empty()) {
    if (part.front() != ' ') return false;
    part.remove_prefix(1);
    const std::string_view field = part.substr(0, part.find(' '));
    part.remove_prefix(field.size());
    const std::string_view name = field.substr(0, field.find_first_of("=:"));
    if (!http::is_token(name)) return false;
    for (std::string_view value = field.substr(name.size()); !value.empty();) {
      const bool escape = escaped_byte(value) >= 0;
      const auto byte = static_cast<unsigned char>(value.front());
      if (!escape && (byte <= ' ' || byte >= 0x7F || byte == '%')) return false;
      value.remove_prefix(escape ? kEscapeSize : 1);
    }
  }
  return true;
}

}  // namespace holdfast::proxy
