// What the routes of a settings file become for the proxy: the built-in ones are what the proxy's
// tests serve, a mistake is told with its place, and no key keeps its name when its meaning
// changes.
#include "daemon/route_plans.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <initializer_list>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "base/random.h"
#include "config/routing.h"
#include "lookup_route.h"
#include "unit/config/start.h"

using namespace holdfast;
using namespace holdfast::daemon;
using config::contains;
using config::Routing;

namespace {

// The routing of a start with such a settings file. Upstreams without urls ask API_URL's.
struct File : config::Start {
  explicit File(const std::string& text) {
    variables = {{"API_URL", "https://api.example"}, {"API_TOKEN", config::kToken}};
    arguments = {"--config", path = file("h.toml", text)};
  }
  Routing routing() const { return *settings().routing; }
  std::string path;
};

std::vector<proxy::RoutePlan> plans_of(const Routing& routing) {
  auto plans = plan_routes(routing);
  REQUIRE_MESSAGE(plans, (plans ? "" : plans.error().message));
  return *std::move(plans);
}
std::vector<proxy::RoutePlan> plans_of(const std::string& text) {
  return plans_of(File(text).routing());
}

// Without the file's folder: "h.toml:4: ...".
std::string error_of(const Routing& routing, const File& file) {
  const auto plans = plan_routes(routing);
  REQUIRE_FALSE(plans);
  std::string message = plans.error().message;
  CHECK_FALSE(contains(message, "\n"));
  CHECK_FALSE(contains(message, config::kToken));
  for (std::size_t at = 0; (at = message.find(file.path)) != std::string::npos;) {
    message.replace(at, file.path.size(), "h.toml");
  }
  return message;
}
std::string error_of(const std::string& text) {
  const File file(text);
  return error_of(file.routing(), file);
}

// A route whose keys begin in line 5, of an upstream that has `upstream` besides.
std::string route(const std::string& keys, const std::string& match = "/r/{id}",
                  const std::string& upstream = "host = \"upstream\"") {
  return "[upstream.u]\n" + upstream + "\n[[route]]\nname = \"r\"\n" + keys + "\nmatch = \"" +
         match + "\"\n";
}

// Not to be compiled any more once a plan has a field that the comparison below does not know.
auto every_field(const proxy::RoutePlan& plan) {
  const auto& [name, key_prefix, match, target, host, methods, query, key_fields,
               host_goes_upstream, request_fields, fields_removed, own_authorization, batch_path,
               body, storing, response_fields, max_request_body_bytes, most_attempts, pass_invalid,
               stored_only, offline] = plan;
  return std::tie(name, key_prefix, match, target, host, methods, query, key_fields,
                  host_goes_upstream, request_fields, fields_removed, own_authorization, batch_path,
                  body, storing, response_fields, max_request_body_bytes, most_attempts,
                  pass_invalid, stored_only, offline);
}

std::string query_of(const proxy::RoutePlan& plan, std::optional<std::string_view> query) {
  std::string out;
  const char* const problem = plan.query.append(query, out);
  return problem == nullptr ? out : problem;
}

// Texts and types of the segments.
std::vector<std::pair<std::string, std::optional<proxy::ParameterType>>> segments_of(
    const proxy::PathTemplate& match) {
  std::vector<std::pair<std::string, std::optional<proxy::ParameterType>>> all;
  for (const auto& segment : match.segments()) all.emplace_back(segment.text, segment.type);
  return all;
}

std::vector<std::pair<std::string, std::string>> pairs_of(const upstream::Fields& fields) {
  std::vector<std::pair<std::string, std::string>> all;
  for (const upstream::Field& field : fields) all.emplace_back(field.name, field.value);
  return all;
}

std::string key_prefix_of(const std::string& text) {
  return plans_of(text).front().key_prefix;
}

}  // namespace

