// The command line of `holdfast store ...`: what to do with which store's file.
// One thread.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <variant>

#include "base/result.h"

namespace holdfast::config {

struct Program;
struct Routing;
struct Printout;

struct StoreCommand {
  enum class Action { Stats, Check, Export, Import, Compact };
  Action action = Action::Stats;
  std::string file;
  std::optional<std::string> config_file;  // of Import: --config
  // Of Import: by whose routes answers are judged. Never null once load() gave it.
  std::shared_ptr<const Routing> routing;
};

// Is the first argument "store"?
bool is_store_command(int argc, const char* const* argv);

// Text to print (--help), or what to do, still without routing. An error is one line: exit with 2.
base::Result<std::variant<Printout, StoreCommand>> parse_store_command(int argc,
                                                                       const char* const* argv,
                                                                       const Program& program);

}  // namespace holdfast::config
