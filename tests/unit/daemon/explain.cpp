// What becomes of a request by the settings alone.
#include "daemon/explain.h"

#include <doctest/doctest.h>

#include <unistd.h>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <string>

#include "config/config.h"

using namespace holdfast;
using daemon::Explanation;

namespace {

constexpr const char* kFile = R"(
api_url = "http://127.0.0.1:8000"
cache_ttl = "2h"

[upstream.one]
urls = ["https://one.example/v2", "https://two.example:8443"]
token_file = "TOKEN"
token_query = "key"
host = "client"
attempt_timeout = "3s"

[upstream.two]
urls = ["http://[::1]:80"]
host = "fixed.example"

[[route]]
name = "any"
match = "/v1/{what:rest}"
upstream = "two"
key_fields = ["Accept-Language"]
request_set = { "X-Api-Key" = "hidden", "Accept" = "text/plain" }
validate = { json = false, content_type = "text/plain", min_body = "1KiB" }

[[route]]
name = "item"
match = "/v1/items/{id:int}"
host = "shop.example"
upstream = "one"
target = "/things/{id}.json"
query = { keep = ["lang"] }
stale_if_error = "1h"
validate = { require = ["/id:integer", "/name"], equal = { "/id" = "id" }, reject_if = { "/state" = ["gone"] } }

[[route]]
name = "named"
match = "/v1/items/{id}"
upstream = "two"
batch = "/v1/items"

[[route]]
name = "passing"
match = "/pass/{rest:rest}"
upstream = "two"
methods = ["POST", "DELETE"]

[[route]]
name = "site"
match = "/site/{rest:rest}"
upstream = "two"
methods = "*"
mode = "rfc9111"
ranges = "lenient"

[[route]]
name = "archive"
match = "/old/{x}"
upstream = "two"
methods = "*"
batch = "/old"
offline = true

[[route]]
name = "loose"
match = "/loose/{x}"
upstream = "two"
on_invalid = "pass"

[[route]]
name = "old-site"
match = "/oldsite/{rest:rest}"
upstream = "two"
mode = "rfc9111"
offline = true
)";

class Folder {
 public:
  Folder() {
    std::string name = "/tmp/holdfast-explain-XXXXXX";
    REQUIRE(mkdtemp(name.data()) != nullptr);
    path = name;
  }
  ~Folder() {
    std::remove((path + "/token").c_str());
    std::remove((path + "/holdfast.toml").c_str());
    ::rmdir(path.c_str());
  }
  std::string path;
};

struct Asked {
  Folder folder;
  std::string error;
  Explanation explanation;
  std::string text;

  bool says(const std::string& part) const { return text.find(part) != std::string::npos; }
};

// `arguments` of `holdfast explain`, with the file above unless `with_file` is false.
Asked ask(std::vector<std::string> arguments, bool with_file = true,
          const std::map<std::string, std::string>& variables = {}) {
  Asked asked;
  std::string text = kFile;
  text.replace(text.find("TOKEN"), 5, asked.folder.path + "/token");
  std::ofstream(asked.folder.path + "/token") << "t0p-s3cret";
  std::ofstream(asked.folder.path + "/holdfast.toml") << text;
  arguments.insert(arguments.begin(), {"holdfast", "explain"});
  if (with_file) arguments.push_back("--config=" + asked.folder.path + "/holdfast.toml");
  std::vector<const char*> argv;
  for (const std::string& argument : arguments) argv.push_back(argument.c_str());
  const auto loaded =
      config::load(static_cast<int>(argv.size()), argv.data(),
                   [&](const std::string& name) -> std::optional<std::string> {
                     const auto found = variables.find(name);
                     return found == variables.end() ? std::nullopt : std::optional(found->second);
                   },
                   {.name = "holdfast", .version = "", .summary = "", .text_flags = {}});
  if (!loaded) {
    asked.error = loaded.error().message;
    return asked;
  }
  const auto& what = std::get<config::ToExplain>(*loaded);
  auto explained = daemon::explain(what.settings, what.command);
  REQUIRE(explained);
  asked.explanation = *std::move(explained);
  asked.text = explanation_text(asked.explanation);
  CHECK_FALSE(asked.says("t0p-s3cret"));
  CHECK(explanation_json(asked.explanation).find("t0p-s3cret") == std::string::npos);
  return asked;
}

