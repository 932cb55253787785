// `holdfast --try`: one command that shows the whole, and leaves nothing behind.
#include <doctest/doctest.h>
#include <signal.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "stage.h"

using namespace holdfast::scenario;

namespace {

// Words of the command line; the port is the kernel's unless they say another.
class Trial {
 public:
  explicit Trial(std::vector<std::string> words, Process::Environment environment = {})
      : process_(command(std::move(words)), std::move(environment)) {
    url_ = between(process_.wait_for_line("Holdfast serves GET "), "GET ", "/lookup/");
    faults_ = between(process_.wait_for_line("/faults "), "-d mixed=0.7 ", "/faults ");
  }

  const std::string& url() const { return url_; }
  std::string control(const std::string& path) const { return faults_ + "/" + path; }
  Process& process() { return process_; }

  // A tally of answers through it, for so many addresses.
  Tally looks_up(std::size_t most) const {
    const std::vector<std::string> ips = test_ips(most);
    std::vector<Query> queries;
    for (const std::string& ip : ips) queries.push_back({url_ + "/lookup/" + ip});
    return tally(ips, ask_all(queries, 20));
  }

 private:
  static std::vector<std::string> command(std::vector<std::string> words) {
    const char* const holdfast = std::getenv("HOLDFAST");
    REQUIRE(holdfast != nullptr);
    words.insert(words.begin(), {holdfast, "--try", "--port", "0", "--bind", "127.0.0.1"});
    return words;
  }
  static std::string between(const std::string& line, const std::string& before,
                             const std::string& behind) {
    CAPTURE(line);
    const std::size_t begin = line.find(before);
    REQUIRE(begin != line.npos);
    const std::size_t end = line.find(behind, begin + before.size());
    REQUIRE(end != line.npos);
    return line.substr(begin + before.size(), end - begin - before.size());
  }

  Process process_;
  std::string url_, faults_;
};

// What /proc says of a process: its state and its parent. None: it is gone, or only waits for
// whoever is to hear of that.
std::optional<pid_t> parent_of(const std::string& process) {
  std::ifstream file("/proc/" + process + "/stat");
  std::string stat;
  if (!std::getline(file, stat)) return std::nullopt;
  const std::size_t behind = stat.rfind(") ");  // its name
  if (behind == stat.npos || stat[behind + 2] == 'Z') return std::nullopt;
  return static_cast<pid_t>(std::atol(stat.c_str() + behind + 4));
}

std::vector<pid_t> children_of(pid_t parent) {
  std::vector<pid_t> children;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const std::string name = entry.path().filename().string();
    if (name.find_first_not_of("0123456789") != name.npos || parent_of(name) != parent) continue;
    children.push_back(static_cast<pid_t>(std::stol(name)));
  }
  return children;
}

pid_t upstream_of(Trial& trial) {
  const std::vector<pid_t> children = children_of(trial.process().pid());
  REQUIRE(children.size() == 1);
  return children.front();
}

bool is_gone(pid_t process) {
  return !parent_of(std::to_string(process));
}

void try_refuses(const std::vector<std::string>& arguments, const std::vector<std::string>& says,
                 const Process::Environment& environment = {}) {
  const Refusal refusal = start_refused(environment, arguments);
  INFO(refusal.output);
  CHECK(refusal.exit_code == 2);
  CHECK(std::count(refusal.output.begin(), refusal.output.end(), '\n') == 1);
  for (const std::string& text : says) {
    CAPTURE(text);
    CHECK(contains(refusal.output, text));
  }
}

}  // namespace

TEST_CASE("--try alone answers right, though three of ten answers of its upstream are wrong") {
  Trial trial({});
  const Tally answers = trial.looks_up(200);
  INFO(answers.first_problem);
  CHECK(answers.ok == 200);
  CHECK(contains(get(trial.control("stats")).body, "\"html\":0") == false);

  const pid_t upstream = upstream_of(trial);
  trial.process().signal(SIGTERM);
  CHECK(trial.process().wait() == 0);
  CHECK(is_gone(upstream));
}

TEST_CASE("--faults says what goes wrong, and its upstream can be told another thing") {
  Trial trial({"--faults=mixed=0.4,bom=0.02,html404=0.05,garbage=0.05"});
  const Tally answers = trial.looks_up(100);
  INFO(answers.first_problem);
  CHECK(answers.ok == 100);

  CHECK(ask({.url = trial.control("mode"), .method = "PUT", .body = "down"}).status == 200);
  CHECK(trial.looks_up(100).ok == 100);
  CHECK(get(trial.url() + "/metrics").status == 200);

  const pid_t upstream = upstream_of(trial);
  trial.process().signal(SIGINT);  // Ctrl-C
  CHECK(trial.process().wait() == 0);
  CHECK(is_gone(upstream));
}

TEST_CASE("a reload keeps the upstream that is tried") {
  Trial trial({"--faults", "none", "--log-level", "info"});
  const pid_t upstream = upstream_of(trial);
  trial.process().signal(SIGHUP);
  trial.process().wait_for_line("reloaded");
  CHECK(upstream_of(trial) == upstream);
  CHECK(trial.looks_up(5).ok == 5);
}

TEST_CASE("the upstream that is tried goes with the daemon, also where that is killed") {
  Trial trial({"--faults", "none"});
  const pid_t upstream = upstream_of(trial);
  trial.process().signal(SIGKILL);
  CHECK(trial.process().wait() == 128 + SIGKILL);
  CHECK(eventually([&] { return is_gone(upstream); }));
}

TEST_CASE("what is tried keeps nothing, unless STORE_PATH says where") {
  const Folder folder;
  const auto store = folder.path / "tried.db";
  {
    Trial trial({"--faults", "none"}, {{"STORE_PATH", store.string()}});
    CHECK(trial.looks_up(5).ok == 5);
    trial.process().signal(SIGTERM);
    CHECK(trial.process().wait() == 0);
  }
  CHECK(std::filesystem::exists(store));

  Trial trial({"--faults", "none"});
  CHECK(trial.looks_up(5).ok == 5);
  CHECK(contains(get(trial.url() + "/healthz").body, "no store: STORE_PATH is off"));
}

TEST_CASE("without --try there is no upstream of its own") {
  const Folder folder;
  Upstream upstream;
  Daemon daemon(folder, upstream.url());
  CHECK(get(daemon.lookup_url("8.8.8.8")).status == 200);
  CHECK(children_of(daemon.process().pid()).empty());
}

TEST_CASE("--try with what contradicts it is refused with exit code 2 and a line that names both") {
  try_refuses({"--try", "--api-url", "http://127.0.0.1:1"}, {"--try", "--api-url"});
  try_refuses({"--try"}, {"--try", "API_URL"}, {{"API_URL", "http://127.0.0.1:1"}});
  try_refuses({"--faults", "mixed=0.3"}, {"--faults", "--try"});
  try_refuses({"--try", "--faults", "mixed=2"}, {"--faults", "mixed"});
  try_refuses({"--try", "--faults", "no-such-fault=0.1"}, {"--faults", "no-such-fault"});
  try_refuses({"--try", "--faults"}, {"--faults"});
  try_refuses({"--try", "--check-config"}, {"--try", "--check-config"});
  try_refuses({"--try", "--cache-ttl", "never"}, {"--cache-ttl"});

  const Folder folder;
  const std::string file = (folder.path / "own.toml").string();
  std::ofstream(file) << "[upstream.a]\nurls = [\"http://127.0.0.1:1\"]\n"
                         "[[route]]\nname = \"a\"\nmatch = \"/a\"\n";
  try_refuses({"--try", "--config", file}, {"--try", file});
}
