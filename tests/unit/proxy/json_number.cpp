#include "proxy/json_number.h"

#include <doctest/doctest.h>

#include <charconv>
#include <string>

#include "base/random.h"

using namespace holdfast::proxy;

TEST_CASE("a number is what the grammar says, as a whole") {
  for (const char* text : {"0", "-0", "7", "10", "-12", "0.0", "1.50", "1e5", "1E+5", "1e-05",
                           "-0.0e00", "123456789012345678901234567890"}) {
    CAPTURE(text);
    CHECK(is_json_number(text));
  }
  for (const char* text : {"", "-", "+1", "01", "-01", "1.", ".1", "1e", "1e+", "1e5.0", "1 ", " 1",
                           "1e5e5", "inf", "nan", "0x1", "--1", "1,0", "00"}) {
    CAPTURE(text);
    CHECK(!is_json_number(text));
  }
}

TEST_CASE("beyond a double is what is too large, not what is too small") {
  for (const char* text :
       {"1e309", "-1e309", "1.7976931348623159e308", "1e99999999999999999999", "123e400"}) {
    CAPTURE(text);
    CHECK(is_beyond_double(text));
  }
  CHECK(is_beyond_double("1" + std::string(309, '0')));
  for (const char* text : {"0", "1e308", "1.7976931348623157e308", "1e-400",
                           "-1e-99999999999999999999", "0e99999999999999999999", "0.000001e310"}) {
    CAPTURE(text);
    CHECK(!is_beyond_double(text));
  }
  CHECK(!is_beyond_double("0." + std::string(500, '0') + "1e500"));
}

TEST_CASE("two numbers are the same by their values") {
  const char* const same[][2] = {{"1", "1.0"},           {"100", "1e2"},    {"1.50", "15e-1"},
                                 {"0", "-0.0e7"},        {"0.001", "1e-3"}, {"-20", "-2E+1"},
                                 {"1e400", "0.0010e403"}};
  for (const auto& pair : same) {
    const std::string one = pair[0];
    const std::string other = pair[1];
    CAPTURE(one);
    CHECK(same_json_number(one, other));
    CHECK(same_json_number(other, one));
  }
  const char* const different[][2] = {
      {"1", "-1"},         {"1", "10"},
      {"12", "1.2"},       {"1e400", "1e401"},
      {"101", "11"},       {"0", "1e-400"},
      {"1e400", "1e-400"}, {"1e9999999999999999999", "1e9999999999999999998"}};
  for (const auto& pair : different) {
    const std::string one = pair[0];
    const std::string other = pair[1];
    CAPTURE(one);
    CHECK(!same_json_number(one, other));
    CHECK(!same_json_number(other, one));
  }
}

TEST_CASE("a number is the same as itself however the point and the zeros are put") {
  holdfast::base::Random random(7);
  for (int round = 0; round < 2000; ++round) {
    std::string digits(1, static_cast<char>('1' + random.below(9)));
    for (auto left = random.below(12); left > 0; --left)
      digits += static_cast<char>('0' + random.below(10));
    const int exponent = static_cast<int>(random.below(900)) - 450;
    const auto spelt = [&] {
      const auto zeros = random.below(4);
      const std::string all = digits + std::string(zeros, '0');
      const auto point = random.below(all.size()) + 1;  // digits before it
      const int moved = exponent + static_cast<int>(digits.size()) - static_cast<int>(point);
      const std::string fraction = all.substr(point);
      return all.substr(0, point) + (fraction.empty() ? "" : "." + fraction) + "e" +
             std::to_string(moved);
    };
    const std::string one = spelt();
    const std::string other = spelt();
    CAPTURE(one);
    CAPTURE(other);
    CHECK(is_json_number(one));
    CHECK(same_json_number(one, other));
    CHECK(is_beyond_double(one) == is_beyond_double(other));
    CHECK(!same_json_number(one, other + "1"));
  }
}