TEST_CASE("the built-in configuration is the lookup that the tests of the proxy serve") {
  const std::vector<proxy::RoutePlan> plans = plans_of("");
  REQUIRE(plans.size() == 1);
  const proxy::RoutePlan& plan = plans[0];
  const proxy::RoutePlan lookup = proxy::test::lookup_plan();
  CHECK(std::get<0>(every_field(plan)) == std::get<0>(every_field(lookup)));
  CHECK(plan.key_prefix == "lookup/");
  CHECK(plan.key_prefix == lookup.key_prefix);
  CHECK(plan.match.text() == lookup.match.text());
  CHECK(segments_of(plan.match) == segments_of(lookup.match));
  CHECK(plan.target.text() == lookup.target.text());
  CHECK(plan.host == lookup.host);
  CHECK(plan.methods == lookup.methods);
  for (const std::optional<std::string_view> query :
       {std::optional<std::string_view>(), {""}, {"a=1"}, {"b&a"}, {"%"}, {"a;b"}}) {
    CHECK(query_of(plan, query) == query_of(lookup, query));
  }
  CHECK(plan.key_fields == lookup.key_fields);
  CHECK(plan.host_goes_upstream == lookup.host_goes_upstream);
  CHECK(pairs_of(plan.request_fields) == pairs_of(lookup.request_fields));
  CHECK(plan.batch_path == lookup.batch_path);
  CHECK(plan.body == lookup.body);
  CHECK(plan.storing == lookup.storing);
  CHECK(plan.response_fields == lookup.response_fields);
  CHECK(plan.most_attempts == lookup.most_attempts);
  CHECK((plan.offline == nullptr) == (lookup.offline == nullptr));
  // What it asks for is the same, too.
  const proxy::Route planned(plan);
  const proxy::Route served(lookup);
  const std::string key = "lookup/2001:db8::1";
  CHECK(planned.is_key(key));
  CHECK(planned.upstream_request(key).target == served.upstream_request(key).target);
  CHECK(planned.upstream_request(key).target == "/geoip/2001:db8::1");
}

TEST_CASE("settings of the whole program hold for the built-in route, and change no key") {
  const proxy::RoutePlan plan = plans_of(
                                    "cache_ttl = \"1h\"\n"
                                    "negative_ttl = \"1m\"\n"
                                    "stale_if_error = \"2h\"\n"
                                    "stale_while_revalidate = \"3h\"\n"
                                    "cache_ttl_override = true\n")
                                    .front();
  CHECK(plan.key_prefix == "lookup/");
  CHECK(plan.storing.ttl == std::chrono::hours(1));
  CHECK(plan.storing.negative_ttl == std::chrono::minutes(1));
  CHECK(plan.storing.stale_if_error == std::chrono::hours(2));
  CHECK(plan.storing.stale_while_revalidate == std::chrono::hours(3));
  CHECK(plan.storing.ttl_override);
}

TEST_CASE("every key of a route is in its plan") {
  const proxy::RoutePlan plan =
      plans_of(route("host = \"Geo.Example\"\n"
                     "methods = [\"GET\"]\n"
                     "target = \"/t/{id}?x=1\"\n"
                     "query = { keep = [\"b\", \"a\"] }\n"
                     "sort_query = true\n"
                     "key_fields = [\"Accept-Language\", \"X-A\"]\n"
                     "batch = \"/r\"\n"
                     "validate = { require = [\"/a:string\"], equal = { \"/id\" = \"id\" }, "
                     "reject_if = { \"/s\" = [\"e\"] }, content_type = \"application/json\", "
                     "min_body = \"2\" }\n"
                     "ttl_by_status = { \"404\" = \"1m\", \"200\" = \"1h\" }\n"
                     "max_body = \"1KiB\"\n"
                     "set_cookie = \"store\"\n"
                     "attempts = 3\n"
                     "on_invalid = \"pass\"\n"
                     "offline = true\n"
                     "request_set = { \"Accept\" = \"application/json\" }\n"
                     "response_set = { \"X-B\" = \"c\" }\n"
                     "response_remove = [\"Server\"]"))
          .front();
  CHECK(plan.name == "r");
  CHECK(plan.match.text() == "/r/{id}");
  CHECK(plan.target.text() == "/t/{id}?x=1");
  CHECK(plan.host == "geo.example");
  CHECK(plan.methods == *proxy::MethodSet::named("GET"));
  CHECK(query_of(plan, "c=3&b=2&a=1") == "?a=1&b=2");
  CHECK(plan.key_fields == std::vector<std::string>{"accept-language", "x-a"});
  CHECK_FALSE(plan.host_goes_upstream);
  CHECK(pairs_of(plan.request_fields) == decltype(pairs_of({})){{"Accept", "application/json"}});
  CHECK(plan.batch_path == "/r");
  CHECK(plan.body.json);
  REQUIRE(plan.body.require.size() == 1);
  CHECK(plan.body.require[0] == *proxy::parse_require("/a:string"));
  REQUIRE(plan.body.equal.size() == 1);
  CHECK(plan.body.equal[0] == *proxy::parse_equal("/id", "id"));
  REQUIRE(plan.body.reject_if.size() == 1);
  CHECK(plan.body.reject_if[0] == *proxy::parse_reject_if("/s", {"e"}));
  CHECK(plan.body.content_type == "application/json");
  CHECK(plan.body.max_body_bytes == 1024);
  CHECK(plan.body.min_body_bytes == 2);
  CHECK(plan.storing.is_json);
  CHECK(plan.storing.set_cookie == proxy::StoringPolicy::SetCookie::Store);
  CHECK(plan.storing.ttl_by_status.at(404) == std::chrono::minutes(1));
  CHECK(plan.storing.ttl_by_status.at(200) == std::chrono::hours(1));
  CHECK(plan.storing.fields_removed == std::vector<std::string>{"server", "x-b"});
  CHECK(plan.response_fields == "X-B: c\r\nVary: Accept-Language, X-A\r\n");
  CHECK(plan.most_attempts == 3);
  CHECK(plan.pass_invalid);
  CHECK(plan.stored_only);
}

