// The end of a run in words, and as JSON. Pure functions; any thread.
#pragma once

#include <string>

#include "base/clock.h"
#include "plan.h"
#include "request_list.h"

namespace holdfast::warm {

struct Ending {
  base::Duration took{};
  bool interrupted = false;
  bool gave_up = false;
};

// Whether all that was listed is stored.
bool complete(const Plan& plan, const RequestList& list);

// Lines for people.
std::string summary_text(const Plan& plan, const RequestList& list, const Ending& ending);

// One object on one line: complete, interrupted, gave_up (booleans); gave_up_because (text,
// empty if it did not); addresses (all that is listed, paths too), paths (of those),
// stored, there, fetched, kept, not_found, failed, missing, pending, duplicates, bad_lines,
// requests, retries (counts); seconds; failures: a list of {ip, status, reason}, or of
// {path, status, reason}, a thousand at most.
std::string summary_json(const Plan& plan, const RequestList& list, const Ending& ending);

}  // namespace holdfast::warm
