#include "proxy/query_rules.h"

#include <doctest/doctest.h>

#include <map>
#include <string>
#include <vector>

#include "base/random.h"
#include "naive_query.h"
#include "rounds.h"

using namespace holdfast;
using namespace holdfast::proxy;
using namespace std::string_view_literals;
using Which = QuerySettings::Which;

namespace {

using Names = std::vector<std::string>;

std::string form(const QuerySettings& settings, std::optional<std::string_view> query) {
  const auto rules = QueryRules::parse(settings);
  REQUIRE(rules);
  std::string out = "/path";
  if (const char* objection = rules->append(query, out)) {
    CHECK(out == "/path");
    return "refused: " + std::string(objection);
  }
  CHECK(out.starts_with("/path"));
  return out.substr(5);
}

std::string all(std::optional<std::string_view> query) {
  return form({}, query);
}

std::string keep(Names names, std::optional<std::string_view> query) {
  return form({Which::Keep, std::move(names)}, query);
}

std::string ignore(Names names, std::optional<std::string_view> query) {
  return form({Which::Ignore, std::move(names)}, query);
}

std::string sorted(std::string_view query) {
  return form({Which::All, {}, true}, query);
}

std::string error(const QuerySettings& settings) {
  const auto rules = QueryRules::parse(settings);
  return rules ? "" : rules.error().message;
}

}  // namespace

TEST_CASE("a query stays as it is by default, if it is canonical") {
  for (const char* query : {"", "a", "a=", "a=b", "a=b&c=d", "a&&b", "&a", "a&", "a=b=c", "a=b+c",
                            "a=1;b=2", "-._~!$'()*,:@/?", "a=%26%3D%3B%2B%25%2F", "a=%C3%A9"}) {
    CAPTURE(query);
    CHECK(all(query) == "?" + std::string(query));
    CHECK(form({Which::Ignore, {"utm_*"}}, query) ==
          (std::string_view(query).find(';') == std::string_view::npos ? "?" + std::string(query)
                                                                       : "?a=1%3Bb=2"));
  }
  CHECK(all(std::nullopt).empty());
}

TEST_CASE("each byte of a query has one treatment") {
  CHECK(all("%41%2d%7E=%61") == "?A-~=a");
  CHECK(all("a=%2f%3a%c3%a9") == "?a=%2F%3A%C3%A9");
  CHECK(all("a=\xC3\xA9") == "?a=%C3%A9");
  CHECK(all("a= \"<>[]^`{|}") == "?a=%20%22%3C%3E%5B%5D%5E%60%7B%7C%7D");
  CHECK(all("a=%252e") == "?a=%252e");
  CHECK(all("a=%0d%0A%09") == "?a=%0D%0A%09");
  CHECK(all("a=%5C") == "?a=%5C");
  CHECK(all("a=b\\c") == "refused: a backslash in the query");
  CHECK(all("a#b") == "refused: a \"#\" in the query");
  for (const std::string_view query : {"a\nb"sv, "\x7f"sv, "a\0b"sv, "a=%00"sv}) {
    CHECK(all(query) == "refused: a control character in the query");
  }
  for (const char* query : {"%", "a=100%", "%4", "%zz", "a%=b"}) {
    CHECK(all(query) == "refused: a malformed percent-encoding in the query");
  }
}

TEST_CASE("without parameters there is no query") {
  CHECK(form({Which::None, {}}, "a=1").empty());
  CHECK(form({Which::None, {}, true}, "%zz#").empty());
  CHECK(form({Which::None, {}}, std::nullopt).empty());
  CHECK(keep({"a"}, "b=1&c").empty());
  CHECK(keep({"a"}, "").empty());
  CHECK(ignore({"a"}, "a=1").empty());
  CHECK(ignore({"a"}, "a=1&") == "?");
  CHECK(ignore({"a"}, "") == "?");
  CHECK(ignore({"*"}, "a&b=1&").empty());
}

