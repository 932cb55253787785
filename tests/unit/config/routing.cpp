// What the sections of the file come to.
#include "config/routing.h"

#include <doctest/doctest.h>

#include "config/routing_file.h"
#include "start.h"

using namespace holdfast::config;
using namespace std::chrono_literals;

namespace {

// As a start of the program with such a file.
struct File : Start {
  explicit File(const std::string& text) { holds(text); }
  void holds(const std::string& text) { arguments = {"--config", file("h.toml", text)}; }
};

const std::string kRoute = "[[route]]\nname = \"x\"\nmatch = \"/x\"\n";

std::string text_of(const Routing& routing) {
  std::string text;
  for (const auto& upstream : routing.upstreams) text += section_text(upstream, Secrets::Shown);
  for (const auto& route : routing.routes) text += section_text(route, routing, Secrets::Shown);
  return text;
}

}  // namespace

TEST_CASE("without a [[route]] there is the built-in one, with API_URL and API_TOKEN") {
  Start start;
  start.variables = {{"API_URL", "https://a.example,https://b.example"}, {"API_TOKEN", kToken}};
  start.arguments = {"--config", start.file("h.toml", "cache_ttl = \"2h\"\n")};
  const Settings settings = start.settings();
  CHECK(settings.warnings.empty());
  const Routing& routing = *settings.routing;
  REQUIRE(routing.upstreams.size() == 1);
  const UpstreamConfig& api = routing.upstreams[0];
  CHECK(api.name == "api");
  CHECK(api.settings.api_urls.size() == 2);
  CHECK(api.settings.api_token == kToken);
  CHECK(api.token_in == TokenIn::Bearer);
  CHECK(api.host == "upstream");
  CHECK(api.settings.routing == nullptr);
  REQUIRE(routing.routes.size() == 1);
  const RouteConfig& lookup = routing.routes[0];
  CHECK(lookup.built_in);
  CHECK(lookup.name == "lookup");
  CHECK(lookup.match == "/lookup/{ip:ip}");
  CHECK(lookup.target == "/geoip/{ip}");
  CHECK(lookup.upstream == 0);
  CHECK(lookup.methods == std::vector<std::string>{"GET", "HEAD"});
  CHECK(lookup.query.mode == QueryConfig::Mode::None);
  CHECK(lookup.batch == "/lookup");
  CHECK(lookup.max_body == 1u << 20);
  CHECK(lookup.set_cookie == RouteConfig::SetCookie::Strip);
  CHECK(lookup.settings.cache_ttl == 2h);
  CHECK(lookup.validate.json);
  CHECK(!lookup.pass_invalid);
  CHECK(!lookup.offline);
  CHECK(lookup.validate.require ==
        std::vector<std::string>{"/ip:string", "/location:string?", "/postal_code:string?",
                                 "/network_name:string?", "/domain:string?", "/latitude:number?",
                                 "/longitude:number?"});
  CHECK(lookup.validate.equal == decltype(lookup.validate.equal){{"/ip", "ip"}});
  CHECK(lookup.request_set == decltype(lookup.request_set){{"Accept", "application/json"}});
  CHECK(lookup.place.of("match").starts_with("the built-in configuration:"));
  CHECK(lookup.place.of("match").ends_with(": [[route]] \"lookup\": match"));
}

