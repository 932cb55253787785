#include "rfc9111/directives.h"

#include <doctest/doctest.h>

using namespace holdfast;
using namespace holdfast::rfc9111;
using namespace std::chrono_literals;

namespace {

using Seconds = std::optional<std::chrono::seconds>;
using NameList = std::vector<std::string>;

ResponseDirectives of_lines(std::vector<std::string> lines) {
  upstream::Fields fields;
  for (std::string& line : lines) fields.push_back({"Cache-Control", std::move(line)});
  return response_directives(fields, {});
}

ResponseDirectives of_line(const char* line) {
  return of_lines({line});
}

ResponseDirectives of_targeted(const upstream::Fields& fields) {
  const std::vector<std::string> targeted{"my-cache-control", "cdn-cache-control"};
  return response_directives(fields, targeted);
}

}  // namespace

TEST_CASE("all directives of a response are read, in any order, by any case, over several lines") {
  const auto d = of_lines({" Max-Age=60 ,, S-MAXAGE=30,foo, bar=\"x, max-age=1\"",
                           "stale-while-revalidate=5,stale-if-error=7, no-store, no-cache",
                           "private, PUBLIC, must-revalidate, proxy-revalidate",
                           "must-understand, immutable"});
  CHECK(d.max_age == 60s);
  CHECK(d.s_maxage == 30s);
  CHECK(d.stale_while_revalidate == 5s);
  CHECK(d.stale_if_error == 7s);
  CHECK(d.no_store);
  CHECK(d.no_cache);
  CHECK(d.is_private);
  CHECK(d.is_public);
  CHECK(d.must_revalidate);
  CHECK(d.proxy_revalidate);
  CHECK(d.must_understand);
  CHECK(d.immutable);
  CHECK(!d.targeted);
}

TEST_CASE("a lifetime is a number, in quotes or without; else the response is stale") {
  struct Row {
    const char* line;
    Seconds max_age;
  };
  for (const Row& row : {
           Row{"max-age=3600", 3600s},
           {"max-age=003600", 3600s},
           {"max-age=\"3600\"", 3600s},
           {"max-age=2147483648", 2147483648s},
           {"max-age=99999999999999999999999", 2147483648s},
           {"max-age=0", 0s},
           {"max-age='3600'", 0s},
           {"max-age=-3600", 0s},
           {"max-age=3600.0", 0s},
           {"max-age=3600.5", 0s},
           {"max-age=a3600", 0s},
           {"max-age=3600a", 0s},
           {"max-age= 3600", 0s},
           {"max-age =3600", 0s},
           {"max-age", 0s},
           {"max-age=", 0s},
           {"max-age=\"36\\00\"", 0s},
           {"max-age=\"3600", 0s},
           {"foo max-age=3600", 0s},
           {"extension=\"max-age=3600\"", std::nullopt},
           {"extension=\"\\\", max-age=3600\"", std::nullopt},
           {"extension=\"max-age=3600\", max-age=1", 1s},
           {"extension=\"max-age=3600\", max-age=\"1\"", 1s},
           {"max-age=1, extension=\"max-age=3600\"", 1s},
           {"xmax-age=5", std::nullopt},
           {"", std::nullopt},
       }) {
    CAPTURE(row.line);
    CHECK((of_line(row.line).max_age == row.max_age));
  }
}

TEST_CASE("the first of duplicates counts, on one line or on two") {
  CHECK(of_line("max-age=1800, max-age=1").max_age == 1800s);
  CHECK(of_lines({"max-age=1", "max-age=1800"}).max_age == 1s);
  CHECK(of_lines({"s-maxage=x", "s-maxage=5"}).s_maxage == 0s);
}

TEST_CASE("a window without a value is ignored, one that is no number is none") {
  CHECK(!of_line("stale-if-error").stale_if_error);
  CHECK(of_line("stale-if-error=").stale_if_error == 0s);
  CHECK(of_line("stale-while-revalidate=x").stale_while_revalidate == 0s);
  CHECK(of_line("stale-while-revalidate=\"9\"").stale_while_revalidate == 9s);
}

TEST_CASE("with field names, no-cache and private are about those alone") {
  auto d = of_line("no-cache=\"Set-Cookie, a\", private=B, no-cache=\"c\"");
  CHECK(!d.no_cache);
  CHECK(!d.is_private);
  CHECK((d.no_cache_fields == NameList{"set-cookie", "a", "c"}));
  CHECK((d.private_fields == NameList{"b"}));
  d = of_line("no-cache=\"a\", no-cache");
  CHECK(d.no_cache);
  for (const char* line : {"private=\"\"", "private=\"a b\"", "private=\"a, \\b\"", "private=\"a",
                           "private=", "private=\" , \"", "private=a;b", "private=a.b"}) {
    CAPTURE(line);
    CHECK(of_line(line).is_private);
    CHECK(of_line(line).private_fields.empty());
  }
}

