#include "proxy/cache_tags.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "cache/stored_response.h"

using namespace holdfast;
using namespace holdfast::proxy;

namespace {

std::string tags_of(const upstream::Fields& fields, const std::vector<std::string>& of_route = {}) {
  std::string text = cache_tags_of(fields, of_route).take();
  std::replace(text.begin(), text.end(), '\n', '|');
  return text;
}

}  // namespace

TEST_CASE("tags are read as those who invented the fields write them") {
  struct Case {
    const char* name;
    const char* value;
    const char* tags;
  };
  for (const Case& field : {
           Case{"Cache-Tag", "a,b, c  d\t,,e", "a|b|c|d|e"},
           Case{"cache-tag", " a:1 , B/2 ", "a:1|B/2"},
           Case{"Cache-Tag", "", ""},
           Case{"Surrogate-Key", "a b,c  d", "a|b,c|d"},
           Case{"Cache-Groups", R"("a", "b c" ,"d\"e\\")", "a|b c|d\"e\\"},
           Case{"Cache-Groups", R"("a";x;y=1;z="q,\"" ,  "b";t=?0)", "a|b"},
           Case{"Cache-Groups", "", ""},
           Case{"Cache-Control", "a", ""},
       }) {
    CAPTURE(field.value);
    CHECK(tags_of({{field.name, field.value}}) == field.tags);
  }
  CHECK(tags_of({{"Cache-Tag", "a"}, {"Surrogate-Key", "b a"}, {"Cache-Tag", "c"}}, {"r"}) ==
        "r|a|b|c");
  // Several lines are one list.
  CHECK(tags_of({{"Cache-Groups", "\"a\""}, {"Cache-Groups", "\"b\""}}) == "a|b");
}

TEST_CASE("what is no list of strings counts as tags that nobody knows") {
  for (const char* value : {"a", "\"a", "\"a\",", "\"a\" \"b\"", "(\"a\")", R"("a\n")", "\"\x80\"",
                            "\"a\";", "\"a\";x=", "\"a\", b", "1", "\"a\"\t\"b\""}) {
    CAPTURE(value);
    CHECK(tags_of({{"Cache-Groups", value}, {"Cache-Tag", "t"}}) == "|t");
  }
}

TEST_CASE("what is more than is kept is counted, and the rest is kept") {
  std::string many;
  for (std::size_t i = 0; i < cache::kMostTags + 3; ++i) many += "t" + std::to_string(i) + ",";
  CacheTags tags = cache_tags_of({{"Cache-Tag", many}}, {"of-route"});
  CHECK(tags.left_out() == 4);
  const std::string text = tags.take();
  CHECK(text.starts_with("\nof-route\nt0\n"));
  CHECK(cache::has_more_tags(text));
  std::size_t kept = 0;
  cache::for_each_tag(text, [&kept](std::string_view) { ++kept; });
  CHECK(kept == cache::kMostTags);
  const std::string longest(cache::kLongestTag, 'x');
  CHECK(tags_of({{"Cache-Tag", longest + " a"}}) == longest + "|a");
  CHECK(tags_of({{"Cache-Tag", longest + "x a"}}) == "|a");
  CHECK(tags_of({{"Surrogate-Key", "caf\xc3\xa9 a"}}) == "|a");
}