TEST_CASE("every key of a route and of an upstream is taken") {
  File file(
      "[[route]]\n"
      "name = \"r\"\n"
      "match = \"/r/{a}\"\n"
      "host = \"Geo.Example\"\n"
      "methods = [\"GET\"]\n"
      "mode = \"resilient\"\n"
      "upstream = \"geo\"\n"
      "target = \"/t/{a}\"\n"
      "query = { ignore = [\"utm_*\", \"x\"] }\n"
      "sort_query = true\n"
      "key_fields = [\"Accept-Language\"]\n"
      "tags = [\"geo\", \"a/b:c\"]\n"
      "batch = \"/r\"\n"
      "ttl_by_status = { \"404\" = \"5m\", 301 = 0 }\n"
      "max_body = \"64MiB\"\n"
      "set_cookie = \"store\"\n"
      "attempts = 1000\n"
      "on_invalid = \"pass\"\n"
      "offline = true\n"
      "request_set = { \"Accept\" = \"a/b\", \"X\" = \"y\" }\n"
      "request_remove = [\"Referer\"]\n"
      "response_set = { \"X-A\" = \"b c\" }\n"
      "response_remove = [\"Server\"]\n"
      "cache-ttl = \"1h\"\n"
      "cache_ttl_override = true\n"
      "[route.validate]\n"
      "json = true\n"
      "require = [\"/a:string\", \"/b\"]\n"
      "equal = { \"/a\" = \"a\" }\n"
      "reject_if = { \"/s\" = [\"error\", 404, false] }\n"
      "content_type = \"application/json\"\n"
      "min_body = 2\n"
      "[upstream.geo]\n"
      "urls = [\"https://A.example/\", \"http://b.example:8080/v1\"]\n"
      "host = \"client\"\n"
      "hedge = \"80ms\"\n"
      "api_ca_file = \"/x/ca.pem\"\n");
  const Settings settings = file.settings();
  const UpstreamConfig& geo = settings.routing->upstreams.at(0);
  CHECK(geo.settings.api_urls ==
        std::vector<std::string>{"https://a.example", "http://b.example:8080/v1"});
  CHECK(geo.host == "client");
  CHECK(geo.settings.hedge.after == 80ms);
  CHECK(geo.settings.api_ca_file == "/x/ca.pem");
  CHECK(geo.place.title == "[upstream.geo]");
  CHECK(geo.place.line == 33);
  CHECK(settings.hedge.kind == Hedge::Kind::Percentile);
  CHECK(settings.api_ca_file.empty());

  const RouteConfig& r = settings.routing->routes.at(0);
  CHECK(!r.built_in);
  CHECK(r.host == "geo.example");
  CHECK(r.methods == std::vector<std::string>{"GET"});
  CHECK(r.query.mode == QueryConfig::Mode::Ignore);
  CHECK(r.query.names == std::vector<std::string>{"utm_*", "x"});
  CHECK(r.query.sort);
  CHECK(r.key_fields == std::vector<std::string>{"Accept-Language"});
  CHECK(r.tags == std::vector<std::string>{"geo", "a/b:c"});
  CHECK(r.ttl_by_status == decltype(r.ttl_by_status){{301, 0s}, {404, 5min}});
  CHECK(r.max_body == 64u << 20);
  CHECK(r.set_cookie == RouteConfig::SetCookie::Store);
  CHECK(r.attempts == 1000u);
  CHECK(r.pass_invalid);
  CHECK(r.offline);
  CHECK(r.request_set == decltype(r.request_set){{"Accept", "a/b"}, {"X", "y"}});
  CHECK(r.request_remove == std::vector<std::string>{"Referer"});
  CHECK(r.response_set == decltype(r.response_set){{"X-A", "b c"}});
  CHECK(r.response_remove == std::vector<std::string>{"Server"});
  CHECK(r.settings.cache_ttl == 1h);
  CHECK(r.settings.cache_ttl_override);
  CHECK(r.validate.require == std::vector<std::string>{"/a:string", "/b"});
  CHECK(r.validate.reject_if == decltype(r.validate.reject_if){{"/s", {"error", "404", "false"}}});
  CHECK(r.validate.content_type == "application/json");
  CHECK(r.validate.min_body == 2);
  CHECK(r.place.of("match") == settings.config_file + ":3: [[route]] \"r\": match");
  CHECK(r.place.of("validate.require").ends_with(":28: [[route]] \"r\": validate.require"));
  CHECK(r.place.of("absent").ends_with(":1: [[route]] \"r\""));

  // And all of it is in what is printed.
  File again(text_of(*settings.routing));
  CHECK(text_of(*again.settings().routing) == text_of(*settings.routing));
}