TEST_CASE("what is malformed still forbids, and allows nothing") {
  CHECK(of_line("no-store;max-age=0").no_store);
  CHECK(of_line("max-age=600|no-store").no_store);
  CHECK(of_line("public private").is_private);
  CHECK(of_line("no-store=1").no_store);
  CHECK(of_line("no-store.").no_store);
  CHECK(of_line("must-revalidate=x").must_revalidate);
  CHECK(!of_line("x=\"no-store, private\"").no_store);
  CHECK(!of_line("public=x").is_public);
  CHECK(!of_line("public|x").is_public);
  CHECK(!of_line("must-understand=1").must_understand);
}

TEST_CASE("the first targeted field that is valid and not empty replaces Cache-Control") {
  const upstream::Field plain{"Cache-Control", "no-store"};
  auto d = of_targeted({plain, {"CDN-Cache-Control", "max-age=10;x=1, foobar"}});
  CHECK(d.targeted);
  CHECK(d.max_age == 10s);
  CHECK(!d.no_store);
  d = of_targeted({plain,
                   {"CDN-Cache-Control", "max-age=10"},
                   {"My-Cache-Control", "max-age=20"},
                   {"my-cache-control", "s-maxage=5, max-age=99999999999"}});
  CHECK(d.max_age == 2147483648s);
  CHECK(d.s_maxage == 5s);
  d = of_targeted({plain, {"CDN-Cache-Control", "none"}});
  CHECK(d.targeted);
  CHECK(!d.no_store);
  for (const char* value :
       {"", "  ", "max-age=10, &&&&&", "MaX-aGe=10", "max-age =10", "max-age=10,"}) {
    CAPTURE(value);
    d = of_targeted({plain, {"CDN-Cache-Control", value}});
    CHECK(!d.targeted);
    CHECK(d.no_store);
    CHECK(!d.max_age);
    d = of_targeted({plain, {"My-Cache-Control", value}, {"CDN-Cache-Control", "max-age=7"}});
    CHECK(d.targeted);
    CHECK(d.max_age == 7s);
  }
  CHECK(response_directives({{"CDN-Cache-Control", "no-store"}}, {}).no_store == false);
}

TEST_CASE("a member of a targeted field with another type than its directive's allows nothing") {
  const auto of = [](const char* value) { return of_targeted({{"CDN-Cache-Control", value}}); };
  for (const char* value : {"max-age=\"10\"", "max-age=-10", "max-age=10.0", "max-age",
                            "max-age=(10)", "max-age=@10", "max-age=ten"}) {
    CAPTURE(value);
    CHECK(of(value).max_age == 0s);
  }
  CHECK(!of("stale-if-error=\"10\"").stale_if_error);
  CHECK(!of("max-age=?0").max_age);
  CHECK(of("no-store=1").no_store);
  CHECK(!of("no-store=?0").no_store);
  CHECK(of("must-revalidate=\"x\"").must_revalidate);
  CHECK(!of("public=1").is_public);
  CHECK(of("public").is_public);
  CHECK(of("private=(a b)").is_private);
  CHECK(of("private=\"a b\"").is_private);
  CHECK((of("private=\"A, b\"").private_fields == NameList{"a", "b"}));
  CHECK((of("no-cache=Set-Cookie").no_cache_fields == NameList{"set-cookie"}));
  CHECK(!of("no-cache=Set-Cookie").no_cache);
}

TEST_CASE("a request's directives are read, and max-stale is not one") {
  auto d = request_directives("No-Cache, no-store,only-if-cached, max-age=5, min-fresh=\"7\"", "");
  CHECK(d.no_cache);
  CHECK(d.no_store);
  CHECK(d.only_if_cached);
  CHECK(d.max_age == 5s);
  CHECK(d.min_fresh == 7s);
  d = request_directives(
      "max-age=9, min-fresh=1, max-age=3, min-fresh=2, max-stale=100, x=\"no-cache\"", "");
  CHECK(d.max_age == 3s);
  CHECK(d.min_fresh == 2s);
  CHECK(!d.no_cache);
  d = request_directives("max-age=x, min-fresh=-1", "");
  CHECK(d.max_age == 0s);
  CHECK(d.min_fresh == 0s);
}

TEST_CASE("Pragma: no-cache counts only where there is no Cache-Control") {
  CHECK(request_directives("", "No-Cache").no_cache);
  CHECK(request_directives("", "x, no-cache").no_cache);
  CHECK(!request_directives("", "unrecognised-extension").no_cache);
  CHECK(!request_directives("max-age=5", "no-cache").no_cache);
}
