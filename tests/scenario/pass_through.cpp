// What is passed through, by the real daemon: all methods but GET and HEAD, content and answer of
// any length, each request sent once. The upstream is one that does exactly as a case wants it.
#include <doctest/doctest.h>

#include <atomic>
#include <fstream>
#include <future>

#include "../unit/upstream/raw_server.h"
#include "raw_client.h"
#include "stage.h"

using namespace holdfast::scenario;
using holdfast::upstream::test::RawServer;
using namespace std::chrono_literals;

namespace {

using Peer = RawServer::Peer;

std::string file_for(const RawServer& server, const std::string& more = "") {
  return "[upstream.any]\nurls = [\"" + server.url() +
         "\"]\nupstream_spare = \"off\"\n[[route]]\nname = \"any\"\nmatch = \"/{path:rest}\"\n"
         "methods = \"*\"\nvalidate = { json = false }\n" +
         more;
}

std::string varied(std::size_t bytes) {
  std::string text;
  text.reserve(bytes + 16);
  for (std::uint64_t i = 1; text.size() < bytes; ++i) text += std::to_string(i * 2654435761U);
  text.resize(bytes);
  return text;
}

std::size_t stated_length(const std::string& head) {
  const std::size_t at = head.find("\r\nContent-Length: ");
  return at == std::string::npos ? 0 : std::stoul(head.substr(at + 18));
}

std::string ok(const std::string& content) {
  return "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(content.size()) + "\r\n\r\n" +
         content;
}

std::string request(const std::string& line, const std::string& fields) {
  return line + " HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n";
}

std::size_t count(const RawServer& server, const std::string& start) {
  std::size_t found = 0;
  for (const std::string& head : server.heads()) found += head.starts_with(start) ? 1 : 0;
  return found;
}

// The most memory that the process ever held, in bytes.
std::size_t most_memory(const Daemon& daemon) {
  std::ifstream status("/proc/" + std::to_string(daemon.process().pid()) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return std::stoul(line.substr(6)) << 10;
  }
  return 0;
}

#ifdef SANITIZED
constexpr bool kPlain = false;
#else
constexpr bool kPlain = true;
#endif

}  // namespace

TEST_CASE("contents and answers go through as they are, with their fields") {
  const Folder folder;
  std::string chunks;
  const RawServer server([&](const Peer& peer) {
    const std::string& head = peer.head();
    if (head.starts_with("PUT ")) {
      chunks = peer.read_to("\r\n0\r\n\r\n");
      peer.send(
          "HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\nLocation: /new\r\n"
          "Connection: X-Hop\r\nX-Hop: 1\r\nSet-Cookie: a=b\r\n\r\n"
          "3\r\nabc\r\n0\r\nTrailer: t\r\n\r\n");
    } else {
      peer.send(ok(peer.read(stated_length(head))));
    }
    return true;
  });
  Daemon daemon = routed(folder, file_for(server, "max_request_body = \"8MiB\"\n"));

  const std::string content = varied(5 << 20);
  const Response posted =
      ask({daemon.url("/a/b?x=1"), "POST", {"Content-Type: x/y", "If-Match: \"v\""}, content});
  CHECK(posted.status == 200);
  CHECK(posted.body == content);
  CHECK(posted.field("Via") == "1.1 holdfast");
  CHECK(posted.field("Cache-Status") == "holdfast; fwd=method; fwd-status=200");
  const std::string head = server.heads().at(0);
  CHECK(head.starts_with("POST /a/b?x=1 HTTP/1.1\r\n"));
  CHECK(contains(head, "\r\nContent-Type: x/y\r\n"));
  CHECK(contains(head, "\r\nIf-Match: \"v\"\r\n"));
  CHECK(contains(head, "\r\nX-Forwarded-For: 127.0.0.1\r\n"));

  RawClient client(daemon.port());
  client.send(request("PUT /c", "Transfer-Encoding: chunked\r\nCookie: mine\r\n"));
  client.send("3\r\nabc\r\n");
  client.send("A\r\n0123456789\r\n0\r\nX: y\r\n\r\n");
  const RawClient::Answer created = client.read();
  CHECK(created.status == 201);
  CHECK(contains(created.head, "\r\nTransfer-Encoding: chunked\r\n"));
  CHECK(contains(created.head, "\r\nLocation: /new\r\n"));
  CHECK(contains(created.head, "\r\nSet-Cookie: a=b\r\n"));
  CHECK_FALSE(contains(created.head, "X-Hop"));
  CHECK(contains(chunks, "abc"));
  CHECK(contains(chunks, "0123456789"));
  CHECK_FALSE(contains(chunks, "X: y"));
  CHECK_FALSE(contains(server.heads().at(1), "Cookie"));

  CHECK(ask({daemon.url("/d"), "DELETE"}).status == 200);
  CHECK_FALSE(contains(server.heads().at(2), "Content-Length"));
  daemon.wait_for_metric("holdfast_requests_total{route=\"any\",code=\"201\",cache=\"pass\"}",
                         [](double times) { return times == 1; });
  CHECK(daemon.stop() == 0);
}

