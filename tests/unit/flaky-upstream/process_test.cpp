// The program itself. The environment says where it is.
#include <doctest/doctest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

#include "tls_client.h"

using namespace holdfast;
using namespace holdfast::flaky;

namespace {

// A child with its standard output, or its standard error, on a pipe.
class Process {
 public:
  Process(std::vector<std::string> arguments, int piped_fd) {
    const char* program = std::getenv("FLAKY_UPSTREAM");
    REQUIRE(program != nullptr);
    arguments.insert(arguments.begin(), program);
    std::vector<char*> argv;
    for (auto& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    std::array<int, 2> ends{};
    REQUIRE(::pipe(ends.data()) == 0);
    output_.reset(ends[0]);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::dup2(ends[1], piped_fd);
      ::close(ends[0]);
      ::close(ends[1]);
      ::execv(program, argv.data());
      ::_exit(127);
    }
    ::close(ends[1]);
  }
  ~Process() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
  }

  std::string line() {
    std::string text;
    for (char c; ::read(output_.get(), &c, 1) == 1 && c != '\n';) text += c;
    return text;
  }
  void signal(int number) { ::kill(pid_, number); }
  int exit_code() {
    int status = 0;
    ::waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

 private:
  pid_t pid_ = -1;
  base::UniqueFd output_;
};

}  // namespace

TEST_CASE("it prints its ports in one line, serves, and ends with 0 on SIGTERM") {
  Process process({"--port", "0", "--control-port", "0", "--faults", "mixed=0", "--etag"},
                  STDOUT_FILENO);
  const auto ready = process.line();
  CAPTURE(ready);
  CHECK(is_json(ready));
  const auto port = static_cast<std::uint16_t>(number_after(ready, "port"));
  const auto control_port = static_cast<std::uint16_t>(number_after(ready, "control_port"));
  const auto reply = ask(port, "/geoip/192.0.2.7");
  CHECK(reply.content == truth("192.0.2.7"));
  CHECK_FALSE(reply.field("ETag").empty());
  CHECK(ask(control_port, "/stats").status == 200);
  // With a request in flight as well.
  Client client(port);
  client.write("GET /geoip/192.0.2.7 HTTP/1.1\r\n");
  process.signal(SIGTERM);
  CHECK(process.exit_code() == 0);
}

TEST_CASE("with --tls it names a file with the CA's certificate, which goes when it goes") {
  Process process({"--port", "0", "--control-port", "0", "--tls", "--tls-name", "api.test"},
                  STDOUT_FILENO);
  const auto ready = process.line();
  CAPTURE(ready);
  CHECK(is_json(ready));
  const std::string key = "\"ca\":\"";
  const auto begin = ready.find(key);
  REQUIRE(begin != std::string::npos);
  const auto from = begin + key.size();
  const auto path = ready.substr(from, ready.find('"', from) - from);
  std::ifstream file(path);
  const std::string pem(std::istreambuf_iterator<char>(file), {});
  const auto port = static_cast<std::uint16_t>(number_after(ready, "port"));
  {
    TlsClient client(port, pem, "api.test");
    CHECK(client.problem() == "");
    client.write(get("/geoip/192.0.2.7"));
    CHECK(client.read().content == truth("192.0.2.7"));
  }
  process.signal(SIGTERM);
  CHECK(process.exit_code() == 0);
  CHECK_FALSE(std::filesystem::exists(path));
}

TEST_CASE("a bad option stops the start with 2 and one line that names it") {
  struct Bad {
    std::vector<std::string> arguments;
    const char* says;
  };
  for (const auto& bad :
       {Bad{{"--faults", "rest=1"}, "--faults: unknown fault \"rest\""},
        Bad{{"--latency", "20"}, "--latency: \"20\""},
        Bad{{"--latency", "256h"}, "--latency: \"256h\" is too long: 24h at most"},
        Bad{{"--latency-tail", "5s"}, "--latency-tail"}, Bad{{"--mode", "x"}, "--mode"},
        Bad{{"--port", "70000"}, "--port"}, Bad{{"--drip-interval", "0"}, "--drip-interval"},
        Bad{{"--mmdb", "/nonexistent"}, "--mmdb: cannot open /nonexistent"},
        Bad{{"--bind", "nowhere"}, "nowhere"}, Bad{{"--print", "x"}, "--print"},
        Bad{{"--tls-cert", "/nonexistent", "--tls-key", "/nonexistent"}, "--tls: /nonexistent"},
        Bad{{"--tls-cert", "x"}, "--tls-key"}, Bad{{"--close-after", "x"}, "--close-after"},
        Bad{{"--latency-for", "10.0.0.0/8"}, "--latency-for"},
        Bad{{"--latency-for", "10.0.0.0/40=1s"}, "--latency-for: \"10.0.0.0/40\""},
        Bad{{"--nonsense"}, "--nonsense"}}) {
    CAPTURE(bad.arguments[0]);
    Process process(bad.arguments, STDERR_FILENO);
    const auto line = process.line();
    CAPTURE(line);
    CHECK(line.starts_with("flaky-upstream: "));
    CHECK(line.find(bad.says) != std::string::npos);
    CHECK(process.line().empty());
    CHECK(process.exit_code() == 2);
  }
}

TEST_CASE("a port in use stops the start with 2") {
  Instance other;
  Process process({"--port", std::to_string(other.port()), "--control-port", "0"}, STDERR_FILENO);
  CHECK(process.line().find(std::to_string(other.port())) != std::string::npos);
  CHECK(process.exit_code() == 2);
}

TEST_CASE("--print gives the answer without serving") {
  Process process({"--print", "2001:DB8::7"}, STDOUT_FILENO);
  CHECK(process.line() == truth("2001:db8::7"));
  CHECK(process.exit_code() == 0);
}
