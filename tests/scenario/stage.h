// The stage of a scenario: a flaky upstream and the real daemon in front of it,
// each a process of its own on ports the kernel picked, in a folder of its own.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "client.h"
#include "process.h"

namespace holdfast::scenario {

// A folder that goes away with everything in it.
class Folder {
 public:
  Folder();
  ~Folder();
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::filesystem::path path;
};

// Of `options`, --api makes it another API than the lookup, and --token, --token-field and
// --token-query say what it asks for; else the lookup asks for kToken.
class Upstream {
 public:
  explicit Upstream(std::vector<std::string> options = {});

  std::string url() const;
  // Sends `content` to a knob of the control port: tell("faults", "500=0.3").
  void tell(const std::string& knob, const std::string& content);
  // The same for what is asked of one thing: script("/packages/a", "500,ok").
  void script(const std::string& subject, const std::string& outcomes);
  // A number of the control port's statistics, by its JSON member name. A subject is an address,
  // or what another API calls its key ("/packages/a").
  std::uint64_t count(const std::string& member, const std::string& subject = "");
  std::string stats(const std::string& subject = "");
  // The latest requests as they came, as JSON: {"requests":[{"method":...},...]}.
  std::string heard();
  // Returns when the condition holds: wait_until("in_flight=5").
  void wait_until(const std::string& condition);
  // As after a crash: connections are refused from now on.
  void kill();

  static constexpr const char* kToken = "s3cr3t-t0ken-for-scenarios";

 private:
  std::string control_url(const std::string& path) const;

  std::unique_ptr<Process> process_;
  std::uint16_t port_ = 0;
  std::uint16_t control_port_ = 0;
};

// What a healthy upstream of that API (flaky-upstream --api) says, byte for byte.
std::string api_says(const std::string& api, const std::string& target,
                     const std::string& accept_language = "");

// How a daemon is started, if not simply.
struct Launch {
  // Starts the program, whose path is its last argument: a shell that sets a limit
  // first, say.
  std::vector<std::string> launcher;
  std::string program;      // instead of the one under test: a copy of it
  std::vector<int> passed;  // descriptors, as for Process
};

class Daemon {
 public:
  // `settings` come on top of: API_URL, API_TOKEN, BIND=127.0.0.1, PORT=0 and a
  // STORE_PATH in `folder`; an empty value takes one of these away. Waits until it
  // listens.
  Daemon(const Folder& folder, const std::string& api_url, Process::Environment settings = {},
         Launch launch = {});
  // The test has failed if something blocked the origin loop: no call in it may.
  ~Daemon();

  // A test that freezes threads, or the disk, has it blocked by that.
  void may_be_blocked() { may_be_blocked_ = true; }

  std::string url(const std::string& path) const;
  std::string lookup_url(const std::string& ip) const { return url("/lookup/" + ip); }
  std::uint16_t port() const { return port_; }
  Process& process() { return *process_; }
  const Process& process() const { return *process_; }

  // SIGTERM; returns the exit code.
  int stop();
  // SIGKILL.
  void kill();

  // Returns when the condition holds of the value of a line of /metrics; throws
  // std::runtime_error after kPatience.
  void wait_for_metric(const std::string& series, const std::function<bool(double)>& holds) const;
  // The value of one line of /metrics, name and labels as written there; 0 if absent.
  double metric(const std::string& series) const;
  // All series of a family added up, whatever their labels.
  double metric_sum(const std::string& family) const;

 private:
  std::unique_ptr<Process> process_;
  std::uint16_t port_ = 0;
  bool may_be_blocked_ = false;
};

// A daemon whose upstreams and routes are those of the text, which is its settings file then.
std::filesystem::path routing_file(const Folder& folder);
Daemon routed(const Folder& folder, const std::string& file, Process::Environment settings = {});

// Settings with which a fetch is one attempt, however slow the machine: for tests that
// count what reaches the upstream. An answer that takes 100 ms would be hedged. After eight
// answers the attempts' timeout is learned from them and may be 200 ms.
Process::Environment one_attempt(Process::Environment more = {});

// Starts the daemon, which is expected to refuse: its exit code and output.
struct Refusal {
  int exit_code = 0;
  std::string output;
};
Refusal start_refused(const Process::Environment& environment,
                      const std::vector<std::string>& arguments = {});

// Waits until the condition holds, for kPatience at most; returns whether it does.
bool eventually(const std::function<bool()>& condition);

// The addresses of test_ips.txt, at most `most` of them.
std::vector<std::string> test_ips(std::size_t most = SIZE_MAX);

// What the flaky upstream says of an address, byte for byte.
std::string expected_body(const std::string& ip);

// `count` addresses of which none is in test_ips.txt; the same ones each time.
std::vector<std::string> other_ips(std::size_t count);

// What came back for each address.
struct Tally {
  std::size_t ok = 0;     // 200 with the right body
  std::size_t wrong = 0;  // 200 with any other body
  std::size_t other = 0;  // no 200
  std::vector<Response> responses;
  std::string first_problem;  // of the first that is not ok
};
Tally tally(const std::vector<std::string>& ips, std::vector<Response> responses);

std::vector<Query> lookups(const Daemon& daemon, const std::vector<std::string>& ips);

// Asks the daemon for every address, `concurrency` at a time.
Tally look_up_all(const Daemon& daemon, const std::vector<std::string>& ips,
                  std::size_t concurrency);

}  // namespace holdfast::scenario
