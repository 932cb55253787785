// Bad settings stop the start with one line that names the culprit.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "base/unique_fd.h"
#include "frozen_thread.h"
#include "stage.h"

using namespace holdfast::scenario;

namespace {

void refuses(const Process::Environment& environment, const std::string& name,
             const std::vector<std::string>& arguments = {}) {
  const Refusal refusal = start_refused(environment, arguments);
  CAPTURE(name);
  INFO(refusal.output);
  CHECK(refusal.exit_code == 2);
  CHECK(refusal.output.find(name) != std::string::npos);
  CHECK(std::count(refusal.output.begin(), refusal.output.end(), '\n') == 1);
}

// How many of the daemon's threads are scheduled in real time, workers and others.
std::pair<int, int> realtime_threads(Daemon& daemon) {
  std::pair<int, int> count;
  for (const auto& [thread, name] : threads_of(daemon.process().pid())) {
    if (::sched_getscheduler(thread) == SCHED_OTHER) continue;
    ++(name.starts_with("worker-") ? count.first : count.second);
  }
  return count;
}

bool may_be_realtime() {
  bool may = false;
  std::thread([&may] {
    const sched_param lowest{.sched_priority = ::sched_get_priority_min(SCHED_RR)};
    may = ::sched_setscheduler(0, SCHED_RR, &lowest) == 0;
  }).join();
  return may;
}

// A machine of its own to start the daemon on, without IPv6; nobody reaches it there.
std::vector<std::string> without_ipv6() {
  return {"unshare", "--user", "--map-root-user", "--net", "python3", "-c", R"(
import fcntl, os, socket, struct, sys
up = struct.pack("16sH22x", b"lo", 1)
fcntl.ioctl(socket.socket(), 0x8914, up)  # SIOCSIFFLAGS
knob = "/proc/sys/net/ipv6/conf/all/disable_ipv6"
if os.path.exists(knob):
    with open(knob, "w") as file: file.write("1")
os.execvp(sys.argv[1], sys.argv[1:])
)"};
}

}  // namespace

TEST_CASE("a bad setting stops the start with exit code 2 and one line that names it") {
  const Folder folder;
  const std::string store = (folder.path / "holdfast.db").string();
  refuses({{"PORT", "abc"}}, "PORT");
  refuses({{"PORT", "70000"}}, "PORT");
  refuses({{"CACHE_TTL", "-1"}}, "CACHE_TTL");
  refuses({{"CACHE_TTL", "1 fortnight"}}, "CACHE_TTL");
  refuses({{"API_URL", "ftp://x"}}, "API_URL");
  refuses({{"STORE_PATH", ":memory:"}}, "STORE_PATH");
  refuses({{"STORE_PATH", "file:holdfast.db"}}, "STORE_PATH");
  refuses({{"BIND", "localhost.invalid"}}, "BIND");
  refuses({{"LOG_LEVEL", "chatty"}}, "LOG_LEVEL");
  refuses({{"API_TOKEN_FILE", (folder.path / "absent").string()}}, "API_TOKEN_FILE");
  refuses({}, "--no-such-flag", {"--no-such-flag"});

  std::ofstream(folder.path / "holdfast.toml") << "cache_tll = \"24h\"\n";
  refuses({}, "cache_tll", {"--config", (folder.path / "holdfast.toml").string()});
  refuses({}, "absent.toml", {"--config", (folder.path / "absent.toml").string()});
}

TEST_CASE(
    "real-time scheduling is for the workers alone, and where it is refused a warning says so") {
  const Folder folder;
  Upstream upstream;
  const Process::Environment settings{{"WORKERS", "2"}, {"WORKER_SCHEDULING", "realtime"}};
  const std::string warning = "worker_scheduling=realtime is not allowed here";
  {
    Daemon daemon(folder, upstream.url());
    CHECK(realtime_threads(daemon) == std::pair{0, 0});
  }
  if (may_be_realtime()) {
    Daemon daemon(folder, upstream.url(), settings);
    CHECK(get(daemon.lookup_url("8.8.8.8")).status == 200);
    CHECK(eventually([&] { return realtime_threads(daemon) == std::pair{2, 0}; }));
  } else {
    MESSAGE("this machine allows no real-time threads: only the refusal is tested");
  }
  Launch launch{.launcher = {"prlimit", "--rtprio=0:0"}};
  if (::geteuid() == 0) {
    launch.launcher.insert(launch.launcher.end(), {"setpriv", "--bounding-set=-sys_nice"});
  }
  Daemon daemon(folder, upstream.url(), settings, launch);
  daemon.process().wait_for_line(warning);
  CHECK(get(daemon.lookup_url("8.8.8.8")).status == 200);
  CHECK(realtime_threads(daemon) == std::pair{0, 0});
}

