// What the program prints about its settings.
#include "config/config.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <sstream>

#include "config/routing_file.h"
#include "config/setting_table.h"
#include "start.h"

using namespace holdfast::config;
using namespace std::chrono_literals;

TEST_CASE("print-config shows every setting with its source, and reads back as a file") {
  Start start;
  start.arguments = {"--config", start.file("h.toml", "cache_ttl = \"2h\"\n"), "--port", "8080"};
  start.variables = {{"HEDGE", "off"}};
  const Settings before = start.settings();
  start.arguments.push_back("--print-config");
  const std::string text = start.printout();
  CHECK(contains(text, "port = 8080"));
  CHECK(contains(text, "# flag --port\n"));
  CHECK(contains(text, "# environment HEDGE\n"));
  CHECK(contains(text, "h.toml:1\n"));
  CHECK(contains(text, "bind = [\"127.0.0.1\", \"::1\"]"));
  for (const Setting& setting : setting_table()) {
    CAPTURE(setting.key);
    CHECK(contains(text, std::string(setting.key) + " = "));
  }

  Start again;
  again.arguments = {"--config", again.file("printed.toml", text)};
  const Changes found = reloaded(before, again.settings());
  CHECK(found.now.empty());
  CHECK(found.needs_restart.empty());
}

TEST_CASE("the example file has every key, changes nothing as it is and is valid uncommented") {
  Start start;
  start.arguments = {"--print-example-config"};
  const std::string example = start.printout();
  start.arguments = {"--config", start.file("h.toml", example)};
  CHECK(reloaded(Start().settings(), start.settings()).none());

  std::string uncommented;
  std::string previous;
  for (std::size_t at = 0; at < example.size();) {
    const auto end = example.find('\n', at);
    std::string line = example.substr(at, end - at);
    at = end + 1;
    const bool setting = line.size() > 1 && line[0] == '#' && line[1] != ' ';
    const bool names_a_token = line.find("token_f") != line.npos;
    if (setting && !names_a_token) uncommented += line.substr(1) + "\n";
  }
  start.arguments = {"--config", start.file("all.toml", uncommented)};
  const Settings all = start.settings();
  for (const Setting& setting : setting_table()) {
    CAPTURE(setting.key);
    if (setting.key != "api_token_file") CHECK(!all.is_default(setting.key));
    CHECK(contains(example, "\n#" + std::string(setting.key) + " = "));
    if (!setting.initial.text.empty()) {
      CHECK(setting.value.text(all) == setting.value.text(Start().settings()));
    }
  }
  // The built-in sections, which thus may be changed one by one, another API's, and a site's.
  REQUIRE(all.routing->routes.size() == 3);
  CHECK(!all.routing->routes[0].built_in);
  Routing ours = *Start().settings().routing;
  ours.routes.front().built_in = ours.upstreams.front().built_in = false;
  // Those of the whole program stand there as they might be.
  CHECK(upstream_changes(ours, *all.routing).text() == "added rates, site; changed api");
  CHECK(route_changes(ours, *all.routing).text() == "added rates, site");
}

TEST_CASE("help, version and tables need no valid settings") {
  Start start;
  start.variables = {{"PORT", "abc"}};
  start.arguments = {"--help"};
  const std::string help = start.printout();
  for (const Setting& setting : setting_table()) {
    CAPTURE(setting.key);
    CHECK(contains(help, setting.flag() + " "));
  }
  CHECK(contains(help, "--metrics-table"));
  start.arguments = {"--version"};
  CHECK(start.printout() == "holdfast 1.2.3\n");
  start.arguments = {"--metrics-table"};
  CHECK(start.printout() == "metrics");
  start.arguments = {"--settings-table"};
  const std::string table = start.printout();
  CHECK(contains(table, "| `CACHE_TTL` | `--cache-ttl` | `24h` |"));
  CHECK(static_cast<std::size_t>(std::count(table.begin(), table.end(), '\n')) ==
        setting_table().size() + 2);
  start.arguments = {"--check-config"};
  CHECK(contains(start.error(), "PORT"));
  start.variables.clear();
  const auto to_check = start.load();
  REQUIRE(to_check);
  CHECK(std::get<ToCheck>(*to_check).settings.warnings.empty());
}

TEST_CASE("--settings-man names every setting, and no text of ours becomes a roff request") {
  Start start;
  start.arguments = {"--settings-man"};
  const std::string page = start.printout();
  CHECK(contains(page,
                 ".SS Freshness\n"
                 ".TP\n"
                 "\\fB\\-\\-cache\\-ttl\\fR \\fIDURATION\\fR, \\fBCACHE_TTL\\fR\n"
                 "Freshness lifetime where the upstream states none.\n"
                 "Default: \\fB24h\\fR. A reload takes it at once.\n"));
  std::istringstream lines(page);
  std::size_t settings = 0;
  for (std::string line; std::getline(lines, line);) {
    settings += line == ".TP";
    const bool is_request = line.starts_with(".") || line.starts_with("'");
    CHECK(is_request == (line == ".TP" || line.starts_with(".SS ")));
  }
  CHECK(settings == setting_table().size());
}