std::string setting(const std::vector<config::InForce>& all, const std::string& key,
                    const std::string& folder) {
  for (const config::InForce& one : all) {
    if (one.key != key) continue;
    std::string source = one.source;
    if (!folder.empty() && source.starts_with(folder)) source.erase(0, folder.size() + 1);
    return one.value + " from " + source;
  }
  return "absent";
}

std::string field(const Explanation& explanation, const std::string& name) {
  const std::string* const value = upstream::find_field(explanation.fields, name);
  return value ? *value : "absent";
}

}  // namespace

TEST_CASE("a request of the built-in route, with what the program itself was given") {
  const auto asked = ask({"/lookup/::ffff:8.8.8.8?x", "--cache-ttl", "2h"}, false,
                         {{"API_URL", "http://127.0.0.1:8000/v1"}, {"API_TOKEN", "t0p-s3cret"}});
  CHECK(asked.error == "");
  const Explanation& explanation = asked.explanation;
  CHECK(explanation.route == "lookup");
  CHECK(explanation.key == "lookup/8.8.8.8");
  CHECK(explanation.request_line == "GET /v1/geoip/8.8.8.8");
  CHECK(field(explanation, "Host") == "127.0.0.1:8000");
  CHECK(field(explanation, "Authorization") == "Bearer (secret)");
  CHECK(field(explanation, "Accept-Encoding") == "identity");
  CHECK(setting(explanation.route_settings, "cache_ttl", "") == "2h from flag --cache-ttl");
  CHECK(setting(explanation.route_settings, "negative_ttl", "").ends_with(" from default"));
  CHECK(setting(explanation.upstream_settings, "api_token", "") ==
        "(secret) from environment API_TOKEN");
  CHECK(asked.says("/latitude is a number"));
  CHECK(asked.says("/ip is the {ip} of the path"));
  CHECK(asked.says("the built-in configuration"));
}

TEST_CASE("of several routes the most specific one, the next one, and why") {
  const auto item = ask({"http://SHOP.example:3000/v1/items/7?lang=de&utm=1"});
  CHECK(item.error == "");
  CHECK(item.explanation.route == "item");
  CHECK(item.explanation.next == "named");
  CHECK(item.explanation.why_not_next == "it names the host, named takes any");
  CHECK(item.explanation.request_line == "GET /v2/things/7.json?lang=de&key=(secret)");
  CHECK(field(item.explanation, "Host") == "shop.example:3000");
  CHECK(item.explanation.urls.size() == 2);
  CHECK(item.says("/id is the {id} of the path"));
  CHECK(item.says("/name is there"));
  CHECK(item.says("/state is none of \"gone\""));

  const auto named = ask({"/v1/items/7"});
  CHECK(named.explanation.route == "named");
  CHECK(named.explanation.next == "any");
  CHECK(named.explanation.why_not_next == "\"items\" goes before {what:rest}");
  CHECK(field(named.explanation, "Host") == "fixed.example");
  CHECK(field(named.explanation, "Authorization") == "absent");

  const auto any = ask({"/v1/a/b", "--field", "accept-language: de", "--field=X: y"});
  CHECK(any.explanation.route == "any");
  CHECK(any.explanation.next == "");
  CHECK(any.explanation.key.ends_with("/a/b accept-language=de"));
  CHECK(field(any.explanation, "X-Api-Key") == "(secret)");
  CHECK(field(any.explanation, "Accept") == "text/plain");
  CHECK(field(any.explanation, "accept-language") == "de");
  CHECK(field(any.explanation, "X") == "absent");
  CHECK_FALSE(any.says("hidden"));
  CHECK(any.says("any content, called text/plain, of 1KiB at least"));
}

