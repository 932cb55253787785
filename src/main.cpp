// holdfast: a caching reverse proxy that keeps answering when its upstream does
// not. Settings in, parts together, run, drain.
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <string>

#include "base/standard_descriptors.h"
#include "config/config.h"
#include "daemon/admin_command.h"
#include "daemon/daemon.h"
#include "daemon/start_check.h"
#include "daemon/store_command.h"
#include "daemon/version.h"
#include "observe/metric_table.h"

namespace {

using namespace holdfast;

// A setting or the machine keeps us from starting.
constexpr int kCannotStart = 2;

int refuse(const std::string& why) {
  std::fprintf(stderr, "holdfast: %s\n", why.c_str());
  return kCannotStart;
}

config::Program program() {
  config::Program program;
  program.name = "holdfast";
  program.version = daemon::kVersion;
  program.summary = "A caching reverse proxy that keeps answering when its upstream does not.";
  program.text_flags = {{"--metrics-table", "Print the exported metrics as Markdown and exit.",
                         observe::metrics_markdown}};
  return program;
}

base::Result<config::Outcome> load(int argc, char** argv) {
  return config::load(argc, argv, config::process_environment(), program());
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
  return print(text + "the settings are valid\n");
}

int run(int argc, char** argv) {
  if (argc > 1 && std::string_view(argv[1]) == "admin")
    return daemon::admin_command(argc - 1, argv + 1);
  auto loaded = load(argc, argv);
  if (!loaded) return refuse(loaded.error().message);
  if (const auto* printout = std::get_if<config::Printout>(&*loaded)) return print(printout->text);
  if (const auto* to_check = std::get_if<config::ToCheck>(&*loaded)) {
    return check(to_check->settings);
  }
  if (const auto* command = std::get_if<config::StoreCommand>(&*loaded)) {
    return daemon::run_store_command(*command);
  }

  const auto reread = [=]() -> base::Result<config::Settings> {
    auto again = load(argc, argv);
    if (!again) return tl::unexpected(again.error());
    return std::get<config::Settings>(*std::move(again));
  };
  auto daemon = daemon::Daemon::make(std::get<config::Settings>(*std::move(loaded)), reread);
  if (!daemon) return refuse(daemon.error().message);
  return (*daemon)->run();
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (!base::open_standard_descriptors()) return kCannotStart;
    return run(argc, argv);
  } catch (const std::exception& error) {
    return refuse(error.what());
  }
}
