// A number is taken apart into its sign, its digits without zeros at either end, and the power of
// ten that they, behind a decimal point, are multiplied by. Nothing of it is made: two numbers of
// any length are compared where they stand.
#include "proxy/json_number.h"

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <system_error>

namespace holdfast::proxy {
namespace {

constexpr std::string_view kDecimalDigits = "0123456789";
constexpr std::size_t kExponentDigits = 18;  // that are a 64-bit integer for sure

struct NumberParts {
  bool valid = false;
  bool negative = false;
  bool exponent_negative = false;
  std::string_view integer;   // digits
  std::string_view fraction;  // digits, or empty
  std::string_view exponent;  // digits without leading zeros
};

std::string_view take_digits(std::string_view& text) {
  const std::string_view digits = text.substr(0, text.find_first_not_of(kDecimalDigits));
  text.remove_prefix(digits.size());
  return digits;
}

bool take(std::string_view& text, char c) {
  if (!text.starts_with(c)) return false;
  text.remove_prefix(1);
  return true;
}

std::string_view without_leading_zeros(std::string_view digits) {
  digits.remove_prefix(std::min(digits.find_first_not_of('0'), digits.size()));
  return digits;
}

NumberParts parts_of(std::string_view text) {
  NumberParts number;
  number.negative = take(text, '-');
  number.integer = take_digits(text);
  if (number.integer.empty() || (number.integer.size() > 1 && number.integer[0] == '0')) return {};
  if (take(text, '.')) {
    number.fraction = take_digits(text);
    if (number.fraction.empty()) return {};
  }
  if (take(text, 'e') || take(text, 'E')) {
    number.exponent_negative = take(text, '-');
    if (!number.exponent_negative) (void)take(text, '+');
    const std::string_view digits = take_digits(text);
    if (digits.empty()) return {};
    number.exponent = without_leading_zeros(digits);
  }
  number.valid = text.empty();
  return number;
}

// Of all digits, the n-th.
struct NumberDigits {
  std::string_view integer, fraction;
  std::size_t first = 0;  // that is not 0
  std::size_t end = 0;    // behind the last that is not

  explicit NumberDigits(const NumberParts& number)
      : integer(number.integer), fraction(number.fraction) {
    end = integer.size() + fraction.size();
    while (first < end && (*this)[first] == '0') ++first;
    while (end > first && (*this)[end - 1] == '0') --end;
  }
  char operator[](std::size_t n) const {
    return n < integer.size() ? integer[n] : fraction[n - integer.size()];
  }
  bool are_zero() const { return first == end; }
  // Of the decimal point, from the first that is not 0.
  std::int64_t point() const {
    return static_cast<std::int64_t>(integer.size()) - static_cast<std::int64_t>(first);
  }
};

// The power of ten; one with an exponent of too many digits is far beyond every other.
std::int64_t power_of_ten(const NumberParts& number, const NumberDigits& digits) {
  std::int64_t exponent = 0;
  if (number.exponent.size() > kExponentDigits) {
    exponent = std::numeric_limits<std::int64_t>::max() / 2;
  } else {
    std::from_chars(number.exponent.data(), number.exponent.data() + number.exponent.size(),
                    exponent);
  }
  return digits.point() + (number.exponent_negative ? -exponent : exponent);
}

}  // namespace

bool is_json_number(std::string_view text) {
  return parts_of(text).valid;
}

bool is_written_as_integer(std::string_view text) {
  return text.find_first_of(".eE") == text.npos;
}

bool is_beyond_double(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc::result_out_of_range) return false;
  // So is what is too small.
  const NumberParts number = parts_of(text);
  return power_of_ten(number, NumberDigits(number)) > 0;
}

bool same_json_number(std::string_view one, std::string_view other) {
  const NumberParts a = parts_of(one);
  const NumberParts b = parts_of(other);
  const NumberDigits x(a);
  const NumberDigits y(b);
  if (x.are_zero() || y.are_zero()) return x.are_zero() && y.are_zero();
  if (a.negative != b.negative || x.end - x.first != y.end - y.first ||
      power_of_ten(a, x) != power_of_ten(b, y)) {
    return false;
  }
  if ((a.exponent.size() > kExponentDigits || b.exponent.size() > kExponentDigits) &&
      a.exponent != b.exponent) {
    return false;
  }
  for (std::size_t i = 0; i < x.end - x.first; ++i) {
    if (x[x.first + i] != y[y.first + i]) return false;
  }
  return true;
}

}  // namespace holdfast::proxy