TEST_CASE("each setting has its place") {
  const auto asked = ask({"http://shop.example/v1/items/7", "--stale-while-revalidate", "3d"}, true,
                         {{"HEDGE", "off"}});
  const std::string& folder = asked.folder.path;
  const auto& route = asked.explanation.route_settings;
  CHECK(setting(route, "stale_if_error", folder) == "60m from holdfast.toml:31");
  CHECK(setting(route, "cache_ttl", folder) == "2h from holdfast.toml:3");
  CHECK(setting(route, "stale_while_revalidate", folder) ==
        "3d from flag --stale-while-revalidate");
  CHECK(setting(route, "target", folder) == "\"/things/{id}.json\" from holdfast.toml:29");
  CHECK(setting(route, "max_body", folder) == "\"8MiB\" from default");
  const auto& upstream = asked.explanation.upstream_settings;
  CHECK(setting(upstream, "attempt_timeout", folder) == "3s from holdfast.toml:10");
  CHECK(setting(upstream, "hedge", folder) == "off from environment HEDGE");
  CHECK(setting(upstream, "token_query", folder) == "\"key\" from holdfast.toml:8");
  CHECK(setting(upstream, "api_token", folder) == "absent");
  CHECK(asked.explanation.place == folder + "/holdfast.toml:24");
}

TEST_CASE("of a mode the settings that count in it, defaults and all") {
  const auto asked = ask({"/site/a"});
  const std::string& folder = asked.folder.path;
  const auto& http = asked.explanation.route_settings;
  CHECK(setting(http, "mode", folder) == "\"rfc9111\" from holdfast.toml:51");
  CHECK(setting(http, "ranges", folder) == "\"lenient\" from holdfast.toml:52");
  CHECK(setting(http, "transfer_coding", folder) == "\"strict\" from default");
  CHECK(setting(http, "max_variants", folder) == "64 from default");
  CHECK(setting(http, "vary_normalise", folder) == "[] from default");
  CHECK(setting(http, "targeted", folder) == "[\"CDN-Cache-Control\"] from default");
  CHECK(setting(http, "set_cookie", folder) == "\"pass\" from default");
  CHECK(setting(http, "stale_if_error", folder) == "30d from default");
  for (const char* key :
       {"cache_ttl", "cache_ttl_override", "negative_ttl", "stale_while_revalidate", "batch"}) {
    CAPTURE(key);
    CHECK(setting(http, key, folder) == "absent");
  }
  CHECK(
      asked.says("any content, of 8MiB at most; a larger one (max_body) is passed on as it comes"));

  const auto& resilient = ask({"/v1/a/b"}).explanation.route_settings;
  CHECK(setting(resilient, "mode", "") == "\"resilient\" from default");
  for (const char* key : {"ranges", "transfer_coding", "max_variants", "targeted"}) {
    CAPTURE(key);
    CHECK(setting(resilient, key, "") == "absent");
  }

  // A POST's answer may be stored there, too; but it is sent once, and nothing answers for it.
  const auto posted = ask({"/site/a", "--method", "POST"});
  const auto& passed = posted.explanation.route_settings;
  for (const char* key : {"mode", "targeted", "set_cookie", "max_request_body"}) {
    CAPTURE(key);
    CHECK(setting(passed, key, "") != "absent");
  }
  CHECK(setting(passed, "stale_if_error", "") == "absent");
}

TEST_CASE("a route that is offline asks nobody, whatever the method") {
  const auto asked = ask({"/old/a"});
  CHECK(asked.explanation.offline);
  CHECK(asked.says("nobody, as the route is offline"));
  CHECK_FALSE(asked.says("GET /old/a HTTP"));
  CHECK(explanation_json(asked.explanation).find("request_line") == std::string::npos);
  CHECK(setting(asked.explanation.route_settings, "offline", asked.folder.path) ==
        "true from holdfast.toml:60");
  const auto posted = ask({"/old/a", "--method", "POST"});
  CHECK(posted.says("504 at once, and not sent"));
  CHECK(setting(posted.explanation.route_settings, "on_invalid", "") == "absent");
  CHECK(posted.says("nobody, as the route is offline"));
  CHECK_FALSE(posted.says("what is stored answers"));
  CHECK(ask({"/old", "--method", "POST"}).says("nobody, as the route is offline"));
  // Of mode rfc9111 it decides whether the upstream is asked.
  const std::vector<std::string> anew{"/oldsite/a", "--field", "Cache-Control: no-cache"};
  CHECK(ask(anew).explanation.offline);
  CHECK(ask(anew).explanation.decided.empty());
  CHECK_FALSE(ask({"/v1/a/b"}).explanation.offline);
}

