// Reads the settings: flag over environment over file over default. For main,
// at start and again on SIGHUP. May block on reading files. One thread.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "config/explain_command.h"
#include "config/in_force.h"
#include "config/settings.h"
#include "config/store_command.h"

namespace holdfast::config {

// A variable's value; none if it is not set.
using Environment = std::function<std::optional<std::string>(const std::string& name)>;
Environment process_environment();
// The names of all variables that this process has.
std::vector<std::string> process_variables();

// A flag that prints something only main knows, such as --metrics-table.
struct TextFlag {
  std::string flag;  // with the dashes
  std::string help;
  std::function<std::string()> text;
};

// Texts of settings, by their keys, in place of the table's defaults.
using OtherDefaults = std::vector<std::pair<std::string, std::string>>;

struct Program {
  std::string name;
  std::string version;
  std::string summary;
  std::vector<TextFlag> text_flags;
  // For --try, with the text of --faults: starts what is to be tried, once, and says what the
  // settings are that go with it. Null: there is no such flag.
  std::function<base::Result<OtherDefaults>(const std::optional<std::string>& faults)> try_out;
};

// What to print on standard output before exiting with 0: --help, --version,
// --print-config and the like.
struct Printout {
  std::string text;
};
// For --check-config: they are valid by themselves. What they name on this machine is still
// to be looked at, and nothing to be started.
struct ToCheck {
  Settings settings;
};
// For `holdfast explain`.
struct ToExplain {
  Settings settings;
  ExplainCommand command;
};
// For `holdfast check`.
struct ToAsk {
  Settings settings;
  ExplainCommand command;
};
using Outcome = std::variant<Settings, ToCheck, Printout, StoreCommand, ToExplain, ToAsk>;

// An error is one line that names the setting, where it was set, its value unless
// that may be a secret, and what was expected: print it and exit with 2. `variables` are the names
// that the environment has: one that is nearly a setting's is a warning.
base::Result<Outcome> load(int argc, const char* const* argv, const Environment& environment,
                           const Program& program, const std::vector<std::string>& variables = {});

// Where a daemon with these variables and that file (none: the variable's, if there is one) has its
// admin socket, for who asks it. The file is read only where no variable says it, and its token
// files are not.
struct AdminSocket {
  std::optional<std::string> path;  // empty: it has none; null: nobody says, so it may be anywhere
  std::string silent_file;          // the file that was read, if it sets none
};
base::Result<AdminSocket> admin_socket_of(const std::optional<std::string>& config_file,
                                          const Environment& environment);

// The token in an API_TOKEN_FILE. Errors say what is wrong with it, never what is in it.
base::Result<std::string> read_token_file(const std::string& path);

// The settings in force as a settings file, each with where it came from;
// secrets are masked and commented out.
std::string print_config(const Settings& settings);
// A settings file with every key and its default, commented out.
std::string example_config();
// The table of settings as Markdown, for the manual's source.
std::string settings_markdown();
// The settings as the SETTINGS section of a man page, holdfast.toml(5), in roff.
std::string settings_man();

}  // namespace holdfast::config
