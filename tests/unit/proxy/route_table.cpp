#include "proxy/route_table.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "naive_routes.h"
#include "proxy/literal_table.h"

using namespace holdfast;
using namespace holdfast::proxy;

namespace {

MethodSet methods(std::initializer_list<std::string_view> names) {
  MethodSet set;
  for (const std::string_view name : names) set |= MethodSet::named(name).value();
  return set;
}

const MethodSet kReading = methods({"GET", "HEAD"});

PathTemplate path_template(std::string_view text) {
  auto parsed = PathTemplate::parse(text);
  REQUIRE(parsed);
  return *std::move(parsed);
}

struct TableOfRoutes {
  RouteTable table;
  std::vector<std::string> names;

  std::optional<std::string> add(std::string_view path, std::string_view host = {},
                                 MethodSet set = kReading) {
    names.emplace_back(path);
    const auto first = table.add(names.size() - 1, path_template(path), host, set);
    if (!first) return std::nullopt;
    return names[*first];
  }

  // The template that is found with its values, or a status.
  std::string find(std::string_view path, std::string_view host = "example.com",
                   std::string_view method = "GET") const {
    Parameters parameters;
    const RouteTable::Match match = table.find(host, method, path, parameters);
    switch (match.outcome) {
      case RouteTable::Outcome::Found: {
        std::string out = names[match.route];
        for (std::size_t i = 0; i < parameters.size(); ++i) {
          out += " [" + std::string(parameters[i]) + "]";
        }
        return out;
      }
      case RouteTable::Outcome::MethodNotAllowed:
        CHECK(parameters.size() == 0);
        return "405 " + match.allowed.text();
      case RouteTable::Outcome::BadParameter:
        CHECK(parameters.size() == 0);
        return "400 " + names[match.route] + ": " + match.objection;
      case RouteTable::Outcome::NotFound:
        break;
    }
    CHECK(parameters.size() == 0);
    return "404";
  }
};

}  // namespace

TEST_CASE("the most specific route wins, whatever the order of adding") {
  std::vector<std::string> texts = {"/a/b",       "/a/{x:ip}", "/a/{x:uuid}", "/a/{x:int}",
                                    "/a/{x:hex}", "/a/{x}",    "/a/{x:rest}", "/{x:rest}"};
  for (unsigned round = 0; round < 50; ++round) {
    std::shuffle(texts.begin(), texts.end(), std::minstd_rand(round));
    TableOfRoutes routes;
    for (const std::string& text : texts) REQUIRE(!routes.add(text));
    CHECK(routes.find("/a/b") == "/a/b");
    CHECK(routes.find("/a/::1") == "/a/{x:ip} [::1]");
    CHECK(routes.find("/a/123e4567-e89b-12d3-a456-426614174000") ==
          "/a/{x:uuid} [123e4567-e89b-12d3-a456-426614174000]");
    CHECK(routes.find("/a/12") == "/a/{x:int} [12]");
    CHECK(routes.find("/a/12ab") == "/a/{x:hex} [12ab]");
    CHECK(routes.find("/a/c%20d") == "/a/{x} [c%20d]");
    CHECK(routes.find("/a/c/d") == "/a/{x:rest} [c/d]");
    CHECK(routes.find("/a/") == "/a/{x:rest} []");
    CHECK(routes.find("/a") == "/{x:rest} [a]");
    CHECK(routes.find("/") == "/{x:rest} []");
  }
}

TEST_CASE("a branch that ends nowhere is left for the next one") {
  TableOfRoutes routes;
  routes.add("/a/b/c");
  routes.add("/{x}/b/{y}");
  routes.add("/a/{y:int}/{z:rest}");
  routes.add("/{x}/{y}/d");
  CHECK(routes.find("/a/b/c") == "/a/b/c");
  CHECK(routes.find("/a/b/d") == "/{x}/b/{y} [a] [d]");
  CHECK(routes.find("/a/1/d") == "/a/{y:int}/{z:rest} [1] [d]");
  CHECK(routes.find("/a/e/d") == "/{x}/{y}/d [a] [e]");
  CHECK(routes.find("/a/e/f") ==
        "400 /a/{y:int}/{z:rest}: not a decimal integer of at most 18 digits");
  CHECK(routes.find("/b/e/f") == "404");
}