TEST_CASE("a word that is no command is refused in one line that says what there is") {
  const auto says = [](const std::vector<std::string>& arguments) {
    const Refusal refusal = start_refused({}, arguments);
    CHECK(refusal.exit_code == 2);
    CHECK(std::count(refusal.output.begin(), refusal.output.end(), '\n') == 1);
    return refusal.output;
  };
  CHECK(contains(says({"foo"}),
                 "\"foo\" is no command; there are admin, check, explain and store, and a flag"));
  CHECK(contains(says({"stroe"}), "did you mean store?"));
  // It may be a token that lost its flag.
  CHECK_FALSE(contains(says({"s3cr3t"}), "s3cr3t"));
  CHECK(
      contains(says({"admin", "foo"}), "no such verb; there are status, inspect, explain, purge"));
  CHECK(contains(says({"admin", "statsu"}), "did you mean status?"));
  CHECK(contains(says({"admin"}), "a verb is missing: status, inspect"));
  CHECK(contains(says({"admin", "purge"}), "expected: purge URL...|ADDRESS|BLOCK|path="));
  CHECK(contains(says({"admin", "--sockte", "x"}),
                 "the flags are --socket PATH, --config FILE, --json and --text"));
}

#ifndef SANITIZED  // a sanitizer has threads of its own, and ends without them
// As a user of whom nobody else is, as root may start any number; elsewhere the first thread
// is one too many.
TEST_CASE("a machine short of threads: the daemon serves, or says so in one line and ends") {
  const Folder folder;
  Upstream upstream;
  const bool root = ::geteuid() == 0;
  std::string program = std::getenv("HOLDFAST");
  std::vector<std::string> launcher;
  if (root) {
    std::filesystem::permissions(folder.path, std::filesystem::perms(0755));
    std::filesystem::copy_file(program, folder.path / "holdfast");
    program = (folder.path / "holdfast").string();
    launcher = {"setpriv", "--reuid=64123", "--regid=64123", "--clear-groups"};
    const auto disk = folder.path / "disk";
    std::filesystem::create_directory(disk);
    REQUIRE(::chown(disk.c_str(), 64123, 64123) == 0);
  }
  const std::string store = (folder.path / (root ? "disk/a.db" : "a.db")).string();
  bool serves = false;
  int refused = 0;
  for (int limit = 1; limit < 64 && !serves && (root || limit == 1); ++limit) {
    std::vector<std::string> command = launcher;
    command.insert(command.end(), {"prlimit", "--nproc=" + std::to_string(limit), program});
    Process process(command, {{"API_URL", upstream.url()},
                              {"API_TOKEN", Upstream::kToken},
                              {"PORT", "0"},
                              {"BIND", "127.0.0.1"},
                              {"WORKERS", "2"},
                              {"STORE_PATH", store}});
    const auto answers = [&] {
      const std::string output = process.output();
      const std::string before = "\"address\":\"127.0.0.1\",\"port\":";
      const auto at = output.find(before);
      if (at == std::string::npos) return false;
      const std::string port = std::to_string(std::atoi(output.c_str() + at + before.size()));
      return get("http://127.0.0.1:" + port + "/lookup/8.8.8.8").status == 200;
    };
    REQUIRE(eventually([&] {
      serves = answers();
      return serves || contains(process.output(), "holdfast: ") ||
             contains(process.output(), "terminate");
    }));
    if (serves) process.signal(SIGTERM);
    INFO(process.output());
    CHECK(process.wait() == (serves ? 0 : 2));
    if (serves) continue;
    ++refused;
    CHECK(contains(process.output(), "(TasksMax, ulimit -u): Resource temporarily unavailable"));
  }
  CHECK(serves == root);
  CHECK(refused > 0);
}
#endif

