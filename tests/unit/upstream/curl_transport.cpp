// What CurlTransport asks, whom, and when it is told to stop.
#include "upstream/curl_transport.h"

#include <doctest/doctest.h>

#include "curl_bench.h"

namespace holdfast::upstream {
namespace {

using namespace std::chrono_literals;
using namespace test;
using Peer = RawServer::Peer;

}  // namespace

TEST_CASE("a whole answer arrives with status, fields and content") {
  RawServer server([](const Peer& peer) {
    peer.send("HTTP/1.1 200 OK\r\nETag: \"v1\"\r\nContent-Length: 5\r\nX-Pad:  a b \r\n\r\nhello");
    return false;
  });
  CurlBench bench(server);
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
  CurlBench bench(server);
  std::size_t left = 3;
  const auto ask = [&](auto next) {
    bench.transport.start(within(5s), {"/", {}}, [&left, next](const Reply& reply) {
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
  CurlBench bench(server);
  bench.get("/", 5s, {{"If-None-Match", "\"v1\""}, {"X-Bad", "a\r\nX-Evil: 1"}});
  CHECK(server.heads()[0].find("\r\nIf-None-Match: \"v1\"\r\n") != std::string::npos);
  CHECK(server.heads()[0].find("\r\nAccept-Encoding: identity\r\n") != std::string::npos);
  CHECK(server.heads()[0].find("Evil") == std::string::npos);
}

TEST_CASE("a target goes out as it is") {
  RawServer server([](const Peer& peer) {
    peer.send(kHello);
    return true;
  });
  const std::string base = server.url();
  for (const std::string path : {"", "/v1"}) {
    for (const std::string target : {"/", "/a?", "/a?&", "/a?b=/../c?d", "/a/../b//c", "/%7e%41"}) {
      CAPTURE(target);
      CurlBench bench(CurlTransport::Settings{.base_urls = {base + path}});
      CHECK(bench.get(target).transport == Outcome::Ok);
      CHECK(server.heads().back().starts_with("GET " + path + target + " HTTP/1.1\r\n"));
    }
  }
}

TEST_CASE("a target that is no path is not sent") {
  RawServer server([](const Peer&) { return false; });
  for (const char* target : {"", "x", "/a b", "/a\r\nX: 1"}) {
    CurlBench bench(server);
    CHECK(bench.get(target).transport == Outcome::Connect);
  }
  CHECK(server.heads().empty());
}

TEST_CASE("a refused connection is a connect failure") {
  std::string url;
  {
    const RawServer server([](const Peer&) { return false; });
    url = server.url();
  }
  CurlBench bench(CurlTransport::Settings{.base_urls = {url}});
  const Reply reply = bench.get("/");
  CHECK(reply.transport == Outcome::Connect);
  CHECK(reply.status == 0);
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
  CurlBench bench(server, "secret");
  const Reply reply = bench.get("/");
  CHECK(reply.transport == Outcome::Ok);
  CHECK(reply.status == 302);
  CHECK(elsewhere.heads().empty());
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
  CurlBench bench(server);
  const auto slow =
      bench.transport.start(within(60s), {"/slow", {}}, [](const Reply&) { FAIL(""); });
  std::size_t left = 1;
  base::Timer timer;
  std::function<void()> wait_for_server = [&] {
    if (server.heads().empty()) return timer.set_after(bench.loop, 2ms, wait_for_server);
    bench.transport.cancel(slow);
    bench.transport.cancel(slow);
    bench.transport.start(within(5s), {"/", {}}, [&](const Reply& reply) {
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
  CurlBench bench(server);
  // Both fail at once and are posted; the first to be told cancels the other.
  int told = 0;
  Transport::AttemptId ids[2];
  for (int i = 0; i < 2; ++i) {
    ids[i] = bench.transport.start(within(5s), {"no path", {}}, [&, i](const Reply&) {
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
  transport->start(within(60s), {"/", {}}, [](const Reply&) { FAIL(""); });
  transport->start(within(60s), {"no path", {}}, [](const Reply&) { FAIL(""); });
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
  CurlBench bench(CurlTransport::Settings{.base_urls = {a.url(), b.url() + "/v1/"}});
  std::size_t left = 2;
  std::string bodies[2];
  for (std::size_t i = 0; i < 2; ++i) {
    bench.transport.start(within(5s, i), {"/x", {}}, [&, i](const Reply& reply) {
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
    CurlBench bench(server, token);
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
  CurlBench bench(server);
  std::size_t left = 200;
  for (int i = 0; i < 100; ++i) {
    bench.transport.start(within(20s), {"/", {}}, [&](const Reply& first) {
      CHECK(first.body == "hello");
      --left;
      bench.transport.start(within(20s), {"/", {}}, [&](const Reply& second) {
        CHECK(second.body == "hello");
        --left;
      });
    });
  }
  run_all(bench, left);
  CHECK(server.connections() <= 110);
}

}  // namespace holdfast::upstream