TEST_CASE("a route of the request's host comes before one of any host") {
  TableOfRoutes routes;
  routes.add("/a");
  routes.add("/{x:rest}", "Geo.Example.com");
  routes.add("/b", "[2001:db8::1]");
  for (const char* host : {"geo.example.com", "GEO.EXAMPLE.COM:3000", "geo.example.com."}) {
    CAPTURE(host);
    CHECK(routes.find("/a", host) == "/{x:rest} [a]");
  }
  for (const char* host : {"example.com", "", "geo.example.co", "geo.example.com.evil.com"}) {
    CAPTURE(host);
    CHECK(routes.find("/a", host) == "/a");
    CHECK(routes.find("/b", host) == "404");
  }
  CHECK(routes.find("/b", "[2001:DB8::1]:80") == "/b");
  CHECK(routes.find("/a", "[2001:db8::1]") == "/a");
}

TEST_CASE("a method that no route takes for the path is told what would do") {
  TableOfRoutes routes;
  routes.add("/a", "", methods({"GET", "HEAD"}));
  routes.add("/{x}", "", methods({"PUT"}));
  routes.add("/a", "other.example", methods({"POST"}));
  CHECK(routes.find("/a", "example.com", "PUT") == "/{x} [a]");
  CHECK(routes.find("/a", "example.com", "DELETE") == "405 GET, HEAD, PUT");
  CHECK(routes.find("/a", "other.example", "DELETE") == "405 GET, HEAD, POST, PUT");
  CHECK(routes.find("/b", "example.com", "GET") == "405 PUT");
  CHECK(routes.find("/a", "example.com", "get") == "405 GET, HEAD, PUT");
  CHECK(routes.find("/a/b", "example.com", "DELETE") == "404");
  routes.add("/all", "", MethodSet::all());
  CHECK(routes.find("/all", "example.com", "FETCH") == "/all");
  CHECK(routes.find("/all", "example.com", "M-SEARCH") == "/all");
}

TEST_CASE("where only a parameter's type does not fit, the nearest route says so") {
  TableOfRoutes routes;
  routes.add("/lookup/{ip:ip}");
  routes.add("/n/{n:int}/{h:hex}");
  CHECK(routes.find("/lookup/abc") == "400 /lookup/{ip:ip}: not an IPv4 or IPv6 address");
  CHECK(routes.find("/lookup/") == "400 /lookup/{ip:ip}: not an IPv4 or IPv6 address");
  CHECK(routes.find("/lookup") == "404");
  CHECK(routes.find("/lookup/abc/") == "404");
  CHECK(routes.find("/n/1/x") == "400 /n/{n:int}/{h:hex}: not 1 to 128 hexadecimal digits");
  CHECK(routes.find("/n/x/x") ==
        "400 /n/{n:int}/{h:hex}: not a decimal integer of at most 18 digits");
  // The method is wrong whatever the address.
  CHECK(routes.find("/lookup/abc", "example.com", "PUT") == "405 GET, HEAD");
  routes.add("/lookup/{x}", "", methods({"PUT"}));
  CHECK(routes.find("/lookup/abc", "example.com", "PUT") == "/lookup/{x} [abc]");
  CHECK(routes.find("/lookup/abc") == "405 PUT");
}

TEST_CASE("two routes that take the same requests are refused, and the first is named") {
  TableOfRoutes routes;
  CHECK(!routes.add("/a/{x:ip}/{p:rest}"));
  CHECK(routes.add("/a/{y:ip}/{q:rest}") == "/a/{x:ip}/{p:rest}");
  CHECK(routes.add("/a/{y:ip}/{q:rest}", "", methods({"HEAD", "PUT"})) == "/a/{x:ip}/{p:rest}");
  CHECK(routes.add("/a/{y:ip}/{q:rest}", "", MethodSet::all()) == "/a/{x:ip}/{p:rest}");
  CHECK(!routes.add("/a/{y:ip}/{q:rest}", "", methods({"PUT"})));
  CHECK(!routes.add("/a/{y:ip}/{q:rest}", "geo.example.com"));
  CHECK(routes.add("/a/{z:ip}/{q:rest}", "GEO.example.com") == "/a/{y:ip}/{q:rest}");
  CHECK(!routes.add("/a/{y:ip}/{q}"));
  CHECK(!routes.add("/a/{y:ip}/"));
  CHECK(!routes.add("/a/{y:ip}"));
  CHECK(!routes.add("/a/{y:int}"));
  // What was refused is not there.
  CHECK(routes.find("/a/::1/b/c", "example.com", "PUT") == "/a/{y:ip}/{q:rest} [::1] [b/c]");
  CHECK(routes.find("/a/::1/b/c", "example.com", "POST").starts_with("405"));
}