TEST_CASE("parameters are kept and ignored by their decoded names") {
  CHECK(keep({"a", "c"}, "a=1&b=2&c=3&a=4&A=5&ab=6&a") == "?a=1&c=3&a=4&a");
  CHECK(ignore({"utm_*", "fbclid"}, "q=1&utm_source=x&utm_&fbclid=2&utm=3&fbclid2=4") ==
        "?q=1&utm=3&fbclid2=4");
  CHECK(ignore({"utm_*"}, "%75tm%5fx=1&q=2") == "?q=2");
  CHECK(keep({"a b", "caf\xC3\xA9", "x:y", "k[0]"},
             "a%20b=1&a+b=2&caf%c3%a9=3&caf\xC3\xA9=4&x%3ay=5&x:y=6&k%5B0%5d=7&k[0]=8") ==
        "?a%20b=1&caf%C3%A9=3&caf%C3%A9=4&x%3Ay=5&x:y=6&k%5B0%5D=7&k%5B0%5D=8");
  // Of what is left out only the name is looked at.
  CHECK(ignore({"x"}, "x=100%&a=1&x=\\#") == "?a=1");
  CHECK(keep({"a"}, "x=100%&a=1") == "?a=1");
  CHECK(keep({"a"}, "%x=1&a=1") == "refused: a malformed percent-encoding in the query");
  CHECK(keep({"a"}, "a=100%") == "refused: a malformed percent-encoding in the query");
}

TEST_CASE("behind a semicolon no parameter is carried past a rule") {
  CHECK(ignore({"utm_*"}, "utm_x=1;q=evil&q=2") == "?q=2");
  CHECK(ignore({"utm_*"}, "q=2;utm_x=1") == "?q=2%3Butm_x=1");
  CHECK(ignore({"utm_*"}, "q;utm_x=1") == "?q%3Butm_x=1");
  CHECK(ignore({"q"}, "utm_x;q=1") == "?utm_x%3Bq=1");
  CHECK(keep({"a"}, "a=1;admin=1") == "?a=1%3Badmin=1");
  CHECK(keep({"a"}, "a=1%3badmin=1") == "?a=1%3Badmin=1");
  CHECK(keep({"a"}, "a;admin=1").empty());
}

