#include "proxy/vary_key.h"

#include <doctest/doctest.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/random.h"
#include "rounds.h"

using namespace holdfast;
using namespace holdfast::proxy;

namespace {

using Fields = std::vector<http::FieldLine>;
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

std::string selection(const std::string& names, const Fields& fields,
                      const Texts& preferences = {}) {
  std::string out = "before";
  append_selection(names, fields, preferences, out);
  CHECK(out.starts_with("before"));
  return out.substr(6);
}

const Texts kLanguage{"accept-language"};

}  // namespace

TEST_CASE("names of several lines are each there once, in any case and order") {
  const VaryNames names =
      names_of({"Accept-Encoding, ,\tCookie ,", "", "cookie", " ACCEPT-encoding"});
  CHECK(names.names() == Texts{"accept-encoding", "cookie"});
  CHECK(names.list() == "accept-encoding,cookie");
  CHECK(names_of({}).names().empty());
  CHECK(names_of({"", ", ,"}).list().empty());
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

TEST_CASE("a field that is made here, and says who asks, is a star") {
  for (const char* line : {"X-Forwarded-For", "Accept, forwarded", "VIA", "traceparent",
                           "tracestate", "X-Forwarded-Host"}) {
    CAPTURE(line);
    CHECK(any({line}));
  }
  CHECK_FALSE(any({"X-Forwarded-Proto"}));  // the same for all
}

TEST_CASE("more names than anybody means are a star") {
  std::string line;
  for (std::size_t i = 0; i < VaryNames::kMost; ++i) line += "x-" + std::to_string(i) + ", ";
  CHECK_FALSE(any({line}));
  CHECK(any({line, "x-more"}));
  CHECK_FALSE(any({line, "X-0"}));
}

TEST_CASE("a selection says of each name whether it is there, and what it is") {
  const Fields fields{{"Accept-Encoding", "gzip"}, {"FOO", "a b"}, {"Empty", ""}};
  CHECK(selection("", fields).empty());
  CHECK(selection("foo", fields) == " foo=a%20b");
  CHECK(selection("bar,empty,foo", fields) == " bar empty= foo=a%20b");
}

TEST_CASE("lines of one field are one list, whatever the space around its commas") {
  const std::string expected = " foo=1,2";
  for (const Fields& fields : std::vector<Fields>{{{"foo", "1, 2"}},
                                                  {{"Foo", "1"}, {"x", "y"}, {"foo", "2"}},
                                                  {{"foo", " 1 ,\t2 "}},
                                                  {{"foo", "1,,2,"}}}) {
    CHECK(selection("foo", fields) == expected);
  }
  CHECK(selection("foo", {{"foo", "2, 1"}}) != expected);
  CHECK(selection("foo", {{"foo", "\"1, 2\""}}) != expected);
  CHECK(selection("foo", {{"foo", "\"a,  b\""}}) != selection("foo", {{"foo", "\"a, b\""}}));
  CHECK(selection("foo", {{"foo", "A"}}) != selection("foo", {{"foo", "a"}}));
}

TEST_CASE("lists of preferences are compared by what they prefer") {
  const std::string expected =
      selection("accept-language", {{"Accept-Language", "en, de"}}, kLanguage);
  for (const char* value : {"de, en", "eN, De", " en ,   de", "de;q=1.0, en"}) {
    CAPTURE(value);
    CHECK(selection("accept-language", {{"accept-language", value}}, kLanguage) == expected);
    CHECK(selection("accept-language", {{"accept-language", value}}) !=
          selection("accept-language", {{"accept-language", "en, de;q=0.5"}}));
  }
  CHECK(selection("accept-language", {{"accept-language", "en, de;q=0.5"}}, kLanguage) != expected);
  CHECK(selection("accept-language", {}, kLanguage) == " accept-language");
}

TEST_CASE("a language that is wanted most has a text that no list has") {
  CHECK(wanted_language(Fields{{"Accept-Language", "fr;q=0.5"}, {"accept-language", "DE"}}) ==
        "de");
  CHECK(wanted_language(Fields{{"Accept-Language", "fr, de"}}).empty());
  CHECK(wanted_language(Fields{}).empty());
  std::string out;
  REQUIRE(append_language_selection("accept-language,foo", Fields{{"foo", "1"}}, kLanguage, "De-AT",
                                    out));
  CHECK(out == " accept-language:de-at foo=1");
  out.clear();
  CHECK_FALSE(append_language_selection("foo", Fields{}, kLanguage, "de", out));
  CHECK_FALSE(append_language_selection("accept-language", Fields{}, {}, "de", out));
}

TEST_CASE("two selections are the same only if each field is") {
  const char* const values[] = {"", "a", "b", "a,b", "a b", "%", "=", "a\tb", ":", "-", "x y=z"};
  base::Random random(7);
  std::map<std::string, std::vector<std::optional<std::string>>> seen;
  for (int i = 0; i < holdfast::test::of_rounds(20'000); ++i) {
    std::vector<std::optional<std::string>> said;
    Fields fields;
    for (const char* name : {"foo", "bar", "x"}) {
      if (random.below(4) == 0) {
        said.push_back(std::nullopt);
        continue;
      }
      said.emplace_back(values[random.below(std::size(values))]);
      fields.push_back({name, *said.back()});
    }
    // The fields' values are views of `said`, whose strings have moved.
    std::size_t at = 0;
    for (const auto& value : said) {
      if (value) fields[at++].value = *value;
    }
    const auto [place, added] = seen.emplace(selection("bar,foo,x", fields), said);
    if (!added) REQUIRE(place->second == said);
  }
  CHECK(seen.size() > 500);
}