TEST_CASE("an interim answer reaches who waits for the answer, and no client of HTTP/1.0") {
  const Folder folder;
  const RawServer server([](const Peer& peer) {
    peer.send("HTTP/1.1 103 Early Hints\r\nLink: </style>; rel=preload\r\nKeep-Alive: 5\r\n\r\n");
    peer.send(ok("done"));
    return true;
  });
  Daemon daemon = routed(folder, file_for(server));
  RawClient client(daemon.port());
  client.send(request("POST /a", "Content-Length: 0\r\n"));
  RawClient::Answer answer = client.read();
  CHECK(answer.status == 103);
  CHECK(contains(answer.head, "\r\nLink: </style>; rel=preload\r\n"));
  CHECK_FALSE(contains(answer.head, "Keep-Alive"));
  answer = client.read();
  CHECK(answer.status == 200);
  CHECK(answer.body == "done");
  CHECK_FALSE(contains(answer.head, "Link"));
  RawClient old(daemon.port());
  old.send("POST /a HTTP/1.0\r\nContent-Length: 0\r\n\r\n");
  CHECK(old.read().status == 200);
  CHECK(daemon.stop() == 0);
}

TEST_CASE("an interim answer reaches those who wait along, and none of them of HTTP/1.0") {
  const Folder folder;
  std::promise<void> all_wait;
  std::promise<void> hinted;
  // A second attempt may race the first, which takes long.
  const RawServer server([all_wait_now = all_wait.get_future().share(),
                          hinted_now = hinted.get_future().share()](const Peer& peer) {
    all_wait_now.wait_for(kPatience);
    peer.send("HTTP/1.1 103 Early Hints\r\nLink: </style>; rel=preload\r\n\r\n");
    hinted_now.wait_for(kPatience);
    peer.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 4\r\n\r\ndone");
    return true;
  });
  Daemon daemon = routed(folder, file_for(server, "mode = \"rfc9111\"\n"), one_attempt());
  std::vector<std::unique_ptr<RawClient>> clients;
  for (int i = 0; i < 3; ++i) {
    clients.push_back(std::make_unique<RawClient>(daemon.port()));
    clients.back()->send(request("GET /a", ""));
  }
  const auto waits_for = [&daemon](double clients_now) {
    daemon.wait_for_metric(R"(holdfast_flight_waiters{upstream="any"})",
                           [=](double waiters) { return waiters == clients_now; });
  };
  waits_for(3);
  RawClient old(daemon.port());
  old.send("GET /a HTTP/1.0\r\nHost: a\r\n\r\n");
  waits_for(4);
  all_wait.set_value();
  for (const auto& client : clients) {
    const RawClient::Answer hint = client->read();
    CHECK(hint.status == 103);
    CHECK(contains(hint.head, "\r\nLink: </style>; rel=preload\r\n"));
  }
  hinted.set_value();
  for (const auto& client : clients) {
    RawClient::Answer answer = client->read();
    while (answer.status == 103) answer = client->read();
    CHECK(answer.status == 200);
    CHECK(answer.body == "done");
    CHECK_FALSE(contains(answer.head, "Link"));
  }
  CHECK(old.read().status == 200);
  const Response hit = get(daemon.url("/a"));
  CHECK(contains(hit.field("Cache-Status"), "; hit"));
  CHECK(hit.field("Link").empty());
  CHECK(daemon.stop() == 0);
}

TEST_CASE("a slow reader slows the upstream, and fills no memory") {
  const Folder folder;
  constexpr std::size_t kPiece = 64 << 10;
  constexpr std::size_t kPieces = 1024;
  std::atomic<std::size_t> sent{0};
  const RawServer server([&](const Peer& peer) {
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(kPiece * kPieces) +
              "\r\n\r\n");
    const std::string piece(kPiece, 'x');
    for (std::size_t i = 0; i < kPieces; ++i) {
      peer.send(piece);
      ++sent;
    }
    return true;
  });
  Daemon daemon = routed(folder, file_for(server));
  RawClient client(daemon.port(), 4096);
  client.send(request("POST /big", "Content-Length: 0\r\n"));
  REQUIRE(eventually([&] { return sent > 4; }));
  const std::size_t before = most_memory(daemon);
  const RawClient::Answer answer = client.read();
  CHECK(answer.status == 200);
  CHECK(answer.body == std::string(kPiece * kPieces, 'x'));
  if (kPlain) CHECK(most_memory(daemon) < before + (16U << 20));
  CHECK(daemon.stop() == 0);
}

