#include "proxy/variants.h"

#include <doctest/doctest.h>

#include <map>
#include <string>
#include <vector>

#include "base/random.h"
#include "cache/row.h"
#include "proxy/vary_key.h"

using namespace holdfast;
using namespace holdfast::proxy;
using namespace std::chrono_literals;

namespace {

using Lines = std::vector<http::FieldLine>;

const base::WallTime kStoredAt(1'000'000s);
const HttpCaching kPlain;
const std::string kUrl = "all/a?b=c host=x";

cache::StoredPtr index_of(std::string body) {
  return cache::make_stored({.kind = cache::Kind::Variants, .body = std::move(body)});
}

// What is stored, by key; counts what is looked for.
struct Shelf {
  std::string keep(const VariantIndex& index, std::string_view set, const Lines& fields,
                   const std::string& body, base::WallTime at = kStoredAt) {
    std::string key = kUrl;
    index.append_key(set, fields, kPlain, key);
    put(key, body, at);
    return key;
  }
  void put(const std::string& key, const std::string& body, base::WallTime at = kStoredAt) {
    rows[key] =
        cache::make_stored({.kind = cache::Kind::Verbatim, .body = body, .response_time = at});
  }
  Selected select(const Lines& fields, const RangeAsked& range = {},
                  const HttpCaching& caching = kPlain) const {
    return select_stored(kUrl, fields, range, caching, [this](std::string_view key) {
      const auto found = rows.find(key);
      return found == rows.end() ? nullptr : found->second;
    });
  }
  // "-" if there is nothing for it.
  std::string body(const Lines& fields, const HttpCaching& caching = kPlain) const {
    const Selected selected = select(fields, {}, caching);
    return selected.response ? selected.response->body : "-";
  }
  std::map<std::string, cache::StoredPtr, std::less<>> rows;
};

// Two variants of Foo, by an index as it is stored.
struct TwoVariants : Shelf {
  TwoVariants() {
    VariantIndex index(7);
    index.put_first("foo");
    index.note(keep(index, "foo", {{"Foo", "1"}}, "one"), 64);
    index.note(keep(index, "foo", {}, "none"), 64);
    text = index.to_stored(kStoredAt, 1)->body;
    rows[kUrl] = index.to_stored(kStoredAt, 1);
  }
  std::string text;
};

}  // namespace

TEST_CASE("what an index says is read back from what is stored") {
  base::Random random(1);
  for (int round = 0; round < 50; ++round) {
    VariantIndex index(random.next());
    for (std::uint64_t i = random.below(6); i-- > 0;) {
      index.put_first(std::vector<std::string>{"", "a", "accept,cookie", "x-y"}[random.below(4)]);
      index.note("k" + std::to_string(random.below(20)), 10);
    }
    const cache::StoredPtr stored = index.to_stored(kStoredAt, 42);
    CHECK(stored->kind == cache::Kind::Variants);
    CHECK(stored->seen == 42);
    CHECK(stored->response_time == kStoredAt);
    const VariantIndex read(*stored);
    CHECK(read.sets() == index.sets());
    CHECK(read.variants() == index.variants());
    CHECK(read.to_stored(kStoredAt, 42)->body == stored->body);
    std::string key, other;
    index.append_key("a", {}, kPlain, key);
    read.append_key("a", {}, kPlain, other);
    CHECK(key == other);
  }
}

TEST_CASE("a few sets and so many variants are known, and the oldest are forgotten") {
  VariantIndex index(1);
  for (const char* names : {"a", "b", "c", "d", "e"}) CHECK(index.put_first(names));
  CHECK(index.sets() == std::vector<std::string>{"e", "d", "c", "b"});
  CHECK_FALSE(index.put_first("e"));
  CHECK(index.put_first("c"));
  CHECK(index.sets() == std::vector<std::string>{"c", "e", "d", "b"});

  for (const char* key : {"1", "2", "3"}) CHECK(index.note(key, 3));
  CHECK_FALSE(index.note("1", 3));
  CHECK(index.note("4", 3));
  CHECK(index.variants() == std::vector<std::uint64_t>{cache::key_digest("2"),
                                                       cache::key_digest("3"),
                                                       cache::key_digest("4")});
  CHECK(index.note("5", 1));  // the setting was lowered
  CHECK(index.variants() == std::vector<std::uint64_t>{cache::key_digest("5")});
}

