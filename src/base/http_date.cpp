#include "base/http_date.h"

#include <algorithm>
#include <array>

#include "base/ascii.h"

namespace holdfast::base {
namespace {

constexpr std::array<std::string_view, 7> kDays = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
constexpr std::array<std::string_view, 7> kLongDays = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                                       "Thursday", "Friday", "Saturday"};
constexpr std::array<std::string_view, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

std::string_view trim(std::string_view text) {
  const auto first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") + 1 - first);
}

// Reads a date from left to right; `ok` turns false at the first surprise.
struct Reader {
  std::string_view rest;
  DateCase letters = DateCase::Exact;
  bool ok = true;

  bool starts_with(std::string_view text) const {
    if (letters == DateCase::Exact) return rest.starts_with(text);
    return rest.size() >= text.size() &&
           std::equal(text.begin(), text.end(), rest.begin(),
                      [](char a, char b) { return ascii_lower(a) == ascii_lower(b); });
  }
  void expect(std::string_view text) {
    ok = ok && starts_with(text);
    if (ok) rest.remove_prefix(text.size());
  }
  int digits(std::size_t count) {
    ok = ok && rest.size() >= count;
    int value = 0;
    for (std::size_t i = 0; ok && i < count; ++i) {
      ok = is_digit(rest[i]);
      value = value * 10 + (rest[i] - '0');
    }
    if (ok) rest.remove_prefix(count);
    return ok ? value : 0;
  }
  template <std::size_t N>
  unsigned one_of(const std::array<std::string_view, N>& names) {
    for (unsigned i = 0; ok && i < N; ++i) {
      if (starts_with(names[i])) {
        rest.remove_prefix(names[i].size());
        return i;
      }
    }
    ok = false;
    return 0;
  }
};

struct Fields {
  int year = 0;
  unsigned month = 0;  // from 0
  int day = 0;
  int hour = 0, minute = 0, second = 0;
};

void read_time(Reader& in, Fields& out) {
  out.hour = in.digits(2);
  in.expect(":");
  out.minute = in.digits(2);
  in.expect(":");
  out.second = in.digits(2);
}

// "06 Nov 1994 08:49:37 GMT"
Fields read_imf(Reader& in) {
  Fields out;
  out.day = in.digits(2);
  in.expect(" ");
  out.month = in.one_of(kMonths);
  in.expect(" ");
  out.year = in.digits(4);
  in.expect(" ");
  read_time(in, out);
  in.expect(" GMT");
  return out;
}

// "06-Nov-94 08:49:37 GMT". The century is the one POSIX picks; the sliding
// window of RFC 9110 would need a clock here and differs for dates decades away.
Fields read_rfc850(Reader& in) {
  Fields out;
  out.day = in.digits(2);
  in.expect("-");
  out.month = in.one_of(kMonths);
  in.expect("-");
  const int year = in.digits(2);
  out.year = year + (year < 69 ? 2000 : 1900);
  in.expect(" ");
  read_time(in, out);
  in.expect(" GMT");
  return out;
}

// "Nov  6 08:49:37 1994"
Fields read_asctime(Reader& in) {
  Fields out;
  out.month = in.one_of(kMonths);
  in.expect(" ");
  if (in.rest.substr(0, 1) == " ") {
    in.expect(" ");
    out.day = in.digits(1);
  } else {
    out.day = in.digits(2);
  }
  in.expect(" ");
  read_time(in, out);
  in.expect(" ");
  out.year = in.digits(4);
  return out;
}

void put_digits(char* at, int value, std::size_t count) {
  for (std::size_t i = count; i-- > 0; value /= 10) at[i] = static_cast<char>('0' + value % 10);
}

}  // namespace

std::optional<WallTime> parse_http_date(std::string_view value, DateCase letters) {
  Reader in{trim(value), letters};
  Fields fields;
  const auto comma = in.rest.find(',');
  if (comma == 3) {
    in.one_of(kDays);
    in.expect(", ");
    fields = read_imf(in);
  } else if (comma != std::string_view::npos) {
    in.one_of(kLongDays);
    in.expect(", ");
    fields = read_rfc850(in);
  } else {
    in.one_of(kDays);
    in.expect(" ");
    fields = read_asctime(in);
  }
  // A leap second is legal and becomes the first of the next minute.
  if (!in.ok || !in.rest.empty() || fields.hour > 23 || fields.minute > 59 || fields.second > 60) {
    return std::nullopt;
  }
  using namespace std::chrono;
  const year_month_day date{year{fields.year}, month{fields.month + 1},
                            day{static_cast<unsigned>(fields.day)}};
  if (!date.ok()) return std::nullopt;
  return WallTime(sys_days{date}) + hours(fields.hour) + minutes(fields.minute) +
         seconds(fields.second);
}

std::string format_http_date(WallTime time) {
  using namespace std::chrono;
  const auto day_start = floor<days>(time);
  const year_month_day date{day_start};
  const hh_mm_ss clock{floor<seconds>(time - day_start)};
  // Four digits are all the format has.
  const int year = std::clamp(static_cast<int>(date.year()), 0, 9999);

  std::string out = "Sun, 06 Nov 1994 08:49:37 GMT";
  out.replace(0, 3, kDays[weekday{day_start}.c_encoding()]);
  put_digits(&out[5], static_cast<int>(static_cast<unsigned>(date.day())), 2);
  out.replace(8, 3, kMonths[static_cast<unsigned>(date.month()) - 1]);
  put_digits(&out[12], year, 4);
  put_digits(&out[17], static_cast<int>(clock.hours().count()), 2);
  put_digits(&out[20], static_cast<int>(clock.minutes().count()), 2);
  put_digits(&out[23], static_cast<int>(clock.seconds().count()), 2);
  return out;
}

}  // namespace holdfast::base