TEST_CASE("a route of mode rfc9111 believes any answer and has keys of its own") {
  const File file("cache_ttl = \"1m\"\n[upstream.u]\n" + kRoute +
                  "max-variants = 8\nvary_normalise = [\"Accept-Language\", \"accept-encoding\"]\n"
                  "ranges = \"lenient\"\ntransfer_coding = \"lenient\"\n"
                  "targeted = [\"Surrogate-Control\", \"CDN-Cache-Control\"]\n"
                  "stale_if_error = \"1500ms\"\nmode = \"rfc9111\"\n" +
                  "[[route]]\nname = \"bare\"\nmatch = \"/bare\"\nmode = \"rfc9111\"\n" +
                  "[[route]]\nname = \"checked\"\nmatch = \"/checked\"\nmode = \"rfc9111\"\n" +
                  "validate = { require = [\"/a:string\"] }\ntargeted = []\n"
                  "on_invalid = \"pass\"\noffline = true\n");
  const Settings settings = file.settings();
  const Routing& routing = *settings.routing;
  REQUIRE(routing.routes.size() == 3);
  const RouteConfig& route = routing.routes[0];
  using Texts = std::vector<std::string>;
  CHECK(route.mode == RouteConfig::Mode::Rfc9111);
  CHECK(route.http.max_variants == 8);
  CHECK(route.http.vary_normalise == Texts{"accept-language", "accept-encoding"});
  CHECK(route.http.lenient_ranges);
  CHECK(route.http.lenient_transfer_coding);
  CHECK(route.http.targeted == Texts{"Surrogate-Control", "CDN-Cache-Control"});
  CHECK(!route.validate.json);
  const RouteConfig& bare = routing.routes[1];
  CHECK(bare.http.max_variants == 64);
  CHECK(bare.http.vary_normalise.empty());
  CHECK(!bare.http.lenient_ranges);
  CHECK(!bare.http.lenient_transfer_coding);
  CHECK(bare.http.targeted == Texts{"CDN-Cache-Control"});
  CHECK(bare.set_cookie == RouteConfig::SetCookie::Pass);
  CHECK(bare.query.mode == QueryConfig::Mode::All);
  const RouteConfig& checked = routing.routes[2];
  CHECK(checked.validate.json);
  CHECK(checked.http.targeted.empty());
  CHECK(checked.pass_invalid);
  CHECK(checked.offline);

  // Nothing is said of settings that do not count there, set for the whole program as they are.
  CHECK(warns(settings, "negative_ttl (5m) is longer than cache_ttl (1m)"));
  CHECK(warns(settings, "[[route]] \"x\": stale_if_error (1500ms) is kept in whole seconds"));
  CHECK(!warns(settings, "[[route]] \"x\": stale_if_error (1500ms) is shorter"));

  // It reads back, and is another route once any of it changes.
  const std::string text = text_of(routing);
  CHECK(contains(text, "mode = \"rfc9111\"\nmax_variants = 8\n"));
  CHECK(contains(text, "targeted = []\n"));
  CHECK(text_of(*File(text).settings().routing) == text);
  for (const auto& change : std::initializer_list<void (*)(RouteConfig&)>{
           [](RouteConfig& r) { r.mode = RouteConfig::Mode::Resilient; },
           [](RouteConfig& r) { r.http.max_variants = 9; },
           [](RouteConfig& r) { r.http.vary_normalise.pop_back(); },
           [](RouteConfig& r) { r.http.lenient_ranges = false; },
           [](RouteConfig& r) { r.http.lenient_transfer_coding = false; },
           [](RouteConfig& r) { r.http.targeted.clear(); },
           [](RouteConfig& r) { r.validate.json = true; },
           [](RouteConfig& r) { r.settings.stale_if_error = 1h; }}) {
    RouteConfig changed = route;
    change(changed);
    CHECK(meaning_of(changed, routing) != meaning_of(route, routing));
  }
  RouteConfig same = route;
  same.settings.cache_ttl = 1h;
  CHECK(meaning_of(same, routing) == meaning_of(route, routing));
}

TEST_CASE("a section wins over flag, variable and file, which are what it starts with") {
  File file(
      "cache_ttl = \"1h\"\nnegative_ttl = \"1m\"\nretry_base = \"30ms\"\n[upstream.geo]\nhedge = "
      "\"off\"\n" +
      kRoute + "cache_ttl = \"2h\"\n");
  file.variables = {{"CACHE_TTL", "3h"}, {"NEGATIVE_TTL", "2m"}, {"HEDGE", "p50"}};
  file.arguments.insert(file.arguments.end(),
                        {"--cache-ttl", "4h", "--retry-cap", "3s", "--request-deadline", "20s"});
  const Settings settings = file.settings();
  const RouteConfig& route = settings.routing->routes[0];
  CHECK(settings.cache_ttl == 4h);
  CHECK(route.settings.cache_ttl == 2h);
  CHECK(route.settings.negative_ttl == 2min);
  const Settings& geo = settings.routing->upstreams[0].settings;
  CHECK(geo.hedge.kind == Hedge::Kind::Off);
  CHECK(geo.retry_base == 30ms);
  CHECK(geo.retry_cap == 3s);
  CHECK(geo.attempt_timeout == 18s);
  CHECK(route.settings.sources.at("cache_ttl").line == 9);
}

TEST_CASE("a token goes to the upstream it is for, and to no other") {
  Start start;
  const std::string file = start.file("t", "of-file\n");
  start.variables = {{"API_TOKEN", kToken}};
  const auto upstream = [&](const std::string& section) {
    start.arguments = {"--config", start.file("h.toml", "[upstream.geo]\n" + section + kRoute)};
    return start.settings().routing->upstreams.at(0);
  };
  const std::string urls = "urls = [\"https://a.example\"]\n";
  const std::string token = "token_file = \"" + file + "\"\n";

  CHECK(upstream("").settings.api_token == kToken);
  CHECK(upstream("urls = []\n").settings.api_token == kToken);
  CHECK(upstream("urls = []\n").settings.api_urls[0] == "http://localhost:8000");
  CHECK(upstream("token_query = \"key\"\n").token_in == TokenIn::Query);

  CHECK(upstream(urls).settings.api_token.empty());
  CHECK(upstream(urls).settings.is_default("api_token"));
  const UpstreamConfig own = upstream(token + "token_field = \"X-Key\"\n" + urls);
  CHECK(own.settings.api_token == "of-file");
  CHECK(own.settings.api_token_file == file);
  CHECK(own.token_in == TokenIn::Field);
  CHECK(own.token_name == "X-Key");
  CHECK(upstream(token).settings.api_token == "of-file");

  // The file of API_TOKEN_FILE is ours for API_URL too.
  start.variables = {{"API_TOKEN_FILE", file}};
  CHECK(upstream("").settings.api_token_file == file);
  CHECK(upstream(urls).settings.api_token_file.empty());
}

