#include "upstream/curl_transport.h"

#include <doctest/doctest.h>
#include <sys/socket.h>

#include <optional>

#include "raw_server.h"

namespace holdfast::upstream {
namespace {

using namespace std::chrono_literals;
using test::RawServer;
using Peer = RawServer::Peer;

const std::string kHello =
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\nhello";

// The transport on a loop of its own, driven by the test's thread.
struct Bench {
  base::SystemClock clock;
  base::EventLoop loop{"test", clock};
  CurlTransport transport;

  explicit Bench(CurlTransport::Settings settings, std::string token = {})
      : transport(loop, std::move(settings), std::move(token)) {}
  explicit Bench(const RawServer& server, std::string token = {})
      : Bench(CurlTransport::Settings{.base_urls = {server.url()}}, std::move(token)) {}

  Reply get(std::string target, base::Duration timeout = 5s, Fields fields = {}) {
    std::optional<Reply> result;
    bool inside_start = true;
    transport.start(0, {std::move(target), std::move(fields)}, timeout, [&](Reply reply) {
      CHECK_FALSE(inside_start);
      CHECK_FALSE(result);
      result = std::move(reply);
      loop.stop();
    });
    inside_start = false;
    loop.run();
    REQUIRE(result);
    return *result;
  }
};

// Bench::get() stops its loop, so each case asks once, or starts several at a time.
void run_all(Bench& bench, std::size_t& left) {
  base::Timer poll;
  std::function<void()> check = [&] {
    if (left == 0) return bench.loop.stop();
    poll.set_after(bench.loop, 2ms, check);
  };
  check();
  bench.loop.run();
}

}  // namespace

TEST_CASE("a whole answer arrives with status, fields and content") {
  RawServer server([](const Peer& peer) {
    peer.send("HTTP/1.1 200 OK\r\nETag: \"v1\"\r\nContent-Length: 5\r\nX-Pad:  a b \r\n\r\nhello");
    return false;
  });
  Bench bench(server);
  const Reply reply = bench.get("/geoip/192.0.2.1?x=1");
  CHECK(reply.transport == Outcome::Ok);
  CHECK(reply.status == 200);
  CHECK(reply.body == "hello");
  REQUIRE(find_field(reply.fields, "etag") != nullptr);
  CHECK(*find_field(reply.fields, "etag") == "\"v1\"");
  CHECK(*find_field(reply.fields, "x-pad") == "a b");
  CHECK(reply.duration > 0ns);
  CHECK_FALSE(reply.retry_after);
  REQUIRE(server.heads().size() == 1);
  CHECK(server.heads()[0].starts_with("GET /geoip/192.0.2.1?x=1 HTTP/1.1\r\n"));
  CHECK(server.heads()[0].find("\r\nUser-Agent: holdfast\r\n") != std::string::npos);
}

TEST_CASE("without a token no Authorization is sent; a rotated token is used from then on") {
  RawServer server([](const Peer& peer) {
    peer.send(kHello);
    return true;
  });
  Bench bench(server);
  std::size_t left = 3;
  const auto ask = [&](auto next) {
    bench.transport.start(0, {"/", {}}, 5s, [&left, next](const Reply& reply) {
      CHECK(reply.status == 200);
      --left;
      next();
    });
  };
  ask([&] {
    CHECK(bench.transport.set_token("first"));
    ask([&] {
      CHECK(bench.transport.set_token("second"));
      CHECK_FALSE(bench.transport.set_token("bad\r\nX-Evil: 1"));
      ask([] {});
    });
  });
  run_all(bench, left);
  const auto heads = server.heads();
  REQUIRE(heads.size() == 3);
  CHECK(heads[0].find("Authorization") == std::string::npos);
  CHECK(heads[1].find("\r\nAuthorization: Bearer first\r\n") != std::string::npos);
  CHECK(heads[2].find("\r\nAuthorization: Bearer second\r\n") != std::string::npos);
  CHECK(server.connections() == 1);  // kept and reused
}

TEST_CASE("the request's own fields are sent, but never one that holds a line break") {
  RawServer server([](const Peer& peer) {
    peer.send(kHello);
    return false;
  });
  Bench bench(server);
  bench.get("/", 5s, {{"If-None-Match", "\"v1\""}, {"X-Bad", "a\r\nX-Evil: 1"}});
  CHECK(server.heads()[0].find("\r\nIf-None-Match: \"v1\"\r\n") != std::string::npos);
  CHECK(server.heads()[0].find("\r\nAccept-Encoding: identity\r\n") != std::string::npos);
  CHECK(server.heads()[0].find("Evil") == std::string::npos);
}

TEST_CASE("a target that is no path is not sent") {
  RawServer server([](const Peer&) { return false; });
  for (const char* target : {"", "x", "/a b", "/a\r\nX: 1"}) {
    Bench bench(server);
    CHECK(bench.get(target).transport == Outcome::Connect);
  }
  CHECK(server.heads().empty());
}

TEST_CASE("content shorter than its Content-Length is truncated, not an answer") {
  RawServer server([](const Peer& peer) {
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello");
    return false;
  });
  Bench bench(server);
  const Reply reply = bench.get("/");
  CHECK(reply.transport == Outcome::Truncated);
  CHECK(reply.status == 200);
  CHECK_FALSE(reply.detail.empty());
}

TEST_CASE("a reset in the middle of the content is truncated") {
  RawServer server([](const Peer& peer) {
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello");
    peer.reset();
    return false;
  });
  Bench bench(server);
  CHECK(bench.get("/").transport == Outcome::Truncated);
}

TEST_CASE(
    "a reset in the middle of content that only the connection's end would end is truncated") {
  RawServer server([](const Peer& peer) {
    peer.send("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello");
    peer.reset();
    return false;
  });
  Bench bench(server);
  CHECK(bench.get("/").transport == Outcome::Truncated);
}

TEST_CASE("chunked content without its last chunk is truncated") {
  RawServer server([](const Peer& peer) {
    peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    return false;
  });
  Bench bench(server);
  CHECK(bench.get("/").transport == Outcome::Truncated);
}

TEST_CASE("whole chunked content is joined, and trailers are not fields") {
  RawServer server([](const Peer& peer) {
    peer.send(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        "3\r\nhel\r\n2\r\nlo\r\n0\r\nX-Trailer: 1\r\n\r\n");
    return false;
  });
  Bench bench(server);
  const Reply reply = bench.get("/");
  CHECK(reply.transport == Outcome::Ok);
  CHECK(reply.body == "hello");
  CHECK(find_field(reply.fields, "X-Trailer") == nullptr);
}

TEST_CASE("a connection that ends before the head, or inside it, is reset") {
  const std::string parts[] = {"", "HTTP/1.1 200 OK\r\nContent-Le"};
  for (const auto& part : parts) {
    for (const bool rst : {false, true}) {
      CAPTURE(part);
      CAPTURE(rst);
      RawServer server([&](const Peer& peer) {
        peer.send(part);
        if (rst) peer.reset();
        return false;
      });
      Bench bench(server);
      const Reply reply = bench.get("/");
      CHECK(reply.transport == Outcome::Reset);
      CHECK(reply.status == 0);
      CHECK(reply.fields.empty());
    }
  }
}

TEST_CASE("what is not HTTP is no answer") {
  for (const char* bytes : {"SSH-2.0-OpenSSH_9.2\r\n\r\n", "HTTP/9.9 banana\r\n\r\n",
                            "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello"}) {
    CAPTURE(bytes);
    RawServer server([&](const Peer& peer) {
      peer.send(bytes);
      return false;
    });
    Bench bench(server);
    const Reply reply = bench.get("/");
    CHECK(reply.transport != Outcome::Ok);
  }
}

TEST_CASE("an upstream that says nothing is a timeout, at the timeout") {
  RawServer server([](const Peer& peer) {
    peer.hang();
    return false;
  });
  Bench bench(server);
  const Reply reply = bench.get("/", 80ms);
  CHECK(reply.transport == Outcome::Timeout);
  CHECK(reply.duration >= 70ms);
  CHECK(reply.duration < 5s);
}

TEST_CASE("content that drips in slowly is a timeout") {
  RawServer server([](const Peer& peer) {
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
    do peer.send("x");
    while (peer.pause(5));
    return false;
  });
  Bench bench(server);
  CHECK(bench.get("/", 100ms).transport == Outcome::Timeout);
}

TEST_CASE("content over the limit is cut off, whether its length is announced or not") {
  const std::string big(3000, 'x');
  for (const std::string& head :
       {std::string("Content-Length: 3000\r\n\r\n"), std::string("Connection: close\r\n\r\n")}) {
    RawServer server([&](const Peer& peer) {
      peer.send("HTTP/1.1 200 OK\r\n" + head + big);
      return false;
    });
    Bench bench(CurlTransport::Settings{.base_urls = {server.url()}, .body_limit_bytes = 2000});
    const Reply reply = bench.get("/");
    CHECK(reply.transport == Outcome::TooLarge);
    CHECK(reply.body.size() <= 2000);
  }
}

TEST_CASE("content of exactly the limit is an answer") {
  RawServer server([&](const Peer& peer) {
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n" + std::string(2000, 'x'));
    return false;
  });
  Bench bench(CurlTransport::Settings{.base_urls = {server.url()}, .body_limit_bytes = 2000});
  CHECK(bench.get("/").transport == Outcome::Ok);
}

TEST_CASE("a head without an end is cut off") {
  RawServer server([](const Peer& peer) {
    peer.send("HTTP/1.1 200 OK\r\n");
    for (int i = 0; i < 2000; ++i) peer.send("X-Field: " + std::string(100, 'x') + "\r\n");
    return false;
  });
  Bench bench(server);
  CHECK(bench.get("/").transport == Outcome::TooLarge);
}

TEST_CASE("a refused connection is a connect failure") {
  std::string url;
  {
    const RawServer server([](const Peer&) { return false; });
    url = server.url();
  }
  Bench bench(CurlTransport::Settings{.base_urls = {url}});
  const Reply reply = bench.get("/");
  CHECK(reply.transport == Outcome::Connect);
  CHECK(reply.status == 0);
}

TEST_CASE("a name that does not exist is a resolver failure") {
  Bench bench(CurlTransport::Settings{.base_urls = {"http://holdfast-test.invalid"}});
  const Outcome outcome = bench.get("/", 3s).transport;
  // A resolver without a network may take longer than the attempt.
  CHECK((outcome == Outcome::Dns || outcome == Outcome::Connect));
}

TEST_CASE("plain HTTP where TLS is expected is a TLS failure") {
  RawServer server([](const Peer&) { return false; });
  // Never sees a head: what comes is a TLS hello, which the server leaves unread.
  Bench bench(
      CurlTransport::Settings{.base_urls = {"https://127.0.0.1:" + std::to_string(server.port())}});
  const Outcome outcome = bench.get("/", 200ms).transport;
  CHECK((outcome == Outcome::Tls || outcome == Outcome::Connect));
}

TEST_CASE("a redirect is handed over, not followed") {
  RawServer elsewhere([](const Peer& peer) {
    peer.send(kHello);
    return false;
  });
  RawServer server([&](const Peer& peer) {
    peer.send("HTTP/1.1 302 Found\r\nLocation: " + elsewhere.url() +
              "/\r\nContent-Length: 0\r\n\r\n");
    return false;
  });
  Bench bench(server, "secret");
  const Reply reply = bench.get("/");
  CHECK(reply.transport == Outcome::Ok);
  CHECK(reply.status == 302);
  CHECK(elsewhere.heads().empty());
}

TEST_CASE("an interim answer is not the answer, and its fields are forgotten") {
  RawServer server([](const Peer& peer) {
    peer.send("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + kHello);
    return false;
  });
  Bench bench(server);
  const Reply reply = bench.get("/");
  CHECK(reply.status == 200);
  CHECK(find_field(reply.fields, "Link") == nullptr);
}

TEST_CASE("Retry-After is read from seconds and from a date, and kept within a day") {
  const std::pair<const char*, std::pair<long, long>> cases[] = {
      {"7", {7, 7}},
      {"99999999", {86400, 86400}},
      {"Sun, 06 Nov 1994 08:49:37 GMT", {0, 0}},
      {"Fri, 31 Dec 2099 23:59:59 GMT", {86400, 86400}},
  };
  for (const auto& [value, range] : cases) {
    CAPTURE(value);
    RawServer server([value = std::string(value)](const Peer& peer) {
      peer.send("HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\nRetry-After: " + value +
                "\r\n\r\n");
      return false;
    });
    Bench bench(server);
    const Reply reply = bench.get("/");
    CHECK(reply.status == 429);
    REQUIRE(reply.retry_after);
    CHECK(reply.retry_after->count() >= range.first);
    CHECK(reply.retry_after->count() <= range.second);
  }
}

TEST_CASE("a cancelled attempt does not call back, and its connection is closed") {
  std::atomic<bool> client_left{false};
  RawServer server([&](const Peer& peer) {
    if (peer.asks("/slow")) {
      peer.hang();
      client_left = true;
      return false;
    }
    peer.send(kHello);
    return false;
  });
  Bench bench(server);
  const auto slow = bench.transport.start(0, {"/slow", {}}, 60s, [](const Reply&) { FAIL(""); });
  std::size_t left = 1;
  base::Timer timer;
  std::function<void()> wait_for_server = [&] {
    if (server.heads().empty()) return timer.set_after(bench.loop, 2ms, wait_for_server);
    bench.transport.cancel(slow);
    bench.transport.cancel(slow);
    bench.transport.start(0, {"/", {}}, 5s, [&](const Reply& reply) {
      CHECK(reply.status == 200);
      timer.set_after(bench.loop, 1ms, [&] { wait_for_server(); });
    });
    wait_for_server = [&] {
      if (!client_left) return timer.set_after(bench.loop, 2ms, wait_for_server);
      left = 0;
    };
  };
  wait_for_server();
  run_all(bench, left);
  CHECK(bench.transport.in_flight() == 0);
}

TEST_CASE("an attempt can be cancelled between its end and its callback") {
  RawServer server([](const Peer& peer) {
    peer.send(kHello);
    return false;
  });
  Bench bench(server);
  // Both fail at once and are posted; the first to be told cancels the other.
  int told = 0;
  Transport::AttemptId ids[2];
  for (int i = 0; i < 2; ++i) {
    ids[i] = bench.transport.start(0, {"no path", {}}, 5s, [&, i](const Reply&) {
      ++told;
      bench.transport.cancel(ids[1 - i]);
      bench.loop.stop();
    });
  }
  bench.loop.run();
  CHECK(told == 1);
}

TEST_CASE("a transport that goes away drops its attempts in silence") {
  RawServer server([](const Peer& peer) {
    peer.hang();
    return false;
  });
  const base::SystemClock clock;
  base::EventLoop loop("test", clock);
  base::Timer timer;
  auto transport =
      std::make_unique<CurlTransport>(loop, CurlTransport::Settings{.base_urls = {server.url()}});
  transport->start(0, {"/", {}}, 60s, [](const Reply&) { FAIL(""); });
  transport->start(0, {"no path", {}}, 60s, [](const Reply&) { FAIL(""); });
  loop.post([&] { transport.reset(); });
  // The failed one was posted first; so was its delivery, before the reset.
  loop.post([&] { loop.stop(); });
  transport.reset();
  loop.run();
}

TEST_CASE("each origin has its own base URL, with its path") {
  RawServer a([](const Peer& peer) {
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na");
    return false;
  });
  RawServer b([](const Peer& peer) {
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nb");
    return false;
  });
  Bench bench(CurlTransport::Settings{.base_urls = {a.url(), b.url() + "/v1/"}});
  std::size_t left = 2;
  std::string bodies[2];
  for (std::size_t i = 0; i < 2; ++i) {
    bench.transport.start(i, {"/x", {}}, 5s, [&, i](const Reply& reply) {
      bodies[i] = reply.body;
      --left;
    });
  }
  run_all(bench, left);
  CHECK(bodies[0] == "a");
  CHECK(bodies[1] == "b");
  CHECK(b.heads()[0].starts_with("GET /v1/x HTTP/1.1\r\n"));
}

TEST_CASE("no reply's words hold the token") {
  const std::string token = "s3cr3t-t0ken";
  const std::function<void(const Peer&)> faults[] = {
      [](const Peer&) {},
      [](const Peer& peer) { peer.send("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nx"); },
      [](const Peer& peer) { peer.send("garbage\r\n\r\n"); },
      [](const Peer& peer) { peer.hang(); },
  };
  for (const auto& fault : faults) {
    RawServer server([&](const Peer& peer) {
      fault(peer);
      return false;
    });
    Bench bench(server, token);
    const Reply reply = bench.get("/", 200ms);
    CHECK(reply.transport != Outcome::Ok);
    CHECK_FALSE(reply.detail.empty());
    CHECK(reply.detail.find(token) == std::string::npos);
  }
}

TEST_CASE("a hundred attempts at once are all answered, over reused connections afterwards") {
  RawServer server([](const Peer& peer) {
    peer.send(kHello);
    return true;
  });
  Bench bench(server);
  std::size_t left = 200;
  for (int i = 0; i < 100; ++i) {
    bench.transport.start(0, {"/", {}}, 20s, [&](const Reply& first) {
      CHECK(first.body == "hello");
      --left;
      bench.transport.start(0, {"/", {}}, 20s, [&](const Reply& second) {
        CHECK(second.body == "hello");
        --left;
      });
    });
  }
  run_all(bench, left);
  CHECK(server.connections() <= 110);
}

}  // namespace holdfast::upstream
