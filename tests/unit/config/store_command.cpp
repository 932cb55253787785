#include "config/store_command.h"

#include <doctest/doctest.h>

#include <vector>

#include "config/config.h"
#include "config/routing.h"
#include "start.h"

using namespace holdfast::config;

namespace {

holdfast::base::Result<Outcome> load(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "holdfast");
  // A broken environment must not keep an operator from looking at a store.
  const Environment environment = [](const std::string& name) -> std::optional<std::string> {
    if (name == "PORT") return "no number";
    return std::nullopt;
  };
  return holdfast::config::load(static_cast<int>(arguments.size()), arguments.data(), environment,
                                {"holdfast", "1.2.3", "A caching reverse proxy.", {}});
}

}  // namespace

TEST_CASE("each store command names its action and its file, whatever the settings are") {
  using Action = StoreCommand::Action;
  for (const auto& one :
       std::vector<std::pair<const char*, Action>>{{"stats", Action::Stats},
                                                   {"check", Action::Check},
                                                   {"export", Action::Export},
                                                   {"import", Action::Import},
                                                   {"compact", Action::Compact}}) {
    CAPTURE(one.first);
    const auto outcome = load({"store", one.first, "/a b/store.db"});
    REQUIRE(outcome);
    REQUIRE(std::holds_alternative<StoreCommand>(*outcome));
    CHECK(std::get<StoreCommand>(*outcome).action == one.second);
    CHECK(std::get<StoreCommand>(*outcome).file == "/a b/store.db");
  }
}

TEST_CASE("a store command without its file, with two, or of no known name is refused") {
  for (const std::vector<const char*>& arguments :
       std::vector<std::vector<const char*>>{{"store"},
                                             {"store", "check"},
                                             {"store", "check", ""},
                                             {"store", "check", "a", "b"},
                                             {"store", "chekc", "a"},
                                             {"store", "a.db"},
                                             {"store", "stats", "check", "a"},
                                             {"store", "--port", "3000"},
                                             {"store", "check", "--port", "a"},
                                             {"store", "export", "a", "--config", "b"},
                                             {"store", "import", "--config", "b"}}) {
    CAPTURE(arguments.size());
    const auto outcome = load(arguments);
    REQUIRE_FALSE(outcome);
    CHECK(outcome.error().message.find('\n') == std::string::npos);
    CHECK(outcome.error().message.starts_with("store: "));
  }
}

TEST_CASE("an import judges by the built-in route, unless a settings file has others") {
  const auto names = [](const Start& start) {
    const auto outcome = start.load();
    REQUIRE_MESSAGE(outcome, (outcome ? "" : outcome.error().message));
    const auto routing = std::get<StoreCommand>(*outcome).routing;
    REQUIRE(routing != nullptr);
    std::string all;
    for (const RouteConfig& route : routing->routes) all += route.name + ";";
    return all;
  };
  Start start;
  start.arguments = {"store", "import", "x.db"};
  CHECK(names(start) == "lookup;");
  const std::string routes = "[[route]]\nname = \"a\"\nmatch = \"/a\"\nupstream = \"u\"\n";
  const std::string upstream = "[upstream.u]\nurls = [\"https://u.example\"]\n";
  const std::string file = start.file("h.toml", upstream + routes);
  start.arguments = {"store", "import", "x.db", "--config", file};
  CHECK(names(start) == "a;");
  start.arguments = {"store", "import", "--config=" + file, "x.db"};
  CHECK(names(start) == "a;");
  start.arguments = {"store", "import", "x.db"};
  start.variables["HOLDFAST_CONFIG"] = file;
  CHECK(names(start) == "a;");
  // The flag wins, and what has no route of its own has the built-in one.
  start.arguments = {"store", "import", "x.db", "--config", start.file("none.toml", "port = 1\n")};
  CHECK(names(start) == "lookup;");
  // The other commands judge nothing: no file keeps one from looking at a store.
  start.variables["HOLDFAST_CONFIG"] = (start.folder / "absent.toml").string();
  start.arguments = {"store", "check", "x.db"};
  CHECK(start.load());
}

TEST_CASE(
    "a token that an import may not read does not stop it, a settings file that is wrong does") {
  Start start;
  start.variables = {{"API_TOKEN_FILE", "/absent/token"}, {"CACHE_TTL", "nonsense"}};
  start.arguments = {"store", "import", "x.db", "--config",
                     start.file("h.toml",
                                "api_token_file = \"/absent/token\"\n"
                                "[upstream.u]\n"
                                "urls = [\"https://u.example\"]\n"
                                "token_file = \"/absent/another\"\n"
                                "token_field = \"X-Api-Key\"\n"
                                "[[route]]\nname = \"a\"\nmatch = \"/a\"\n")};
  const auto outcome = start.load();
  REQUIRE_MESSAGE(outcome, (outcome ? "" : outcome.error().message));
  CHECK(std::get<StoreCommand>(*outcome).routing->routes[0].name == "a");

  const std::string path = start.file(
      "wrong.toml", "[[route]]\nnam = \"a\"\nname = \"a\"\nmatch = \"/a\"\nupstream = \"api\"\n");
  start.arguments.back() = path;
  CHECK(start.error().starts_with(path + ":2: "));
  start.arguments.back() = (start.folder / "absent.toml").string();
  CHECK(contains(start.error(), "absent.toml: "));
  start.arguments.back() = " ";
  CHECK(start.error() == "--config: is blank");
}

TEST_CASE("help on the store commands lists them, and tells what the exit codes mean") {
  for (const std::vector<const char*>& arguments : std::vector<std::vector<const char*>>{
           {"store", "--help"}, {"store", "-h"}, {"store", "check", "--help"}}) {
    const auto outcome = load(arguments);
    REQUIRE(outcome);
    REQUIRE(std::holds_alternative<Printout>(*outcome));
    const std::string& text = std::get<Printout>(*outcome).text;
    CHECK(text.find("check") != std::string::npos);
    CHECK(text.find("Exit codes: 0 good") != std::string::npos);
    CHECK(text.back() == '\n');
  }
}
