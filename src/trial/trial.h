// Trial is what `holdfast --try` serves: an upstream that misbehaves on demand (flaky-upstream's
// code), in a process of its own, at ports of 127.0.0.1 that the kernel picks. That process ends
// with ours, however ours ends, and leaves nothing behind.
//
// A process and no thread, so that the daemon is the one that runs without it, to the last thread
// and descriptor, and so that what goes wrong there goes wrong elsewhere.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace holdfast::trial {

// What goes wrong where --faults does not say it.
inline constexpr std::string_view kUsualFaults = "mixed=0.3";

class Trial {
 public:
  // Before there are threads: it forks. Returns when the upstream listens. `faults` is what
  // flaky-upstream takes. Errors: InvalidInput, naming what is wrong with it; Io.
  static base::Result<std::unique_ptr<Trial>> start(std::string_view faults);
  // Ends the upstream.
  ~Trial();
  Trial(const Trial&) = delete;
  Trial& operator=(const Trial&) = delete;

  // Settings, by their keys, for the daemon in front of it: whom it asks, a port that is free,
  // nothing on the disk, a log for people. The same each time.
  const std::vector<std::pair<std::string, std::string>>& defaults() const { return defaults_; }

  // What is served at that port, and what one may do with it; a line each.
  std::string greeting(const std::string& port) const;

 private:
  Trial(pid_t child, base::UniqueFd life_line, std::string_view faults)
      : child_(child), life_line_(std::move(life_line)), faults_(faults) {}

  const pid_t child_;
  base::UniqueFd life_line_;  // the child ends when the last writing end of it is closed
  const std::string faults_;
  std::uint16_t port_ = 0, control_port_ = 0;
  std::vector<std::pair<std::string, std::string>> defaults_;
};

}  // namespace holdfast::trial
