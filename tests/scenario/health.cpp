// The health pages tell what is wrong, and only that: a stuck loop, a store's
// writer that hangs, a daemon that is stopping, an upstream that fails.
#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <functional>

#include "frozen_thread.h"
#include "health_page.h"
#include "stage.h"

using namespace holdfast::scenario;

namespace {

// A connection with a request on it that has not been sent whole.
class HalfSent {
 public:
  HalfSent(std::uint16_t port, const std::string& path) {
    socket_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    send("GET " + path + " HTTP/1.1\r\nHost: here\r\n");
  }
  ~HalfSent() { ::close(socket_); }
  // Sends the rest; everything that comes back.
  std::string finish() {
    finish_sending();
    return receive();
  }
  void finish_sending(const std::string& fields = {}) { send(fields + "\r\n"); }
  std::string receive() {
    std::string answer;
    char buffer[4096];
    for (ssize_t n = 0; (n = ::recv(socket_, buffer, sizeof buffer, 0)) > 0;) {
      answer.append(buffer, static_cast<std::size_t>(n));
    }
    return answer;
  }

 private:
  void send(const std::string& text) {
    REQUIRE(::send(socket_, text.data(), text.size(), MSG_NOSIGNAL) ==
            static_cast<ssize_t>(text.size()));
  }
  int socket_ = -1;
};

}  // namespace

TEST_CASE(
    "an upstream whose answers are refused is told with the rule while its first client waits") {
  const Folder folder;
  Upstream upstream({"--faults", "missing-fields=1"});
  Daemon daemon(folder, upstream.url(), {{"REQUEST_DEADLINE", "60s"}});
  HalfSent client(daemon.port(), "/lookup/8.8.8.8");
  client.finish_sending("Connection: close\r\n");
  const std::string line = daemon.process().wait_for_line("\"event\":\"answers_refused\"");
  CHECK(contains(line, "status 200, Content-Type: application/json: /location is missing"));
  CHECK(eventually([&] {
    return contains(HealthPage(daemon).text("upstream", "reason"),
                    "answers refused: status 200, Content-Type: application/json: /location is");
  }));
  CHECK(HealthPage(daemon).text("upstream", "state") == "\"down\"");
  upstream.tell("faults", "none");
  CHECK(contains(client.receive(), " 200 OK\r\n"));
  daemon.process().wait_for_line("\"event\":\"answers_accepted\"");
  CHECK(eventually([&] { return HealthPage(daemon).text("upstream", "state") == "\"ok\""; }));
}

TEST_CASE("no health page may be cached") {
  const Folder folder;
  Upstream upstream;
  Daemon daemon(folder, upstream.url());
  for (const char* path : {"/livez", "/readyz", "/healthz", "/status", "/status.json"}) {
    CAPTURE(path);
    CHECK(get(daemon.url(path)).field("Cache-Control") == "no-store");
  }
}

TEST_CASE("a stuck loop is named by /livez, and forgotten when it goes on") {
  const Folder folder;
  Upstream upstream;
  Daemon daemon(folder, upstream.url());
  for (const std::string loop : {"origin", "holdfast"}) {  // "holdfast" is the control loop
    CAPTURE(loop);
    CHECK(get(daemon.url("/livez")).status == 200);
    {
      daemon.may_be_blocked();
      const FrozenThread frozen(daemon.process().pid(), loop);
      CHECK(eventually([&] { return get(daemon.url("/livez")).status == 503; }));
      const Response response = get(daemon.url("/livez"));
      CHECK(contains(response.body, loop == "origin" ? "stuck: origin" : "control"));
      CHECK(response.field("Cache-Control") == "no-store");
      // Rendered on the control loop, which must not be asked while it is stuck.
      if (loop == "origin") {
        CHECK(daemon.metric("holdfast_loop_lag_seconds{loop=\"origin\"}") > 1);
      }
    }
    CHECK(eventually([&] { return get(daemon.url("/livez")).status == 200; }));
  }
  CHECK(daemon.stop() == 0);
}

