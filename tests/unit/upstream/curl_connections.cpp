// Where CurlTransport connects to, which connections it keeps, and what it says of how
// far an attempt has come.
#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <set>
#include <vector>

#include "curl_bench.h"
#include "lookups.h"
#include "mute_server.h"

namespace holdfast::upstream {
namespace {

using namespace std::chrono_literals;
using namespace test;
using Peer = RawServer::Peer;

bool answer(const Peer& peer) {
  peer.send(kHello);
  return true;
}

// To a HEAD without content.
bool answer_any(const Peer& peer) {
  peer.send(peer.head().starts_with("HEAD") ? kHello.substr(0, kHello.size() - 5) : kHello);
  return true;
}

std::string named(const RawServer& server, const std::string& name = "api.test.invalid") {
  return "http://" + name + ":" + std::to_string(server.port());
}

void wait_until_ready(CurlSession& session) {
  const auto ready = [](CurlTransport& transport) { return transport.ready(0, "127.0.0.1"); };
  while (session.with(ready) == 0) std::this_thread::yield();
}

Sending to(const std::string& address, bool new_connection = false) {
  return {.address = address, .new_connection = new_connection, .timeout = 20s};
}

}  // namespace

TEST_CASE("an address is connected to, the name goes into Host, and nobody looks it up") {
  RawServer server(answer);
  CurlSession session(CurlTransport::Settings{.base_urls = {named(server)}});
  const Reply reply = session.get(to("127.0.0.1"));
  CHECK(reply.transport == Outcome::Ok);
  CHECK(reply.body == "hello");
  REQUIRE(server.heads().size() == 1);
  CHECK(server.heads()[0].find("\r\nHost: api.test.invalid:" + std::to_string(server.port())) !=
        std::string::npos);
  CHECK(lookups_of("api.test.invalid") == 0);
  CHECK(lookups_of("127.0.0.1") == 0);
}

TEST_CASE("an address of IPv6 is connected to") {
  RawServer server(answer, RawServer::AddressFamily::V6);
  CurlSession session(CurlTransport::Settings{.base_urls = {named(server)}});
  CHECK(session.get(to("::1")).transport == Outcome::Ok);
  CHECK(session.knock(0, "::1").transport == Outcome::Ok);
}

TEST_CASE("without an address, or with what is none, nothing is sent and no name looked up") {
  RawServer server(answer);
  CurlSession session(
      CurlTransport::Settings{.base_urls = {named(server, "elsewhere.test.invalid")}});
  for (const char* address : {"", "localhost", "127.1", "127.0.0.1:80", "[::1]", "fe80::1%lo"}) {
    CAPTURE(address);
    const Reply reply = session.get(to(address));
    CHECK(reply.transport == Outcome::Dns);
    CHECK_FALSE(reply.detail.empty());
    CHECK(session.knock(0, address).transport == Outcome::Dns);
  }
  CHECK(server.connections() == 0);
  for (const char* name : {"elsewhere.test.invalid", "localhost", "127.1", "fe80::1%lo"}) {
    CHECK(lookups_of(name) == 0);
  }
}

TEST_CASE("connections are kept for each address by itself") {
  RawServer server(answer, RawServer::AddressFamily::AnyV4);
  CurlSession session(CurlTransport::Settings{.base_urls = {named(server)}});
  CHECK_FALSE(session.get(to("127.0.0.1")).kept);
  CHECK_FALSE(session.get(to("127.0.0.2")).kept);
  CHECK(session.get(to("127.0.0.1")).kept);
  CHECK(session.get(to("127.0.0.2")).kept);
  CHECK(server.connections() == 2);
}

TEST_CASE("an attempt that doubts the kept connections goes out on a new one") {
  RawServer server(answer);
  CurlSession session(server);
  session.get();
  const Reply reply = session.get(to("", true));
  CHECK(reply.transport == Outcome::Ok);
  CHECK_FALSE(reply.kept);
  CHECK(server.connections() == 2);
}

TEST_CASE("what was kept when an address was distrusted is not used again; what came after is") {
  RawServer server(answer, RawServer::AddressFamily::AnyV4);
  CurlSession session(CurlTransport::Settings{.base_urls = {named(server)}});
  session.get(to("127.0.0.1"));
  session.get(to("127.0.0.2"));
  session.with([](CurlTransport& transport) { transport.distrust(0, "127.0.0.1"); });
  CHECK_FALSE(session.get(to("127.0.0.1")).kept);
  CHECK(session.get(to("127.0.0.1")).kept);
  CHECK(session.get(to("127.0.0.2")).kept);
  CHECK(server.connections() == 3);
}

TEST_CASE("what is under way when its address is distrusted goes on, its connection with it") {
  std::atomic<bool> asked{false};
  std::atomic<bool> go_on{false};
  RawServer server([&](const Peer& peer) {
    if (peer.asks("/slow")) {
      asked = true;
      while (!go_on && peer.pause(2)) {
      }
    }
    return answer(peer);
  });
  CurlSession session(server);
  std::promise<Reply> slow;
  session.with([&](CurlTransport& transport) {
    transport.start(within(20s), {"/slow", {}},
                    [&](Reply reply) { slow.set_value(std::move(reply)); });
  });
  while (!asked) std::this_thread::yield();
  session.with([](CurlTransport& transport) { transport.distrust(0, ""); });
  go_on = true;
  CHECK(slow.get_future().get().transport == Outcome::Ok);
  CHECK_FALSE(session.get().kept);
}

TEST_CASE("a reply tells its phases: set-up on a new connection, none on a kept one") {
  RawServer server([](const Peer& peer) {
    peer.pause(20);
    return answer(peer);
  });
  CurlSession session(server);
  const Reply first = session.get();
  CHECK(first.phase == Phase::Answer);
  CHECK_FALSE(first.kept);
  CHECK(first.took(Phase::Connect) > 0ns);
  CHECK(first.took(Phase::Tls) == 0ns);
  CHECK(first.took(Phase::Answer) >= 20ms);
  CHECK(first.took(Phase::Connect) + first.took(Phase::Answer) <= first.duration);
  const Reply second = session.get();
  CHECK(second.kept);
  CHECK(second.took(Phase::Connect) == 0ns);
  CHECK(second.took(Phase::Answer) >= 20ms);
}

TEST_CASE("the progress of an attempt under way says its phase, since when, and on what") {
  std::atomic<bool> go_on{false};
  RawServer server([&](const Peer& peer) {
    while (!go_on && peer.pause(2)) {
    }
    return answer(peer);
  });
  CurlSession session(server);
  for (const bool kept : {false, true}) {
    go_on = false;
    Transport::AttemptId id = 0;
    std::promise<void> told;
    const auto heads = server.heads().size();
    const auto before = std::chrono::steady_clock::now();
    session.with([&](CurlTransport& transport) {
      id = transport.start(within(20s), {"/", {}}, [&](const Reply&) { told.set_value(); });
      REQUIRE(transport.progress(id));
      CHECK(transport.progress(id)->phase == Phase::Connect);
    });
    while (server.heads().size() == heads) std::this_thread::yield();
    session.with([&](CurlTransport& transport) {
      const auto progress = transport.progress(id);
      REQUIRE(progress);
      CHECK(progress->phase == Phase::Answer);
      CHECK(progress->since >= before);
      CHECK(progress->since <= std::chrono::steady_clock::now());
      CHECK(progress->kept == kept);
    });
    go_on = true;
    told.get_future().wait();
    session.with([&](CurlTransport& transport) { CHECK_FALSE(transport.progress(id)); });
  }
}

TEST_CASE("an address that says nothing is a connect timeout, a knock at it too") {
  const MuteServer server;
  CurlSession session(
      CurlTransport::Settings{.base_urls = {server.url()}, .connect_timeout = 300ms});
  const Reply reply = session.get();
  CHECK(reply.transport == Outcome::ConnectTimeout);
  CHECK(reply.phase == Phase::Connect);
  CHECK(reply.took(Phase::Connect) >= 250ms);
  CHECK(reply.took(Phase::Answer) == 0ns);
  CHECK(session.knock(0, "").transport == Outcome::ConnectTimeout);
  // The attempt's own bound, when that is shorter.
  CHECK(session.get(within(50ms)).transport == Outcome::ConnectTimeout);
  CHECK(session.knock(0, "", 50ms).transport == Outcome::ConnectTimeout);
}

TEST_CASE("an attempt that ends while it connects leaves the next owner of its descriptor alone") {
  const MuteServer nobody;
  CurlSession session(CurlTransport::Settings{.base_urls = {nobody.url()}});
  CHECK(session.get(within(100ms)).transport == Outcome::ConnectTimeout);
  // Some client has the number next, and has just asked for something.
  struct Client {
    base::UniqueFd ours;
    base::UniqueFd theirs;
  };
  std::vector<Client> clients;
  for (int i = 0; i < 8; ++i) {
    int pair[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    clients.push_back({base::UniqueFd(pair[0]), base::UniqueFd(pair[1])});
    REQUIRE(::send(pair[1], "GET", 3, 0) == 3);
    REQUIRE(::send(pair[0], "200", 3, 0) == 3);
  }
  CHECK(session.get(within(100ms)).transport == Outcome::ConnectTimeout);
  for (const Client& client : clients) {
    char buffer[4];
    CHECK(::recv(client.ours.get(), buffer, sizeof buffer, MSG_DONTWAIT) == 3);
    CHECK(::recv(client.theirs.get(), buffer, sizeof buffer, MSG_DONTWAIT) == 3);
    CHECK(::send(client.ours.get(), "200", 3, MSG_NOSIGNAL) == 3);
  }
}

TEST_CASE("an attempt that connects has its progress in the phase of connecting") {
  const MuteServer server;
  CurlSession session(CurlTransport::Settings{.base_urls = {server.url()}});
  session.with([](CurlTransport& transport) {
    const auto id = transport.start(within(20s), {"/", {}}, [](const Reply&) {});
    CHECK(transport.progress(id)->phase == Phase::Connect);
    CHECK_FALSE(transport.progress(id)->kept);
    transport.cancel(id);
    CHECK_FALSE(transport.progress(id));
  });
}

TEST_CASE("a knock connects, asks nothing, and leaves no connection for others") {
  RawServer server(answer);
  CurlSession session(server);
  const Reply reply = session.knock(0, "");
  CHECK(reply.transport == Outcome::Ok);
  CHECK(reply.took(Phase::Connect) > 0ns);
  CHECK(server.heads().empty());
  while (server.connections() == 0) std::this_thread::yield();
  CHECK_FALSE(session.get().kept);
  CHECK(server.connections() == 2);
}

TEST_CASE("a knock at a closed port is a connect failure that says so") {
  std::string url;
  {
    const RawServer server(answer);
    url = server.url();
  }
  CurlSession session(CurlTransport::Settings{.base_urls = {url}});
  for (const Reply& reply : {session.knock(0, ""), session.get()}) {
    CHECK(reply.transport == Outcome::Connect);
    CHECK(reply.detail.find("Connection refused") != std::string::npos);
    CHECK_FALSE(reply.own_lack);
  }
}

TEST_CASE("an attempt for which no descriptor is left has failed for a lack of ours") {
  RawServer server(answer);
  CurlSession session(server);
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
  const int lowest_free = ::dup(0);
  ::close(lowest_free);
  rlimit none_left = before;
  none_left.rlim_cur = static_cast<rlim_t>(lowest_free);
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &none_left) == 0);
  const Reply reply = session.get();
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
  CHECK(reply.transport == Outcome::Local);
  CHECK(reply.own_lack);
  CHECK(reply.lack == base::Resource::Descriptors);
  CHECK(reply.detail.find("Too many open files") != std::string::npos);
  CHECK(session.get().transport == Outcome::Ok);
}

