// A command of the program, run to its end: its exit code, and all that it said.
#pragma once

#include <doctest/doctest.h>

#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "process.h"

namespace holdfast::scenario {

struct Said {
  int code = 0;
  std::string output;
  bool has(const std::string& text) const { return output.find(text) != std::string::npos; }
};

inline Said run_holdfast(std::vector<std::string> words, const Process::Environment& environment) {
  const char* const holdfast = std::getenv("HOLDFAST");
  REQUIRE(holdfast != nullptr);
  words.insert(words.begin(), holdfast);
  Process process(std::move(words), environment);
  const int code = process.wait();
  return {code, process.output()};
}

}  // namespace holdfast::scenario
