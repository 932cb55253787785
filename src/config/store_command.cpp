#include "config/store_command.h"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>
#include <iterator>
#include <sstream>
#include <string_view>
#include <vector>

#include "config/config.h"

namespace holdfast::config {
namespace {

struct Description {
  StoreCommand::Action action;
  const char* name;
  const char* text;
};

constexpr Description kActions[] = {
    {StoreCommand::Action::Stats, "stats", "Print figures of FILE, one a line."},
    {StoreCommand::Action::Check, "check", "Check every page and every response of FILE."},
    {StoreCommand::Action::Export, "export",
     "Write every response to standard output, one line of JSON each."},
    {StoreCommand::Action::Import, "import",
     "Read from standard input what export wrote; make FILE if there is none."},
    {StoreCommand::Action::Compact, "compact", "Give FILE's free pages back to the file system."},
};

bool is_action(std::string_view name) {
  return std::any_of(std::begin(kActions), std::end(kActions),
                     [&](const Description& known) { return name == known.name; });
}

constexpr const char* kExplanation =
    "All are safe beside a running daemon; run them as its user. Exit codes: 0 good,\n"
    "1 something is damaged or was refused, and the output says what, 2 usage, or FILE\n"
    "cannot be used.";

}  // namespace

bool is_store_command(int argc, const char* const* argv) {
  return argc > 1 && std::string_view(argv[1]) == "store";
}

base::Result<std::variant<Printout, StoreCommand>> parse_store_command(int argc,
                                                                       const char* const* argv,
                                                                       const Program& program) {
  // CLI11 would only say that a command is required.
  if (argc > 2 && argv[2][0] != '-' && !is_action(argv[2])) {
    return base::invalid_input("store: no such command; see " + program.name + " store --help");
  }
  CLI::App app("Look after a store's file.", program.name + " store");
  app.require_subcommand(1);
  app.footer(kExplanation);
  std::string file;
  std::string config;
  std::vector<CLI::App*> commands;
  for (const Description& description : kActions) {
    commands.push_back(app.add_subcommand(description.name, description.text));
    commands.back()
        ->add_option("FILE", file, "The store's file, as in STORE_PATH.")
        ->type_name("")
        ->required();
    commands.back()->footer(kExplanation);
    if (description.action != StoreCommand::Action::Import) continue;
    commands.back()
        ->add_option("--config", config,
                     "The daemon's settings file, for its routes: what is no right answer by them "
                     "is refused. [HOLDFAST_CONFIG]")
        ->type_name("FILE")
        ->take_last();
  }
  try {
    // In reverse, as CLI11 wants them, and without "holdfast store".
    std::vector<std::string> arguments;
    for (int i = argc - 1; i > 1; --i) arguments.emplace_back(argv[i]);
    app.parse(std::move(arguments));
  } catch (const CLI::Success& help) {
    std::ostringstream text;
    app.exit(help, text, text);
    return Printout{text.str()};
  } catch (const CLI::Error& error) {
    const std::string message = error.what();
    return base::invalid_input("store: " + message.substr(0, message.find('\n')) + "; see " +
                               program.name + " store --help");
  }
  if (file.empty()) return base::invalid_input("store: FILE is blank");
  for (std::size_t i = 0; i < commands.size(); ++i) {
    if (!commands[i]->parsed()) continue;
    StoreCommand command{kActions[i].action, file, {}, nullptr};
    const bool takes_config = command.action == StoreCommand::Action::Import;
    if (takes_config && commands[i]->count("--config") > 0) command.config_file = config;
    return command;
  }
  return base::invalid_input("store: no command");
}

}  // namespace holdfast::config
