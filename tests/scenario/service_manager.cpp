// Under a service manager: what it is told, the sockets it passes, a restart that
// no client sees, a watchdog that notices a stopped loop.
#include <doctest/doctest.h>
#include <signal.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <stdexcept>
#include <thread>

#include "base/unique_fd.h"
#include "frozen_thread.h"
#include "notify_socket.h"
#include "socket_unit.h"
#include "stage.h"

using namespace holdfast::scenario;
using holdfast::base::UniqueFd;

TEST_CASE("the service manager is told of readiness, of a reload and of the stop") {
  const Folder folder;
  Upstream upstream;
  NotifySocket manager(folder.path / "notify");
  Daemon daemon(folder, upstream.url(), {{"NOTIFY_SOCKET", (folder.path / "notify").string()}});
  const std::size_t ready = manager.wait_for("READY=1");
  CHECK(ready == 0);
  const std::string first = manager.messages()[ready];
  CHECK(first.find("STATUS=serving on " + std::to_string(daemon.port()) +
                   "; upstream up; 0 stored; ") != std::string::npos);

  CHECK(get(daemon.lookup_url("8.8.8.8")).status == 200);
  CHECK(get(daemon.lookup_url("8.8.8.8")).status == 200);
  manager.wait_for("; 1 stored; 100 % 200s of 2 in the last minute");
  // Batches count by element; what was no lookup, or wanted only what is stored, does not.
  const std::string all = daemon.url("/lookup");
  CHECK(ask({all, "POST", {"Content-Type: application/json"}, R"(["8.8.8.8","8.8.8.8"])"}).status ==
        200);
  CHECK(get(daemon.lookup_url("nowhere")).status == 400);
  CHECK(ask({daemon.lookup_url("9.9.9.9"), "GET", {"Cache-Control: only-if-cached"}}).status ==
        504);
  manager.wait_for("; 1 stored; 100 % 200s of 4 in the last minute");

  const std::size_t before = manager.messages().size();
  daemon.process().signal(SIGHUP);
  const std::size_t reloading = manager.wait_for("RELOADING=1\nMONOTONIC_USEC=", before);
  const std::size_t again = manager.wait_for("READY=1", reloading);
  CHECK(again == reloading + 1);

  CHECK(daemon.stop() == 0);
  const std::size_t stopping = manager.wait_for("STOPPING=1");
  CHECK(manager.messages()[stopping].find("EXTEND_TIMEOUT_USEC=23000000") != std::string::npos);
  CHECK(manager.messages()[stopping].find("STATUS=draining") != std::string::npos);
  for (const std::string& message : manager.messages()) {
    CHECK(message.find("WATCHDOG") == std::string::npos);  // nobody asked
  }
}

TEST_CASE("a passed socket is served by every worker, in place of PORT and BIND") {
  const Folder folder;
  Upstream upstream;
  const SocketUnit first, second;
  // The store is in the way of nobody; the port of somebody else is not bound.
  Daemon daemon(folder, upstream.url(),
                {{"WORKERS", "3"}, {"BIND", "127.0.0.1"}, {"PORT", std::to_string(first.port)}},
                {.passed = {first.socket.get(), second.socket.get()}});
  CHECK(daemon.port() == first.port);
  CHECK(get(daemon.lookup_url("8.8.8.8")).status == 200);
  const std::string other = "http://127.0.0.1:" + std::to_string(second.port) + "/lookup/8.8.8.8";
  CHECK(get(other).body == expected_body("8.8.8.8"));
  daemon.process().wait_for_line("port is not used: the service manager passes the sockets");
  CHECK(daemon.stop() == 0);
}