TEST_CASE("a kept connection that the upstream has closed costs no attempt") {
  RawServer server([](const Peer& peer) {
    peer.send(kHello);
    return false;
  });
  CurlSession session(server);
  for (int i = 0; i < 20; ++i) CHECK(session.get().transport == Outcome::Ok);
}

TEST_CASE("bytes that come after an answer are not taken for the next one") {
  std::atomic<bool> go_on{false};
  std::atomic<bool> strayed{false};
  RawServer server([&](const Peer& peer) {
    answer(peer);
    while (!go_on && peer.pause(2)) {
    }
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong");
    strayed = true;
    return true;
  });
  CurlSession session(server);
  CHECK(session.get().body == "hello");
  go_on = true;
  while (!strayed) std::this_thread::yield();
  const Reply reply = session.get();
  CHECK(reply.body == "hello");
  CHECK_FALSE(reply.kept);
}

TEST_CASE("a request that was sent again on a new connection is told as one on a new connection") {
  RawServer server([count = std::make_shared<std::atomic<int>>(0)](const Peer& peer) {
    // The second request of the first connection finds it closing.
    if (++*count == 2) return false;
    return answer(peer);
  });
  CurlSession session(server);
  session.get();
  const Reply reply = session.get();
  CHECK(reply.transport == Outcome::Ok);
  CHECK_FALSE(reply.kept);
  CHECK(reply.took(Phase::Connect) > 0ns);
  CHECK(server.heads().size() == 3);
}

