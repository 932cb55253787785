#include "observe/timestamp.h"

#include <chrono>

namespace holdfast::observe {
namespace {

// `digits` of them, written at `at`; returns what is behind.
char* put(char* at, unsigned value, int digits) {
  for (int i = digits - 1; i >= 0; --i) {
    at[i] = static_cast<char>('0' + value % 10);
    value /= 10;
  }
  return at + digits;
}

}  // namespace

// By hand, as each line of the log has one, and printf takes ten times as long.
void append_timestamp(std::string& out, base::WallTime when) {
  using namespace std::chrono;
  const auto day = floor<days>(when);
  const year_month_day date{day};
  const hh_mm_ss time{when - day};
  char text[] = "0000-00-00T00:00:00.000Z";
  char* at = put(text, static_cast<unsigned>(static_cast<int>(date.year())), 4);
  at = put(at + 1, static_cast<unsigned>(date.month()), 2);
  at = put(at + 1, static_cast<unsigned>(date.day()), 2);
  at = put(at + 1, static_cast<unsigned>(time.hours().count()), 2);
  at = put(at + 1, static_cast<unsigned>(time.minutes().count()), 2);
  at = put(at + 1, static_cast<unsigned>(time.seconds().count()), 2);
  put(at + 1, static_cast<unsigned>(time.subseconds().count()), 3);
  out.append(text, sizeof text - 1);
}

}  // namespace holdfast::observe