TEST_CASE("a descriptor that is no listening socket stops the start with a line that names it") {
  const Folder folder;
  const UniqueFd idle(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  Upstream upstream;
  CHECK_THROWS_WITH_AS(Daemon(folder, upstream.url(), {}, {.passed = {idle.get()}}),
                       doctest::Contains("LISTEN_FDS: the descriptor 3"), std::runtime_error);
}

TEST_CASE("sockets meant for another process are left alone") {
  const Folder folder;
  Upstream upstream;
  Daemon daemon(folder, upstream.url(), {{"LISTEN_FDS", "1"}, {"LISTEN_PID", "1"}});
  CHECK(get(daemon.url("/livez")).status == 200);
}

TEST_CASE("restarts with a passed socket: no client is refused, no request lost, warm at once") {
  const Folder folder;
  Upstream upstream;
  const SocketUnit unit;
  const auto ips = test_ips(200);
  auto daemon = std::make_unique<Daemon>(folder, upstream.url(), one_attempt(),
                                         Launch{.passed = {unit.socket.get()}});
  REQUIRE(look_up_all(*daemon, ips, 8).ok == ips.size());
  const std::uint64_t asked_upstream = upstream.count("requests");

  std::vector<Query> queries;
  for (const std::string& ip : ips) {
    queries.push_back({"http://127.0.0.1:" + std::to_string(unit.port) + "/lookup/" + ip});
    // Half of them on new connections, which nothing retries.
    if (queries.size() % 2 == 0) queries.back().fields = {"Connection: close"};
  }
  constexpr int kRestarts = 5;
  constexpr int kMostRounds = 1000;
  std::atomic<int> rounds{0};
  std::vector<std::string> problems;
  std::jthread clients([&](const std::stop_token& enough) {
    for (; !enough.stop_requested() && rounds < kMostRounds; ++rounds, rounds.notify_one()) {
      const auto responses = ask_all(queries, 8);
      for (std::size_t i = 0; i < responses.size(); ++i) {
        const Response& response = responses[i];
        if (response.status == 200 && response.body == expected_body(ips[i])) continue;
        problems.push_back(ips[i] + ": " + std::to_string(response.status) + " " + response.error);
      }
    }
  });
  int clean_exits = 0;
  for (int i = 0; i < kRestarts; ++i) {
    const int enough = std::min(rounds + 2, kMostRounds);
    for (int seen = rounds; seen < enough; seen = rounds) rounds.wait(seen);
    clean_exits += daemon->stop() == 0;
    daemon = std::make_unique<Daemon>(folder, upstream.url(), Process::Environment{},
                                      Launch{.passed = {unit.socket.get()}});
  }
  clients.request_stop();
  clients.join();

  CHECK(clean_exits == kRestarts);
  CHECK(rounds > kRestarts);
  CAPTURE(rounds.load());
  CHECK_MESSAGE(problems.empty(), problems.size() << " problems, the first: " << problems.front());
  CHECK(upstream.count("requests") == asked_upstream);
}

TEST_CASE("a stopped loop starves the watchdog and is named; once it turns, all is well") {
  const Folder folder;
  Upstream upstream;
  NotifySocket manager(folder.path / "notify");
  Daemon daemon(
      folder, upstream.url(),
      {{"NOTIFY_SOCKET", (folder.path / "notify").string()}, {"WATCHDOG_USEC", "1000000"}});
  const std::size_t fed = manager.wait_for("WATCHDOG=1");
  manager.wait_for("WATCHDOG=1", fed + 1);
  CHECK(get(daemon.lookup_url("8.8.8.8")).status == 200);
  std::size_t accused = 0;
  {
    daemon.may_be_blocked();
    const FrozenThread origin(daemon.process().pid(), "origin");
    accused = manager.wait_for("STATUS=stuck: origin; ");
    // Three times as long as the watchdog would wait.
    const std::string lag = "holdfast_loop_lag_seconds{loop=\"origin\"}";
    const double then = daemon.metric(lag);
    while (daemon.metric(lag) < then + 3) {
    }
    CHECK(get(daemon.lookup_url("8.8.8.8")).status == 200);
    CHECK(get(daemon.url("/livez")).status == 503);
    const auto messages = manager.messages();
    CHECK(std::none_of(messages.begin() + static_cast<std::ptrdiff_t>(accused), messages.end(),
                       [](const std::string& text) { return text == "WATCHDOG=1"; }));
  }
  manager.wait_for("STATUS=serving on", accused + 1);
  manager.wait_for("WATCHDOG=1", accused + 1);
  daemon.process().wait_for_line("\"event\":\"loops_turn_again\"");
  CHECK(daemon.stop() == 0);
}
