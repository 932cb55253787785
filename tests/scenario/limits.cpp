// Each limit on clients acts when it is set.
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <vector>

#include "raw_client.h"
#include "stage.h"

using namespace holdfast::scenario;

TEST_CASE("beyond MAX_CONNECTIONS the connection that was idle longest goes") {
  const Folder folder;
  Upstream upstream;
  Daemon daemon(folder, upstream.url(), {{"MAX_CONNECTIONS", "2"}, {"WORKERS", "1"}});
  RawClient first(daemon.port());
  CHECK(first.ask(get_request("/livez")).status == 200);
  RawClient second(daemon.port());
  CHECK(second.ask(get_request("/livez")).status == 200);
  RawClient third(daemon.port());
  CHECK(third.ask(get_request("/livez")).status == 200);
  CHECK(first.ends());
  CHECK(second.ask(get_request("/livez")).status == 200);
}

TEST_CASE("MAX_CONNECTIONS is for all workers together, however clients are dealt out to them") {
  const Folder folder;
  Upstream upstream;
  Daemon daemon(folder, upstream.url(), {{"MAX_CONNECTIONS", "64"}, {"WORKERS", "16"}});
  std::vector<RawClient> clients;
  for (int i = 0; i < 60; ++i) {
    clients.emplace_back(daemon.port());
    CHECK(clients.back().ask(get_request("/livez")).status == 200);
  }
  for (RawClient& client : clients) CHECK(client.ask(get_request("/livez")).status == 200);
  CHECK(daemon.metric(R"(holdfast_connections_closed_total{reason="evicted"})") == 0);
}

// Which ones go is for tests with a clock of their own: here a thread without a core dates what
// it does late.
TEST_CASE("of more clients than MAX_CONNECTIONS as many stay, whichever workers they are with") {
  const Folder folder;
  Upstream upstream;
  Daemon daemon(folder, upstream.url(), {{"MAX_CONNECTIONS", "40"}, {"WORKERS", "4"}});
  std::vector<RawClient> clients;
  for (int i = 0; i < 120; ++i) {
    clients.emplace_back(daemon.port());
    CHECK(clients.back().ask(get_request("/livez")).status == 200);
  }
  const auto ended = [&] {
    return std::count_if(clients.begin(), clients.end(),
                         [](const RawClient& client) { return client.readable_now(); });
  };
  const auto until = std::chrono::steady_clock::now() + kPatience;
  while (ended() < 80 && std::chrono::steady_clock::now() < until) std::this_thread::yield();
  CHECK(ended() == 80);
  for (RawClient& client : clients) {
    if (client.readable_now()) {
      CHECK(client.ends());
    } else {
      CHECK(client.ask(get_request("/livez")).status == 200);
    }
  }
}

TEST_CASE("CLIENT_MAX_CONNECTIONS holds over all workers") {
  const Folder folder;
  Upstream upstream;
  Daemon daemon(folder, upstream.url(), {{"CLIENT_MAX_CONNECTIONS", "3"}, {"WORKERS", "4"}});
  std::vector<RawClient> clients;
  for (int i = 0; i < 3; ++i) {
    clients.emplace_back(daemon.port());
    CHECK(clients.back().ask(get_request("/livez")).status == 200);
  }
  for (int i = 0; i < 8; ++i) CHECK(RawClient(daemon.port()).read().status == 429);
}

TEST_CASE("requests beyond CLIENT_RATE and CLIENT_BURST get 429 with Retry-After") {
  const Folder folder;
  Upstream upstream;
  Daemon daemon(folder, upstream.url(), {{"CLIENT_RATE", "1"}, {"CLIENT_BURST", "2"}});
  // In one piece, so that they come at one moment.
  RawClient client(daemon.port());
  std::string requests;
  for (int i = 0; i < 4; ++i) requests += get_request("/livez");
  client.send(requests);
  CHECK(client.read().status == 200);
  CHECK(client.read().status == 200);
  for (int i = 0; i < 2; ++i) {
    const RawClient::Answer answer = client.read();
    CHECK(answer.status == 429);
    CHECK(answer.head.find("\r\nRetry-After: 1\r\n") != std::string::npos);
  }
}

TEST_CASE("a connection closes after CONNECTION_MAX_REQUESTS") {
  const Folder folder;
  Upstream upstream;
  Daemon daemon(folder, upstream.url(), {{"CONNECTION_MAX_REQUESTS", "2"}});
  RawClient client(daemon.port());
  CHECK(client.ask(get_request("/livez")).head.find("Connection:") == std::string::npos);
  CHECK(client.ask(get_request("/livez")).head.find("Connection: close") != std::string::npos);
  CHECK(client.ends());
}

TEST_CASE("the timeouts of connections are those that are set") {
  const Folder folder;
  Upstream upstream;
  Daemon daemon(folder, upstream.url(),
                {{"IDLE_TIMEOUT", "200ms"},
                 {"HEAD_TIMEOUT", "200ms"},
                 {"BODY_TIMEOUT", "200ms"},
                 {"WRITE_TIMEOUT", "200ms"}});
  RawClient silent(daemon.port());
  CHECK(silent.ends());
  RawClient slow_head(daemon.port());
  CHECK(slow_head.ask("GET /livez HT").status == 408);
  RawClient slow_body(daemon.port());
  CHECK(slow_body.ask("POST /lookup HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n[").status ==
        408);
  RawClient slow_reader(daemon.port(), 4096);
  const std::string request = get_request("/metrics");
  // More answers than the two kernels hold for us.
  while (slow_reader.send(request)) {
  }
  daemon.wait_for_metric(R"(holdfast_connections_closed_total{reason="write_timeout"})",
                         [](double n) { return n == 1; });
}

TEST_CASE("overload sheds misses, not hits, and not what waits already") {
  const Folder folder;
  Upstream upstream;
  Daemon daemon(folder, upstream.url(), one_attempt({{"MAX_WAITING", "3"}}));
  CHECK(get(daemon.lookup_url("8.8.8.8")).status == 200);
  upstream.tell("hold", "");
  std::vector<RawClient> waiting;
  for (int i = 1; i <= 3; ++i) {
    waiting.emplace_back(daemon.port());
    waiting.back().send(get_request("/lookup/192.0.2." + std::to_string(i)));
  }
  upstream.wait_until("held=3");

  // A fourth miss, alone or collapsed with one that waits, is turned away at once.
  for (const char* ip : {"192.0.2.4", "192.0.2.1"}) {
    const Response shed = get(daemon.lookup_url(ip));
    CHECK(shed.status == 503);
    CHECK(shed.field("Retry-After") == "1");
  }
  for (int i = 0; i < 100; ++i) CHECK(get(daemon.lookup_url("8.8.8.8")).status == 200);
  CHECK(daemon.metric(R"(holdfast_requests_limited_total{reason="waiters"})") == 2);
  CHECK(upstream.count("requests") == 4);

  upstream.tell("release", "");
  for (RawClient& client : waiting) CHECK(client.read().status == 200);
  CHECK(get(daemon.lookup_url("192.0.2.4")).status == 200);
}