TEST_CASE("an answer that is cut off in the middle is cut off for the client too") {
  const Folder folder;
  const RawServer server([](const Peer& peer) {
    if (contains(peer.head(), "/length")) {
      peer.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc");
    } else {
      peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    }
    return false;
  });
  Daemon daemon = routed(folder, file_for(server));
  for (const char* path : {"/length", "/chunks"}) {
    const Response broken = ask({daemon.url(path), "POST"});
    CHECK(broken.status == 0);
    CHECK_FALSE(broken.error.empty());
  }
  CHECK(server.heads().size() == 2);
  CHECK(daemon.stop() == 0);
}

TEST_CASE("a client that leaves ends the transfer upstream") {
  const Folder folder;
  std::promise<void> asked, left;
  std::string begin;
  SUBCASE("before the answer") {}
  SUBCASE("in the middle of it") {
    begin = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc";
  }
  const RawServer server([&](const Peer& peer) {
    peer.send(begin);
    asked.set_value();
    peer.hang();
    left.set_value();
    return false;
  });
  Daemon daemon = routed(folder, file_for(server));
  {
    RawClient client(daemon.port());
    client.send(request("DELETE /x", ""));
    asked.get_future().wait();
  }
  CHECK(left.get_future().wait_for(kPatience) == std::future_status::ready);
  CHECK(daemon.stop() == 0);
}

TEST_CASE("a request is sent once, whatever becomes of it") {
  const Folder folder;
  const RawServer server([](const Peer& peer) {
    if (peer.head().starts_with("GET ")) {
      peer.send(ok("kept"));
      return true;
    }
    return false;
  });
  Daemon daemon = routed(folder, file_for(server));
  CHECK(get(daemon.url("/first")).status == 200);
  for (const char* method : {"POST", "DELETE", "PATCH", "OPTIONS"}) {
    CAPTURE(method);
    const Response lost = ask({daemon.url("/x"), method, {}});
    CHECK(lost.status == 502);
    CHECK(contains(lost.body, "sent once"));
    CHECK(count(server, std::string(method) + " ") == 1);
  }
  CHECK(daemon.stop() == 0);
}

TEST_CASE("too large a content is refused, and smuggling gets nothing upstream") {
  const Folder folder;
  const RawServer server([](const Peer& peer) {
    peer.read_to("\r\n0\r\n\r\n");
    return false;
  });
  Daemon daemon = routed(folder, file_for(server, "max_request_body = \"10KiB\"\n"));
  const auto answered = [&](const std::string& bytes) {
    RawClient client(daemon.port());
    return client.ask(bytes).status;
  };
  const std::string smuggled = request("DELETE /smuggled", "");
  CHECK(answered(request("POST /x", "Content-Length: 10241\r\n")) == 413);
  CHECK(answered(request("POST /x", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n") +
                 "0\r\n\r\n" + smuggled) == 400);
  CHECK(answered(request("POST /x", "Content-Length: 5\r\nContent-Length: 6\r\n") + smuggled) ==
        400);
  CHECK(answered(request("POST /x", "Transfer-Encoding: gzip, chunked\r\n") + smuggled) == 501);
  CHECK(answered(request("POST /x", "Connection: upgrade\r\nUpgrade: websocket\r\n")) == 501);
  CHECK(answered(request("CONNECT a:1", "")) == 501);
  CHECK(answered(request("TRACE /x", "")) == 405);
  CHECK(server.heads().empty());

  // In the middle of what has been begun: it never becomes whole.
  for (const char* size : {"0x3", "-1", "3 3", "+3", "fffffffffffffffff"}) {
    CAPTURE(size);
    const int status = answered(request("POST /y", "Transfer-Encoding: chunked\r\n") + size +
                                "\r\nabc\r\n0\r\n\r\n" + smuggled);
    CHECK((status == 400 || status == 413));
  }
  CHECK(answered(request("POST /y", "Transfer-Encoding: chunked\r\n") + "2801\r\n") == 413);
  CHECK(count(server, "DELETE") == 0);
  CHECK(daemon.stop() == 0);
}

TEST_CASE("what changes a thing is followed by a new answer of it") {
  const Folder folder;
  std::atomic<int> version{1};
  const RawServer server([&](const Peer& peer) {
    if (peer.head().starts_with("PUT /bad")) {
      peer.send("HTTP/1.1 409 Conflict\r\nContent-Length: 0\r\n\r\n");
    } else {
      if (peer.head().starts_with("PUT ")) ++version;
      peer.send(ok("v" + std::to_string(version)));
    }
    return true;
  });
  Daemon daemon = routed(folder, file_for(server));
  for (const char* path : {"/thing?a=1", "/bad", "/other"}) {
    CHECK(get(daemon.url(path)).body == "v1");
  }
  CHECK(ask({daemon.url("/thing?a=1"), "PUT"}).body == "v2");
  CHECK(ask({daemon.url("/bad"), "PUT"}).status == 409);
  CHECK(get(daemon.url("/thing?a=1")).body == "v2");
  CHECK(get(daemon.url("/bad")).body == "v1");
  CHECK(get(daemon.url("/other")).body == "v1");
  CHECK(daemon.stop() == 0);
}
