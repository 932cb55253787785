#include "proxy/routes.h"

#include <doctest/doctest.h>

#include <string>

#include "base/random.h"
#include "flights_fixture.h"

using namespace holdfast;
using namespace holdfast::proxy;

namespace {

MethodSet readable() {
  MethodSet methods = *MethodSet::named("GET");
  methods |= *MethodSet::named("HEAD");
  return methods;
}

RoutePlan plan(std::string_view match, std::string_view target, QuerySettings query = {}) {
  const PathTemplate path = PathTemplate::parse(match).value();
  return {.name = "r",
          .key_prefix = "r~1/",
          .match = path,
          .target = TargetTemplate::parse(target, path).value(),
          .methods = readable(),
          .query = QueryRules::parse(query).value()};
}

// A request as it is read, with a field of its own for each pair.
struct Wanted {
  std::string path;
  std::optional<std::string> query;
  std::vector<std::pair<std::string, std::string>> fields;
};

std::string key_of(const Route& route, const Wanted& asked) {
  Parameters parameters;
  REQUIRE(route.plan().match.match(asked.path, parameters));
  http::Request request;
  if (asked.query) request.query = *asked.query;
  std::vector<http::FieldLine> lines;
  for (const auto& [name, value] : asked.fields) {
    lines.push_back({name, value});
    if (name == "Host") request.known[static_cast<std::size_t>(http::Known::Host)] = value;
  }
  request.fields = lines;
  std::string key;
  const char* const problem = route.key(parameters, request, key);
  REQUIRE(problem == nullptr);
  return key;
}

}  // namespace

TEST_CASE("a key says what the upstream is asked, and it is asked that") {
  Route route(plan("/v1/{city}/days/{n:int}", "/data/{n}/{city}.json?format=json"));
  const std::string key = key_of(route, {"/v1/S%C3%A3o%20Paulo/days/7", "units=metric&x"});
  CHECK(key == "r~1/S%C3%A3o%20Paulo/7?units=metric&x");
  CHECK(route.is_key(key));
  CHECK(route.subject(key) == "S%C3%A3o%20Paulo/7?units=metric&x");
  CHECK(route.upstream_request(key).target ==
        "/data/7/S%C3%A3o%20Paulo.json?format=json&units=metric&x");
  const std::string bare = key_of(route, {"/v1/a/days/7", std::nullopt});
  CHECK(bare == "r~1/a/7");
  CHECK(route.upstream_request(bare).target == "/data/7/a.json?format=json");
  CHECK(key_of(route, {"/v1/a/days/7", ""}) == "r~1/a/7?");
}

TEST_CASE("the rest of a path is asked for as it came, slashes and all") {
  Route route(plan("/{path:rest}", "/{path}"));
  for (const char* path : {"/", "/a", "/a/", "/a//b", "/a/b%2Fc", "/%3F", "/a=b"}) {
    CAPTURE(path);
    const std::string key = key_of(route, {path, "q=/?"});
    CHECK(route.is_key(key));
    CHECK(route.upstream_request(key).target == std::string(path) + "?q=/?");
  }
}

TEST_CASE("fields that are part of the key go upstream as they came") {
  RoutePlan with_fields = plan("/a", "/a");
  with_fields.key_fields = {"accept-language", "x-tenant"};
  with_fields.request_fields = {{"Accept", "application/json"}, {"X-Tenant", "nobody"}};
  Route route(std::move(with_fields));
  const std::string none = key_of(route, {"/a", std::nullopt});
  CHECK(none == "r~1/");
  const std::string empty = key_of(route, {"/a", std::nullopt, {{"X-Tenant", ""}}});
  CHECK(empty == none);
  const std::string two = key_of(route, {"/a",
                                         std::nullopt,
                                         {{"accept-language", "de"},
                                          {"X-Tenant", "a b%=\xC3\xA9"},
                                          {"Accept-Language", "en;q=0.5"},
                                          {"Cookie", "secret"}}});
  CHECK(two == "r~1/ accept-language=de,%20en;q=0.5 x-tenant=a%20b%25=%C3%A9");
  for (const std::string& key : {none, empty, two}) CHECK(route.is_key(key));
  Parameters parameters;
  REQUIRE(route.plan().match.match("/a", parameters));
  const http::FieldLine tab{"X-Tenant", "a\tb"};
  http::Request tabbed;
  tabbed.fields = {&tab, 1};
  std::string refused;
  CHECK(route.key(parameters, tabbed, refused) != nullptr);
  const upstream::Request request = route.upstream_request(two);
  CHECK(*upstream::find_field(request.fields, "Accept-Language") == "de, en;q=0.5");
  CHECK(*upstream::find_field(request.fields, "X-Tenant") == "a b%=\xC3\xA9");
  CHECK(request.fields.size() == 3);
  CHECK(*upstream::find_field(route.upstream_request(none).fields, "X-Tenant") == "nobody");
}