TEST_CASE("sorted by name, values of one name keep their order") {
  CHECK(sorted("b=2&a=1") == "?a=1&b=2");
  CHECK(sorted("b=1&a=2&b=0&a=1&a") == "?a=2&a=1&a&b=1&b=0");
  CHECK(sorted("b&&a&") == "?&&a&b");
  CHECK(sorted("&b&a") == "?&a&b");
  CHECK(sorted("%62=1&a=2&b=0") == "?a=2&b=1&b=0");
  CHECK(sorted("b%3a=1&a&b:=2&b%3A=3") == "?a&b%3A=1&b:=2&b%3A=3");
  CHECK(sorted("%C3%A9&z&a") == "?a&z&%C3%A9");
  CHECK(sorted("ab=1&a=2&a-=3") == "?a=2&a-=3&ab=1");
  CHECK(sorted("") == "?");
  // Who splits at ";" sees another order of a's values than it came in.
  CHECK(sorted("b=1;a=2&a=1") == "?b=1;a=2&a=1");
  CHECK(form({Which::Ignore, {"x"}, true}, "b=1;a=2&x&a=1") == "?a=1&b=1%3Ba=2");
  std::string many, back;
  for (int i = 0; i < 3000; ++i) {
    many += (i > 0 ? "&" : "") + std::to_string(9'999 - i);
    back += (i > 0 ? "&" : "?") + std::to_string(7'000 + i);
  }
  CHECK((sorted(many) == back));  // a failure need not show them
}

TEST_CASE("a wrong rule is told by what is wrong") {
  CHECK(error({Which::All, {}, true}).empty());
  CHECK(error({Which::None, {"a"}}) == "\"a\": only \"keep\" and \"ignore\" have names");
  CHECK(error({Which::Keep, {}}) == "\"keep\" without a name: did you mean \"none\"?");
  CHECK(error({Which::Ignore, {}}) == "\"ignore\" without a name: did you mean \"all\"?");
  CHECK(error({Which::Keep, {"a", ""}}) == "\"\": a parameter's name is missing");
  CHECK(error({Which::Keep, {"a*b"}}) == "\"a*b\": \"*\" stands at the end of a name, once");
  CHECK(error({Which::Keep, {"a**"}}) == "\"a**\": \"*\" stands at the end of a name, once");
  CHECK(error({Which::Keep, {"a%20b"}}) == "\"a%20b\": a name is written without percent-encoding");
  CHECK(error({Which::Keep, {"a=1"}}) == "\"a=1\": no name of a parameter holds \"&\" or \"=\"");
  CHECK(error({Which::Keep, {"100%"}}).empty());
}

namespace {

// Short, from few pieces, so that two are sometimes the same.
std::string random_query(base::Random& random) {
  static constexpr std::string_view kPieces[] = {
      "&",      "&",   "&",   "=", "=",   "a",   "%61", "b",    "ab",  "utm_x",
      "%75tm_", ";",   "%3b", "+", "%2B", "%26", "%3d", "\xe9", "%E9", " ",
      "%20",    "%25", "1",   "2", "?",   "/",   ":",   "%3A"};
  std::string query;
  for (auto left = random.below(12); left > 0; --left)
    query += kPieces[random.below(std::size(kPieces))];
  return query;
}

const std::vector<QuerySettings>& many_settings() {
  static const std::vector<QuerySettings> settings = [] {
    std::vector<QuerySettings> out;
    for (const bool sort : {false, true}) {
      out.push_back({Which::All, {}, sort});
      out.push_back({Which::None, {}, sort});
      for (const Which which : {Which::Keep, Which::Ignore}) {
        out.push_back({which, {"a"}, sort});
        out.push_back({which, {"utm_*", "b", "\xe9"}, sort});
        out.push_back({which, {"a*", "x"}, sort});
      }
    }
    return out;
  }();
  return settings;
}

}  // namespace

TEST_CASE("the form is what the rules say, its own, and the same of another spelling") {
  base::Random random(5);
  for (int round = 0; round < holdfast::test::of_rounds(5'000); ++round) {
    const std::string query = random_query(random);
    const std::string other = proxy::test::respelt(query, random);
    CAPTURE(query);
    CAPTURE(other);
    for (const QuerySettings& settings : many_settings()) {
      const std::string canonical = form(settings, query);
      CHECK(canonical == proxy::test::naive_query(settings, query));
      CHECK(form(settings, other) == canonical);
      const bool none = canonical.empty();
      CHECK(form(settings, none ? std::optional<std::string_view>()
                                : std::string_view(canonical).substr(1)) == canonical);
    }
  }
}

TEST_CASE("two queries have one form only if the same is kept of them") {
  base::Random random(6);
  using Kept = std::vector<std::vector<proxy::test::PathByte>>;
  for (const QuerySettings& settings : many_settings()) {
    std::map<std::string, Kept> seen;
    for (int round = 0; round < holdfast::test::of_rounds(5'000); ++round) {
      const std::string query = random_query(random);
      const bool by_name = settings.which == Which::Keep || settings.which == Which::Ignore;
      // What the rule keeps, by what it means.
      std::vector<std::pair<std::string, std::vector<proxy::test::PathByte>>> kept;
      for (const std::string& parameter : proxy::test::split_query(query)) {
        const std::string name =
            proxy::test::decoded_query(parameter.substr(0, parameter.find('=')));
        if (settings.which == Which::None) continue;
        if (by_name && proxy::test::names_it(settings, name) != (settings.which == Which::Keep))
          continue;
        auto bytes = proxy::test::meaning(parameter);
        for (proxy::test::PathByte& one : bytes) {
          if (by_name && one.byte == ';') one.escaped = true;
        }
        kept.emplace_back(name, std::move(bytes));
      }
      if (settings.sort && (by_name || query.find(';') == query.npos)) {
        std::stable_sort(kept.begin(), kept.end(), [](const auto& one, const auto& other) {
          return one.first < other.first;
        });
      }
      Kept bytes;
      for (auto& one : kept) bytes.push_back(std::move(one.second));
      CAPTURE(query);
      const auto [found, is_new] = seen.try_emplace(form(settings, query), bytes);
      CHECK(found->second == bytes);
    }
  }
}
