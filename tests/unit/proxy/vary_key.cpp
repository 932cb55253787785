#include "proxy/vary_key.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/random.h"

using namespace holdfast;
using namespace holdfast::proxy;

namespace {

using Fields = std::vector<RequestField>;
using Texts = std::vector<std::string>;

VaryNames names_of(const Texts& lines) {
  VaryNames names;
  for (const std::string& line : lines) names.add(line);
  return names;
}

bool any(const Texts& lines) {
  const VaryNames names = names_of(lines);
  CHECK(names.any() <= names.names().empty());
  return names.any();
}

std::string key(const std::string& vary, const Fields& fields, const Texts& normalise = {}) {
  std::string out = "before";
  CHECK(names_of({vary}).append_key(fields, normalise, out));
  CHECK(out.starts_with("before"));
  return out.substr(6);
}

}  // namespace

TEST_CASE("names of several lines are each there once, in any case and order") {
  CHECK(names_of({"Accept-Encoding, ,\tCookie ,", "", "cookie", " ACCEPT-encoding"}).names() ==
        Texts{"accept-encoding", "cookie"});
  CHECK(names_of({}).names().empty());
  CHECK(names_of({"", ", ,"}).names().empty());
  CHECK_FALSE(any({""}));
  CHECK_FALSE(any({"a", "b"}));
}

TEST_CASE("a star anywhere wins, and so does what is no list of names") {
  for (const char* line : {"*", "a, *", "*, a", " * ", "a;b", "a b", "\"a\"", "a:", "a/b",
                           "accept-*", "a,(b)", "caf\xC3\xA9", "a=b"}) {
    CAPTURE(line);
    CHECK(any({line}));
    CHECK(any({"x", line, "y"}));
  }
}

TEST_CASE("more names than anybody means are a star") {
  std::string line;
  for (std::size_t i = 0; i < VaryNames::kMost; ++i) line += "x-" + std::to_string(i) + ", ";
  CHECK_FALSE(any({line}));
  CHECK_FALSE(any({line, "X-0", line}));
  CHECK(any({line, "y"}));
  CHECK(any({line + "y"}));
}

TEST_CASE("of a star there is no key") {
  std::string out = "before";
  CHECK_FALSE(names_of({"*"}).append_key({}, {}, out));
  CHECK(out == "before");
}

TEST_CASE("a key says of each name what the request says") {
  CHECK(key("", {{"A", "1"}}).empty());
  CHECK(key("a", {}) == "1:a-");
  CHECK(key("a", {{"b", "1"}}) == "1:a-");
  CHECK(key("a", {{"A", ""}}) == "1:a+0:");
  CHECK(key("a", {{"A", " \t"}}) == "1:a+0:");
  CHECK(key("b, A", {{"B", " x y "}, {"a", "1+:2"}}) == "1:a+4:1+:21:b+3:x y");
  CHECK(key("a, b", {{"B", "x y"}, {"A", "1+:2"}}) == "1:a+4:1+:21:b+3:x y");
}

TEST_CASE("the lines of a field are one value") {
  CHECK(key("a", {{"a", "x"}, {"b", "-"}, {"A", "y"}}) == key("a", {{"a", "x, y"}}));
  CHECK(key("a", {{"a", ""}, {"a", ""}}) == "1:a+2:, ");
  CHECK(key("a", {{"a", "y"}, {"a", "x"}}) != key("a", {{"a", "x, y"}}));
}

TEST_CASE("only lists whose letters' case does not count are normalised") {
  const Texts lists{"accept-language", "accept-encoding"};
  const auto language = [&](const Fields& fields) { return key("Accept-Language", fields, lists); };
  const std::string plain = language({{"accept-language", "de-ch,en;q=0.8"}});
  CHECK(plain == "15:accept-language+14:de-ch,en;q=0.8");
  CHECK(language({{"Accept-Language", "de-CH ,\t EN;Q=0.8"}}) == plain);
  CHECK(language({{"Accept-Language", ", de-CH"}, {"accept-language", "en;q=0.8,,"}}) == plain);
  CHECK(language({{"accept-language", "en;q=0.8,de-ch"}}) != plain);
  CHECK(language({{"accept-language", ", ,"}}) == "15:accept-language+0:");
  CHECK(language({}) == "15:accept-language-");
  CHECK(language({{"accept-language", "A \"B , C\\\" ,D\" E , F"}}) ==
        "15:accept-language+18:a \"B , C\\\" ,D\" e,f");
  CHECK(language({{"accept-language", "A,\"B , C\\"}}) == "15:accept-language+9:a,\"B , C\\");
  // Combined first, so a quote that one line opens is closed by the next.
  CHECK(language({{"accept-language", "A \"B x"}, {"accept-language", "D\" E ,, F"}}) ==
        language({{"accept-language", "A \"B x, D\" E ,, F"}}));
  CHECK(key("user-agent", {{"user-agent", "X , y"}}, lists) == "10:user-agent+5:X , y");
}

TEST_CASE("two requests have one key only if they say the same") {
  static constexpr std::string_view kPieces[] = {"",    "1",  "-", "+",  ":",
                                                 "1:a", "0:", ",", ", ", "a"};
  static const Texts kVary[] = {{"a"}, {"b", "a"}, {"a, 1, b"}, {"ab"}, {}};
  base::Random random(3);
  using Selection = std::vector<std::pair<std::string, std::optional<std::string>>>;
  std::map<std::string, Selection> seen;
  for (int round = 0; round < 50'000; ++round) {
    const VaryNames vary = names_of(kVary[random.below(std::size(kVary))]);
    std::vector<std::pair<std::string, std::string>> lines;
    for (auto left = random.below(4); left > 0; --left) {
      std::string value;
      for (auto pieces = random.below(4); pieces > 0; --pieces)
        value += kPieces[random.below(std::size(kPieces))];
      while (value.ends_with(' ')) value.pop_back();
      while (value.starts_with(' ')) value.erase(0, 1);
      lines.emplace_back(std::string(1, "ab1"[random.below(3)]), value);
    }
    Fields fields;
    for (const auto& line : lines) fields.push_back({line.first, line.second});
    Selection selection;
    for (const std::string& name : vary.names()) {
      std::optional<std::string> value;
      for (const auto& line : lines) {
        if (line.first == name) value = value ? *value + ", " + line.second : line.second;
      }
      selection.emplace_back(name, value);
    }
    std::string text;
    CHECK(vary.append_key(fields, {}, text));
    const auto [found, is_new] = seen.try_emplace(text, selection);
    CAPTURE(text);
    CHECK(found->second == selection);
  }
  CHECK(seen.size() > 1'000);
}
