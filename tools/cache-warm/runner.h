// Runs a plan against the daemon until it is done, cannot go on, or a signal
// asks for an end. One thread; blocks.
#pragma once

#include "base/clock.h"
#include "base/unique_fd.h"
#include "options.h"
#include "plan.h"
#include "progress.h"
#include "request_list.h"
#include "summary.h"

namespace holdfast::warm {

// SIGINT and SIGTERM as a descriptor that becomes readable: from its making on
// they end nothing by themselves.
class StopSignals {
 public:
  // Throws std::runtime_error if the system refuses.
  StopSignals();
  int fd() const { return fd_.get(); }
  bool came() const;

 private:
  base::UniqueFd fd_;
};

// Whether /readyz says yes, waiting for it if the options say so. If not, one
// line on stderr says why. False also when a signal came.
bool daemon_is_ready(const Options& options, const StopSignals& signals);

Ending run(Plan& plan, const RequestList& list, const Options& options, const StopSignals& signals,
           Progress& progress);

}  // namespace holdfast::warm
