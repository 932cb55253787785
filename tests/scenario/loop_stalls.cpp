// Nothing blocks the origin loop, where everything slow is waited for: no call in it takes
// 50 ms, whatever clients, upstream, store and operators do at the time.
#include <doctest/doctest.h>
#include <signal.h>

#include <functional>
#include <string>
#include <vector>

#include "stage.h"

using namespace holdfast::scenario;

namespace {

// Under the sanitizers everything computes for several times as long, and is kept waiting by
// what else does; no look-up or lock is held any longer, which each daemon here is judged by.
constexpr bool kSanitized =
#ifdef SANITIZED
    true;
#else
    false;
#endif

// What a scenario does to a daemon of its own.
using Work = std::function<void(const Folder&, Daemon&, Upstream&)>;

// The stalls it told of.
std::string stalls_of(const Work& work, Process::Environment settings) {
  const Folder folder;
  Upstream upstream({"--latency", "5ms"});
  settings.emplace_back("ADMIN_SOCKET", (folder.path / "admin.sock").string());
  Daemon daemon(folder, upstream.url(), settings);
  work(folder, daemon, upstream);
  // It is measured at all.
  CHECK(daemon.metric("holdfast_loop_stall_seconds{loop=\"origin\"}") > 0);
  const double counted =
      daemon.metric("holdfast_loop_stalls_total{loop=\"origin\",cause=\"busy\"}") +
      daemon.metric("holdfast_loop_stalls_total{loop=\"origin\",cause=\"blocked\"}");
  CHECK(daemon.stop() == 0);
  // But for a disk that is slow: each miss is a read of the store, and waits for it.
  if (counted == 0) return {};
  std::string told = std::to_string(counted) + " stalls\n";
  for (const std::string& line : daemon.process().lines()) {
    if (contains(line, "loop_stalled")) told += line + "\n";
  }
  return told;
}

// A machine may hold up anything once. What is our fault comes again.
void expect_no_stall(const Work& work, const Process::Environment& settings = {}) {
  std::string told;
  for (int tries = 0; tries < 3; ++tries) {
    const std::string stalls = stalls_of(work, settings);
    if (stalls.empty() || kSanitized) return;
    told += stalls;
  }
  FAIL(told);
}

void admin(const std::string& socket, const std::string& target) {
  const Response done = ask({"http://holdfast" + target, "POST", {}, "x", socket});
  INFO(target << ": " << done.body << done.error);
  CHECK(done.status == 200);
}

std::string batch_of(const std::vector<std::string>& ips) {
  std::string json = "[";
  for (const std::string& ip : ips) json += (json.size() > 1 ? ",\"" : "\"") + ip + "\"";
  return json + "]";
}

}  // namespace

TEST_CASE(
    "misses of all kinds, faults, batches and an outage hold up the origin loop for no 50 ms") {
  const auto work = [](const Folder&, Daemon& daemon, Upstream& upstream) {
    const std::vector<std::string> ips = test_ips();
    CHECK(look_up_all(daemon, ips, 50).ok == ips.size());
    CHECK(look_up_all(daemon, ips, 50).ok == ips.size());
    upstream.tell("faults", "mixed=0.5");
    const std::vector<std::string> others = other_ips(1000);
    CHECK(look_up_all(daemon, others, 50).wrong == 0);
    const std::vector<std::string> fields{"Content-Type: application/json"};
    CHECK(ask({daemon.url("/lookup"), "POST", fields, batch_of(others)}).status == 200);
    upstream.tell("faults", "none");
    upstream.tell("mode", "down");
    CHECK(look_up_all(daemon, ips, 50).ok == ips.size());
    // A thousand new ones at once, whom nobody can answer.
    std::vector<Query> hopeless;
    for (int i = 0; i < 1000; ++i) {
      hopeless.push_back(
          {daemon.lookup_url("20.99." + std::to_string(i / 250) + "." + std::to_string(i % 250))});
    }
    ask_all(hopeless, 1000);
  };
  // Memory is too small for them all: what went from it is read from the store.
  expect_no_stall(work, {{"MEMORY_LIMIT", "1MiB"}});
}

TEST_CASE("what operators ask for holds up the origin loop for no 50 ms") {
  expect_no_stall([](const Folder& folder, Daemon& daemon, Upstream&) {
    const std::string socket = (folder.path / "admin.sock").string();
    std::vector<std::string> ips;
    for (int i = 0; i < 4096; ++i) {
      ips.push_back("20.77." + std::to_string(i / 256) + "." + std::to_string(i % 256));
    }
    CHECK(look_up_all(daemon, ips, 50).ok == ips.size());
    admin(socket, "/stale?block=20.77.0.0/20");
    CHECK(look_up_all(daemon, test_ips(), 50).wrong == 0);
    daemon.process().signal(SIGHUP);
    daemon.process().wait_for_line("\"event\":\"reloaded\"");
    admin(socket, "/purge?block=20.77.0.0/20");
    CHECK(look_up_all(daemon, ips, 50).ok == ips.size());
    admin(socket, "/purge?all");
  });
}
