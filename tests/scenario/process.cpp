#include "process.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "base/unique_fd.h"

namespace holdfast::scenario {

namespace {

constexpr int kFirstPassed = 3;
// Above any number that a passed descriptor gets in the program.
constexpr int kOutOfTheWay = 100;

// Only the program itself knows its pid before it runs.
std::vector<std::string> with_listen_pid(std::vector<std::string> command) {
  command.insert(command.begin(), {"/bin/sh", "-c", "LISTEN_PID=$$ exec \"$@\"", "sh"});
  return command;
}

}  // namespace

Process::Process(std::vector<std::string> command, Environment environment,
                 const std::vector<int>& passed) {
  if (!passed.empty()) {
    command = with_listen_pid(std::move(command));
    environment.emplace_back("LISTEN_FDS", std::to_string(passed.size()));
  }
  std::vector<std::string> variables;
  for (const auto& [name, value] : environment) variables.push_back(name + "=" + value);
  // Sanitizers are told what to do by their own variables.
  for (const char* name :
       {"PATH", "ASAN_OPTIONS", "LSAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"}) {
    if (const char* value = std::getenv(name)) variables.push_back(std::string(name) + "=" + value);
  }
  std::vector<char*> arguments;
  for (std::string& argument : command) arguments.push_back(argument.data());
  arguments.push_back(nullptr);
  std::vector<char*> variable_pointers;
  for (std::string& variable : variables) variable_pointers.push_back(variable.data());
  variable_pointers.push_back(nullptr);

  std::array<int, 2> pipe_fds{};
  if (pipe2(pipe_fds.data(), O_CLOEXEC) != 0) throw std::runtime_error("pipe2 failed");
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, pipe_fds[1], STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, pipe_fds[1], STDERR_FILENO);
  std::vector<base::UniqueFd> copies;
  for (std::size_t i = 0; i < passed.size(); ++i) {
    copies.emplace_back(fcntl(passed[i], F_DUPFD_CLOEXEC, kOutOfTheWay));
    posix_spawn_file_actions_adddup2(&actions, copies.back().get(),
                                     kFirstPassed + static_cast<int>(i));
  }
  const int error = posix_spawnp(&pid_, arguments[0], &actions, nullptr, arguments.data(),
                                 variable_pointers.data());
  posix_spawn_file_actions_destroy(&actions);
  close(pipe_fds[1]);
  output_fd_ = pipe_fds[0];
  if (error != 0) {
    close(output_fd_);
    throw std::runtime_error("cannot start " + command[0] + ": " + std::strerror(error));
  }
  reader_ = std::thread([this] { read_output(); });
}

Process::~Process() {
  if (!exit_code_) {
    kill(pid_, SIGKILL);
    wait();
  }
  reader_.join();
  close(output_fd_);
}

void Process::signal(int number) const {
  if (!exit_code_) kill(pid_, number);
}

std::string Process::wait_for_line(const std::string& text) {
  std::unique_lock lock(mutex_);
  std::size_t next = 0;
  std::optional<std::string> found;
  const auto look = [&] {
    for (; next < lines_.size() && !found; ++next) {
      if (lines_[next].find(text) != std::string::npos) found = lines_[next];
    }
    return found || ended_;
  };
  changed_.wait_for(lock, kPatience, look);
  if (found) return *found;
  std::string all;
  for (const std::string& line : lines_) all += line + "\n";
  throw std::runtime_error("no line with '" + text + "' came:\n" + all);
}

int Process::wait() {
  if (!exit_code_) {
    int status = 0;
    waitpid(pid_, &status, 0);
    exit_code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return ended_; });  // its last words
  }
  return *exit_code_;
}

bool Process::ended_by_itself() const {
  if (exit_code_) return false;
  siginfo_t ended{};
  return waitid(P_PID, static_cast<id_t>(pid_), &ended, WEXITED | WNOHANG | WNOWAIT) == 0 &&
         ended.si_pid == pid_;
}

std::vector<std::string> Process::lines() const {
  const std::lock_guard lock(mutex_);
  return lines_;
}

std::string Process::output() const {
  std::string all;
  for (const std::string& line : lines()) all += line + "\n";
  return all;
}

void Process::read_output() {
  std::string partial;
  std::array<char, 16384> buffer;
  for (;;) {
    const ssize_t size = read(output_fd_, buffer.data(), buffer.size());
    if (size < 0 && errno == EINTR) continue;
    const std::lock_guard lock(mutex_);
    if (size <= 0) {
      if (!partial.empty()) lines_.push_back(partial);
      ended_ = true;
      changed_.notify_all();
      return;
    }
    for (const char c : std::string_view(buffer.data(), static_cast<std::size_t>(size))) {
      if (c != '\n') {
        partial += c;
        continue;
      }
      lines_.push_back(std::exchange(partial, {}));
    }
    changed_.notify_all();
  }
}

}  // namespace holdfast::scenario