TEST_CASE("what becomes of an answer that is not right is told") {
  const auto loose = ask({"/loose/a"});
  CHECK(loose.says("to the client as it came, unstored"));
  CHECK(setting(loose.explanation.route_settings, "on_invalid", loose.folder.path) ==
        "\"pass\" from holdfast.toml:66");
  const auto any = ask({"/v1/a/b"});
  CHECK_FALSE(any.says("as it came, unstored"));
  CHECK(setting(any.explanation.route_settings, "on_invalid", "") == "\"refuse\" from default");
  CHECK(setting(any.explanation.route_settings, "offline", "") == "false from default");
}

TEST_CASE("what no route takes gets the service's own words") {
  const auto refused = [](std::vector<std::string> arguments) {
    const auto asked = ask(std::move(arguments));
    CHECK_FALSE(asked.explanation.taken());
    CHECK(asked.says("none: "));
    return std::to_string(asked.explanation.status) + " " + asked.explanation.why;
  };
  CHECK(refused({"/nowhere"}) == "404 no such path");
  CHECK(refused({"/v1/items/7", "--method=DELETE"}) == "405 only GET and HEAD are served here");
  CHECK(refused({"/v1/items/7", "--method", "OPTIONS"}) == "204 Allow: GET, HEAD, OPTIONS");
  CHECK(refused({"/v1/items", "--method=PUT"}) == "405 only GET, HEAD and POST are served here");
  CHECK(refused({"/v1/%zz"}).starts_with("400 "));
  CHECK(refused({"/v1/a", "--method", "CONNECT"}).starts_with("501 "));
  CHECK(refused({"/metrics"}) == "200 a page of the service's own, before any route");
  CHECK(refused({"http://a b/v1/a"}).starts_with("400 "));
  CHECK(ask({"/lookup"}, false, {{"API_URL", "http://127.0.0.1:1"}}).explanation.status == 405);
  const auto value = ask({"/lookup/nowhere"}, false, {{"API_URL", "http://127.0.0.1:1"}});
  CHECK(value.explanation.why == "not an IPv4 or IPv6 address");
  CHECK(value.explanation.near == "lookup");
}

TEST_CASE("what is passed through is told with its own method and all its fields") {
  const auto asked = ask({"/pass/a?x=1", "--method", "DELETE", "--field", "If-Match: \"v1\"",
                          "--field", "Cookie: a=b"});
  CHECK(asked.explanation.route == "passing");
  CHECK(asked.explanation.passed);
  CHECK(asked.explanation.request_line.starts_with("DELETE "));
  CHECK(asked.says("passed through"));
  CHECK(asked.says("If-Match: \"v1\""));
  CHECK(asked.says("Via: 1.1 holdfast"));
  CHECK_FALSE(asked.says("Cookie"));
  CHECK(asked.says("sent once"));
  CHECK(asked.says("content of 1MiB at most"));
  CHECK(asked.says("Expect: 100-continue"));
  CHECK(asked.says("what is stored of this URL is erased"));
  // Of the settings those that mean something to it.
  const auto has = [](const Asked& of, const std::string& key) {
    return setting(of.explanation.route_settings, key, "") != "absent";
  };
  const auto read = ask({"/v1/a/b"});
  for (const char* key : {"cache_ttl", "negative_ttl", "stale_while_revalidate", "stale_if_error",
                          "max_body", "set_cookie"}) {
    CAPTURE(key);
    CHECK_FALSE(has(asked, key));
    CHECK(has(read, key));
  }
  CHECK(has(read, "validate"));
  for (const char* key : {"methods", "query", "request_deadline"}) CHECK(has(asked, key));
  CHECK(setting(asked.explanation.route_settings, "max_request_body", "") ==
        "\"1MiB\" from default");
  CHECK_FALSE(has(read, "max_request_body"));
}