TEST_CASE("what goes beside the key goes upstream, but for what is removed") {
  RoutePlan removing = plan("/a", "/a");
  removing.fields_removed = {"tracestate"};
  removing.request_fields = {{"Accept", "text/plain"}};
  const Route route(std::move(removing));
  const upstream::Request request =
      route.upstream_request("r~1/", {{"traceparent", "00-1"}, {"Tracestate", "x=1"}});
  REQUIRE(request.fields.size() == 2);
  CHECK(request.fields[0].name == "Accept");
  CHECK(request.fields[1].name == "traceparent");
}

TEST_CASE("the client's Host is part of the key where it goes upstream") {
  RoutePlan by_host = plan("/{path:rest}", "/{path}");
  by_host.host_goes_upstream = true;
  Route route(std::move(by_host));
  const std::string key = key_of(route, {"/a", std::nullopt, {{"Host", "Shop.Example:8080"}}});
  CHECK(key == "r~1/a host=shop.example:8080");
  CHECK(route.is_key(key));
  CHECK_FALSE(route.is_key("r~1/a"));
  CHECK(*upstream::find_field(route.upstream_request(key).fields, "Host") == "shop.example:8080");
  Parameters parameters;
  CHECK(route.plan().match.match("/a", parameters));
  std::string out;
  CHECK(route.key(parameters, http::Request{}, out) != nullptr);
}

TEST_CASE("a key with a Host that no request can have is none") {
  RoutePlan by_host = plan("/{path:rest}", "/{path}");
  by_host.host_goes_upstream = true;
  by_host.key_fields = {"x"};
  const Route any(by_host);
  for (const char* key :
       {"r~1/a host=shop.example", "r~1/a host=shop.example:80 x=1", "r~1/a host=[::1]:80",
        "r~1/a host=shop.example.", "r~1/a host=a%25c3%25b6"}) {
    CAPTURE(key);
    CHECK(any.is_key(key));
  }
  for (const char* key : {"r~1/a x=1", "r~1/a x=1 host=a", "r~1/a host=Shop.example",
                          "r~1/a host=", "r~1/a host=a%20b", "r~1/a host=a/b", "r~1/a host=a:b",
                          "r~1/a host=a:123456", "r~1/a host=a@b", "r~1/a host=[::1",
                          "r~1/a host=%C3%B6", "r~1/a host=a%25zz"}) {
    CAPTURE(key);
    CHECK_FALSE(any.is_key(key));
  }
  by_host.host = "Shop.example";
  const Route one(by_host);
  CHECK(one.is_key("r~1/a host=shop.example:8080"));
  CHECK(one.is_key("r~1/a host=shop.example."));
  CHECK_FALSE(one.is_key("r~1/a host=shop.example.org"));
  CHECK_FALSE(one.is_key("r~1/a host=other.example x=1"));
}

TEST_CASE("what is no key of a route is not taken for one") {
  RoutePlan with_fields = plan("/v/{a}/{n:int}", "/{a}/{n}");
  with_fields.key_fields = {"x"};
  Route route(std::move(with_fields));
  for (const char* key : {"r~1/",        "r~1/a",         "r~1/a/",        "r~1/a/x",
                          "r~1/a/07",    "r~1/a/7/",      "r~1/a/7/8",     "r~1//7",
                          "r/a/7",       "r~1/a b/7",     "r~1/%61/7",     "r~1/../7",
                          "r~1/a/7?%zz", "r~1/a/7?q b",   "r~1/a/7 y=1",   "r~1/a/7 x=1 x=2",
                          "r~1/a/7 x",   "r~1/a/7 x=%2b", "r~1/a/7 x=%0A", "r~1/a/7 "}) {
    CAPTURE(key);
    CHECK_FALSE(route.is_key(key));
  }
  CHECK(route.is_key("r~1/a/7?q x=%20"));
}

