#include "upstream/reply_times.h"

#include <algorithm>
#include <charconv>

#include "base/http_date.h"

namespace holdfast::upstream {
namespace {

using std::chrono::seconds;

constexpr seconds kLongestWait = std::chrono::hours(24);

std::optional<base::WallTime> moment(const Fields& fields, std::string_view name) {
  const std::string* value = find_field(fields, name);
  return value ? base::parse_http_date(*value) : std::nullopt;
}

// Digits alone; null if it is anything else. Too many of them: as many as fit.
std::optional<seconds> whole_seconds(std::string_view text) {
  if (text.empty() || text.find_first_not_of("0123456789") != text.npos) return std::nullopt;
  std::int32_t number = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), number);
  return result.ec == std::errc{} ? seconds(number) : seconds(INT32_MAX);
}

}  // namespace

std::optional<seconds> wait_told(const Fields& fields, base::WallTime received) {
  const std::string* value = find_field(fields, "Retry-After");
  if (value == nullptr) return std::nullopt;
  if (const auto wait = whole_seconds(*value)) return std::min(*wait, kLongestWait);
  const auto until = base::parse_http_date(*value);
  if (!until) return seconds(0);
  base::WallTime from = moment(fields, "Date").value_or(received);
  // What a cache on the way has kept was said a while ago.
  const std::string* age = find_field(fields, "Age");
  if (age != nullptr) from += whole_seconds(*age).value_or(seconds(0));
  return std::clamp(std::chrono::ceil<seconds>(*until - from), seconds(0), kLongestWait);
}

std::optional<seconds> clock_ahead(const Fields& fields, base::WallTime received) {
  const auto date = moment(fields, "Date");
  if (!date || find_field(fields, "Age") != nullptr) return std::nullopt;
  return std::chrono::round<seconds>(*date - received);
}

}  // namespace holdfast::upstream