TEST_CASE("a store's writer that hangs degrades health, and no client notices") {
  const Folder folder;
  Upstream upstream;
  Daemon daemon(folder, upstream.url());
  REQUIRE(get(daemon.lookup_url("8.8.8.8")).status == 200);
  CHECK(eventually([&] { return HealthPage(daemon).text("store", "last_success") != "null"; }));
  CHECK(HealthPage(daemon).text("store", "state") == "\"ok\"");
  {
    const FrozenThread frozen(daemon.process().pid(), "store-writer");
    CHECK(get(daemon.lookup_url("8.8.4.4")).status == 200);
    CHECK(eventually([&] { return HealthPage(daemon).text("store", "state") == "\"degraded\""; }));
    HealthPage health(daemon);
    CHECK(contains(health.text("store", "reason"), "makes no progress"));
    CHECK(contains(health.text("store", "last_error"), "makes no progress"));
    CHECK(health.text("status") == "\"degraded\"");
    CHECK(health.response.status == 200);
    CHECK(daemon.metric("holdfast_store_up") == 0);
    CHECK(get(daemon.url("/livez")).status == 200);
    CHECK(get(daemon.url("/readyz")).status == 200);
    CHECK(get(daemon.lookup_url("8.8.4.4")).status == 200);
    CHECK(get(daemon.lookup_url("9.9.9.9")).status == 200);
    daemon.process().wait_for_line("\"event\":\"store_writer_stuck\"");
  }
  daemon.process().wait_for_line("\"event\":\"store_writer_moves\"");
  CHECK(eventually([&] { return HealthPage(daemon).text("store", "state") == "\"ok\""; }));
  CHECK(daemon.metric("holdfast_store_up") == 1);
  CHECK(daemon.metric("holdfast_store_puts_total{result=\"committed\"}") == 3);
  CHECK(daemon.metric("holdfast_store_newest_timestamp_seconds") > 1e9);
}

TEST_CASE("a draining daemon says so to whoever still has a connection") {
  const Folder folder;
  Upstream upstream;
  Daemon daemon(folder, upstream.url(), {{"WORKERS", "1"}});
  CHECK(eventually([&] { return get(daemon.url("/readyz")).body == "ok\n"; }));
  HalfSent readyz(daemon.port(), "/readyz");
  HalfSent healthz(daemon.port(), "/healthz");
  // One loop: when this is answered, by way of another loop, what was sent before it
  // on the connections above has been read.
  CHECK(eventually([&] { return daemon.metric("holdfast_connections") >= 3; }));
  daemon.process().signal(SIGTERM);
  daemon.process().wait_for_line("\"event\":\"draining\"");
  const std::string ready = readyz.finish();
  CHECK(ready.starts_with("HTTP/1.1 503"));
  CHECK(ready.ends_with("\r\n\r\ndraining\n"));
  CHECK(contains(ready, "Cache-Control: no-store\r\n"));
  const std::string health = healthz.finish();
  CHECK(health.starts_with("HTTP/1.1 200"));
  CHECK(contains(health, R"("status":"degraded","ready":false,"draining":true)"));
  CHECK(daemon.process().wait() == 0);
}

TEST_CASE("health tells of the upstream since when, its last success and its last error") {
  const Folder folder;
  Upstream upstream;
  Daemon daemon(folder, upstream.url(), {{"REQUEST_DEADLINE", "3s"}});
  CHECK(HealthPage(daemon).text("upstream", "last_success") == "null");
  CHECK(HealthPage(daemon).text("upstream", "last_error") == "null");
  REQUIRE(get(daemon.lookup_url("8.8.8.8")).status == 200);
  CHECK(eventually([&] { return HealthPage(daemon).text("upstream", "last_success") != "null"; }));
  const std::string since = HealthPage(daemon).text("upstream", "since");
  upstream.kill();
  CHECK(get(daemon.lookup_url("8.8.4.4")).status >= 502);
  CHECK(eventually([&] { return HealthPage(daemon).text("upstream", "state") == "\"down\""; }));
  HealthPage health(daemon);
  CHECK(health.text("upstream", "since") > since);
  CHECK(health.text("upstream", "breaker") != "\"closed\"");
  CHECK(contains(health.text("upstream", "last_error"), "connect"));
  CHECK(health.text("upstream", "last_success") != "null");
  CHECK(health.text("status") == "\"degraded\"");  // 8.8.8.8 is stored
}