TEST_CASE("an answer whose first field line is folded fails by itself alone") {
  // libcurl 7.88 frees a field twice here when its handles are used again.
  RawServer server([](const Peer& peer) {
    peer.send(peer.asks("/odd") ? "HTTP/1.1 200 OK\r\n Content-Type: text/plain\r\n"
                                  "Content-Length: 5\r\n\r\nhello"
                                : kHello);
    return true;
  });
  CurlSession session(server);
  for (int i = 0; i < 4; ++i) {
    CHECK(session.get().transport == Outcome::Ok);
    CHECK(session.get(within(20s), {"/odd", {}}).transport != Outcome::Ok);
  }
}

TEST_CASE("an address that is preferred has a connection ready before the first request") {
  RawServer server(answer);
  CurlTransport::Settings settings{.base_urls = {named(server) + "/v1"}};
  settings.spares.check_interval = 1ms;
  CurlSession session(settings);
  session.with([](CurlTransport& transport) {
    transport.set_token("secret");
    transport.prefer(0, "127.0.0.1");
  });
  while (server.heads().empty()) std::this_thread::yield();
  CHECK(server.heads()[0].starts_with("HEAD /v1/ HTTP/1.1\r\n"));
  CHECK(server.heads()[0].find("secret") == std::string::npos);
  session.with([](CurlTransport& transport) { CHECK(transport.in_flight() == 0); });
}

