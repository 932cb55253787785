// holdfast: a caching reverse proxy that keeps answering when its upstream does
// not. Settings in, parts together, run, drain.
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "base/standard_descriptors.h"
#include "base/suggest.h"
#include "config/config.h"
#include "daemon/admin_command.h"
#include "daemon/check.h"
#include "daemon/daemon.h"
#include "daemon/explain_command.h"
#include "daemon/start_check.h"
#include "daemon/store_command.h"
#include "daemon/summary.h"
#include "daemon/version.h"
#include "observe/metric_table.h"
#include "trial/trial.h"

namespace {

using namespace holdfast;

// A setting or the machine keeps us from starting.
constexpr int kCannotStart = 2;

int refuse(const std::string& why) {
  std::fprintf(stderr, "holdfast: %s\n", why.c_str());
  return kCannotStart;
}

config::Program program(std::unique_ptr<trial::Trial>& trial) {
  config::Program program;
  program.name = "holdfast";
  program.version = daemon::kVersion;
  program.summary = "A caching reverse proxy that keeps answering when its upstream does not.";
  program.text_flags = {{"--metrics-table", "Print the exported metrics as Markdown and exit.",
                         observe::metrics_markdown}};
  program.try_out =
      [&trial](const std::optional<std::string>& faults) -> base::Result<config::OtherDefaults> {
    if (!trial) {
      auto started = trial::Trial::start(faults ? std::string_view(*faults) : trial::kUsualFaults);
      if (!started) return tl::unexpected(started.error());
      trial = *std::move(started);
    }
    return trial->defaults();
  };
  return program;
}

int print(const std::string& text) {
  const bool written = std::fputs(text.c_str(), stdout) >= 0 && std::fflush(stdout) == 0;
  return written ? 0 : refuse(std::string("standard output: ") + std::strerror(errno));
}

int check(const config::Settings& settings) {
  const auto checked = daemon::check_start(settings);
  if (!checked) return refuse(checked.error().message);
  std::string text;
  for (const auto* warnings : {&settings.warnings, &*checked}) {
    for (const std::string& warning : *warnings) text += "warning: " + warning + '\n';
  }
  return print(text + "the settings are valid\n\n" + daemon::settings_summary(settings));
}

// 1: no route takes it.
int explain(const config::ToExplain& what) {
  const auto explained = daemon::explain_command(what);
  if (!explained) return refuse(explained.error().message);
  const int printed = print(explained->text);
  return printed != 0 || explained->taken ? printed : 1;
}

// 1: it is not right, or nobody was asked.
int check_answer(const config::ToAsk& what) {
  const auto checked = daemon::check(what.settings, what.command);
  if (!checked) return refuse(checked.error().message);
  const int printed =
      print(what.command.json ? daemon::checked_json(*checked) : daemon::checked_text(*checked));
  return printed != 0 || checked->right ? printed : 1;
}

// A word in the place of a command that is none. It may be a secret that lost its flag, so that
// only what looks like a command is repeated.
std::string no_such_command(std::string_view word) {
  constexpr std::size_t kLongest = 15;
  const bool plain =
      word.size() <= kLongest && word.find_first_not_of("abcdefghijklmnopqrstuvwxyz-") == word.npos;
  const std::string hint = base::nearest(word, {"admin", "check", "explain", "store"});
  return (plain ? "\"" + std::string(word) + "\" is no command" : std::string("no such command")) +
         (hint.empty() ? "" : "; did you mean " + hint + "?") +
         "; there are admin, check, explain and store, and a flag for every setting, as --port "
         "3000 (see --help)";
}

int run(int argc, char** argv) {
  const std::string_view first = argc > 1 ? argv[1] : "";
  if (first == "admin") return daemon::admin_command(argc - 1, argv + 1);
  const bool is_command = first == "check" || first == "explain" || first == "store";
  if (argc > 1 && !is_command && !first.starts_with('-')) {
    return refuse(no_such_command(first));
  }
  std::unique_ptr<trial::Trial> trial;  // of --try; it outlives the daemon
  const auto load = [argc, argv, &trial] {
    return config::load(argc, argv, config::process_environment(), program(trial),
                        config::process_variables());
  };
  auto loaded = load();
  if (!loaded) return refuse(loaded.error().message);
  if (const auto* printout = std::get_if<config::Printout>(&*loaded)) return print(printout->text);
  if (const auto* to_check = std::get_if<config::ToCheck>(&*loaded)) {
    return check(to_check->settings);
  }
  if (const auto* what = std::get_if<config::ToExplain>(&*loaded)) return explain(*what);
  if (const auto* what = std::get_if<config::ToAsk>(&*loaded)) return check_answer(*what);
  if (const auto* command = std::get_if<config::StoreCommand>(&*loaded)) {
    return daemon::run_store_command(*command);
  }

  const auto reread = [load]() -> base::Result<config::Settings> {
    auto again = load();
    if (!again) return tl::unexpected(again.error());
    return std::get<config::Settings>(*std::move(again));
  };
  auto daemon = daemon::Daemon::make(std::get<config::Settings>(*std::move(loaded)), reread);
  if (!daemon) return refuse(daemon.error().message);
  if (trial) {
    (*daemon)->greet_with([&trial](const std::string& port) { return trial->greeting(port); });
  }
  return (*daemon)->run();
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (!base::open_standard_descriptors()) return kCannotStart;
    return run(argc, argv);
  } catch (const std::system_error& error) {
    const bool no_thread = error.code() == std::errc::resource_unavailable_try_again;
    return refuse((no_thread ? "no thread to be had (TasksMax, ulimit -u): " : std::string()) +
                  error.what());
  } catch (const std::exception& error) {
    return refuse(error.what());
  }
}
