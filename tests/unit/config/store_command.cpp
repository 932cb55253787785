#include "config/store_command.h"

#include <doctest/doctest.h>

#include <vector>

#include "config/config.h"

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
                                             {"store", "check", "--port", "a"}}) {
    CAPTURE(arguments.size());
    const auto outcome = load(arguments);
    REQUIRE_FALSE(outcome);
    CHECK(outcome.error().message.find('\n') == std::string::npos);
    CHECK(outcome.error().message.starts_with("store: "));
  }
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
