// A start of the program as the tests of this folder make it.
#pragma once

#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "config/config.h"
#include "config/reload.h"

namespace holdfast::config {

inline const char* const kToken = "s3cr3t-t0k3n";

// A command line, an environment and files of its own, removed at the end.
struct Start {
  std::vector<std::string> arguments;
  std::map<std::string, std::string> variables;
  std::filesystem::path folder;

  Start() {
    std::string name = (std::filesystem::temp_directory_path() / "config-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    folder = name;
  }
  ~Start() { std::filesystem::remove_all(folder); }
  Start(const Start&) = delete;
  Start& operator=(const Start&) = delete;

  std::string file(const std::string& name, const std::string& text) const {
    const std::string path = (folder / name).string();
    std::ofstream(path) << text;
    return path;
  }

  base::Result<Outcome> load() const {
    std::vector<const char*> argv{"holdfast"};
    for (const std::string& argument : arguments) argv.push_back(argument.c_str());
    const Environment environment = [this](const std::string& name) {
      const auto found = variables.find(name);
      return found == variables.end() ? std::nullopt : std::optional(found->second);
    };
    const Program program{"holdfast",
                          "1.2.3",
                          "A caching reverse proxy.",
                          {{"--metrics-table", "Print the metrics.", [] { return "metrics"; }}}};
    std::vector<std::string> names;
    for (const auto& variable : variables) names.push_back(variable.first);
    return holdfast::config::load(static_cast<int>(argv.size()), argv.data(), environment, program,
                                  names);
  }
  Settings settings() const {
    auto outcome = load();
    REQUIRE_MESSAGE(outcome, (outcome ? "" : outcome.error().message));
    REQUIRE(std::holds_alternative<Settings>(*outcome));
    return std::get<Settings>(*outcome);
  }
  std::string printout() const {
    auto outcome = load();
    REQUIRE_MESSAGE(outcome, (outcome ? "" : outcome.error().message));
    REQUIRE(std::holds_alternative<Printout>(*outcome));
    return std::get<Printout>(*outcome).text;
  }
  // The one line that main prints.
  std::string error() const {
    const auto outcome = load();
    REQUIRE(!outcome);
    const std::string& message = outcome.error().message;
    CHECK(message.find('\n') == std::string::npos);
    CHECK(message.find(kToken) == std::string::npos);
    return message;
  }
};

// What a reload that reads these makes of those in force.
inline Changes reloaded(const Settings& before, const Settings& read) {
  return changes(before, in_force_after(before, read), read);
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

inline bool warns(const Settings& settings, const std::string& part) {
  for (const std::string& warning : settings.warnings) {
    if (contains(warning, part)) return true;
  }
  return false;
}

}  // namespace holdfast::config
