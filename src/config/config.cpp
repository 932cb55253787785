// Each layer is applied over the one below, from the defaults up, and every value
// of every layer is checked: a mistake in the file does not wait for the day that
// the flag which hides it is dropped.
#include "config/config.h"

#include <unistd.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>
#include <chrono>
#include <cstdlib>

#include "base/control_group.h"
#include "base/processors.h"
#include "base/suggest.h"
#include "config/apply.h"
#include "config/contradictions.h"
#include "config/mistyped.h"
#include "config/routing_file.h"
#include "config/setting_table.h"
#include "config/settings_file.h"

namespace holdfast::config {
namespace {

using base::invalid_input;
using Status = base::Result<void>;

constexpr std::size_t kLargestFile = 1 << 20;
constexpr std::size_t kLargestTokenFile = 64 << 10;
// For the settings alone: a token file is looked at every second.
constexpr std::chrono::seconds kPipePatience{1};

// --cache-ttl-override, which may stand without a value.
bool is_switch(const std::string& argument) {
  const auto& table = setting_table();
  return std::any_of(table.begin(), table.end(), [&](const Setting& setting) {
    return setting.value.is_switch && setting.flag() == argument;
  });
}

// The command line, as CLI11 sees it. Everything is taken as text here, since all
// layers are parsed by the same code.
class CommandLine {
 public:
  CommandLine(const Program& program, RequestCommand what)
      : app_(summary(program, what), program.name + word(what)), what_(what) {
    app_.set_help_flag();
    app_.allow_extras();
    app_.get_formatter()->column_width(34);
    app_.footer(
        "Every setting is also an environment variable (CACHE_TTL) and a key of the settings\n"
        "file (cache_ttl). A flag wins over the environment, which wins over the file.\n"
        "Durations: 250ms 2s 5m 24h 30d. Sizes: 64MiB. The log goes to standard error.\n"
        "Commands: " +
        program.name + " admin --help, " + program.name + " check --help,\n" + program.name +
        " explain --help, " + program.name +
        " store --help\n"
        "Manual: " +
        program.name + "(8), on HTTP and the commands, and " + program.name +
        ".toml(5), on settings, upstreams and routes\n");

    add_action("-h,--help", "Print this help.");
    if (what != RequestCommand::None) {
      app_.add_option("URL_OR_PATH", target_, "A path with its query, or a URL with the Host.");
      // What changes something is not sent to see what comes of it.
      if (what == RequestCommand::Explain) {
        app_.add_option("--method", method_, "The request's method. [GET]")
            ->type_name("METHOD")
            ->take_last()
            ->group("Request");
      }
      app_.add_option("--field", fields_, "A field of the request; may be given several times.")
          ->type_name("'NAME: VALUE'")
          ->allow_extra_args(false)
          ->take_all()
          ->group("Request");
      add_action("--json", "Print JSON, for programs.");
    }
    if (what == RequestCommand::None) add_action("-V,--version", "Print the version.");
    config_ =
        app_.add_option("--config", ignore_, "Settings file. [" + std::string(kFileVariable) + "]");
    config_->type_name("FILE")->take_last()->group("Actions");
    if (what == RequestCommand::None) add_daemons_actions(program);

    for (const Setting& setting : setting_table()) {
      const std::string initial(setting.initial.text.empty() ? setting.initial.note
                                                             : setting.initial.text);
      CLI::Option* option = app_.add_option(setting.flag(), ignore_,
                                            std::string(setting.help) + " [" + initial + "]");
      option->type_name(std::string(setting.value.type))->group(std::string(setting.group));
      // Of a list every mention counts, of anything else the last.
      setting.value.list ? option->take_all() : option->take_last();
      settings_.push_back(option);
    }
  }