TEST_CASE("API_URL and a token that no section takes are warned of") {
  File file("[upstream.geo]\nurls = [\"https://a.example\"]\n" + kRoute);
  CHECK(file.settings().warnings.empty());
  file.variables = {{"API_URL", "http://remote.example"}, {"API_TOKEN", kToken}};
  const Settings unused = file.settings();
  CHECK(warns(unused, "api_url is not used"));
  CHECK(warns(unused, "the token of api_token or api_token_file is not used"));
  CHECK(!warns(unused, "unencrypted"));
  file.holds("[upstream.geo]\nurls = [\"https://a.example\"]\n[upstream.api]\n" + kRoute +
             "upstream = \"geo\"\n[[route]]\nname = \"y\"\nmatch = \"/y\"\nupstream = \"api\"\n");
  const Settings used = file.settings();
  CHECK(!warns(used, "not used"));
  CHECK(warns(used, "api_token is sent unencrypted"));
}

TEST_CASE("contradictions of a section name it, and what it only takes over is warned of once") {
  Start start;
  File file("hedge = \"20s\"\n[upstream.geo]\nurls = [\"http://remote.example\"]\ntoken_file = \"" +
            start.file("t", kToken) + "\"\nretry_base = \"2s\"\n" + kRoute +
            "cache_ttl = \"1m\"\nstale_if_error = \"1500ms\"\nttl_by_status = { 404 = \"1ms\" }\n");
  const Settings settings = file.settings();
  CHECK(warns(settings, "[upstream.geo]: its token is sent unencrypted"));
  CHECK(warns(settings, "[upstream.geo]: retry_base (2s) is longer than retry_cap (1s)"));
  CHECK(warns(settings, "[[route]] \"x\": negative_ttl (5m) is longer than cache_ttl (1m)"));
  CHECK(warns(settings, "[[route]] \"x\": stale_if_error (1500ms) is kept in whole seconds"));
  CHECK(warns(settings, "[[route]] \"x\": ttl_by_status.404 (1ms) is kept in whole seconds"));
  CHECK(warns(settings, "hedge (20s)"));
  CHECK(!warns(settings, "[upstream.geo]: hedge"));
  for (const std::string& warning : settings.warnings) CHECK(!contains(warning, kToken));
}

TEST_CASE("print-config shows the sections in force, reads back, and shows no secret") {
  const std::string key = "0123456789abcdefABCDEF";
  Start tokens;
  const std::string token = tokens.file("t", kToken);
  File file("[upstream.geo]\nurls = [\"https://a.example/v1\"]\ntoken_file = \"" + token +
            "\"\nupstream_http2 = \"auto\"\n" + kRoute + "target = \"/v1?format=json&q={q}\"\n");
  const Settings before = file.settings();
  file.arguments.push_back("--print-config");
  const std::string text = file.printout();
  CHECK(contains(text, "\n[upstream.geo]\nurls = [\"https://a.example/v1\"]\ntoken_file = "));
  CHECK(contains(text, "\n[[route]]\nname = \"x\"\n"));
  CHECK(contains(text, "target = \"/v1?format=json&q={q}\""));
  CHECK(contains(text, "h.toml:5\n"));
  CHECK(!contains(text, kToken));
  File again(text);
  CHECK(reloaded(before, again.settings()).none());

  // Where something is masked, no settings file may take the rest of the section for all of it.
  file.holds("[upstream.geo]\nurls = [\"https://a.example/" + key + "\"]\ntoken_file = \"" + token +
             "\"\n" + kRoute + "target = \"/v1/" + key + "?key=" + key +
             "\"\nrequest_set = { X-Api-Key = \"" + key + "\", Accept = \"a/b\" }\n");
  file.arguments.push_back("--print-config");
  const std::string masked = file.printout();
  CHECK(!contains(masked, key));
  CHECK(contains(masked, "# [upstream.geo]\n# urls = [\"https://a.example/***\"]\n# token_file"));
  CHECK(contains(masked, "# target = \"/v1/***?key=***\""));
  CHECK(contains(masked, "# request_set = { \"X-Api-Key\" = \"(secret)\", \"Accept\" = \"a/b\" }"));
  CHECK(!contains(masked, "\n[upstream.geo]"));
}
