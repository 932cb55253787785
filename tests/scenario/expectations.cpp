// Expect: 100-continue from end to end, by the real daemon (RFC 9110, 10.1.1): whoever is to have
// the content says whether it is wanted. That nothing is asked for too early is for the unit tests
// to say, whose waits are as long as they like; here it may be, on a machine that is busy for
// longer than the daemon waits for its upstream.
#include <doctest/doctest.h>

#include "../unit/upstream/raw_server.h"
#include "raw_client.h"
#include "stage.h"

using namespace holdfast::scenario;
using holdfast::upstream::test::RawServer;

namespace {

const std::string kExpects = "Expect: 100-continue\r\n";

std::string expecting_file(const RawServer& server, const std::string& more = "") {
  return "[upstream.any]\nurls = [\"" + server.url() +
         "\"]\nupstream_spare = \"off\"\n[[route]]\nname = \"any\"\nmatch = \"/any/{path:rest}\"\n"
         "methods = [\"GET\", \"HEAD\", \"POST\", \"PUT\"]\nvalidate = { json = false }\n" +
         more;
}

std::string post_of(const std::string& fields, const std::string& version = "1.1") {
  return "POST /any/x HTTP/" + version + "\r\nHost: a\r\n" + fields + "\r\n";
}

// Of an answer the final one.
RawClient::Answer final_of(RawClient& client) {
  RawClient::Answer answer = client.read();
  return answer.status == 100 ? client.read() : answer;
}

}  // namespace

TEST_CASE("the content is asked for once the upstream asks for it, and goes to it") {
  const Folder folder;
  const RawServer server([](const RawServer::Peer& peer) {
    const bool asks = !contains(peer.head(), "X-Silent");
    if (asks) peer.send("HTTP/1.1 100 Continue\r\n\r\n");
    const std::string content = contains(peer.head(), "\r\nTransfer-Encoding: chunked\r\n")
                                    ? peer.read_to("\r\n0\r\n\r\n").substr(3, 3)
                                    : peer.read(3);
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n" + content);
    return true;
  });
  Daemon daemon = routed(folder, expecting_file(server));
  RawClient client(daemon.port());
  std::string fields, content = "abc";
  SUBCASE("by its length") {
    fields = "Content-Length: 3\r\n";
  }
  SUBCASE("in chunks") {
    fields = "Transfer-Encoding: chunked\r\n";
    content = "3\r\nabc\r\n0\r\n\r\n";
  }
  SUBCASE("or says nothing for a while") {
    fields = "Content-Length: 3\r\nX-Silent: 1\r\n";
  }
  // The connection serves on.
  for (int i = 0; i < 2; ++i) {
    client.send(post_of(fields + kExpects));
    CHECK(client.read().status == 100);
    const RawClient::Answer answer = client.ask(content);
    CHECK(answer.status == 200);
    CHECK(answer.body == "abc");
    CHECK(contains(server.heads().back(), "\r\nExpect: 100-continue\r\n"));
  }
  CHECK(server.heads().size() == 2);
  CHECK(daemon.stop() == 0);
}

TEST_CASE("an upstream that answers without the content is heard, and the connection ends") {
  const Folder folder;
  const RawServer server([](const RawServer::Peer& peer) {
    const std::size_t at = peer.head().find("X-Says: ");
    peer.send("HTTP/1.1 " + peer.head().substr(at + 8, 3) +
              " As told\r\nContent-Length: 4\r\nLocation: /there\r\n\r\nsaid");
    // Whatever comes of it now: not as the answer to a request.
    peer.read(1000);
    return false;
  });
  Daemon daemon = routed(folder, expecting_file(server));
  for (const int status : {417, 401, 413, 302, 200, 503}) {
    CAPTURE(status);
    RawClient client(daemon.port());
    client.send(
        post_of("Content-Length: 3\r\nX-Says: " + std::to_string(status) + "\r\n" + kExpects));
    const RawClient::Answer answer = final_of(client);
    CHECK(answer.status == status);
    CHECK(answer.body == "said");
    CHECK(contains(answer.head, "\r\nLocation: /there\r\n"));
    CHECK(contains(answer.head, "\r\nConnection: close\r\n"));
    CHECK(client.ends());
  }
  // Each once, also what was not taken for its Expect.
  CHECK(server.heads().size() == 6);
  CHECK(daemon.stop() == 0);
}

TEST_CASE("an Expect of HTTP/1.0 says nothing, and one without content neither") {
  const Folder folder;
  const RawServer server([](const RawServer::Peer& peer) {
    const bool has = contains(peer.head(), "Content-Length: 3");
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n" + (has ? peer.read(3) : "non"));
    return true;
  });
  Daemon daemon = routed(folder, expecting_file(server));
  RawClient old(daemon.port());
  CHECK(old.ask(post_of("Content-Length: 3\r\n" + kExpects, "1.0") + "abc").body == "abc");
  RawClient empty(daemon.port());
  CHECK(empty.ask(post_of("Content-Length: 0\r\n" + kExpects)).body == "non");
  for (const std::string& head : server.heads()) CHECK_FALSE(contains(head, "Expect"));
  CHECK(server.heads().size() == 2);
  CHECK(daemon.stop() == 0);
}

TEST_CASE("whoever is refused here is not asked for the content") {
  const Folder folder;
  const RawServer server([](const RawServer::Peer&) { return false; });
  Daemon daemon = routed(folder, expecting_file(server, "max_request_body = \"10KiB\"\n"));
  const auto answered = [&](const std::string& line, const std::string& fields) {
    RawClient client(daemon.port());
    const RawClient::Answer answer =
        client.ask(line + " HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n");
    CHECK(contains(answer.head, "\r\nConnection: close\r\n"));
    CHECK(client.ends());
    return answer.status;
  };
  const std::string three = "Content-Length: 3\r\n";
  CHECK(answered("POST /any/x", "Content-Length: 10241\r\n" + kExpects) == 413);
  CHECK(answered("POST /nowhere", three + kExpects) == 404);
  CHECK(answered("DELETE /any/x", three + kExpects) == 405);
  CHECK(answered("POST /healthz", three + kExpects) == 405);
  CHECK(answered("POST /any/x", three + kExpects + "Connection: upgrade\r\nUpgrade: x\r\n") == 501);
  CHECK(answered("POST /any/x", three + "Expect: wonders\r\n") == 417);
  CHECK(answered("GET /healthz", three + kExpects) == 200);
  CHECK(server.heads().empty());
  CHECK(daemon.stop() == 0);
}
