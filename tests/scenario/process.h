// Process is a program a scenario started: its output line by line, its signals,
// its end. Destroying it kills it.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "patience.h"

namespace holdfast::scenario {

using holdfast::kPatience;

class Process {
 public:
  using Environment = std::vector<std::pair<std::string, std::string>>;

  // Throws std::runtime_error if it cannot be started. The environment is what is
  // given and PATH, nothing else. `passed` are descriptors that the program gets
  // as the service manager would pass them: from 3 up, named by LISTEN_FDS and
  // LISTEN_PID.
  Process(std::vector<std::string> command, Environment environment,
          const std::vector<int>& passed = {});
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  pid_t pid() const { return pid_; }
  void signal(int number) const;

  // The first line of standard output or error, seen already or to come, that
  // contains `text`. Throws std::runtime_error when the program ends first, or
  // after kPatience.
  std::string wait_for_line(const std::string& text);

  // The exit code, or 128 + the signal that ended it. Waits for it.
  int wait();
  // Whether it has ended though nobody waited for that.
  bool ended_by_itself() const;

  std::vector<std::string> lines() const;
  std::string output() const;

 private:
  void read_output();

  pid_t pid_ = -1;
  int output_fd_ = -1;
  std::optional<int> exit_code_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> lines_;
  bool ended_ = false;
  std::thread reader_;
};

}  // namespace holdfast::scenario
