// FrozenThread stops one thread of a process that this one started, and lets it go
// on when destroyed: what a hung disk, a deadlock or an endless loop does to it. By
// ptrace, so it must live and die on the same thread.
#pragma once

#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <stdexcept>
#include <string>

#include "stage.h"

namespace holdfast::scenario {

// Thread ids and names.
inline std::map<pid_t, std::string> threads_of(pid_t process) {
  std::map<pid_t, std::string> threads;
  const auto tasks = "/proc/" + std::to_string(process) + "/task";
  for (const auto& task : std::filesystem::directory_iterator(tasks)) {
    std::ifstream comm(task.path() / "comm");
    std::string name;
    if (!std::getline(comm, name)) continue;  // it has ended
    threads[static_cast<pid_t>(std::stol(task.path().filename().string()))] = name;
  }
  return threads;
}

class FrozenThread {
 public:
  // `name` as in /proc: at most 15 characters. Waits for it: a daemon listens before each
  // of its threads has run and named itself. And waits until it waits itself: one that has a lock
  // of the allocator, say, would stop the others too.
  FrozenThread(pid_t process, const std::string& name) {
    if (!eventually([&] { return find(process, name); })) {
      throw std::runtime_error("no thread " + name);
    }
    if (!eventually([&] { return is_idle(process); })) {
      throw std::runtime_error("a thread that is never idle: " + name);
    }
    if (ptrace(PTRACE_SEIZE, thread_, nullptr, nullptr) != 0 ||
        ptrace(PTRACE_INTERRUPT, thread_, nullptr, nullptr) != 0) {
      throw std::runtime_error("ptrace: " + std::string(std::strerror(errno)));
    }
    int status = 0;
    if (waitpid(thread_, &status, __WALL) != thread_ || !WIFSTOPPED(status)) {
      throw std::runtime_error("the thread did not stop");
    }
  }
  // The process is gone, or going. Only then can the test see its end, if this was not
  // its main thread.
  void wait_for_end() const {
    int status = 0;
    while (waitpid(thread_, &status, __WALL) == thread_ && WIFSTOPPED(status)) {
    }
  }
  ~FrozenThread() {
    // A process whose end nobody has seen does not go before that of its thread has been.
    if (ptrace(PTRACE_DETACH, thread_, nullptr, nullptr) != 0) waitpid(thread_, nullptr, __WALL);
  }
  FrozenThread(const FrozenThread&) = delete;
  FrozenThread& operator=(const FrozenThread&) = delete;

 private:
  // The main thread goes before others of its name: threads that have not named themselves
  // yet have it too, and a sanitizer's own keeps it.
  bool find(pid_t process, const std::string& name) {
    for (const auto& [id, found] : threads_of(process)) {
      if (found == name && (thread_ == 0 || id == process)) thread_ = id;
    }
    return thread_ != 0;
  }

  // It waits for events, or for work.
  bool is_idle(pid_t process) const {
    std::ifstream file("/proc/" + std::to_string(process) + "/task/" + std::to_string(thread_) +
                       "/syscall");
    std::string call;
    if (!(file >> call)) return true;  // a kernel that does not tell: it is then taken as it comes
    if (call == "running") return false;
#ifdef SYS_epoll_wait
    if (call == std::to_string(SYS_epoll_wait)) return true;
#endif
    return call == std::to_string(SYS_epoll_pwait) || call == std::to_string(SYS_futex);
  }

  pid_t thread_ = 0;
};

}  // namespace holdfast::scenario