TEST_CASE("by a route of mode rfc9111 the client's own fields go upstream, and none of ours") {
  const Explanation site = ask({"/site/a", "--field", "Accept-Language: de", "--field",
                                "User-Agent: me", "--field", "If-None-Match: \"x\""})
                               .explanation;
  CHECK(field(site, "Accept-Language") == "de");
  CHECK(field(site, "User-Agent") == "me");
  // They are held against what comes.
  CHECK(field(site, "If-None-Match") == "absent");
  CHECK(field(site, "Accept-Encoding") == "identity");
  CHECK(field(ask({"/site/a"}).explanation, "User-Agent") == "absent");
}

TEST_CASE("what the request decides by itself is told by the words of Cache-Status") {
  const auto words = [](std::vector<std::string> arguments) {
    const auto asked = ask(std::move(arguments));
    std::string all;
    for (const proxy::Decided& one : asked.explanation.decided) {
      CAPTURE(one.word);
      CHECK_FALSE(one.meaning.empty());
      CHECK(asked.says(std::string(one.word) + ": " + std::string(one.meaning)));
      all.append(all.empty() ? "" : " ").append(one.word);
    }
    return all;
  };
  CHECK(words({"/site/a"}) == "");
  CHECK(words({"/site/a", "--method", "POST"}) == "method");
  CHECK(words({"/site/a", "--method", "HEAD"}) == "method");
  CHECK(words({"/site/a", "--field", "X_Original_Url: /b"}) == "ambiguous");
  CHECK(words({"/site/a", "--field", "Authorization: Basic eDp5"}) == "authorization");
  CHECK(words({"/site/a", "--field", "Range: bytes=0-1"}) == "range");
  CHECK(words({"/site/a", "--field", "If-Match: \"x\""}) == "precondition");
  CHECK(words({"/site/a", "--field", "Pragma: no-cache"}) == "client-no-cache");
  CHECK(words({"/site/a", "--field", "Cache-Control: no-store, max-age=0, min-fresh=5"}) ==
        "client-no-store client-max-age client-min-fresh");
  CHECK(words({"/site/a", "--field", "Cache-Control: only-if-cached"}) == "only-if-cached");
  // A resilient route hears less of it, and nothing of the client's goes upstream.
  CHECK(words({"/v1/a/b", "--field", "Cache-Control: no-store, no-cache, min-fresh=5", "--field",
               "Authorization: x", "--field", "A_B: x", "--field", "If-Match: \"x\""}) ==
        "client-min-fresh");
  CHECK(words({"/v1/a/b", "--method", "HEAD"}) == "");
  CHECK(words({"/pass/a", "--method", "DELETE"}) == "method");
}

TEST_CASE("a batch is a route's, with a key for each element") {
  const auto asked = ask({"/v1/items", "--method", "POST"});
  CHECK(asked.explanation.route == "named");
  CHECK(asked.explanation.batch);
  CHECK(asked.explanation.key == "");
  CHECK(asked.says("one for each element"));
  CHECK(asked.says("fixed.example"));
}

TEST_CASE("what is wrong with the command or the settings is one line") {
  CHECK(ask({}).error.starts_with("explain: expected a path"));
  CHECK(ask({"/a", "/b"}).error == "one URL or path at a time");
  CHECK(ask({"/a", "--field", "x"}).error.starts_with("explain: --field: "));
  CHECK(ask({"/a", "--cache-ttl", "x"}).error.starts_with("--cache-ttl"));
  CHECK(ask({"/a", "--check-config"}).error.find("unknown flag") != std::string::npos);
  CHECK(ask({"--cache-ttl-override", "/v1/a"}).explanation.route == "any");
}