TEST_CASE("without a target the path goes upstream as it came") {
  CHECK(plans_of(route("", "/a/{x:int}/b/{y:rest}")).front().target.text() == "/a/{x}/b/{y}");
  CHECK(plans_of(route("", "/")).front().target.text() == "/");
  CHECK(plans_of(route("", "/r/", "host = \"client\"")).front().host_goes_upstream);
}

TEST_CASE("what is wrong with a route is told with file, line, route and key") {
  struct Wrong {
    std::string text;
    const char* place;  // and the key
    const char* what;
  };
  const std::string in_query = "token_query = \"key\"";
  for (const Wrong& wrong : std::initializer_list<Wrong>{
           {route("", "/r/{id"), "6: [[route]] \"r\": match", "\"{\" that is not closed"},
           {route("", "r"), "6: [[route]] \"r\": match", "does not start with a slash"},
           {route("", "/r/{id:inet}"), "6: [[route]] \"r\": match", "inet"},
           {route("", "/r/../x"), "6: [[route]] \"r\": match", "dot segment"},
           {route("", "/metrics"), "6: [[route]] \"r\": match", "a page of this program's own"},
           {route("", "/status.json"), "6: [[route]] \"r\": match", "a page"},
           {route("batch = \"/healthz\""), "5: [[route]] \"r\": batch", "a page"},
           {route("target = \"/t/{ids}\""), "5: [[route]] \"r\": target", "ids"},
           {route("target = \"t\""), "5: [[route]] \"r\": target", "does not start with a slash"},
           {route("target = \"/t/{id:int}\""), "5: [[route]] \"r\": target", "its type"},
           {route("query = { keep = [\"a=b\"] }"), "5: [[route]] \"r\": query", "\"a=b\""},
           {route("\nquery = { keep = [\"key\"] }", "/r/{id}", in_query),
            "6: [[route]] \"r\": query", "keeps \"key\", which is the upstream's token_query"},
           {route("query = { keep = [\"a\", \"k*\"] }", "/r/{id}", in_query),
            "5: [[route]] \"r\": query", "keeps \"key\""},
           {route("batch = \"/r\"\nvalidate = { json = false }"), "5: [[route]] \"r\": batch",
            "must be JSON"},
           {route("batch = \"/r\"", "/r/{a}/{b}"), "5: [[route]] \"r\": batch", "one parameter"},
           {route("batch = \"/r\"", "/r/x"), "5: [[route]] \"r\": batch", "one parameter"},
           {route("batch = \"/%72\""), "5: [[route]] \"r\": batch", "canonical form, which is /r"},
           {route("batch = \"/a/../r\""), "5: [[route]] \"r\": batch", "dot segment"},
           {route("batch = \"/r\"", "/r/{id}", "host = \"client\""), "5: [[route]] \"r\": batch",
            "an element has none"},
           {route("validate = { equal = { \"/ip\" = \"idd\" } }"),
            "5: [[route]] \"r\": validate.equal",
            "there is no parameter \"idd\" in match; did you mean id?"},
           {route("validate = { equal = { \"/ip\" = \"another\" } }"),
            "5: [[route]] \"r\": validate.equal", "there is no parameter \"another\" in match"},
           {route("validate = { equal = { \"ip\" = \"id\" } }"),
            "5: [[route]] \"r\": validate.equal", "ip"},
           {route("validate = { require = [\"/ip:strnig\"] }"),
            "5: [[route]] \"r\": validate.require", "strnig"},
           {route("validate = { require = [\"/ip:string\", \"/ip\"] }"),
            "5: [[route]] \"r\": validate.require", "\"/ip\" is there twice"},
           {route("validate = { reject_if = { \"status\" = [\"e\"] } }"),
            "5: [[route]] \"r\": validate.reject_if", "status"},
           {route("validate = { content_type = \"json\" }"),
            "5: [[route]] \"r\": validate.content_type", "json"},
           {route("ttl_by_status = { \"404\" = \"5m\", \"500\" = \"5m\" }"),
            "5: [[route]] \"r\": ttl_by_status.500", "is not stored in this mode"},
           {route("target = \"/t?a=1&key={id}\"", "/r/{id}", "token_query = \"key\""),
            "5: [[route]] \"r\": target", "has \"key\" in its query"}}) {
    CAPTURE(wrong.text);
    const std::string error = error_of(wrong.text);
    CAPTURE(error);
    CHECK(error.starts_with("h.toml:" + std::string(wrong.place) + ": "));
    CHECK(contains(error, wrong.what));
  }
}

