// No client, however slow, silent or greedy, keeps the others from their answers.
#include <doctest/doctest.h>
#include <sys/resource.h>

#include <algorithm>
#include <thread>

#include "raw_client.h"
#include "stage.h"

using namespace holdfast::scenario;

namespace {

constexpr std::size_t kIdle = 2000, kTrickling = 200, kUnread = 50;
constexpr std::size_t kTrickledBytes = 8000;
// What the test, or the daemon, needs besides these connections.
constexpr std::size_t kOwnDescriptors = 300;

}  // namespace

TEST_CASE("1000 lookups are all 200 beside thousands of idle, trickling and unread connections") {
  // The daemon inherits the limit and needs as many. Where it is low, fewer are idle.
  const std::size_t others = kTrickling + kUnread + kOwnDescriptors;
  const std::size_t descriptors = raise_descriptor_limit();
  REQUIRE(descriptors > others);
  const std::size_t idle_count = std::min(kIdle, descriptors - others);
  const Folder folder;
  Upstream upstream;
  // So long that none of them is gone before the lookups are done.
  Daemon daemon(folder, upstream.url(),
                {{"IDLE_TIMEOUT", "1h"},
                 {"HEAD_TIMEOUT", "1h"},
                 {"BODY_TIMEOUT", "1h"},
                 {"WRITE_TIMEOUT", "1h"}});
  const std::string hit = get_request("/lookup/8.8.8.8");
  CHECK(get(daemon.lookup_url("8.8.8.8")).status == 200);

  std::vector<RawClient> idle, trickling, unread;
  for (std::size_t i = 0; i < idle_count; ++i) {
    idle.emplace_back(daemon.port());
    REQUIRE(idle.back().connected());
  }
  for (std::size_t i = 0; i < kTrickling; ++i) {
    trickling.emplace_back(daemon.port());
    REQUIRE(trickling.back().send(i % 2 == 0 ? "GET /lookup/8.8.8.8 HTTP/1.1\r\nHost: a\r\n"
                                             : "POST /lookup HTTP/1.1\r\nHost: a\r\n"
                                               "Content-Length: 60000\r\n\r\n"));
  }
  std::string many;
  for (int i = 0; i < 200; ++i) many += hit;
  for (std::size_t i = 0; i < kUnread; ++i) {
    unread.emplace_back(daemon.port(), 4096);
    // Until the daemon reads no more of it. Once more when the first piece is
    // through, as it takes its answers a while to fill what is between us.
    while (unread.back().send_some(many) > 0) {
    }
  }
  std::jthread hostile([&](const std::stop_token& stop) {
    for (std::size_t n = 0; !stop.stop_requested(); ++n) {
      RawClient& slow = trickling[n % trickling.size()];
      // However long the lookups take, no head or content becomes too large or whole.
      if (n < trickling.size() * kTrickledBytes) slow.send_some(n % 2 == 0 ? "X" : "[");
      unread[n % unread.size()].send_some(many);
    }
  });
  const Tally tally = look_up_all(daemon, test_ips(), 20);
  hostile.request_stop();
  hostile.join();
  INFO(tally.first_problem);
  CHECK(tally.ok == 1000);
  CHECK(tally.wrong == 0);
  CHECK(tally.other == 0);

  // They all are still there, and served when they ask for something.
  const std::size_t there = idle_count + trickling.size() + unread.size();
  daemon.wait_for_metric("holdfast_connections",
                         [&](double count) { return count >= static_cast<double>(there); });
  for (std::size_t i = 0; i < idle.size(); i += 10) CHECK(idle[i].ask(hit).status == 200);
  for (std::size_t i = 0; i < 1000; ++i) {
    if (unread[0].read().status != 200) {
      FAIL_CHECK("answer " << i << " of a slow reader");
      break;
    }
  }
}

TEST_CASE("a half-closed client gets all its answers, those that take a while too") {
  const Folder folder;
  Upstream upstream;
  Daemon daemon(folder, upstream.url(), one_attempt());
  upstream.tell("hold", "");
  RawClient client(daemon.port());
  client.send(get_request("/lookup/8.8.8.8") + get_request("/lookup/8.8.4.4") +
              get_request("/livez"));
  client.half_close();
  upstream.wait_until("held=1");
  upstream.tell("release", "");
  CHECK(client.read().body == expected_body("8.8.8.8"));
  CHECK(client.read().body == expected_body("8.8.4.4"));
  CHECK(client.read().status == 200);
  CHECK(client.ends());
}

TEST_CASE("pipelined requests are answered in order, hits behind misses") {
  const Folder folder;
  Upstream upstream({"--latency", "5ms"});
  Daemon daemon(folder, upstream.url());
  const std::vector<std::string> ips = test_ips(100);
  for (std::size_t i = 0; i < ips.size(); i += 2)
    CHECK(get(daemon.lookup_url(ips[i])).status == 200);
  std::string requests;
  for (const std::string& ip : ips) requests += get_request("/lookup/" + ip);
  RawClient client(daemon.port());
  client.send(requests);
  for (const std::string& ip : ips) CHECK(client.read().body == expected_body(ip));
}