TEST_CASE("a port in use stops the start with exit code 2 and a line that names it") {
  const Folder folder;
  Upstream upstream;
  Daemon first(folder, upstream.url());
  const std::string port = std::to_string(first.port());
  const Refusal refusal = start_refused(
      {{"PORT", port}, {"BIND", "127.0.0.1"}, {"STORE_PATH", (folder.path / "other.db").string()}});
  INFO(refusal.output);
  CHECK(refusal.exit_code == 2);
  CHECK(refusal.output.find(port) != std::string::npos);
  CHECK(get(first.url("/livez")).status == 200);
}

TEST_CASE("where IPv6 is turned off the default is served without ::1, and a warning says so") {
  const Folder folder;
  Upstream upstream;
  std::vector<std::string> nothing = without_ipv6();
  nothing.push_back("true");
  if (Process(std::move(nothing), {}).wait() != 0) {
    MESSAGE("this machine allows no network namespace: not tested");
    return;
  }
  Daemon daemon(folder, upstream.url(), {{"BIND", ""}}, {.launcher = without_ipv6()});
  daemon.process().wait_for_line("cannot listen at ::1");
  CHECK(daemon.stop() == 0);
  // Who asks for it is told.
  CHECK_THROWS_WITH_AS(
      Daemon(folder, upstream.url(), {{"BIND", "127.0.0.1,::1"}}, {.launcher = without_ipv6()}),
      doctest::Contains("cannot listen at ::1"), std::runtime_error);
}

TEST_CASE("a store that cannot be opened costs the store, loudly, not the service") {
  const Folder folder;
  Upstream upstream;
  Daemon daemon(folder, upstream.url(),
                {{"STORE_PATH", (folder.path / "absent" / "holdfast.db").string()}});
  CHECK(get(daemon.lookup_url("8.8.8.8")).status == 200);
  CHECK(get(daemon.lookup_url("8.8.8.8")).field("Cache-Status").find("hit") != std::string::npos);
  CHECK(get(daemon.url("/readyz")).status == 200);
  const Response health = get(daemon.url("/healthz"));
  CHECK(health.status == 200);
  CHECK(health.body.find("degraded") != std::string::npos);
  daemon.process().wait_for_line("\"level\":\"error\"");
  CHECK(daemon.stop() == 0);
}

TEST_CASE("a pipe where the store should be holds nobody up") {
  const Folder folder;
  const std::string pipe = (folder.path / "pipe").string();
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  Upstream upstream;
  Daemon daemon(folder, upstream.url(), {{"STORE_PATH", pipe}});
  CHECK(get(daemon.lookup_url("8.8.8.8")).status == 200);
  CHECK(get(daemon.url("/healthz")).body.find("pipe is not a file") != std::string::npos);
  CHECK(daemon.stop() == 0);
}

TEST_CASE("--check-config finds what the start would, and minds no daemon at the same port") {
  const Folder folder;
  const std::string missing = (folder.path / "absent" / "file").string();
  const std::string other = (folder.path / "other").string();
  std::ofstream(other) << "not a certificate\n";
  const std::string pipe = (folder.path / "pipe").string();
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  for (const auto& [name, value] :
       std::vector<std::pair<std::string, std::string>>{{"BIND", "0.0.0.0,127.0.0.1"},
                                                        {"BIND", "192.0.2.1"},
                                                        {"API_TOKEN_FILE", missing},
                                                        {"API_CA_FILE", missing},
                                                        {"API_CA_FILE", other},
                                                        {"API_CLIENT_CERT_FILE", other},
                                                        {"STORE_PATH", missing},
                                                        {"STORE_PATH", folder.path.string()},
                                                        {"STORE_PATH", pipe},
                                                        {"ADMIN_SOCKET", missing},
                                                        {"ADMIN_SOCKET", other}}) {
    refuses({{name, value}, {"PORT", "0"}}, name, {"--check-config"});
  }
  Upstream upstream;
  Daemon daemon(folder, upstream.url());
  const Refusal good = start_refused(
      {{"PORT", std::to_string(daemon.port())}, {"BIND", "127.0.0.1"}}, {"--check-config"});
  CHECK(good.exit_code == 0);
  CHECK(get(daemon.url("/livez")).status == 200);
  const Refusal many = start_refused({{"WORKERS", "1024"}}, {"--check-config"});
  CHECK(many.exit_code == 0);
  CHECK(many.output.find("workers (1024) is more than") != std::string::npos);
}

