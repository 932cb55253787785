// The status page, its data, traces, and the log's restraint in an outage.
#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <simdjson.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "stage.h"

using namespace holdfast::scenario;

namespace {

// An upstream that answers one request and keeps what it was asked.
class RecordingUpstream {
 public:
  explicit RecordingUpstream(std::string body) {
    socket_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    REQUIRE(::bind(socket_, reinterpret_cast<sockaddr*>(&address), size) == 0);
    REQUIRE(::listen(socket_, 8) == 0);
    REQUIRE(::getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &size) == 0);
    url = "http://127.0.0.1:" + std::to_string(ntohs(address.sin_port));
    server_ = std::thread([this, body = std::move(body)] { serve(body); });
  }
  ~RecordingUpstream() {
    ::shutdown(socket_, SHUT_RDWR);  // ends accept()
    server_.join();
    ::close(socket_);
  }
  std::string url;
  std::string head;  // after the daemon has answered

 private:
  void serve(const std::string& body) {
    const int client = ::accept(socket_, nullptr, nullptr);
    if (client < 0) return;
    char buffer[4096];
    while (head.find("\r\n\r\n") == std::string::npos) {
      const ssize_t n = ::recv(client, buffer, sizeof buffer, 0);
      if (n <= 0) break;
      head.append(buffer, static_cast<std::size_t>(n));
    }
    const std::string answer =
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " +
        std::to_string(body.size()) + "\r\nConnection: close\r\n\r\n" + body;
    ::send(client, answer.data(), answer.size(), MSG_NOSIGNAL);
    ::close(client);
  }

  int socket_ = -1;
  std::thread server_;
};

const std::string kTrace = "4bf92f3577b34da6a3ce929d0e0e4736";
const std::string kParent = "00f067aa0ba902b7";

}  // namespace

TEST_CASE("a client's trace goes on upstream and stands in the log, with the path it asked for") {
  const Folder folder;
  RecordingUpstream upstream(expected_body("8.8.8.8"));
  Daemon daemon(folder, upstream.url, {{"LOG_LEVEL", "debug"}, {"HEDGE", "off"}});
  const Query query{daemon.url("/lookup/8.8.8.8?why=not"),
                    "GET",
                    {"traceparent: 00-" + kTrace + "-" + kParent + "-01", "tracestate: a=1"}};
  CHECK(ask(query).status == 200);
  CHECK(contains(upstream.head, "traceparent: 00-" + kTrace + "-"));
  CHECK_FALSE(contains(upstream.head, kParent));
  CHECK(contains(upstream.head, "tracestate: a=1\r\n"));
  const std::string miss = daemon.process().wait_for_line("\"cache\":\"miss\"");
  CHECK(contains(miss, "\"trace_id\":\"" + kTrace + "\""));
  CHECK(contains(miss, "\"path\":\"/lookup/8.8.8.8\""));
  CHECK(ask(query).status == 200);
  const std::string hit = daemon.process().wait_for_line("\"cache\":\"hit\"");
  CHECK(contains(hit, "\"trace_id\":\"" + kTrace + "\""));
  CHECK(get(daemon.url("/nowhere")).status == 404);
  CHECK(contains(daemon.process().wait_for_line("no such path"), "\"trace_id\":\"\""));
}

TEST_CASE("the metrics are packed for whoever asks for it") {
  const Folder folder;
  Upstream upstream;
  Daemon daemon(folder, upstream.url());
  const Response plain = get(daemon.url("/metrics"));
  CHECK(plain.field("Content-Encoding") == "");
  CHECK(plain.field("Vary") == "Accept-Encoding");
  CHECK(contains(plain.body, "# TYPE holdfast_requests_total counter"));
  const Response packed = ask({daemon.url("/metrics"), "GET", {"Accept-Encoding: gzip;q=0.5"}});
  CHECK(packed.field("Content-Encoding") == "gzip");
  CHECK(packed.body.starts_with("\x1f\x8b"));
  CHECK(packed.body.size() < plain.body.size() / 3);
  const Response refused = ask({daemon.url("/metrics"), "GET", {"Accept-Encoding: gzip;q=0"}});
  CHECK(refused.field("Content-Encoding") == "");
}