TEST_CASE("a client that asks nothing but nonsense does not fill the log") {
  const Folder folder;
  Upstream upstream;
  Daemon daemon(folder, upstream.url(), {{"WORKERS", "1"}});
  const std::string batch =
      "POST /lookup HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
      "Content-Length: 1\r\n\r\n[";
  RawClient client(daemon.port());
  for (int i = 0; i < 100; ++i) {
    client.send(get_request("/lookup/nonsense") + get_request("/nonsense") + batch);
    CHECK(client.read().status == 400);
    CHECK(client.read().status == 404);
    CHECK(client.read().status == 400);
  }
  CHECK(daemon.metric(
            R"(holdfast_requests_total{route="lookup_batch",code="400",cache="error"})") == 100);
  CHECK(daemon.stop() == 0);
  const auto lines = daemon.process().lines();
  const auto told = std::count_if(lines.begin(), lines.end(), [](const std::string& line) {
    return line.find("\"cause\":\"not") != std::string::npos ||
           line.find("\"cause\":\"no such path") != std::string::npos;
  });
  CHECK(told >= 100);
  // More than one interval only if this took so long.
  CHECK(told < 300);
}

TEST_CASE("with few descriptors those who say nothing give way, and the upstream is asked on") {
  const Folder folder;
  // Each answer is its connection's last, so that each miss needs a descriptor of its own.
  Upstream upstream({"--close-after", "0"});
  Daemon daemon(folder, upstream.url(), {{"WORKERS", "1"}},
                {.launcher = {"/bin/sh", "-c", R"(ulimit -n 100 && exec "$0")"}});
  daemon.process().wait_for_line("the limit of descriptors is 100");
  const std::string hit = get_request("/lookup/8.8.8.8");
  RawClient early(daemon.port());
  CHECK(early.ask(hit).status == 200);
  {
    std::vector<RawClient> crowd;
    for (int i = 0; i < 150; ++i) {
      crowd.emplace_back(daemon.port());
      if (i % 10 == 0) REQUIRE(early.ask(hit).status == 200);
    }
    // The oldest of the crowd make room for the others.
    CHECK(crowd.front().ends());
    CHECK(early.ask(get_request("/lookup/8.8.4.4")).body == expected_body("8.8.4.4"));
    // Each a connection, and another one to the upstream.
    CHECK(look_up_all(daemon, other_ips(20), 10).ok == 20);
    CHECK(daemon.metric_sum("holdfast_breaker_transitions_total") == 0);
  }
  CHECK(daemon.metric(R"(holdfast_connections_refused_total{reason="descriptors"})") == 0);
  CHECK(daemon.metric("holdfast_connections_limit") < 80);
  CHECK(look_up_all(daemon, test_ips(50), 10).ok == 50);
  const int code = daemon.stop();
  INFO(daemon.process().output());  // it says what did not end
  CHECK(code == 0);
}

TEST_CASE("out of descriptors a miss waits until there are some, and nobody is blamed") {
  const Folder folder;
  Upstream upstream;
  Daemon daemon(folder, upstream.url(),
                {{"WORKERS", "1"}, {"UPSTREAM_SPARE", "off"}, {"REQUEST_DEADLINE", "60s"}});
  RawClient idle(daemon.port());
  CHECK(idle.ask(get_request("/livez")).status == 200);
  RawClient client(daemon.port());
  CHECK(client.ask(get_request("/livez")).status == 200);
  rlimit usual{};
  REQUIRE(::prlimit(daemon.process().pid(), RLIMIT_NOFILE, nullptr, &usual) == 0);
  const rlimit none{3, usual.rlim_max};  // those that it has are above
  REQUIRE(::prlimit(daemon.process().pid(), RLIMIT_NOFILE, &none, nullptr) == 0);
  client.send(get_request("/lookup/8.8.8.8"));
  daemon.process().wait_for_line("\"resource\":\"descriptors\"");
  CHECK(idle.ends());  // it gave way
  REQUIRE(::prlimit(daemon.process().pid(), RLIMIT_NOFILE, &usual, nullptr) == 0);
  CHECK(client.read().status == 200);
  CHECK(look_up_all(daemon, test_ips(50), 10).ok == 50);
  CHECK(daemon.metric_sum("holdfast_breaker_transitions_total") == 0);
  CHECK(daemon.metric("holdfast_resource_shortages_total{resource=\"descriptors\"}") >= 1);
  const int code = daemon.stop();
  INFO(daemon.process().output());  // it says what did not end
  CHECK(code == 0);
}
