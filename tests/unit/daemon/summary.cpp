// What settings come to, as people are told.
#include "daemon/summary.h"

#include <doctest/doctest.h>

#include <unistd.h>
#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <map>
#include <string>

#include "config/config.h"

using namespace holdfast;

namespace {

using Variables = std::map<std::string, std::string>;

config::Settings settings_of(const Variables& variables, std::string file = {}) {
  std::string path = "/tmp/holdfast-summary-XXXXXX";
  const int descriptor = ::mkstemp(path.data());
  REQUIRE(descriptor >= 0);
  ::close(descriptor);
  const std::string token = path + ".token";
  std::ofstream(token) << "s3cret";
  if (const auto at = file.find("TOKEN"); at != file.npos) file.replace(at, 5, token);
  std::ofstream(path) << file;
  const std::string flag = "--config=" + path;
  const char* const argv[] = {"holdfast", flag.c_str()};
  auto loaded =
      config::load(2, argv,
                   [&](const std::string& name) -> std::optional<std::string> {
                     const auto found = variables.find(name);
                     return found == variables.end() ? std::nullopt : std::optional(found->second);
                   },
                   {.name = "holdfast", .version = "", .summary = "", .text_flags = {}});
  ::unlink(path.c_str());
  ::unlink(token.c_str());
  const std::string problem = loaded ? std::string() : loaded.error().message;
  INFO(problem);
  REQUIRE(loaded);
  return std::get<config::Settings>(*std::move(loaded));
}

bool says(const std::string& text, const std::string& part) {
  INFO(text);
  CHECK(text.find("s3cret") == std::string::npos);
  return text.find(part) != std::string::npos;
}

constexpr const char* kSections = R"(
[upstream.geo]
urls = ["https://one.example/v2", "https://two.example"]
token_file = "TOKEN"
token_field = "X-Api-Key"

[upstream.site]
urls = ["http://site.example"]

[[route]]
name = "item"
match = "/v1/items/{id:int}"
host = "shop.example"
upstream = "geo"
target = "/things/{id}.json"
batch = "/v1/items"
cache_ttl = "2h"
stale_if_error = "12d"
ttl_by_status = { "404" = "1m", "500" = "2s" }

[[route]]
name = "pages"
match = "/site/{rest:rest}"
upstream = "site"
methods = "*"
mode = "rfc9111"

[[route]]
name = "archive"
match = "/old/{x}"
upstream = "site"
offline = true
)";

}  // namespace

TEST_CASE("without a file it is the lookup, and who is asked for it") {
  const std::string text = daemon::settings_summary(settings_of({{"API_TOKEN", "s3cret"}}));
  CHECK(says(text,
             "upstream    api: http://localhost:8000\n"
             "            with a token, as Authorization: Bearer\n"));
  CHECK(says(text,
             "route       lookup: GET, HEAD /lookup/{ip:ip} -> api, /geoip/{ip}\n"
             "            many at once: POST /lookup\n"
             "            fresh for 24h, stale for 7d, and where the upstream fails for "
             "30d; 404 for 5m\n"));
  CHECK(says(text, "store       ./holdfast.db, "));
  CHECK(says(text, "listens     port 3000 of "));
  CHECK(says(text, "admin       no socket (ADMIN_SOCKET makes one)\n"));
}

TEST_CASE("each upstream and each route of a file is told with what is its own") {
  const std::string text = daemon::settings_summary(
      settings_of({{"STORE_PATH", "off"}, {"ADMIN_SOCKET", "/run/x.sock"}}, kSections));
  CHECK(says(text,
             "upstream    geo: https://one.example/v2, then https://two.example\n"
             "            with the token in /tmp/holdfast-summary-"));
  CHECK(says(text, ".token, as the field X-Api-Key\n"));
  CHECK(says(text, "upstream    site: http://site.example\n            with no token\n"));
  CHECK(says(text,
             "route       item: GET, HEAD shop.example/v1/items/{id:int} -> geo, "
             "/things/{id}.json\n"));
  CHECK(says(text, "fresh for 2h, stale for 7d, and where the upstream fails for 12d; 404 for "));
  CHECK(says(text, "; 404 for 1m; 500 for 2s\n"));
  CHECK(says(text,
             "route       pages: any method /site/{rest:rest} -> site, the same path\n"
             "            kept as the upstream says (rfc9111); where it fails, stale "
             "for 30d\n"));
  CHECK(says(text, "archive: GET, HEAD /old/{x} -> nobody, it is offline\n"));
  CHECK(says(text, "store       none: "));
  CHECK(says(text, "admin       /run/x.sock\n"));
}

TEST_CASE("a line of the log names as many as it can hold") {
  const config::Settings few = settings_of({}, kSections);
  CHECK(daemon::upstreams_in_short(*few.routing) ==
        "geo https://one.example/v2, site http://site.example");
  CHECK(daemon::routes_in_short(*few.routing) == "item, pages, archive");
  std::string file = "[upstream.a]\nurls = [\"http://a.example\"]\n";
  for (int i = 0; i < 30; ++i) {
    const std::string number = std::to_string(i);
    file +=
        "[[route]]\nname = \"r" + number + "\"\nmatch = \"/" + number + "\"\nupstream = \"a\"\n";
  }
  CHECK(daemon::routes_in_short(*settings_of({}, file).routing) ==
        "r0, r1, r2, r3, r4, r5, r6, r7 and 22 more");
}

TEST_CASE("the first words are for whoever has not said whom to ask") {
  const std::string words = daemon::first_words(settings_of({}), "3000");
  CHECK(says(words, "serves GET http://localhost:3000/lookup/{ip};"));
  CHECK(says(words, "asks GET http://localhost:8000/geoip/{ip}, with no token"));
  CHECK(says(words, "--api-url URL"));
  CHECK(std::count(words.begin(), words.end(), '\n') == 4);
  CHECK(daemon::first_words(settings_of({{"API_URL", "http://a.example"}}), "3000") == "");
  CHECK(daemon::first_words(settings_of({}, kSections), "3000") == "");
}