TEST_CASE("a request finds the spare connection, and leaves it for the next") {
  RawServer server(answer_any);
  CurlTransport::Settings settings{.base_urls = {named(server)}};
  settings.spares.check_interval = 1ms;
  settings.spares.pause = 0ms;
  CurlSession session(settings);
  session.with([](CurlTransport& transport) { transport.prefer(0, "127.0.0.1"); });
  wait_until_ready(session);
  CHECK(session.get(to("127.0.0.1")).kept);
  CHECK(session.get(to("127.0.0.1")).kept);
  CHECK(server.connections() == 1);
  // Set aside, it is replaced.
  session.with([](CurlTransport& transport) { transport.distrust(0, "127.0.0.1"); });
  wait_until_ready(session);
  CHECK(session.get(to("127.0.0.1")).kept);
  CHECK(server.connections() == 2);
}

TEST_CASE("idle connections are used before they are too old") {
  RawServer server(answer_any);
  CurlTransport::Settings settings{.base_urls = {server.url()}};
  settings.spares.check_interval = 1ms;
  settings.spares.refresh_after = 1ms;
  CurlSession session(settings);
  session.with([](CurlTransport& transport) { transport.prefer(0, "127.0.0.1"); });
  while (server.heads().size() < 5) std::this_thread::yield();
  CHECK(server.connections() == 1);
}

TEST_CASE("an upstream that closes after each answer is asked for one spare, not for each") {
  RawServer server([](const Peer& peer) {
    answer_any(peer);
    return false;
  });
  CurlTransport::Settings settings{.base_urls = {server.url()}};
  settings.spares.check_interval = 1ms;
  settings.spares.pause = 0ms;
  CurlSession session(settings);
  session.with([](CurlTransport& transport) { transport.prefer(0, "127.0.0.1"); });
  while (server.heads().empty()) std::this_thread::yield();
  for (int i = 0; i < 20; ++i) CHECK(session.get().transport == Outcome::Ok);
  std::size_t spares = 0;
  for (const std::string& head : server.heads()) spares += head.starts_with("HEAD") ? 1U : 0U;
  CHECK(spares <= 2);
}

TEST_CASE("without spares, or a preferred address, nothing is asked that nobody wanted") {
  RawServer server(answer);
  CurlTransport::Settings settings{.base_urls = {server.url()}};
  settings.spares.check_interval = 1ms;
  CurlSession unwanted(settings);
  unwanted.with([](CurlTransport& transport) { transport.prefer(0, ""); });
  settings.spares.wanted = 0;
  CurlSession off(settings);
  off.with([](CurlTransport& transport) { transport.prefer(0, "127.0.0.1"); });
  CHECK(unwanted.get().transport == Outcome::Ok);
  CHECK(off.get().transport == Outcome::Ok);
  CHECK(server.heads().size() == 2);
}

}  // namespace holdfast::upstream