TEST_CASE("a request finds the variant of its own fields, and none of another number") {
  TwoVariants shelf;
  CHECK(shelf.body({{"foo", "1"}, {"Bar", "x"}}) == "one");
  CHECK(shelf.body({}) == "none");
  CHECK(shelf.body({{"Foo", ""}}) == "-");
  const Selected other = shelf.select({{"Foo", "2"}});
  CHECK(other.response == nullptr);
  CHECK(other.varies);
  CHECK(other.key == kUrl + " (0000000000000007) foo=2");  // what a fetch is known by

  // One that is forgotten is out of reach, though it is there.
  VariantIndex index(7);
  index.put_first("foo");
  shelf.rows[kUrl] = index.to_stored(kStoredAt, 1);
  CHECK(shelf.body({}) == "-");

  // An index of another number: all that the old one had is gone.
  VariantIndex next(8);
  next.put_first("foo");
  next.note(shelf.keep(next, "foo", {}, "new"), 64);
  shelf.rows[kUrl] = next.to_stored(kStoredAt, 1);
  CHECK(shelf.body({{"Foo", "1"}}) == "-");
  CHECK(shelf.body({}) == "new");
}

TEST_CASE("of several sets, what came last answers; of one moment, the latest set's") {
  Shelf shelf;
  VariantIndex index(7);
  index.put_first("foo");
  index.put_first("bar");
  const Lines both{{"Foo", "1"}, {"Bar", "1"}};
  index.note(shelf.keep(index, "foo", both, "by foo"), 64);
  index.note(shelf.keep(index, "bar", both, "by bar"), 64);
  shelf.rows[kUrl] = index.to_stored(kStoredAt, 1);
  CHECK(shelf.body(both) == "by bar");
  shelf.keep(index, "foo", both, "by foo", kStoredAt + 1ms);
  CHECK(shelf.body(both) == "by foo");
  CHECK(shelf.body({{"Bar", "1"}}) == "by bar");
  // Something that is no such response, in the place of one.
  std::string key = kUrl;
  index.append_key("foo", both, kPlain, key);
  shelf.rows[key] = index.to_stored(kStoredAt + 1s, 1);
  CHECK(shelf.body(both) == "by bar");
  shelf.rows[kUrl] = cache::make_stored({.body = "of the other mode"});
  CHECK(shelf.body(both) == "-");
}

TEST_CASE("of bytes that are no index, cut or damaged, no wrong variant comes") {
  const TwoVariants whole;
  const Lines one{{"Foo", "1"}}, two{{"Foo", "2"}};
  const auto check = [&](const std::string& text) {
    TwoVariants shelf;
    shelf.rows[kUrl] = index_of(text);
    CAPTURE(text);
    const std::string body = shelf.body(one);
    const bool right = body == "one" || body == "-";
    CHECK(right);
    CHECK(shelf.body(two) == "-");
    const std::string absent = shelf.body({});
    const bool right_too = absent == "none" || absent == "-";
    CHECK(right_too);
    const VariantIndex read(*index_of(text));
    CHECK(read.sets().size() <= VariantIndex::kMostSets);
    CHECK(read.variants().size() <= VariantIndex::kMostVariants);
    // What it is read as is written so, and found again.
    CHECK(VariantIndex(*read.to_stored(kStoredAt, 1)).sets() == read.sets());
  };
  for (std::size_t size = 0; size <= whole.text.size(); ++size) check(whole.text.substr(0, size));
  base::Random random(2);
  for (int round = 0; round < 500; ++round) {
    std::string text = whole.text;
    for (std::uint64_t i = 1 + random.below(3); i-- > 0;) {
      const std::size_t at = random.below(text.size());
      if (random.below(4) == 0) {
        text.insert(at, 1, static_cast<char>(random.below(256)));
      } else {
        text[at] =
            random.below(2) ? "\n v,h0=*"[random.below(8)] : static_cast<char>(random.below(256));
      }
    }
    check(text);
  }
  for (const char* text : {"", "\n", "7\nv foo\n", "0x00000000000007\nv foo\n", "v foo\nv foo\n",
                           "0000000000000007", "000000000000000G\nv foo", "-000000000000007\nv "}) {
    CHECK(VariantIndex(*index_of(text)).sets().empty());
  }
  // With names that are none the selection of one request would be the key of another's.
  for (const char* names : {"foo=1", "foo=1,", ",", "a b", "foo=1 bar", "a,,b", "caf\xC3\xA9"}) {
    const std::string hashes = whole.text.substr(whole.text.find("h "));
    const std::string text = std::string("0000000000000007\nv ") + names + "\n" + hashes;
    CHECK(VariantIndex(*index_of(text)).sets().empty());
    check(text);
  }
  CHECK(VariantIndex(*cache::make_stored({.body = whole.text})).sets().empty());  // of another kind
}

