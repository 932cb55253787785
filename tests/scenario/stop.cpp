// A stop ends, within its bound, whatever hangs; and what was closed when the daemon was
// started does not become something else.
#include <doctest/doctest.h>
#include <signal.h>
#include <sys/stat.h>

#include <filesystem>
#include <memory>

#include "frozen_thread.h"
#include "socket_unit.h"
#include "stage.h"

using namespace holdfast::scenario;

namespace {

// Its output is none of ours, so where it listens is told by the socket we pass.
struct Unheard {
  Unheard(const Folder& folder, const std::string& api_url, std::vector<std::string> launcher) {
    launcher.emplace_back(std::getenv("HOLDFAST"));
    process = std::make_unique<Process>(
        std::move(launcher),
        Process::Environment{{"API_URL", api_url},
                             {"API_TOKEN", Upstream::kToken},
                             {"STORE_PATH", (folder.path / "holdfast.db").string()}},
        std::vector<int>{unit.socket.get()});
  }
  std::string url(const std::string& path) const {
    return "http://127.0.0.1:" + std::to_string(unit.port) + path;
  }

  SocketUnit unit;
  std::unique_ptr<Process> process;
};

}  // namespace

TEST_CASE("a reader of the log that stands still holds up no answer, and not the stop") {
  const Folder folder;
  const std::string pipe = (folder.path / "log").string();
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  Upstream upstream;
  // Open for reading too, so that it never is without a reader; who never reads.
  Unheard daemon(folder, upstream.url(), {"/bin/sh", "-c", "exec 2<>'" + pipe + "' \"$@\"", "sh"});
  std::vector<Query> queries;
  const std::vector<std::string> ips = other_ips(500);  // more lines than a pipe holds
  for (const std::string& ip : ips) queries.push_back({daemon.url("/lookup/" + ip)});
  const Tally all = tally(ips, ask_all(queries, 20));
  INFO(all.first_problem);
  CHECK(all.ok == ips.size());
  daemon.process->signal(SIGTERM);
  CHECK(daemon.process->wait() == 0);
}

TEST_CASE("descriptors 0 to 2 that were closed at the start become nothing of ours") {
  const Folder folder;
  Upstream upstream;
  Unheard daemon(folder, upstream.url(), {"/bin/sh", "-c", "exec \"$@\" 0<&- 1>&- 2>&-", "sh"});
  CHECK(get(daemon.url("/lookup/8.8.8.8")).body == expected_body("8.8.8.8"));
  for (const char* fd : {"0", "1", "2"}) {
    CHECK(std::filesystem::read_symlink("/proc/" + std::to_string(daemon.process->pid()) + "/fd/" +
                                        fd) == "/dev/null");
  }
  daemon.process->signal(SIGTERM);
  CHECK(daemon.process->wait() == 0);
}

// As on a disk that hangs, in a look-up that does not return, in an endless loop.
TEST_CASE("a thread that hangs does not keep the daemon from ending, which says what hung") {
  struct Hang {
    const char* thread;
    const char* last_words;
  };
  const Hang hangs[] = {
      {"holdfast", R"("event":"stop_timed_out","waiting_for":"the control loop")"},
      {"worker-0", R"("event":"loop_hangs","loop":"worker-0")"},
      {"origin", R"("event":"loop_hangs","loop":"origin")"},
      {"store-writer", R"("event":"stop_timed_out","waiting_for":"the store")"},
  };
  Upstream upstream;
  struct Stage {
    Stage(const std::string& url, const char* thread)
        : daemon(folder, url,
                 {{"REQUEST_DEADLINE", "1s"},
                  {"WORKERS", "1"},
                  // Nobody joins what is left behind, and ThreadSanitizer would say so.
                  {"TSAN_OPTIONS", "halt_on_error=1:report_thread_leaks=0"}}) {
      REQUIRE(eventually([&] { return get(daemon.lookup_url("8.8.8.8")).status == 200; }));
      frozen = std::make_unique<FrozenThread>(daemon.process().pid(), thread);
    }
    Folder folder;
    Daemon daemon;
    std::unique_ptr<FrozenThread> frozen;
  };
  std::vector<std::unique_ptr<Stage>> stages;
  for (const Hang& hang : hangs) {
    CAPTURE(hang.thread);
    stages.push_back(std::make_unique<Stage>(upstream.url(), hang.thread));
  }
  // They end side by side: the longest of them takes REQUEST_DEADLINE and 11 s.
  for (const auto& stage : stages) stage->daemon.process().signal(SIGTERM);
  for (std::size_t i = 0; i < stages.size(); ++i) {
    CAPTURE(hangs[i].thread);
    Daemon& daemon = stages[i]->daemon;
    daemon.process().wait_for_line(hangs[i].last_words);
    daemon.process().wait_for_line(R"("event":"stopped","all_ended":false)");
    if (std::string(hangs[i].thread) != "holdfast") stages[i]->frozen->wait_for_end();
    CHECK(daemon.process().wait() == 1);
  }
}

TEST_CASE("what stdout does not take is told") {
  const Process::Environment none;
  Process process({"/bin/sh", "-c", "exec \"$@\" >/dev/full", "sh", std::getenv("HOLDFAST"),
                   "--settings-table"},
                  none);
  CHECK(process.wait() == 2);
  CHECK(process.output().find("holdfast: standard output: No space left") != std::string::npos);
}

TEST_CASE("a signal that means nothing here is a line in the log, and not the end") {
  const Folder folder;
  Upstream upstream;
  Daemon daemon(folder, upstream.url());
  for (const int signal : {SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGIO, SIGPWR, SIGSTKFLT,
                           SIGRTMIN, SIGRTMAX}) {
    daemon.process().signal(signal);
  }
  daemon.process().wait_for_line("\"event\":\"signal_ignored\"");
  for (int i = 0; i < 100; ++i) daemon.process().signal(SIGUSR1);
  CHECK(get(daemon.lookup_url("8.8.8.8")).status == 200);
  CHECK(daemon.stop() == 0);
  const std::string log = daemon.process().output();
  int told = 0;
  for (auto at = log.find("signal_ignored"); at != std::string::npos;
       at = log.find("signal_ignored", at + 1)) {
    ++told;
  }
  CHECK(told <= 30);
}
