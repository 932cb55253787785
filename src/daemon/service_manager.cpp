#include "daemon/service_manager.h"

#include <sys/socket.h>
#include <systemd/sd-daemon.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>

namespace holdfast::daemon {
namespace {

constexpr base::Duration kStatusInterval = std::chrono::seconds(3);
// One late turn of a busy machine must not cost a restart.
constexpr int kFeedsPerWatchdog = 4;

std::string microseconds(base::Duration duration) {
  return std::to_string(std::chrono::duration_cast<std::chrono::microseconds>(duration).count());
}

}  // namespace

base::Result<std::vector<base::UniqueFd>> passed_sockets() {
  // The environment stays as it is: we start no programs that could mistake it
  // for theirs.
  const int count = sd_listen_fds(0);
  if (count < 0) {
    return base::internal_error(base::ErrorKind::Io,
                                std::string("LISTEN_FDS, LISTEN_PID: ") + std::strerror(-count));
  }
  std::vector<base::UniqueFd> sockets;
  for (int fd = SD_LISTEN_FDS_START; fd < SD_LISTEN_FDS_START + count; ++fd) {
    sockets.emplace_back(fd);
    if (sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 1) <= 0) {
      return base::internal_error(base::ErrorKind::Io,
                                  "LISTEN_FDS: the descriptor " + std::to_string(fd) +
                                      " that was passed is not a listening stream socket");
    }
  }
  return sockets;
}

ServiceManager::Settings ServiceManager::from_environment(observe::Log& log) {
  Settings settings;
  settings.send = [&log, failed = std::make_shared<bool>(false)](const std::string& message) {
    const int result = sd_notify(0, message.c_str());
    if (result >= 0 || std::exchange(*failed, true)) return;
    log.event(observe::Level::Warn, "service_manager_not_told",
              {{"setting", "NOTIFY_SOCKET"}, {"error", std::strerror(-result)}});
  };
  std::uint64_t usec = 0;
  if (sd_watchdog_enabled(0, &usec) > 0) settings.watchdog = std::chrono::microseconds(usec);
  return settings;
}

ServiceManager::ServiceManager(Settings settings, Parts parts)
    : settings_(std::move(settings)),
      parts_(std::move(parts)),
      interval_(settings_.watchdog
                    ? std::min(kStatusInterval, *settings_.watchdog / kFeedsPerWatchdog)
                    : kStatusInterval) {}

void ServiceManager::ready() {
  send_with_status("READY=1");
  if (!timer_.pending()) schedule();
}

void ServiceManager::reloading() {
  settings_.send("RELOADING=1\nMONOTONIC_USEC=" +
                 microseconds(parts_.loop.now().time_since_epoch()));
}

void ServiceManager::stopping(base::Duration longest) {
  send_with_status("STOPPING=1\nEXTEND_TIMEOUT_USEC=" + microseconds(longest));
}

void ServiceManager::schedule() {
  timer_.set_after(parts_.loop, interval_, [this] {
    check();
    schedule();
  });
}

void ServiceManager::check() {
  const bool was_stuck = !stuck_.empty();
  feed_or_accuse();
  // That a loop hangs, or turns again, is told at once.
  const bool news = was_stuck == stuck_.empty();
  if (!news && parts_.loop.now() - last_status_at_ < kStatusInterval) return;
  last_status_at_ = parts_.loop.now();
  if (status_line() != last_status_) send_with_status({});
}

std::string ServiceManager::status_line() const {
  return (stuck_.empty() ? "" : "stuck: " + stuck_ + "; ") + parts_.status();
}

void ServiceManager::feed_or_accuse() {
  std::string stuck;
  for (const std::string_view name : parts_.liveness.stuck(parts_.loop.now())) {
    if (!stuck.empty()) stuck += ", ";
    stuck += name;
  }
  if (stuck != stuck_) {
    if (stuck.empty()) {
      parts_.log.event(observe::Level::Warn, "loops_turn_again", {{"loops", stuck_}});
    } else {
      parts_.log.event(observe::Level::Error, "loops_stuck",
                       {{"loops", stuck}, {"watched", settings_.watchdog.has_value()}});
    }
    stuck_ = std::move(stuck);
  }
  if (stuck_.empty() && settings_.watchdog) settings_.send("WATCHDOG=1");
}

// One message, so that nobody sees a new state with the old line.
void ServiceManager::send_with_status(std::string message) {
  last_status_ = status_line();
  last_status_at_ = parts_.loop.now();
  if (!message.empty()) message += '\n';
  settings_.send(message + "STATUS=" + last_status_);
}

}  // namespace holdfast::daemon
