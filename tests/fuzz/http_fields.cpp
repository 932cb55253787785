// Cache-Control, entity tags and dates, which come from whatever the upstream
// and the clients are. Promises: lifetimes stay within bounds, one more line
// never makes a response fresher, nor does another separator than the comma let go of what
// forbids to store it; and a date written is the date read.
#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/http_date.h"
#include "http/cache_control.h"
#include "require.h"

using namespace holdfast;
using namespace holdfast::http;

namespace {

using Lifetime = std::optional<std::chrono::seconds>;

void check_lifetime(const Lifetime& lifetime) {
  if (!lifetime) return;
  REQUIRE_HOLDS(lifetime->count() >= 0 && lifetime->count() <= (std::int64_t{1} << 31));
}

void check_stricter(const Lifetime& after, const Lifetime& before) {
  REQUIRE_HOLDS(!before || (after && *after <= *before));
}

void check_cache_control(std::string_view first, std::string_view second) {
  CacheControl control;
  parse_cache_control(first, control);
  const CacheControl before = control;
  parse_cache_control(second, control);
  check_lifetime(control.max_age);
  check_lifetime(parse_request_cache_control(first).min_fresh);
  check_lifetime(control.s_maxage);
  check_lifetime(control.stale_while_revalidate);
  check_lifetime(control.stale_if_error);
  check_stricter(control.max_age, before.max_age);
  check_stricter(control.s_maxage, before.s_maxage);
  check_stricter(control.stale_if_error, before.stale_if_error);
  REQUIRE_HOLDS(control.no_store || !before.no_store);
  REQUIRE_HOLDS(control.no_cache || !before.no_cache);
}

bool at_least_as_careful(const CacheControl& one, const CacheControl& other) {
  return (one.no_store || !other.no_store) && (one.no_cache || !other.no_cache) &&
         (one.is_private || !other.is_private);
}

// In quotes, or behind the "=" of whoever may say anything, it would be another's argument.
void check_malformed(std::string_view list) {
  if (list.find('"') != list.npos) return;
  CacheControl control;
  parse_cache_control(list, control);
  for (const char* before : {"max-age=600|", "max-age=600;", "stale-if-error=x!", "public|"}) {
    CacheControl behind;
    parse_cache_control(before + std::string(list), behind);
    REQUIRE_HOLDS(at_least_as_careful(behind, control));
  }
  for (const char separator : {';', '|', '!', ' '}) {
    if (separator != ';' && list.find('=') != list.npos) continue;
    std::string other(list);
    std::replace(other.begin(), other.end(), ',', separator);
    CacheControl separated;
    parse_cache_control(other, separated);
    REQUIRE_HOLDS(at_least_as_careful(separated, control));
  }
  // Quoted, it is an argument of a directive that nobody knows.
  const auto is_text = [](char c) { return c != '\\' && c >= ' ' && c != 0x7f; };
  if (!std::all_of(list.begin(), list.end(), is_text)) return;
  CacheControl quoted;
  parse_cache_control("community=\"" + std::string(list) + '"', quoted);
  REQUIRE_HOLDS(!quoted.no_store && !quoted.no_cache && !quoted.is_private && !quoted.max_age);
}

void check_date(std::string_view text) {
  const auto date = base::parse_http_date(text);
  if (!date) return;
  const auto written = base::format_http_date(*date);
  REQUIRE_HOLDS(written.size() == 29);
  // 9999-12-31 23:59:60 is in the year 10000, which the format cannot write.
  const auto again = base::parse_http_date(written);
  REQUIRE_HOLDS(again.has_value());
  REQUIRE_HOLDS(*again == *date ||
                *date >= base::WallTime(std::chrono::sys_days{std::chrono::year{10'000} / 1 / 1}));
}

void check_tags(std::string_view list, std::string_view tag) {
  const bool matches = etag_matches(list, tag);
  // A match is found again by its strong and its weak spelling.
  std::string weak = "W/";
  weak += tag;
  REQUIRE_HOLDS(tag.substr(0, 2) == "W/" || etag_matches(list, weak) == matches);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0 || size > 8192) return 0;
  // The first byte is the parser, so that a corpus serves all three.
  const std::string_view input(reinterpret_cast<const char*>(data + 1), size - 1);
  const auto split = input.find('\n');
  const auto first = input.substr(0, split);
  const auto second =
      split == std::string_view::npos ? std::string_view{} : input.substr(split + 1);
  switch (data[0]) {
    case 'c':
      check_cache_control(first, second);
      check_malformed(first);
      break;
    case 'd':
      check_date(input);
      break;
    case 'e':
      check_tags(first, second);
      break;
    default:
      break;
  }
  return 0;
}