  Status parse(int argc, const char* const* argv) {
    // In reverse, as CLI11 wants them, and without the program's name.
    std::vector<std::string> arguments;
    for (int i = argc - 1; i > 0; --i) {
      // What has a slash is the request to explain; no switch has such a value.
      const bool alone = arguments.empty() || arguments.back().rfind("--", 0) == 0 ||
                         arguments.back().find('/') != std::string::npos;
      arguments.emplace_back(argv[i]);
      if (alone && is_switch(arguments.back())) arguments.back() += "=on";
    }
    try {
      app_.parse(std::move(arguments));
    } catch (const CLI::Error& error) {
      std::string message = error.what();
      return invalid_input(message.substr(0, message.find('\n')));
    }
    const std::vector<std::string> unknown = app_.remaining();
    if (unknown.empty()) return {};
    // What follows "=" may be a secret.
    const std::string word = unknown.front().substr(0, unknown.front().find('='));
    if (word.size() < 2 || word.front() != '-') {
      if (what_ != RequestCommand::None) return invalid_input("one URL or path at a time");
      return invalid_input("unexpected argument; every setting has a flag, as --port 3000");
    }
    return invalid_input("unknown flag " + toml_string(word) +
                         did_you_mean(base::nearest(word, names())));
  }

  bool has(const std::string& flag) const {
    const CLI::Option* const option = app_.get_option_no_throw(flag);
    return option != nullptr && option->count() > 0;
  }
  base::Result<ExplainCommand> request() const {
    auto command = make_explain_command(target_, method_, fields_);
    if (command) command->json = has("--json");
    return command;
  }
  std::string help() const { return app_.help(); }

  std::optional<std::string> config_file() const {
    if (config_->count() == 0) return std::nullopt;
    return config_->results().back();
  }

  std::optional<std::string> faults() const {
    if (faults_ == nullptr || faults_->count() == 0) return std::nullopt;
    return faults_->results().back();
  }

  // In the table's order.
  std::optional<std::string> text(std::size_t row) const {
    const CLI::Option& option = *settings_[row];
    if (option.count() == 0) return std::nullopt;
    const std::vector<std::string>& results = option.results();
    if (!setting_table()[row].value.list) return results.back();
    std::string joined;
    for (const std::string& result : results) joined += (joined.empty() ? "" : ",") + result;
    return joined;
  }

 private:
  static std::string summary(const Program& program, RequestCommand what) {
    switch (what) {
      case RequestCommand::Explain:
        return "Say what becomes of a request with these settings, and of the daemon that runs "
               "with them.";
      case RequestCommand::Check:
        return "Ask the upstream once, as these settings have it for a client's GET, and say what "
               "was asked, what came, and whether it is right. Nothing is stored.";
      case RequestCommand::None:
        break;
    }
    return program.summary;
  }
  static std::string word(RequestCommand what) {
    return what == RequestCommand::Explain ? " explain"
           : what == RequestCommand::Check ? " check"
                                           : "";
  }

  void add_daemons_actions(const Program& program) {
    add_action("--check-config",
               "Check the settings, and the files, folders and addresses they name, and exit.");
    add_action("--print-config", "Print the settings in force and where each came from.");
    add_action("--print-example-config", "Print a settings file with every key, commented out.");
    add_action("--settings-table", "Print the settings as a Markdown table.");
    add_action("--settings-man", "Print the settings as roff, for the man page.");
    for (const TextFlag& flag : program.text_flags) add_action(flag.flag, flag.help);
    if (!program.try_out) return;
    add_action("--try", "Serve the built-in lookup from an upstream of its own, which fails.");
    faults_ =
        app_.add_option("--faults", ignore_,
                        "What goes wrong with that upstream, as flaky-upstream takes it; none: "
                        "nothing. [mixed=0.3]");
    faults_->type_name("NAME=SHARE,...")->take_last()->group("Actions");
  }

  void add_action(const std::string& flag, const std::string& help) {
    app_.add_flag(flag, help)->disable_flag_override()->group("Actions");
  }

  std::vector<std::string> names() const {
    std::vector<std::string> all;
    for (const CLI::Option* option : app_.get_options()) {
      for (const std::string& name : option->get_lnames()) all.push_back("--" + name);
    }
    return all;
  }