// The settings file refuses it before, as far as it knows.
TEST_CASE("a content that could be none is refused, whoever made the routing") {
  const File file(route("validate = { min_body = \"3\" }\nmax_body = \"4\""));
  Routing routing = file.routing();
  CHECK(plan_routes(routing));
  routing.routes[0].max_body = 2;
  CHECK(error_of(routing, file).starts_with("h.toml:5: [[route]] \"r\": validate.min_body: "));
}

TEST_CASE("two routes that take the same requests are both named with their places") {
  const std::string upstream = "[upstream.u]\n";
  const auto named = [](const std::string& name, const std::string& rest) {
    return "[[route]]\nname = \"" + name + "\"\n" + rest;
  };
  CHECK(error_of(upstream + named("a", "match = \"/x/{y}\"\n") +
                 named("b", "match = \"/x/{z}\"\n")) ==
        "h.toml:7: [[route]] \"b\": match: takes the same requests as "
        "h.toml:4: [[route]] \"a\": match");
  const std::string get = "methods = [\"GET\"]\n";
  const std::string head = "methods = [\"HEAD\"]\n";
  CHECK(plans_of(upstream + named("a", "match = \"/x\"\n" + get) +
                 named("b", "match = \"/x\"\n" + head))
            .size() == 2);
  CHECK(plans_of(upstream + named("a", "match = \"/x\"\n") +
                 named("b", "match = \"/x\"\nhost = \"b.example\"\n"))
            .size() == 2);
  CHECK(plans_of(upstream + named("a", "match = \"/x/{y:int}\"\n") +
                 named("b", "match = \"/x/{y}\"\n"))
            .size() == 2);

  CHECK(error_of(upstream + named("a", "match = \"/x/{y}\"\nbatch = \"/x\"\n") +
                 named("b", "match = \"/z/{y}\"\nbatch = \"/x\"\n")) ==
        "h.toml:9: [[route]] \"b\": batch: is that of h.toml:5: [[route]] \"a\": batch too");
  const std::string batch = upstream + named("a", "match = \"/x/{y}\"\nbatch = \"/x\"\n");
  CHECK(error_of(batch + named("b", "match = \"/x\"\nmethods = [\"GET\", \"POST\"]\n")) ==
        "h.toml:9: [[route]] \"b\": methods: POST at this path is taken by h.toml:5: [[route]] "
        "\"a\": batch");
  CHECK(plans_of(batch + named("b", "match = \"/x\"\nmethods = \"*\"\n")).size() == 2);
  CHECK(plans_of(batch + named("b", "match = \"/x\"\nmethods = [\"PUT\"]\n")).size() == 2);
}