TEST_CASE("BIND=:: is where clients of both families come") {
  const Folder folder;
  Upstream upstream;
  if (start_refused({{"BIND", "::"}, {"PORT", "0"}}, {"--check-config"}).exit_code != 0) return;
  Daemon daemon(folder, upstream.url(), {{"BIND", "::"}});
  CHECK(get(daemon.lookup_url("8.8.8.8")).status == 200);
  CHECK(daemon.stop() == 0);
}

TEST_CASE("blank variables are unset ones, and words may be in capitals") {
  const Refusal printed =
      start_refused({{"PORT", ""}, {"CACHE_TTL", " "}, {"LOG_LEVEL", "INFO"}}, {"--print-config"});
  CHECK(printed.exit_code == 0);
  CHECK(printed.output.find("port = 3000") != std::string::npos);
  CHECK(printed.output.find("log_level = \"info\"") != std::string::npos);
}

TEST_CASE("--check-config says yes or no without starting, and what the settings come to") {
  const Refusal good = start_refused({{"CACHE_TTL", "12h"}}, {"--check-config"});
  CHECK(
      contains(good.output, "the settings are valid\n\nupstream    api: http://localhost:8000\n"));
  CHECK(
      contains(good.output, "route       lookup: GET, HEAD /lookup/{ip:ip} -> api, /geoip/{ip}\n"));
  CHECK(contains(good.output, "fresh for 12h, "));
  CHECK(good.exit_code == 0);
  refuses({{"CACHE_TTL", "soon"}}, "CACHE_TTL", {"--check-config"});
}

namespace {

// A terminal, as far as who writes to it can see; ours is its other end.
class Terminal {
 public:
  Terminal() : ours_(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)) {
    REQUIRE(ours_);
    REQUIRE(::grantpt(ours_.get()) == 0);
    REQUIRE(::unlockpt(ours_.get()) == 0);
    name = ::ptsname(ours_.get());
    // As long as nobody has it open it has ended.
    theirs_ = holdfast::base::UniqueFd(::open(name.c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC));
    REQUIRE(theirs_);
  }
  // What was written up to the first `end`.
  std::string read_to(const std::string& end) {
    std::string text;
    const auto patience = std::chrono::milliseconds(kPatience).count();
    while (!contains(text, end)) {
      pollfd ready{ours_.get(), POLLIN, 0};
      REQUIRE(::poll(&ready, 1, static_cast<int>(patience)) == 1);
      char bytes[4096];
      const ssize_t n = ::read(ours_.get(), bytes, sizeof bytes);
      REQUIRE(n > 0);
      text.append(bytes, static_cast<std::size_t>(n));
    }
    return text;
  }

  std::string name;

 private:
  holdfast::base::UniqueFd ours_;
  holdfast::base::UniqueFd theirs_;
};

}  // namespace

TEST_CASE("on a terminal, and there alone, it says what it does where nobody said whom to ask") {
  const char* const holdfast = std::getenv("HOLDFAST");
  REQUIRE(holdfast != nullptr);
  const Folder folder;
  const auto on_terminal = [&](Process::Environment environment) {
    environment.insert(
        environment.end(),
        {{"PORT", "0"}, {"BIND", "127.0.0.1"}, {"STORE_PATH", (folder.path / "x.db").string()}});
    Terminal terminal;
    Process process({"/bin/sh", "-c", "exec \"$0\" 2>" + terminal.name, holdfast}, environment);
    return terminal.read_to("\"event\":\"listening\"");
  };
  const std::string words = on_terminal({});
  INFO(words);
  CHECK(words.find("Holdfast serves GET http://localhost:") == 0);
  CHECK(contains(words, "asks GET http://localhost:8000/geoip/{ip}"));
  CHECK(words.find("{\"ts\"") == words.find("The log follows.") + 18);
  CHECK(on_terminal({{"API_URL", "http://127.0.0.1:1"}}).front() == '{');
  // Elsewhere each line is one of the log.
  Daemon daemon(folder, "", {{"API_URL", ""}});
  CHECK(daemon.process().output().front() == '{');
}

TEST_CASE("the first line of the log names upstreams and routes") {
  const Folder folder;
  Upstream upstream;
  Daemon daemon(folder, upstream.url());
  const std::string line = daemon.process().lines().front();
  CHECK(contains(line, "\"event\":\"listening\""));
  CHECK(contains(line, "\"upstreams\":\"api " + upstream.url() + "\",\"routes\":\"lookup\""));
}