TEST_CASE("what is no path has no route") {
  TableOfRoutes routes;
  routes.add("/");
  routes.add("/{x:int}");
  routes.add("/{x:rest}");
  CHECK(routes.find("*") == "404");
  CHECK(routes.find("") == "404");
}

TEST_CASE("an empty table finds nothing") {
  CHECK(TableOfRoutes().find("/") == "404");
  CHECK(TableOfRoutes().find("/a/b") == "404");
}

TEST_CASE("the table answers as if every route were asked in turn") {
  static constexpr std::string_view kSegments[] = {"a",       "b",       "1",      "",        "{x}",
                                                   "{x:int}", "{x:hex}", "{x:ip}", "{x:rest}"};
  static constexpr std::string_view kTexts[] = {"a", "b", "1", "", "12", "::1", "-", "a;b"};
  static constexpr std::string_view kHosts[] = {"", "a.example", "b.example"};
  static constexpr std::string_view kMethods[] = {"GET", "PUT", "POST"};
  for (std::uint64_t round = 0; round < 300; ++round) {
    const std::uint64_t seed = base::Random::entropy();
    CAPTURE(seed);
    base::Random random(seed);
    RouteTable table;
    std::vector<proxy::test::NaiveRoute> routes;
    for (auto wanted = 1 + random.below(20); wanted > 0; --wanted) {
      std::string text;
      for (auto segments = 1 + random.below(4); segments > 0; --segments) {
        std::string segment(kSegments[random.below(std::size(kSegments))]);
        // Each name once, and the rest at the end alone.
        if (segment == "{x:rest}" && segments > 1) segment = "{x}";
        if (segment.starts_with("{x")) segment.replace(1, 1, "x" + std::to_string(segments));
        text += "/" + segment;
      }
      proxy::test::NaiveRoute route{path_template(text), std::string(kHosts[random.below(3)]), {}};
      for (const std::string_view method : kMethods) {
        if (random.below(2) == 0) route.methods |= MethodSet::named(method).value();
      }
      const auto first = table.add(routes.size(), route.path, route.host, route.methods);
      const auto naive_first =
          std::find_if(routes.begin(), routes.end(), [&](const proxy::test::NaiveRoute& earlier) {
            return proxy::test::same_paths(earlier, route);
          });
      CHECK(first.has_value() == (naive_first != routes.end()));
      if (first) {
        CHECK(proxy::test::same_paths(routes[*first], route));
        continue;
      }
      routes.push_back(std::move(route));
    }
    for (int asked = 0; asked < 100; ++asked) {
      std::string path;
      for (auto segments = 1 + random.below(5); segments > 0; --segments) {
        path += "/" + std::string(kTexts[random.below(std::size(kTexts))]);
      }
      const std::string_view host = kHosts[random.below(3)];
      const std::string_view method = kMethods[random.below(3)];
      CAPTURE(path);
      CAPTURE(host);
      CAPTURE(method);
      Parameters parameters;
      const RouteTable::Match match = table.find(host, method, path, parameters);
      const RouteTable::Match naive = proxy::test::naive_find(routes, host, method, path);
      REQUIRE(match.outcome == naive.outcome);
      CHECK(match.allowed == naive.allowed);
      CHECK(match.objection == naive.objection);
      if (match.outcome == RouteTable::Outcome::BadParameter) CHECK(match.route == naive.route);
      if (match.outcome != RouteTable::Outcome::Found) continue;
      REQUIRE(match.route == naive.route);
      Parameters expected;
      REQUIRE(routes[match.route].path.match(path, expected));
      REQUIRE(parameters.size() == expected.size());
      for (std::size_t i = 0; i < expected.size(); ++i) CHECK(parameters[i] == expected[i]);
    }
  }
}

TEST_CASE("a table of literals has what was added to it, and nothing else") {
  LiteralTable table;
  CHECK(table.find("") == LiteralTable::kNone);
  CHECK(table.find("a") == LiteralTable::kNone);
  // Of every length that is hashed in another way, alike but for one byte.
  std::vector<std::string> texts;
  for (std::size_t size = 0; size <= 20; ++size) {
    texts.emplace_back(size, 'a');
    for (std::size_t at = 0; at < size; ++at) {
      texts.emplace_back(size, 'a');
      texts.back()[at] = '\xff';
    }
  }
  for (std::size_t i = 0; i < texts.size(); i += 2) {
    table.add(texts[i], static_cast<std::uint32_t>(i + 1));
  }
  for (std::size_t i = 0; i < texts.size(); ++i) {
    CAPTURE(i);
    CHECK(table.find(texts[i]) == (i % 2 == 0 ? i + 1 : LiteralTable::kNone));
  }
}