TEST_CASE("more routes or upstreams than the metrics have room for are refused by the first") {
  const auto many = [](int upstreams, int routes) {
    std::string text;
    for (int i = 0; i < upstreams; ++i) text += "[upstream.u" + std::to_string(i) + "]\n";
    for (int i = 0; i < routes; ++i) {
      const std::string number = std::to_string(i);
      text += "[[route]]\nname = \"r" + number + "\"\nmatch = \"/" + number + "\"\nupstream = \"u" +
              std::to_string(i % upstreams) + "\"\n";
    }
    return text;
  };
  CHECK(plans_of(many(64, 256)).size() == 256);
  CHECK(error_of(many(65, 65)) == "h.toml:65: [upstream.u64]: at most 64 upstreams");
  CHECK(error_of(many(1, 257)) == "h.toml:1026: [[route]] \"r256\": at most 256 routes");
}

TEST_CASE("a client's query has none of the names that the target says itself") {
  const auto plan = plans_of(route("target = \"/t?format=json&id={id}&flag\"")).front();
  CHECK(query_of(plan, "format=xml&a=1&id=2&flag&f%6Frmat=y") == "?a=1");
  const File kept(route("target = \"/t?format=json\"\nquery = { keep = [\"for*\"] }"));
  const std::string error = plan_routes(kept.routing()).error().message;
  CHECK(contains(error, "keeps \"format\", which is in the query of target"));
  for (const char* target : {"/t?{id}=x", "/t?a%62=x", "/t?a;b=x", "/t?a*=x"}) {
    CAPTURE(target);
    const File odd(route("target = \"" + std::string(target) + "\""));
    REQUIRE_FALSE(plan_routes(odd.routing()).has_value());
    CHECK(contains(plan_routes(odd.routing()).error().message, "a name stands as it is"));
  }
}

TEST_CASE("a client's parameter of the token's name never goes beside the token") {
  for (const std::string& rule : {std::string(), std::string("query = \"all\""),
                                  std::string("query = { ignore = [\"utm_*\"] }")}) {
    CAPTURE(rule);
    const auto plan = plans_of(route(rule, "/r/{id}", "token_query = \"key\"")).front();
    for (const char* query : {"a=1&key=x&b=2", "key&a=1&b=2", "a=1&b=2&k%65y=x", "key=&a=1&b=2"}) {
      CHECK(query_of(plan, query) == "?a=1&b=2");
    }
    CHECK(query_of(plan, "key=x").empty());
    // To a server that takes ";" for "&".
    CHECK(query_of(plan, "a=1;key=x") == "?a=1%3Bkey=x");
    CHECK(query_of(plan, "keys=1") == "?keys=1");
  }
  const auto none = plans_of(route("query = \"none\"", "/r/{id}", "token_query = \"key\"")).front();
  CHECK(query_of(none, "key=x&a").empty());
  const auto kept =
      plans_of(route("query = { keep = [\"a\"] }", "/r/{id}", "token_query = \"key\"")).front();
  CHECK(query_of(kept, "key=x&a") == "?a");
  // Where the token goes elsewhere, it is the client's own.
  CHECK(query_of(plans_of(route("")).front(), "key=x") == "?key=x");
}

TEST_CASE("a route knows whether Authorization is ours upstream") {
  CHECK(plans_of(route("")).front().own_authorization);
  CHECK_FALSE(plans_of(route("", "/r/{id}", "token_field = \"X-Key\"")).front().own_authorization);
  CHECK_FALSE(plans_of(route("", "/r/{id}", "token_query = \"key\"")).front().own_authorization);
  CHECK_FALSE(plans_of(route("", "/r/{id}", "urls = [\"https://other.example\"]"))
                  .front()
                  .own_authorization);
}

