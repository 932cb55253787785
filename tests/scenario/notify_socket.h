// NotifySocket is the service manager's end of NOTIFY_SOCKET: it keeps every
// message of the daemon, in order.
#pragma once

#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/unique_fd.h"

namespace holdfast::scenario {

class NotifySocket {
 public:
  explicit NotifySocket(const std::filesystem::path& path);
  ~NotifySocket();
  NotifySocket(const NotifySocket&) = delete;
  NotifySocket& operator=(const NotifySocket&) = delete;

  // The place of the first message at or after `from` that contains `text`, seen
  // already or to come. Throws std::runtime_error after kPatience.
  std::size_t wait_for(const std::string& text, std::size_t from = 0);

  std::vector<std::string> messages() const;

 private:
  void read_messages();

  base::UniqueFd socket_;
  mutable std::mutex mutex_;  // guards messages_
  std::condition_variable changed_;
  std::vector<std::string> messages_;
  std::thread reader_;
};

}  // namespace holdfast::scenario