TEST_CASE("on the status page who asks for nothing but what is stored has not met a failure") {
  const Folder folder;
  Upstream upstream;
  Daemon daemon(folder, upstream.url());
  REQUIRE(get(daemon.lookup_url("8.8.8.8")).status == 200);
  // As cache-warm does for each address of its list.
  CHECK(ask({daemon.lookup_url("9.9.9.9"), "GET", {"Cache-Control: only-if-cached"}}).status ==
        504);
  simdjson::dom::parser parser;
  simdjson::dom::element status;
  // Counted a moment after they were answered.
  CHECK(eventually([&] {
    status = parser.parse(get(daemon.url("/status.json")).body);
    return std::uint64_t(status["minute"]["miss"]) == 1 &&
           std::uint64_t(status["minute"]["absent"]) == 1;
  }));
  CHECK(double(status["minute"]["share_ok"]) == 1.0);
  CHECK(std::uint64_t(status["minute"]["failed"]) == 0);
  CHECK(contains(std::string(std::string_view(status["headline"])), "Clients get their answers."));
}

TEST_CASE("requests outside every route and shed ones are counted") {
  const Folder folder;
  Upstream upstream;
  Daemon daemon(folder, upstream.url());
  CHECK(get(daemon.url("/nowhere")).status == 404);
  CHECK(ask({daemon.lookup_url("8.8.8.8"), "DELETE"}).status == 405);
  CHECK(daemon.metric("holdfast_requests_total{route=\"none\",code=\"404\",cache=\"error\"}") == 1);
  CHECK(daemon.metric("holdfast_requests_total{route=\"none\",code=\"405\",cache=\"error\"}") == 1);
  CHECK(contains(get(daemon.url("/metrics")).body,
                 "holdfast_requests_limited_total{reason=\"waiters\"} 0\n"));
}

TEST_CASE("the status page shows an outage: failures with their cause, and the breaker opening") {
  const Folder folder;
  Upstream upstream;
  Daemon daemon(folder, upstream.url(), {{"REQUEST_DEADLINE", "3s"}});
  REQUIRE(get(daemon.lookup_url("8.8.8.8")).status == 200);
  REQUIRE(get(daemon.lookup_url("8.8.8.8")).status == 200);
  simdjson::dom::parser parser;
  simdjson::dom::element status;
  // Counted a moment after they were answered.
  CHECK(eventually([&] {
    status = parser.parse(get(daemon.url("/status.json")).body);
    return std::uint64_t(status["minute"]["hit"]) == 1 &&
           std::uint64_t(status["minute"]["miss"]) == 1;
  }));
  CHECK(double(status["minute"]["share_ok"]) == 1.0);
  CHECK(std::string_view(status["upstream"]["origins"].at(0)["breaker"]) == "closed");

  upstream.kill();
  CHECK(get(daemon.lookup_url("8.8.4.4")).status >= 502);
  daemon.process().wait_for_line("\"state\":\"open\"");
  for (;;) {
    status = parser.parse(get(daemon.url("/status.json")).body);
    const auto origin = status["upstream"]["origins"].at(0);
    if (origin["breaker_history"].get_array().size() == 0) continue;  // half a second at most
    if (std::uint64_t(status["minute"]["failed"]) == 0) continue;
    CHECK(std::string_view(origin["breaker"]) != "closed");
    CHECK(std::string_view(origin["breaker_history"].at(0)["to"]) == "open");
    break;
  }
  CHECK(std::uint64_t(status["minute"]["failed"]) == 1);
  CHECK(double(status["minute"]["share_ok"]) == doctest::Approx(2.0 / 3));
  const auto failure = status["failures"].at(0);
  CHECK(contains(std::string(std::string_view(failure["cause"])), "connect"));
  CHECK(std::int64_t(failure["status"]) >= 502);
  CHECK(std::string_view(failure["request_id"]).size() == 16);

  const Response page = get(daemon.url("/status"));
  CHECK(page.field("Content-Type") == "text/html; charset=utf-8");
  CHECK(page.field("Content-Security-Policy").starts_with("default-src 'none';"));
  CHECK(contains(page.body, "The upstream is down"));
  CHECK(contains(page.body, "<td>(secret)<td>environment API_TOKEN"));
  // Keys are for the log alone.
  CHECK_FALSE(contains(page.body, "8.8.4.4"));
}

TEST_CASE("an outage does not flood the log: of failures a hundred in ten seconds have a line") {
  const Folder folder;
  Upstream upstream;
  Daemon daemon(folder, upstream.url(), {{"REQUEST_DEADLINE", "100ms"}, {"WORKERS", "1"}});
  upstream.kill();
  const auto began = std::chrono::steady_clock::now();
  const Tally tally = look_up_all(daemon, test_ips(300), 30);
  CHECK(tally.other == 300);
  CHECK(daemon.stop() == 0);
  const auto tens = (std::chrono::steady_clock::now() - began) / std::chrono::seconds(10);
  long logged = 0;
  for (const std::string& line : daemon.process().lines()) {
    logged += contains(line, "\"level\":\"warn\",\"event\":\"request\"");
  }
  CHECK(logged >= 100);
  CHECK(logged <= 100 * (tens + 1));
}
