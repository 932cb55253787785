// ServiceManager is what the daemon tells systemd, and what it is given by it:
//
//   sockets     passed_sockets(): listening already, and kept open by systemd
//               while we restart, so that no client is refused
//   READY       ready(); after a reload again
//   WATCHDOG    fed from a timer of the control loop, only while every loop turns
//   STATUS      a line for `systemctl status`, sent when it changes
//   RELOADING   reloading(), and then ready()
//   STOPPING    stopping(), with how long that may take
//
// Started by anything else, it says nothing. Main's thread.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/scheduler.h"
#include "base/unique_fd.h"
#include "observe/liveness.h"
#include "observe/log.h"

namespace holdfast::daemon {

// The sockets systemd passed to this process; none if it was started otherwise.
// They are ours to close afterwards, so ask once. Fails for one that is not a
// listening stream socket.
base::Result<std::vector<base::UniqueFd>> passed_sockets();

class ServiceManager {
 public:
  struct Settings {
    // Sends a message of lines NAME=value, in the words of sd_notify(3).
    std::function<void(const std::string& message)> send;
    // Without a sign of life for this long we are killed; none: nobody watches.
    std::optional<base::Duration> watchdog;
  };
  // What the environment (NOTIFY_SOCKET, WATCHDOG_USEC) asks for. `log` is told,
  // once, when a message cannot be sent.
  static Settings from_environment(observe::Log& log);

  struct Parts {
    base::Scheduler& loop;
    const observe::Liveness& liveness;
    observe::Log& log;
    std::function<std::string()> status;  // one line for an engineer
  };

  // Everything given outlives it.
  ServiceManager(Settings settings, Parts parts);

  // We serve. From the first call on, the watchdog is fed and the status kept.
  void ready();
  void reloading();
  // `longest` is what it may take, at worst, until the process ends.
  void stopping(base::Duration longest);

 private:
  void schedule();
  void check();
  void feed_or_accuse();
  std::string status_line() const;
  void send_with_status(std::string message);

  Settings settings_;
  Parts parts_;
  base::Duration interval_;
  base::Timer timer_;
  std::string stuck_;  // names of the loops that do not turn
  std::string last_status_;
  base::SteadyTime last_status_at_;
};

}  // namespace holdfast::daemon
