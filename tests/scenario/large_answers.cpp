// Answers larger than max_body by a route of mode resilient, by the real daemon: they go through in
// pieces, where what is asked of them can be told by their head, and are refused where not.
#include <doctest/doctest.h>

#include <atomic>
#include <fstream>

#include "../unit/upstream/raw_server.h"
#include "raw_client.h"
#include "stage.h"

using namespace holdfast::scenario;
using holdfast::upstream::test::RawServer;

namespace {

constexpr std::size_t kLarge = 1 << 20;

std::string large_file(const RawServer& server, const std::string& more) {
  return "[upstream.any]\nurls = [\"" + server.url() +
         "\"]\nupstream_spare = \"off\"\n[[route]]\nname = \"any\"\nmatch = \"/{path:rest}\"\n"
         "max_body = \"10KiB\"\n" +
         more;
}

const char* const kUnchecked = "validate = { json = false }\n";

std::string large_content() {
  std::string text;
  text.reserve(kLarge + 16);
  for (std::uint64_t i = 1; text.size() < kLarge; ++i) text += std::to_string(i * 2654435761U);
  text.resize(kLarge);
  return text;
}

std::string head_of(std::size_t length, const std::string& fields = "Content-Type: text/csv\r\n") {
  return "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(length) + "\r\n" + fields + "\r\n";
}

// The most memory that the process ever held, in bytes.
std::size_t memory_at_most(const Daemon& daemon) {
  std::ifstream status("/proc/" + std::to_string(daemon.process().pid()) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return std::stoul(line.substr(6)) << 10;
  }
  return 0;
}

#ifdef SANITIZED
constexpr bool kTellsMemory = false;
#else
constexpr bool kTellsMemory = true;
#endif

const std::string kTooLargeStatus = "holdfast; fwd=bypass; fwd-status=200; detail=too-large";

}  // namespace

TEST_CASE("a large answer goes through whole, and the upstream is asked as for any") {
  const Folder folder;
  const std::string content = large_content();
  const RawServer server([&](const RawServer::Peer& peer) {
    if (contains(peer.head(), " /chunks ")) {
      peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n100000\r\n" + content +
                "\r\n0\r\n\r\n");
    } else {
      peer.send(head_of(content.size(), "Content-Type: text/csv\r\nX-Up: 1\r\n") + content);
    }
    return true;
  });
  Daemon daemon = routed(folder, large_file(server, kUnchecked), one_attempt());
  const std::vector<std::string> fields{"Authorization: Bearer mine", "Cookie: a=b",
                                        "Accept-Language: de"};
  for (const char* path : {"/length", "/chunks"}) {
    for (int i = 0; i < 2; ++i) {
      const Response response = ask({daemon.url(path), "GET", fields});
      CHECK(response.status == 200);
      CHECK(response.body == content);
      CHECK(response.field("Cache-Status") == kTooLargeStatus);
      CHECK(response.field("X-Up").empty());
    }
  }
  const auto heads = server.heads();
  REQUIRE(heads.size() == 6);
  CHECK(heads[0].starts_with("GET /length HTTP/1.1\r\n"));
  for (const char* mine : {"mine", "Cookie", "Accept-Language", "Via", "Forwarded"}) {
    CHECK_FALSE(contains(heads[1], mine));
  }
  CHECK(heads[1] == heads[0]);
  CHECK(heads[2] == heads[0]);

  const Response told = ask({daemon.url("/length"), "HEAD"});
  CHECK(told.status == 200);
  CHECK(told.field("Content-Length") == std::to_string(content.size()));
  CHECK(told.field("Content-Type") == "text/csv");
  CHECK(server.heads().back() == heads[0]);
  daemon.wait_for_metric("holdfast_requests_total{route=\"any\",code=\"200\",cache=\"pass\"}",
                         [](double times) { return times >= 5; });
  CHECK(daemon.stop() == 0);
}

TEST_CASE("a large answer that breaks off is broken off for its client, and not asked for again") {
  const Folder folder;
  std::atomic<int> asked{0};
  const RawServer server([&](const RawServer::Peer& peer) {
    ++asked;
    peer.send(head_of(kLarge) + std::string(20'000, 'x'));
    return false;
  });
  Daemon daemon = routed(folder, large_file(server, kUnchecked), one_attempt());
  for (int i = 0; i < 2; ++i) {
    const Response broken = get(daemon.url("/a"));
    CHECK(broken.status == 0);
    CHECK_FALSE(broken.error.empty());
  }
  CHECK(asked == 3);
  CHECK(daemon.stop() == 0);
}

TEST_CASE("a slow reader of a large answer slows the upstream, and fills no memory") {
  const Folder folder;
  constexpr std::size_t kPiece = 64 << 10;
  constexpr std::size_t kPieces = 1024;
  std::atomic<std::size_t> sent{0};
  const RawServer server([&](const RawServer::Peer& peer) {
    peer.send(head_of(kPiece * kPieces));
    const std::string piece(kPiece, 'x');
    for (std::size_t i = 0; i < kPieces; ++i) {
      peer.send(piece);
      ++sent;
    }
    return true;
  });
  Daemon daemon = routed(folder, large_file(server, kUnchecked), one_attempt());
  RawClient client(daemon.port(), 4096);
  client.send(get_request("/big"));
  REQUIRE(eventually([&] { return sent > 4; }));
  const std::size_t before = memory_at_most(daemon);
  const RawClient::Answer answer = client.read();
  CHECK(answer.status == 200);
  CHECK(answer.body == std::string(kPiece * kPieces, 'x'));
  if (kTellsMemory) CHECK(memory_at_most(daemon) < before + (16U << 20));
  CHECK(daemon.stop() == 0);
}

TEST_CASE("what cannot be told by its head refuses a large answer, and the error says so") {
  const Folder folder;
  const RawServer server([&](const RawServer::Peer& peer) {
    peer.send(head_of(kLarge, "Content-Type: text/html\r\n") + large_content());
    return true;
  });
  struct Case {
    std::string validate, says;
  };
  // JSON and members are looked for in a whole.
  for (const Case& c : {Case{"validate = { json = true }\n", "beyond max_body"},
                        Case{"validate = { reject_if = { \"/a\" = [1] } }\n", "beyond max_body"},
                        Case{"validate = { json = false, content_type = \"text/csv\" }\n",
                             "status 200, Content-Type: text/html: not text/csv"}}) {
    CAPTURE(c.validate);
    Daemon daemon =
        routed(folder, large_file(server, c.validate + "attempts = 1\n"), one_attempt());
    for (int i = 0; i < 2; ++i) {
      const Response refused = get(daemon.url("/" + std::to_string(i)));
      CHECK(refused.status == 502);
      CHECK(contains(refused.body, c.says));
    }
    CHECK(daemon.stop() == 0);
  }
}

TEST_CASE("in mode rfc9111 a large answer says why it is not kept, too") {
  const Folder folder;
  const std::string content = large_content();
  const RawServer server([&](const RawServer::Peer& peer) {
    peer.send(head_of(content.size(), "Cache-Control: max-age=60\r\n") + content);
    return true;
  });
  Daemon daemon = routed(folder, large_file(server, "mode = \"rfc9111\"\n"), one_attempt());
  for (int i = 0; i < 2; ++i) {
    const Response response = get(daemon.url("/a"));
    CHECK(response.body == content);
    CHECK(response.field("Cache-Status") == kTooLargeStatus);
  }
  CHECK(daemon.stop() == 0);
}