TEST_CASE("too long a key is refused") {
  Route route(plan("/{path:rest}", "/{path}"));
  Parameters parameters;
  const std::string path = "/" + std::string(Route::kLongestKey, 'a');
  REQUIRE(route.plan().match.match(path, parameters));
  std::string key;
  CHECK(route.key(parameters, std::string_view(), key) != nullptr);
}

TEST_CASE("an element of a batch has the key of its path") {
  const Route by_name(plan("/u/{name}", "/users/{name}"));
  std::string key;
  CHECK(by_name.key_of_subject("J\xC3\xB6rg/x?%", key) == nullptr);
  CHECK(key == "r~1/J%C3%B6rg%2Fx%3F%25");
  CHECK(by_name.is_key(key) == true);
  CHECK(by_name.key_of_subject("a/../b", key) != nullptr);
  CHECK(by_name.key_of_subject("", key) != nullptr);
  CHECK(by_name.key_of_subject("..", key) != nullptr);
  CHECK(by_name.key_of_subject(std::string_view("a\0b", 3), key) != nullptr);
  const Route by_number(plan("/n/{n:int}", "/{n}"));
  CHECK(by_number.key_of_subject("42", key) == nullptr);
  CHECK(key == "r~1/42");
  CHECK(by_number.key_of_subject("042", key) != nullptr);
}

TEST_CASE("two requests share a key exactly if the upstream is asked the same") {
  RoutePlan any = plan("/{path:rest}", "/{path}");
  any.key_fields = {"x", "y"};
  any.host_goes_upstream = true;
  Route route(std::move(any));
  static constexpr std::string_view kPaths[] = {"/", "/a", "/a/", "/%20", "/%3F", "/x=1", "//"};
  static constexpr std::string_view kQueries[] = {"", "a", "a=", "x=1", "%20x=1", "?", "a%20y"};
  static constexpr std::string_view kValues[] = {"", "1", "1 y=2", "%20", "1,", ", 1", "=", "?"};
  const std::uint64_t seed = base::Random::entropy();
  CAPTURE(seed);
  base::Random random(seed);
  std::map<std::string, std::string> by_key;
  std::map<std::string, std::string> by_request;
  for (int i = 0; i < 3000; ++i) {
    Wanted asked{std::string(kPaths[random.below(std::size(kPaths))]), std::nullopt, {}};
    if (random.below(3) > 0) asked.query = kQueries[random.below(std::size(kQueries))];
    asked.fields.emplace_back("Host", random.below(2) == 0 ? "a" : "b:1");
    for (auto count = random.below(4); count > 0; --count) {
      asked.fields.emplace_back(random.below(2) == 0 ? "X" : "y",
                                kValues[random.below(std::size(kValues))]);
    }
    const std::string key = key_of(route, asked);
    CHECK(route.is_key(key));
    const upstream::Request request = route.upstream_request(key);
    std::string text = request.target + "\n";
    for (const auto& field : request.fields) text += field.name + ": " + field.value + "\n";
    CHECK(by_key.emplace(key, text).first->second == text);
    CHECK(by_request.emplace(text, key).first->second == key);
  }
}

TEST_CASE("routes are named by path, and by what a batch takes") {
  proxy::test::Fixture fixture;
  Route other(plan("/v1/{city}", "/{city}"));
  const proxy::Routes routes({{other, *fixture.flights}, {*fixture.route, *fixture.flights}});
  CHECK(routes.named({}, "/v1/a?b")->key == "r~1/a?b");
  CHECK(&routes.named({}, "/v1/a")->entry->route == &other);
  CHECK(routes.named({}, "/lookup/2001:DB8::1")->key == "lookup/2001:db8::1");
  CHECK(routes.named_by_subject("8.8.8.8")->key == "lookup/8.8.8.8");
  CHECK(routes.named({}, "/nowhere").error().message == "no route takes this path");
  CHECK(routes.named({}, "/lookup/x").error().message == "not an IPv4 or IPv6 address");
  CHECK_FALSE(routes.named({}, "/v1/%zz").has_value());
  CHECK_FALSE(routes.named_by_subject("x").has_value());
  CHECK(&routes.of_key("r~1/a")->route == &other);
  CHECK(routes.of_key("lookup/x") == nullptr);
  CHECK(&routes.batch_at("/lookup")->route == fixture.route.get());
  CHECK(routes.batch_at("/v1") == nullptr);
}