TEST_CASE("a key has another prefix once anything changes what it means") {
  const std::string before = key_prefix_of(route(""));
  CHECK(before.starts_with("r~"));
  CHECK(before.ends_with("/"));
  CHECK(before.size() == std::string("r~12345678/").size());
  CHECK(key_prefix_of(route("")) == before);
  std::map<std::string, std::string> seen{{before, "as it was"}};
  const auto changes = [&](const std::string& text) {
    CAPTURE(text);
    const auto added = seen.emplace(key_prefix_of(text), text);
    CAPTURE(added.first->second);
    CHECK(added.second);
  };
  changes(route("", "/r/{id:int}"));
  changes(route("", "/r/{other}"));
  changes(route("", "/s/{id}"));
  changes(route("target = \"/t/{id}\""));
  changes(route("host = \"a.example\""));
  changes(route("", "/r/{id}", "host = \"client\""));
  changes(route("", "/r/{id}", "host = \"b.example\""));
  changes("[upstream.v]\n[[route]]\nname = \"r\"\nmatch = \"/r/{id}\"\n");
  changes(route("request_set = { \"A\" = \"b\" }"));
  changes(route("request_set = { \"A\" = \"c\" }"));
  changes(route("request_set = { \"B\" = \"b\" }"));
  changes(route("key_fields = [\"A\"]"));
  changes(route("key_fields = [\"A\", \"b\"]"));
  changes(route("response_set = { \"A\" = \"b\" }"));
  changes(route("response_remove = [\"B\"]"));
  changes(route("set_cookie = \"store\""));
  changes(route("set_cookie = \"strip\""));
  changes(route("client_errors = \"problem\""));
  // Another API, for all that is known.
  changes(route("", "/r/{id}", "urls = [\"https://another.example\"]"));
  changes(route("", "/r/{id}", "urls = [\"https://another.example/v2\"]"));
}

TEST_CASE("mode rfc9111 has another prefix, and another once what a row means there changes") {
  const auto with = [](const std::string& keys) {
    return key_prefix_of(route("mode = \"rfc9111\"\n" + keys));
  };
  const std::string before = with("");
  CHECK(key_prefix_of(route("mode = \"resilient\"")) == key_prefix_of(route("")));
  std::map<std::string, std::string> seen{{key_prefix_of(route("")), "resilient"},
                                          {before, "as it was"}};
  for (const char* keys : {"vary_normalise = [\"accept-language\"]",
                           "vary_normalise = [\"accept-language\", \"accept-encoding\"]",
                           "ranges = \"lenient\"", "transfer_coding = \"lenient\"", "targeted = []",
                           "targeted = [\"Surrogate-Control\", \"CDN-Cache-Control\"]",
                           "targeted = [\"CDN-Cache-Control\", \"Surrogate-Control\"]"}) {
    CAPTURE(keys);
    CHECK(seen.emplace(with(keys), keys).second);
  }
  for (const char* keys :
       {"max_variants = 3", "targeted = [\"cdn-cache-control\"]", "vary_normalise = []",
        "ranges = \"strict\"", "stale_if_error = \"1h\"", "validate = { json = true }"}) {
    CAPTURE(keys);
    CHECK(with(keys) == before);
  }
  CHECK(with("vary_normalise = [\"Accept-Encoding\", \"Accept-Language\"]") ==
        with("vary_normalise = [\"accept-language\", \"accept-encoding\"]"));
}

TEST_CASE("in mode rfc9111 no lifetime is ours, and any content is right") {
  const proxy::StoringPolicy resilient = plans_of(route("cache_ttl = \"1h\"")).front().storing;
  CHECK_FALSE(resilient.http.on);
  const std::string global =
      "cache_ttl = \"1h\"\ncache_ttl_override = true\nnegative_ttl = \"1m\"\n";
  const auto plan =
      plans_of(global + route("mode = \"rfc9111\"\nstale_if_error = \"9s\"\n"
                              "max_variants = 7\nvary_normalise = [\"Accept-Language\"]\n"
                              "ranges = \"lenient\"\ntransfer_coding = \"lenient\"\n"
                              "targeted = [\"Surrogate-Control\"]"))
          .front();
  proxy::StoringPolicy expected;
  expected.ttl = expected.negative_ttl = expected.stale_while_revalidate = std::chrono::seconds(0);
  expected.stale_if_error = std::chrono::seconds(9);
  expected.jitter = 0;
  expected.is_json = false;
  expected.set_cookie = proxy::StoringPolicy::SetCookie::Pass;
  expected.pass_client_errors = true;
  expected.http.on = true;
  expected.http.max_variants = 7;
  expected.http.vary_normalise = {"accept-language"};
  expected.http.lenient_ranges = expected.http.lenient_transfer_coding = true;
  expected.http.targeted = {"surrogate-control"};
  CHECK(plan.storing == expected);
  CHECK_FALSE(plan.body.needs_json());
  const auto bare = plans_of(route("mode = \"rfc9111\"")).front();
  CHECK(bare.storing.http.targeted == std::vector<std::string>{"cdn-cache-control"});
}