  CLI::App app_;
  const RequestCommand what_;
  std::string ignore_;  // results are read from the options
  std::string target_;
  std::string method_ = "GET";
  std::vector<std::string> fields_;
  CLI::Option* config_ = nullptr;
  CLI::Option* faults_ = nullptr;
  std::vector<CLI::Option*> settings_;
};

// Systemd gives several directories as a:b; the first is ours.
std::string in_directory(const Environment& environment, const char* variable, const char* name) {
  const std::string directories = environment(variable).value_or("");
  if (directories.empty()) return {};
  return directories.substr(0, directories.find(':')) + "/" + name;
}

Status apply_defaults(Settings& settings, const Environment& environment,
                      const OtherDefaults& others) {
  for (const Setting& setting : setting_table()) {
    settings.sources[std::string(setting.key)] = {};
    if (setting.initial.text.empty()) continue;
    if (auto applied = apply(settings, setting, setting.initial.text, {}); !applied) return applied;
  }
  settings.workers = base::usable_processors();
  settings.memory_limit_bytes =
      base::within_memory(settings.memory_limit_bytes,
                          base::memory_by_groups(base::group_membership(), base::kGroupMount));
  settings.store_path = in_directory(environment, "STATE_DIRECTORY", "holdfast.db");
  if (settings.store_path.empty()) settings.store_path = "./holdfast.db";
  settings.admin_socket = in_directory(environment, "RUNTIME_DIRECTORY", "admin.sock");
  for (const auto& [key, text] : others) {
    if (auto applied = apply(settings, *find_setting(key), text, {}); !applied) return applied;
  }
  return {};
}

// The whole file, of which the flat part is applied. What the sections say over the settings in
// force waits until these are known, unless something is wrong anyway: then the first line that
// is, is the one to name.
base::Result<FileValue> apply_file(Settings& settings, const TokenReader& read_token) {
  const auto failed = [&](const std::string& what) {
    return invalid_input(settings.config_file + ":" + what);
  };
  auto text = read_file(settings.config_file, kLargestFile, kPipePatience);
  if (!text) return failed(" " + text.error().message);
  auto file = parse_settings_file(*text);
  if (!file) return failed(file.error().message);
  FirstProblem problems(settings.config_file);
  apply_flat_part(settings, *file, problems);
  if (!problems.found()) return file;
  read_sections(*file, settings, read_token, problems);
  return problems.error();
}

// Decides between api_token and api_token_file, and reads the latter.
Status resolve_token(Settings& settings, const Environment& environment) {
  const Setting& token = *find_setting("api_token");
  const Setting& file = *find_setting("api_token_file");
  Source& token_source = settings.sources["api_token"];
  Source& file_source = settings.sources["api_token_file"];
  const bool is_set = token_source.kind != Source::Kind::Default;

  if (is_set && token_source.kind == file_source.kind) {
    return invalid_input(place_of(token, settings, token_source) + " and " +
                         place_of(file, settings, file_source) + ": give one of them, not both");
  }
  if (is_set && token_source.kind > file_source.kind) {
    settings.api_token_file.clear();
    file_source = {};
    return {};
  }
  if (settings.api_token_file.empty()) {
    const std::string credential = in_directory(environment, "CREDENTIALS_DIRECTORY", "api_token");
    if (credential.empty() || ::access(credential.c_str(), F_OK) != 0) return {};
    settings.api_token_file = credential;
  }
  const auto failed = [&](const std::string& what) {
    return invalid_input(place_of(file, settings, file_source) + "=" +
                         shown_in_error(file, settings.api_token_file) + ": " + what);
  };
  auto value = read_token_file(settings.api_token_file);
  if (!value) return failed(value.error().message);
  settings.api_token = *std::move(value);
  token_source = file_source;
  return {};
}

// A blank variable is one that is not set: that is how compose files and unit files leave
// one out.
Environment without_blank_ones(const Environment& environment) {
  return [&environment](const std::string& name) {
    auto value = environment(name);
    if (value && trimmed(*value).empty()) value.reset();
    return value;
  };
}

// The defaults, and over them the file: the flag's, or the variable's. Without one, no sections.
base::Result<FileValue> start_with_file(Settings& settings, const std::optional<std::string>& flag,
                                        const Environment& environment,
                                        const TokenReader& read_token,
                                        const OtherDefaults& others = {}) {
  if (auto applied = apply_defaults(settings, environment, others); !applied) {
    return tl::unexpected(applied.error());
  }
  if (flag) {
    if (trimmed(*flag).empty()) return invalid_input("--config: is blank");
    settings.config_file = *flag;
  } else if (const auto variable = environment(kFileVariable)) {
    settings.config_file = *variable;
  }
  if (settings.config_file.empty()) return FileValue{};
  return apply_file(settings, read_token);
}

// What a file's routes are, for who only judges answers by them. That takes no token, and none of
// the settings which flags and variables may change: whoever may not read the one, or has the other
// wrong, can judge all the same.
base::Result<std::shared_ptr<const Routing>> read_routing_alone(
    const std::optional<std::string>& flag, const Environment& variables) {
  const TokenReader unread = [](const std::string&) { return std::string("unread"); };
  Settings settings;
  const auto file = start_with_file(settings, flag, without_blank_ones(variables), unread);
  if (!file) return tl::unexpected(file.error());
  auto routing = read_routing(*file, settings, unread);
  if (!routing) return tl::unexpected(routing.error());
  return std::make_shared<const Routing>(*std::move(routing));
}

base::Result<Settings> read_settings(const CommandLine& command_line, const Environment& variables,
                                     const std::vector<std::string>& names,
                                     const OtherDefaults& others = {}) {
  const Environment environment = without_blank_ones(variables);
  Settings settings;
  const auto file =
      start_with_file(settings, command_line.config_file(), environment, read_token_file, others);
  if (!file) return tl::unexpected(file.error());
  const auto& table = setting_table();
  for (const Setting& setting : table) {
    const auto text = environment(setting.environment_variable());
    if (!text) continue;
    if (auto applied = apply(settings, setting, *text, {Source::Kind::Environment}); !applied) {
      return tl::unexpected(applied.error());
    }
  }
  for (std::size_t row = 0; row < table.size(); ++row) {
    const auto text = command_line.text(row);
    if (!text) continue;
    if (auto applied = apply(settings, table[row], *text, {Source::Kind::Flag}); !applied) {
      return tl::unexpected(applied.error());
    }
  }
  if (auto resolved = resolve_token(settings, environment); !resolved) {
    return tl::unexpected(resolved.error());
  }
  work_out_attempt_timeout(settings);
  auto routing = read_routing(*file, settings, read_token_file);
  if (!routing) return tl::unexpected(routing.error());
  settings.routing = std::make_shared<const Routing>(*std::move(routing));
  settings.warnings = mistyped_variables(names);
  for (std::string& warning : contradictions(settings)) {
    settings.warnings.push_back(std::move(warning));
  }
  return settings;
}

// With --try. What is started for it is so only where the settings are right and leave whom to ask
// to it.
base::Result<Settings> read_settings_to_try(const CommandLine& command_line,
                                            const Environment& environment,
                                            const std::vector<std::string>& names,
                                            const Program& program) {
  for (const char* const other : {"--print-config", "--check-config"}) {
    if (command_line.has(other)) {
      return invalid_input("--try and " + std::string(other) + ": give one of them, not both");
    }
  }
  const auto settings = read_settings(command_line, environment, names);
  if (!settings) return tl::unexpected(settings.error());
  if (!settings->is_default("api_url")) {
    return invalid_input(
        "--try and " +
        place_of(*find_setting("api_url"), *settings, settings->sources.at("api_url")) +
        ": give one of them, not both; --try has an upstream of its own");
  }
  const auto& upstreams = settings->routing->upstreams;
  if (std::any_of(upstreams.begin(), upstreams.end(),
                  [](const UpstreamConfig& upstream) { return !upstream.built_in; })) {
    return invalid_input("--try and the upstreams of " + settings->config_file +
                         ": give one of them, not both; --try has one for the built-in lookup");
  }
  const auto others = program.try_out(command_line.faults());
  if (!others) return tl::unexpected(others.error());
  return read_settings(command_line, environment, names, *others);
}

}  // namespace

Environment process_environment() {
  return [](const std::string& name) -> std::optional<std::string> {
    const char* value = std::getenv(name.c_str());
    if (value == nullptr) return std::nullopt;
    return value;
  };
}

std::vector<std::string> process_variables() {
  std::vector<std::string> names;
  for (char** variable = environ; variable != nullptr && *variable != nullptr; ++variable) {
    const std::string_view whole = *variable;
    names.emplace_back(whole.substr(0, whole.find('=')));
  }
  return names;
}

base::Result<AdminSocket> admin_socket_of(const std::optional<std::string>& config_file,
                                          const Environment& variables) {
  const Environment environment = without_blank_ones(variables);
  const Setting& setting = *find_setting("admin_socket");
  Settings settings;
  if (const auto text = environment(setting.environment_variable())) {
    const auto applied = apply(settings, setting, *text, {Source::Kind::Environment});
    if (!applied) return tl::unexpected(applied.error());
    return AdminSocket{settings.admin_socket, {}};
  }
  const TokenReader unread = [](const std::string&) { return std::string("unread"); };
  const auto file = start_with_file(settings, config_file, environment, unread);
  if (!file) return tl::unexpected(file.error());
  AdminSocket socket{settings.admin_socket, {}};
  if (!settings.is_default("admin_socket")) return socket;
  if (settings.admin_socket.empty()) socket.path.reset();
  socket.silent_file = settings.config_file;
  return socket;
}

base::Result<Outcome> load(int argc, const char* const* argv, const Environment& environment,
                           const Program& program, const std::vector<std::string>& variables) {
  if (is_store_command(argc, argv)) {
    auto command = parse_store_command(argc, argv, program);
    if (!command) return tl::unexpected(command.error());
    auto* const wanted = std::get_if<StoreCommand>(&*command);
    if (wanted != nullptr && wanted->action == StoreCommand::Action::Import) {
      auto routing = read_routing_alone(wanted->config_file, environment);
      if (!routing) return tl::unexpected(routing.error());
      wanted->routing = *std::move(routing);
    }
    return std::visit([](auto& what) { return Outcome(std::move(what)); }, *command);
  }
  const RequestCommand about = request_command(argc, argv);
  if (about != RequestCommand::None) {
    --argc;
    ++argv;
  }
  CommandLine command_line(program, about);
  if (auto parsed = command_line.parse(argc, argv); !parsed) return tl::unexpected(parsed.error());

  // These answer whatever the settings are.
  if (command_line.has("--help")) return Printout{command_line.help()};
  if (command_line.has("--version")) return Printout{program.name + " " + program.version + "\n"};
  if (command_line.has("--print-example-config")) return Printout{example_config()};
  if (command_line.has("--settings-table")) return Printout{settings_markdown()};
  if (command_line.has("--settings-man")) return Printout{settings_man()};
  for (const TextFlag& flag : program.text_flags) {
    if (command_line.has(flag.flag)) return Printout{flag.text()};
  }

  if (about != RequestCommand::None) {
    const std::string word = about == RequestCommand::Explain ? "explain" : "check";
    // What is wrong with the command itself comes before what is wrong with the settings.
    auto command = command_line.request();
    if (!command) {
      return invalid_input(word + ": " + command.error().message + "; see " + program.name + " " +
                           word + " --help");
    }
    auto settings = read_settings(command_line, environment, variables);
    if (!settings) return tl::unexpected(settings.error());
    if (about == RequestCommand::Check) return ToAsk{*std::move(settings), *std::move(command)};
    return ToExplain{*std::move(settings), *std::move(command)};
  }
  if (command_line.has("--try")) {
    auto settings = read_settings_to_try(command_line, environment, variables, program);
    if (!settings) return tl::unexpected(settings.error());
    return *std::move(settings);
  }
  if (command_line.faults()) {
    return invalid_input("--faults: it is for the upstream of --try, which is not given");
  }
  auto settings = read_settings(command_line, environment, variables);
  if (!settings) return tl::unexpected(settings.error());
  if (command_line.has("--print-config")) return Printout{print_config(*settings)};
  if (command_line.has("--check-config")) return ToCheck{*std::move(settings)};
  return *std::move(settings);
}

base::Result<std::string> read_token_file(const std::string& path) {
  auto text = read_file(path, kLargestTokenFile);
  if (!text) return tl::unexpected(text.error());
  return parse_token(*text);
}

}  // namespace holdfast::config
