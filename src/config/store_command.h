// The command line of `holdfast store ...`: what to do with which store's file.
// One thread.
#pragma once

#include <memory>
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
  std::shared_ptr<const Routing> routing;  // of Import: whose answers are taken
};

// Is the first argument "store"?
bool is_store_command(int argc, const char* const* argv);

// Text to print (--help), or what to do. An error is one line: exit with 2.
base::Result<std::variant<Printout, StoreCommand>> parse_store_command(int argc,
                                                                       const char* const* argv,
                                                                       const Program& program);

}  // namespace holdfast::config