TEST_CASE("all methods are all but TRACE, which would show what is sent to the upstream") {
  const auto plans = plans_of(route("methods = \"*\"\nmax_request_body = \"3MiB\""));
  const proxy::MethodSet methods = plans.at(0).methods;
  for (const char* name : {"GET", "POST", "DELETE", "OPTIONS", "M-SEARCH"}) {
    CHECK(methods.intersects(*proxy::MethodSet::named(name)));
  }
  CHECK_FALSE(methods.intersects(*proxy::MethodSet::named("TRACE")));
  CHECK(plans.at(0).max_request_body_bytes == 3U << 20);
}

TEST_CASE("a key keeps its prefix while it means the same") {
  const std::string before = key_prefix_of(route(""));
  for (const char* keys :
       {"validate = { json = false }", "validate = { require = [\"/a:string\"], min_body = \"9\" }",
        "validate = { equal = { \"/a\" = \"id\" }, reject_if = { \"/b\" = [1] } }",
        "cache_ttl = \"5m\"", "stale_if_error = \"5m\"", "ttl_by_status = { \"404\" = \"5m\" }",
        "max_body = \"1KiB\"", "methods = [\"GET\"]", "methods = \"*\"",
        "max_request_body = \"1KiB\"", "query = \"none\"", "sort_query = true", "batch = \"/r\"",
        "attempts = 3", "offline = true", "on_invalid = \"pass\""}) {
    CAPTURE(keys);
    CHECK(key_prefix_of(route(keys)) == before);
  }
  for (const char* upstream : {"token_field = \"X-Key\"", "attempt_timeout = \"1s\""}) {
    CAPTURE(upstream);
    CHECK(key_prefix_of(route("", "/r/{id}", upstream)) == before);
  }
  const auto at = [](const std::string& urls) {
    return key_prefix_of(route("", "/r/{id}", "urls = [" + urls + "]"));
  };
  // One more that stands in for it, and another scheme.
  CHECK(at("\"http://a.example\", \"http://b.example\"") == at("\"http://a.example\""));
  CHECK(at("\"https://a.example\"") == at("\"http://a.example\""));
  // Set by us for every answer, whatever is stored.
  CHECK(key_prefix_of(route("response_set = { \"A\" = \"b\" }")) ==
        key_prefix_of(route("response_set = { \"A\" = \"c\" }")));
}

TEST_CASE("of any two routes of a name the prefixes are equal if their keys mean the same") {
  using Texts = std::vector<std::string>;
  using Pairs = std::vector<std::pair<std::string, std::string>>;
  using Meaning = std::tuple<std::string, std::string, Pairs, Texts, Texts, bool>;
  Routing routing = File(route("")).routing();
  config::RouteConfig& changing = routing.routes[0];
  base::Random random(7);
  // Few words, so that the same ones meet in different places.
  const Texts words{"A", "B", "C", "key_fields", "response", "cookies", "1", "2"};
  const auto word = [&] { return words[random.below(words.size())]; };
  const auto some = [&] {
    Texts all(random.below(3));
    for (std::string& text : all) text = word();
    return all;
  };
  std::map<std::string, Meaning> meanings;
  std::map<Meaning, std::string> prefixes;
  for (int i = 0; i < 5000; ++i) {
    changing.host = random.below(2) == 0 ? "" : word();
    changing.target = random.below(2) == 0 ? "" : "/" + word();
    changing.request_set.clear();
    for (std::string& name : some()) changing.request_set.emplace_back(std::move(name), word());
    changing.key_fields = some();
    changing.response_set.clear();
    for (std::string& name : some()) changing.response_set.emplace_back(std::move(name), word());
    changing.response_remove = some();
    const bool cookies = random.below(2) == 0;
    changing.set_cookie =
        cookies ? config::RouteConfig::SetCookie::Store : config::RouteConfig::SetCookie::Pass;
    // A field that is set is removed from what the upstream says, too.
    Texts removed;
    for (const auto& field : changing.response_set) removed.push_back(field.first);
    removed.insert(removed.end(), changing.response_remove.begin(), changing.response_remove.end());
    const Meaning meaning{changing.host,       changing.target, changing.request_set,
                          changing.key_fields, removed,         cookies};
    const std::string prefix = plans_of(routing).front().key_prefix;
    REQUIRE(meanings.emplace(prefix, meaning).first->second == meaning);
    REQUIRE(prefixes.emplace(meaning, prefix).first->second == prefix);
  }
}
