// RedisServer is a node of the shared tier as people run one: Debian's redis-server, started by the
// test on a Unix socket in a folder of its own, with nothing kept on disk.
#pragma once

#include <doctest/doctest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

namespace holdfast::fleet::test {

class RedisServer {
 public:
  explicit RedisServer(const std::vector<std::string>& options = {}) {
    std::string name = (std::filesystem::temp_directory_path() / "holdfast-fleet-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    folder_ = name;
    start(options);
  }
  ~RedisServer() {
    stop();
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  RedisServer(const RedisServer&) = delete;
  RedisServer& operator=(const RedisServer&) = delete;

  std::string socket() const { return folder_ + "/redis.sock"; }

  void start(const std::vector<std::string>& options = {}) {
    std::vector<std::string> words{
        "redis-server", "--port", "0",     "--unixsocket", socket(),    "--save",        "",
        "--appendonly", "no",     "--dir", folder_,        "--logfile", folder_ + "/log"};
    words.insert(words.end(), options.begin(), options.end());
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    REQUIRE(::posix_spawnp(&process_, "redis-server", nullptr, nullptr, arguments.data(),
                           environ) == 0);
  }
  void tell(int signal) const { ::kill(process_, signal); }
  void stop() {
    if (process_ <= 0) return;
    ::kill(process_, SIGKILL);
    ::waitpid(process_, nullptr, 0);
    process_ = 0;
  }

 private:
  std::string folder_;
  pid_t process_ = 0;
};

}  // namespace holdfast::fleet::test
