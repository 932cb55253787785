// What became of each client, so that two schedules can be held against each other that differ in
// nothing but in what others asked for: no client's fate may depend on that, as long as there are
// slots for all and nobody tells us to slow down. One thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "base/clock.h"

namespace holdfast::simulation {

struct Fate {
  int status = 0;  // of the answer; an error's too
  std::string detail;
  bool fetched =
      false;  // what is stored is so for some time before, and others may have seen to it
  base::Duration patience{};
  base::Duration waited{};
  bool answered = false;
  bool explained = false;  // something was scarce meanwhile, or said by chance and for good
};

// By what was asked for, and when.
using Fates = std::map<std::pair<std::string, base::SteadyTime>, Fate>;

// Who was answered in good time where all keys are good must be answered where others' are bad.
// `compared` is increased for each client that this says something of. The promise that is
// broken, or empty.
std::string compare(const Fates& beside_bad, const Fates& beside_good, std::uint64_t& compared);

}  // namespace holdfast::simulation