TEST_CASE("an index of any length is read as far as a route keeps variants") {
  std::string text = "0000000000000007\n";
  for (int i = 0; i < 100; ++i) text += "v a" + std::to_string(i) + "\n";
  for (int i = 0; i < 5000; ++i) text += "h 000000000000000a\n";
  text += std::string(100'000, '\n');
  const VariantIndex index(*index_of(text));
  CHECK(index.sets().size() == VariantIndex::kMostSets);
  CHECK(index.sets().front() == "a0");
  CHECK(index.variants().size() == VariantIndex::kMostVariants);
}

TEST_CASE("the key of a variant is one by its form, and says whose it is") {
  base::Random random(3);
  const std::vector<std::string> names{"a", "accept-language", "x-(y", "cookie", "!#$%&'*+-.^_`|~"};
  HttpCaching caching;
  caching.vary_normalise = {"accept-language"};
  for (int round = 0; round < 500; ++round) {
    VaryNames vary;
    for (std::uint64_t i = random.below(4); i-- > 0;) vary.add(names[random.below(names.size())]);
    std::vector<std::string> values;
    while (values.size() < names.size()) {
      std::string value;
      for (std::uint64_t i = random.below(6); i-- > 0;) {
        value +=
            random.below(2) ? "(), =:%\"\\"[random.below(9)] : static_cast<char>(random.below(256));
      }
      values.push_back(std::move(value));
    }
    Lines fields;
    for (std::size_t i = 0; i < names.size(); ++i) {
      if (random.below(3)) fields.push_back({names[i], values[i]});
    }
    const VariantIndex index(random.next());
    const std::string list = vary.list();
    std::string key = kUrl;
    index.append_key(list, fields, caching, key);
    const auto check = [&](const std::string& made) {
      CAPTURE(made);
      CHECK(is_variant_part(variant_part(made)));
      CHECK(key_of_url(made) == kUrl);
      CHECK(made == kUrl + std::string(variant_part(made)));
    };
    check(key);
    CHECK(variant_names(key) == list);
    std::string by_language = kUrl;
    index.append_key({}, fields, caching, by_language);
    if (append_language_selection(list, fields, caching.vary_normalise, values[0], by_language)) {
      check(by_language);
      CHECK(variant_names(by_language) == list);
    }
  }
  CHECK(variant_names(kUrl).empty());
  CHECK(key_of_url(kUrl) == kUrl);
  CHECK(variant_part(kUrl).empty());
  CHECK(key_of_url("").empty());
  // Nothing that a URL's own key has in it looks like that.
  CHECK(key_of_url("all/(a)(b) host=(x) b=%20(c)") == "all/(a)(b) host=(x) b=%20(c)");
  const std::string number = " (0123456789abcdef)";
  CHECK(is_variant_part(number));
  CHECK(is_variant_part(number + " a"));
  CHECK(is_variant_part(number + " a= b:de c=%20%FF"));
  for (const char* part :
       {"", " ", "(0123456789abcdef)", " (0123456789abcde)", " (0123456789abcdef0)",
        " (0123456789ABCDEF)", " (0123456789abcdef", " (0123456789abcdef) ", " (0123456789abcdef)a",
        " (0123456789abcdef)  a", " (0123456789abcdef) a  b", " (0123456789abcdef) =1",
        " (0123456789abcdef) a=%", " (0123456789abcdef) a=%2", " (0123456789abcdef) a=%GG",
        " (0123456789abcdef) a=\n", " (0123456789abcdef) a=\xC3\xA9", " (0123456789abcdef) a\tb",
        " (0123456789abcdef) (0123456789abcdef)"}) {
    CAPTURE(part);
    CHECK_FALSE(is_variant_part(part));
  }
}

TEST_CASE("who likes one language best gets what was stored as in that, if the route allows it") {
  HttpCaching caching;
  caching.vary_normalise = {"accept-language"};
  Shelf shelf;
  VariantIndex index(7);
  index.put_first("accept-language,foo");
  const Lines german{{"Accept-Language", "de;q=0.9, en;q=0.5"}, {"Foo", "1"}};
  std::string key = kUrl;
  index.append_key("accept-language,foo", german, caching, key);
  shelf.put(key, "deutsch");
  index.note(key, 64);
  std::string alias = kUrl;
  index.append_key({}, german, caching, alias);
  REQUIRE(append_language_selection("accept-language,foo", german, caching.vary_normalise, "DE",
                                    alias));
  shelf.put(alias, "deutsch");
  index.note(alias, 64);
  shelf.rows[kUrl] = index.to_stored(kStoredAt, 1);

  CHECK(shelf.body(german, caching) == "deutsch");
  CHECK(shelf.body({{"Accept-Language", "de, fr;q=0.1"}, {"foo", "1"}}, caching) == "deutsch");
  CHECK(shelf.select({{"Accept-Language", "de, fr;q=0.1"}, {"foo", "1"}}, {}, caching).key ==
        alias);
  // By all that selects beside, and only where one language is wanted most.
  CHECK(shelf.body({{"Accept-Language", "de, fr;q=0.1"}, {"foo", "2"}}, caching) == "-");
  CHECK(shelf.body({{"Accept-Language", "de, fr"}, {"foo", "1"}}, caching) == "-");
  CHECK(shelf.body({{"Accept-Language", "fr, de;q=0.1"}, {"foo", "1"}}, caching) == "-");
  CHECK(shelf.body({{"Foo", "1"}}, caching) == "-");
  const Lines mostly{{"Accept-Language", "de, fr;q=0.1"}, {"foo", "1"}};
  CHECK(shelf.select({{"Accept-Language", "fr"}, {"foo", "1"}}, {}, caching)
            .key.ends_with(" accept-language=fr foo=1"));
  CHECK(shelf.body(mostly) == "-");  // the route does not say so
}

TEST_CASE("a part of a content answers who asks for what it has, and nobody else") {
  Shelf shelf;
  shelf.rows[kUrl] = cache::make_stored({.status = 206,
                                         .kind = cache::Kind::Verbatim,
                                         .fields = "ETag: \"e\"\r\nContent-Range: bytes 2-5/9\r\n",
                                         .body = "cdef",
                                         .response_time = kStoredAt});
  const auto has = [&](std::string_view range, std::string_view if_range = {}) {
    const Selected selected = shelf.select({}, {range, if_range});
    CHECK((selected.response == nullptr) == (selected.partial != nullptr));
    return selected.response != nullptr;
  };
  CHECK(has("bytes=2-5"));
  CHECK(has("bytes=3-3, 5-5"));
  CHECK(has("bytes=2-3", "\"e\""));
  CHECK_FALSE(has("bytes=2-3", "\"f\""));
  CHECK_FALSE(has("bytes=2-3", "W/\"e\""));
  for (const char* range : {"", "bytes=", "bytes=0-3", "bytes=2-6", "bytes=4-", "bytes=-2",
                            "bytes=2-3, 0-0", "lines=2-3", "bytes=7-8"}) {
    CAPTURE(range);
    CHECK_FALSE(has(range));
  }
  // Another length than it says: nobody knows which bytes they are.
  shelf.rows[kUrl] = cache::make_stored({.status = 206,
                                         .kind = cache::Kind::Verbatim,
                                         .fields = "Content-Range: nonsense\r\n",
                                         .body = "cdef",
                                         .response_time = kStoredAt});
  CHECK_FALSE(has("bytes=2-5"));
}
