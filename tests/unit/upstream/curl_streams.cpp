// What goes through CurlTransport in pieces: both ways, with whoever is slow waited for, and sent
// once whatever happens.
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <limits>

#include "curl_bench.h"
#include "patience.h"

using namespace holdfast::upstream;
using namespace holdfast::upstream::test;
using namespace std::chrono_literals;

namespace {

using Content = StreamRequest::Content;

constexpr std::size_t kAll = std::numeric_limits<std::size_t>::max();

// No two places of it look alike for long.
std::string varied(std::size_t bytes) {
  std::string text;
  text.reserve(bytes + 16);
  for (std::uint64_t i = 1; text.size() < bytes; ++i) text += std::to_string(i * 2654435761U);
  text.resize(bytes);
  return text;
}

struct Peer final : StreamPeer {
  std::string content;
  std::size_t read_so_far = 0;
  std::size_t readable = kAll;  // so much of it is there
  int heads = 0;
  int status = 0;
  Fields fields;
  std::vector<std::string> interims;
  std::optional<std::uint64_t> length;
  std::string got;
  std::size_t room = kAll;  // for so much
  std::size_t coming = 0;   // with the next piece, when it was asked for room
  std::size_t largest = 0;  // of the pieces
  std::function<void()> on_wait = [] {};
  std::function<void()> on_write = [] {};

  std::optional<std::size_t> read(char* at, std::size_t most) override {
    if (read_so_far == content.size()) return 0;
    const std::size_t count = std::min({most, content.size() - read_so_far, readable});
    if (count == 0) {
      on_wait();
      return std::nullopt;
    }
    std::memcpy(at, content.data() + read_so_far, count);
    read_so_far += count;
    if (readable != kAll) readable -= count;
    return count;
  }
  void interim(int interim_status, const Fields& with) override {
    CHECK(heads == 0);
    interims.push_back(std::to_string(interim_status));
    for (const Field& field : with) interims.back() += " " + field.name + ": " + field.value;
  }
  void head(const StreamHead& head) override {
    ++heads;
    status = head.status;
    fields = head.fields;
    length = head.length;
  }
  bool has_room(std::size_t bytes) override {
    coming = bytes;
    if (got.size() + bytes < room) return true;
    on_wait();
    return false;
  }
  void write(std::string piece) override {
    largest = std::max(largest, piece.size());
    got += piece;
    on_write();
  }
};

// What no machine is too busy for, and less than the deadline of `Stream`.
constexpr auto kEnough = 10s;

StreamRequest request(std::string method, std::string target, Content content = Content::None,
                      std::uint64_t length = 0) {
  StreamRequest request{.method = std::move(method), .request = {std::move(target), {}}};
  request.content = content;
  request.content_length = length;
  request.patience = 20s;
  return request;
}

struct Stream {
  CurlBench& bench;
  Peer peer = {};
  std::optional<Reply> reply = {};
  Transport::AttemptId id = 0;
  std::function<void()> on_end = {};  // else the loop ends

  void start(const StreamRequest& what) {
    id = bench.transport.stream(within(20s), what, peer, [this](Reply r) {
      CHECK_FALSE(reply);
      reply = std::move(r);
      on_end ? on_end() : bench.loop.stop();
    });
  }
  Reply run(const StreamRequest& what) {
    start(what);
    bench.loop.run();
    REQUIRE(reply);
    return *reply;
  }
};

void turns(CurlBench& bench, int left, std::function<void()> then) {
  if (left == 0) return then();
  bench.loop.post([&bench, left, then = std::move(then)] { turns(bench, left - 1, then); });
}

std::size_t count_heads(const RawServer& server, std::string_view start) {
  const auto heads = server.heads();
  return static_cast<std::size_t>(
      std::count_if(heads.begin(), heads.end(),
                    [&](const std::string& head) { return head.starts_with(start); }));
}

std::string chunked(const std::string& content, std::size_t most) {
  std::string out;
  for (std::size_t at = 0; at < content.size(); at += most) {
    const std::string piece = content.substr(at, most);
    char size[20];
    std::snprintf(size, sizeof size, "%zx\r\n", piece.size());
    out += size + piece + "\r\n";
  }
  return out + "0\r\nTrailer: dropped\r\n\r\n";
}

bool has_line(const std::string& head, const std::string& line) {
  return head.find("\r\n" + line + "\r\n") != std::string::npos;
}

}  // namespace

TEST_CASE("a content with a length goes out as it is, and the answer comes in pieces") {
  const std::string content = varied(300'000);
  std::string arrived;
  const RawServer server([&](const RawServer::Peer& peer) {
    arrived = peer.read(content.size());
    peer.send(
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
        "HTTP/1.1 201 Created\r\nX-Y: z\r\nTransfer-Encoding: chunked\r\n\r\n" +
        chunked(content, 70'000));
    return true;
  });
  CurlBench bench(server, "t0ken");
  Stream stream{bench};
  stream.peer.content = content;
  StreamRequest put = request("PUT", "/things/7?a=b", Content::Length, content.size());
  put.request.fields = {{"Content-Type", "text/x"}, {"X-Empty", ""}, {"Accept-Encoding", "br"}};
  const Reply reply = stream.run(put);
  CHECK(reply.transport == Outcome::Ok);
  CHECK(reply.status == 201);
  CHECK(reply.body.empty());
  CHECK(arrived == content);
  CHECK(stream.peer.heads == 1);
  CHECK(stream.peer.status == 201);
  CHECK(*find_field(stream.peer.fields, "X-Y") == "z");
  CHECK(find_field(stream.peer.fields, "Link") == nullptr);
  CHECK_FALSE(stream.peer.length);
  CHECK(stream.peer.got == content);

  const std::string head = server.heads().at(0);
  CHECK(head.starts_with("PUT /things/7?a=b HTTP/1.1\r\n"));
  CHECK(has_line(head, "Content-Length: 300000"));
  CHECK(has_line(head, "Content-Type: text/x"));
  CHECK(has_line(head, "X-Empty:"));
  CHECK(has_line(head, "Accept-Encoding: br"));
  CHECK(has_line(head, "Authorization: Bearer t0ken"));
  // Nothing is added that the client did not say.
  CHECK(head.find("Expect") == std::string::npos);
  CHECK(head.find("\r\nAccept:") == std::string::npos);
  CHECK(head.find("User-Agent") == std::string::npos);
}

TEST_CASE("a content of unknown length goes out in chunks") {
  const std::string content = varied(100'000);
  std::string arrived;
  const RawServer server([&](const RawServer::Peer& peer) {
    arrived = peer.read_to("\r\n0\r\n\r\n");
    peer.send("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n");
    return true;
  });
  CurlBench bench(server);
  Stream stream{bench};
  stream.peer.content = content;
  const Reply reply = stream.run(request("POST", "/x", Content::Chunked));
  CHECK(reply.transport == Outcome::Ok);
  CHECK(reply.status == 204);
  CHECK(has_line(server.heads().at(0), "Transfer-Encoding: chunked"));
  CHECK(server.heads().at(0).find("Content-Length") == std::string::npos);
  std::string plain;
  while (!arrived.empty()) {
    std::size_t digits = 0;
    const std::size_t size = std::stoul(arrived, &digits, 16);
    plain += arrived.substr(digits + 2, size);
    arrived.erase(0, digits + 2 + size + 2);
  }
  CHECK(plain == content);
}

TEST_CASE("a content that waits to be asked for goes once the server asks") {
  const std::string content = varied(100'000);
  std::string early, arrived;
  const RawServer server([&](const RawServer::Peer& peer) {
    peer.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
    peer.send("HTTP/1.1 100 Continue\r\n\r\n");
    arrived = has_line(peer.head(), "Transfer-Encoding: chunked") ? peer.read_to("\r\n0\r\n\r\n")
                                                                  : peer.read(content.size());
    peer.send("HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok");
    return true;
  });
  CurlBench bench(CurlTransport::Settings{.base_urls = {server.url()}, .continue_wait = 1h});
  Stream stream{bench};
  stream.peer.content = content;
  StreamRequest put = request("PUT", "/x", Content::Length, content.size());
  SUBCASE("with a length") {}
  SUBCASE("in chunks") {
    put = request("PUT", "/x", Content::Chunked);
  }
  put.expects_continue = true;
  const Reply reply = stream.run(put);
  CHECK(reply.transport == Outcome::Ok);
  CHECK(reply.status == 201);
  CHECK(stream.peer.got == "ok");
  CHECK(arrived.size() >= content.size());
  CHECK(stream.peer.interims == std::vector<std::string>{"103 Link: </a>"});
  const std::string head = server.heads().at(0);
  CHECK(has_line(head, "Expect: 100-continue"));
  CHECK(head.find("Expect", head.find("Expect") + 1) == std::string::npos);
}

TEST_CASE("a server that says nothing to it gets the content after a while") {
  const RawServer server([&](const RawServer::Peer& peer) {
    peer.send(peer.read(3) == "abc" ? kHello : "");
    return true;
  });
  CurlBench bench(CurlTransport::Settings{.base_urls = {server.url()}, .continue_wait = 1ms});
  Stream stream{bench};
  stream.peer.content = "abc";
  StreamRequest put = request("PUT", "/x", Content::Length, 3);
  put.expects_continue = true;
  CHECK(stream.run(put).status == 200);
  CHECK(stream.peer.got == "hello");
}

TEST_CASE("a server that answers without having asked gets nothing, and is asked once") {
  struct Case {
    std::string status, fields, content;
  };
  Content sending = Content::Length;
  SUBCASE("of a content with a length") {}
  SUBCASE("of one in chunks") {
    sending = Content::Chunked;
  }
  const std::string length = "Content-Length: 2\r\n";
  const std::string chunks = "Transfer-Encoding: chunked\r\n";
  const std::string close = "Connection: close\r\n";
  for (const char* status : {"200 OK", "302 Found", "401 Unauthorized", "413 Content Too Large",
                             "417 Expectation Failed", "503 Service Unavailable"}) {
    std::vector<Case> cases = {{status, length, "no"},
                               {status, length + close, "no"},
                               {status, chunks, "2\r\nno\r\n0\r\n\r\n"},
                               {status, chunks + close, "2\r\nno\r\n0\r\n\r\n"}};
    // Up to the connection's end.
    cases.push_back({status, "", "no"});
    cases.push_back({status, close, "no"});
    for (const Case& c : cases) {
      CAPTURE(c.status);
      CAPTURE(c.fields);
      std::string after;
      {
        const RawServer server([&](const RawServer::Peer& peer) {
          peer.send("HTTP/1.1 " + c.status + "\r\n" + c.fields + "\r\n" + c.content);
          const bool to_end = c.fields.find("Length") == std::string::npos &&
                              c.fields.find("chunked") == std::string::npos;
          if (!to_end) after = peer.read(1);
          return false;
        });
        CurlBench bench(CurlTransport::Settings{.base_urls = {server.url()}, .continue_wait = 1h});
        Stream stream{bench};
        stream.peer.content = "abc";
        StreamRequest put = request("PUT", "/x", sending, sending == Content::Length ? 3 : 0);
        put.expects_continue = true;
        const Reply reply = stream.run(put);
        CHECK(reply.transport == Outcome::Ok);
        CHECK(std::to_string(reply.status) == c.status.substr(0, 3));
        CHECK(stream.peer.got == "no");
        CHECK(stream.peer.read_so_far == 0);
        CHECK(server.heads().size() == 1);
        CHECK(server.connections() == 1);
      }
      CHECK(after.empty());
    }
  }
}

TEST_CASE(
    "an answer that breaks off is a failure at once, though its content was never asked for") {
  std::string answer;
  SUBCASE("with a length") {
    answer = "HTTP/1.1 417 Expectation Failed\r\nContent-Length: 9\r\n\r\nno";
  }
  SUBCASE("in chunks") {
    answer = "HTTP/1.1 417 Expectation Failed\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nno";
  }
  const RawServer server([&](const RawServer::Peer& peer) {
    peer.send(answer);
    return false;
  });
  CurlBench bench(CurlTransport::Settings{.base_urls = {server.url()}, .continue_wait = 1h});
  Stream stream{bench};
  stream.peer.content = "abc";
  StreamRequest put = request("PUT", "/x", Content::Length, 3);
  put.expects_continue = true;
  put.patience = 1h;
  const Reply reply = stream.run(put);
  CHECK(reply.transport == Outcome::Truncated);
  CHECK(reply.status == 417);
  CHECK(stream.peer.read_so_far == 0);
}

TEST_CASE("a server that closes without a word is found out though its word is waited for") {
  std::string said;
  SUBCASE("at once") {}
  SUBCASE("after an interim answer") {
    said = "HTTP/1.1 103 Early Hints\r\n\r\n";
  }
  SUBCASE("inside the head") {
    said = "HTTP/1.1 417 Expec";
  }
  Content sending = Content::Length;
  SUBCASE("of a content with a length") {}
  SUBCASE("of one in chunks") {
    sending = Content::Chunked;
  }
  const RawServer server([&](const RawServer::Peer& peer) {
    if (!said.empty()) peer.send(said);
    return false;
  });
  CurlBench bench(CurlTransport::Settings{.base_urls = {server.url()}, .continue_wait = 1h});
  Stream stream{bench};
  stream.peer.content = "abc";
  StreamRequest put = request("PUT", "/x", sending, sending == Content::Length ? 3 : 0);
  put.expects_continue = true;
  put.head_by = bench.loop.now() + kEnough;
  const Reply reply = stream.run(put);
  CHECK(reply.transport == Outcome::Reset);
  CHECK(stream.peer.heads == 0);
  CHECK(stream.peer.read_so_far == 0);
  CHECK(server.connections() == 1);
}

TEST_CASE("a server that neither asks nor answers has its time, as if it had been sent all") {
  const RawServer server([](const RawServer::Peer& peer) {
    peer.hang();
    return false;
  });
  CurlBench bench(CurlTransport::Settings{.base_urls = {server.url()}, .continue_wait = 1h});
  Stream stream{bench};
  stream.peer.content = "abc";
  StreamRequest put = request("PUT", "/x", Content::Length, 3);
  put.expects_continue = true;
  put.head_by = bench.loop.now() + 50ms;
  CHECK(stream.run(put).transport == Outcome::Timeout);
  CHECK(stream.peer.read_so_far == 0);
}

TEST_CASE("a request without content says nothing of one; an empty one says so") {
  const RawServer server([](const RawServer::Peer& peer) {
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    return true;
  });
  CurlBench bench(server);
  Stream stream{bench};
  SUBCASE("none") {
    CHECK(stream.run(request("DELETE", "/x")).transport == Outcome::Ok);
    CHECK(server.heads().at(0).starts_with("DELETE /x HTTP/1.1\r\n"));
    CHECK(server.heads().at(0).find("Content-Length") == std::string::npos);
    CHECK(server.heads().at(0).find("Transfer-Encoding") == std::string::npos);
  }
  SUBCASE("empty") {
    CHECK(stream.run(request("POST", "/x", Content::Length, 0)).transport == Outcome::Ok);
    CHECK(has_line(server.heads().at(0), "Content-Length: 0"));
  }
  CHECK(stream.peer.length == 2);
  CHECK(stream.peer.got == "ok");
}

// Each request after the first of a connection is read and then dropped with it, as where an idle
// connection is closed at that very moment; or every request is.
TEST_CASE("a request is sent once, whatever becomes of its connection") {
  std::atomic<int> answers{1};
  const RawServer server([&](const RawServer::Peer& peer) {
    if (answers.fetch_sub(1) <= 0) return false;
    peer.send(kHello);
    return true;
  });
  CurlBench bench(server);
  Stream stream{bench};
  const char* method = "DELETE";
  StreamRequest what = request(method, "/x");
  SUBCASE("without content") {}
  SUBCASE("with an empty one") {
    method = "POST";
    what = request(method, "/x", Content::Length, 0);
  }
  SUBCASE("with content") {
    method = "PUT";
    what = request(method, "/x", Content::Length, 3);
    stream.peer.content = "abc";
  }
  SUBCASE("of a safe method") {
    method = "OPTIONS";
    what = request(method, "/x");
  }
  // The first leaves a kept connection.
  bench.transport.start(within(20s), {"/first", {}}, [&](const Reply& first) {
    CHECK(first.transport == Outcome::Ok);
    stream.start(what);
  });
  std::optional<Reply> last;
  stream.on_end = [&] {
    // What may be sent again is, by libcurl: this is what must not happen above.
    answers = 1;
    bench.transport.start(within(20s), {"/kept", {}}, [&](const Reply&) {
      bench.transport.start(within(20s), {"/again", {}}, [&](Reply reply) {
        last = std::move(reply);
        bench.loop.stop();
      });
    });
  };
  bench.loop.run();
  REQUIRE(stream.reply);
  CHECK(stream.reply->transport == Outcome::Reset);
  CHECK(stream.reply->status == 0);
  CHECK(stream.peer.heads == 0);
  CHECK(count_heads(server, method) == 1);
  REQUIRE(last);
  CHECK(last->transport == Outcome::Reset);
  CHECK(count_heads(server, "GET /again") == 2);
}

TEST_CASE("where there is no room the upstream waits, and nothing is lost") {
  const std::string content = varied(3'000'000);
  bool in_chunks = false;
  SUBCASE("by its length") {}
  SUBCASE("in chunks") {
    in_chunks = true;
  }
  const RawServer server([&](const RawServer::Peer& peer) {
    if (in_chunks) {
      peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(content, 999));
    } else {
      peer.send("HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n" + content);
    }
    return true;
  });
  CurlBench bench(server);
  Stream stream{bench};
  stream.peer.room = 100'000;
  std::size_t got_when_waiting = 0;
  int waits = 0;
  stream.peer.on_wait = [&] {
    if (++waits == 1) got_when_waiting = stream.peer.got.size() + stream.peer.coming;
    turns(bench, 20, [&] {
      // Nothing has come meanwhile.
      CHECK(stream.peer.got.size() < stream.peer.room + (64 << 10));
      if (waits == 1) CHECK(stream.peer.got.size() == got_when_waiting);
      // A little more at a time, down to the very end.
      stream.peer.room = stream.peer.got.size() == content.size()
                             ? kAll
                             : std::min(stream.peer.got.size() + 500'000, content.size());
      bench.transport.go_on(stream.id);
    });
  };
  const Reply reply = stream.run(request("POST", "/x", Content::Length, 0));
  CHECK(reply.transport == Outcome::Ok);
  CHECK(waits > 3);
  CHECK(got_when_waiting >= 100'000);
  CHECK(stream.peer.largest <= 128 << 10);
  CHECK(stream.peer.got == content);
}

TEST_CASE("what has come by the time that there is room goes to the peer in few pieces") {
  const std::string content = varied(40'000);
  std::atomic<bool> sent{false};
  const RawServer server([&](const RawServer::Peer& peer) {
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 40000\r\n\r\n" + content);
    sent = true;
    return true;
  });
  CurlBench bench(server);
  Stream stream{bench};
  stream.peer.room = 0;
  const std::function<void()> look = [&] {
    if (!sent) return turns(bench, 1, look);
    stream.peer.room = kAll;
    bench.transport.go_on(stream.id);
  };
  stream.peer.on_wait = [&] { turns(bench, 1, look); };
  const Reply reply = stream.run(request("POST", "/x", Content::Length, 0));
  CHECK(reply.transport == Outcome::Ok);
  CHECK(stream.peer.got == content);
  // What came before it was told of the lack of room, and what came meanwhile.
  CHECK(stream.peer.largest >= 20'000);
}

TEST_CASE(
    "a content that comes by and by is waited for, longer than an upstream's silence would be") {
  std::string arrived;
  const RawServer server([&](const RawServer::Peer& peer) {
    arrived = peer.read(6);
    peer.send(kHello);
    return true;
  });
  CurlBench bench(server);
  StreamRequest post = request("POST", "/x", Content::Length, 6);
  // Where the machine is busy, the upstream may take longer than a short patience to answer.
  for (post.patience = 40ms; post.patience < kEnough; post.patience *= 2) {
    Stream stream{bench};
    stream.peer.content = "abcdef";
    stream.peer.readable = 2;
    holdfast::base::Timer later;
    int waits = 0;
    stream.peer.on_wait = [&] {
      ++waits;
      later.set_after(bench.loop, post.patience * 3 / 2, [&] {
        stream.peer.readable = 2;
        bench.transport.go_on(stream.id);
      });
    };
    if (stream.run(post).transport != Outcome::Ok) continue;
    CHECK(waits == 2);
    CHECK(arrived == "abcdef");
    return;
  }
  FAIL("it was not waited for");
}

TEST_CASE("an upstream that says nothing, or nothing more, is given up") {
  std::string begin;
  SUBCASE("no head") {}
  SUBCASE("no end") {
    begin = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc";
  }
  const RawServer server([&](const RawServer::Peer& peer) {
    peer.send(begin);
    peer.hang();
    return false;
  });
  CurlBench bench(server);
  // Where the machine is busy, what the upstream does say may take longer than a short patience.
  StreamRequest what = request("DELETE", "/x");
  for (what.patience = 60ms; what.patience < kEnough; what.patience *= 2) {
    Stream stream{bench};
    const Reply reply = stream.run(what);
    REQUIRE(reply.transport == Outcome::Timeout);
    if (begin.empty()) CHECK(reply.status == 0);
    if (begin.empty() || stream.peer.got == "abc") {
      CHECK(reply.status == (begin.empty() ? 0 : 200));
      return;
    }
  }
  FAIL("what it said never came");
}

TEST_CASE("an answer that breaks off, or whose head could split one, is a failure") {
  std::string answer;
  Outcome expected = Outcome::Truncated;
  int heads = 1;
  SUBCASE("short of its length") {
    answer = "Content-Length: 10\r\n\r\nabcde";
  }
  SUBCASE("short of its last chunk") {
    answer = "Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n";
  }
  SUBCASE("broken chunks") {
    answer = "Transfer-Encoding: chunked\r\n\r\n5\r\nabcdeXX\r\n";
  }
  SUBCASE("two lengths") {
    answer = "Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcde";
    heads = 0;
  }
  SUBCASE("a bare CR in a value") {
    answer = "X: a\rSet-Cookie: b\r\nContent-Length: 2\r\n\r\nok";
    heads = 0;
    expected = Outcome::InvalidBody;
  }
  SUBCASE("a name that is none") {
    answer = "X Y: a\r\nContent-Length: 2\r\n\r\nok";
    heads = 0;
    expected = Outcome::InvalidBody;
  }
  const RawServer server([&](const RawServer::Peer& peer) {
    peer.send("HTTP/1.1 200 OK\r\n" + answer);
    return false;
  });
  CurlBench bench(server);
  Stream stream{bench};
  const Reply reply = stream.run(request("POST", "/x", Content::Length, 0));
  CHECK(reply.transport == expected);
  CHECK(stream.peer.heads == heads);
}

// A paused transfer's socket, which libcurl does not watch, was taken for an idle connection's.
TEST_CASE("what waits for room is left alone by requests that begin meanwhile") {
  const std::string content = varied(2'000'000);
  bool to_end = false;
  SUBCASE("by its length") {}
  SUBCASE("up to the connection's end") {
    to_end = true;
  }
  const RawServer server([&](const RawServer::Peer& peer) {
    if (peer.asks("/other")) {
      peer.send(kHello);
      return true;
    }
    peer.send(to_end ? "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + content
                     : "HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n" + content);
    return false;
  });
  CurlBench bench(server);
  Stream stream{bench};
  stream.peer.room = 50'000;
  int others = 0;
  stream.peer.on_wait = [&] {
    bench.loop.post([&] {
      bench.transport.start(within(20s), {"/other", {}}, [&](const Reply& other) {
        CHECK(other.transport == Outcome::Ok);
        ++others;
        stream.peer.room += 700'000;
        bench.transport.go_on(stream.id);
      });
    });
  };
  const Reply reply = stream.run(request("POST", "/x", Content::Length, 0));
  CHECK(reply.transport == Outcome::Ok);
  CHECK(others >= 2);
  CHECK(stream.peer.got == content);
}

TEST_CASE("an answer up to the connection's end is whole with it") {
  const RawServer server([](const RawServer::Peer& peer) {
    peer.send("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabcde");
    return false;
  });
  CurlBench bench(server);
  Stream stream{bench};
  CHECK(stream.run(request("POST", "/x", Content::Length, 0)).transport == Outcome::Ok);
  CHECK(stream.peer.got == "abcde");
  CHECK_FALSE(stream.peer.length);
}

TEST_CASE("a refusal before the content was taken is an answer") {
  const RawServer server([](const RawServer::Peer& peer) {
    peer.send("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
    peer.hang();
    return false;
  });
  CurlBench bench(server);
  Stream stream{bench};
  stream.peer.content.assign(50'000'000, 'x');
  const Reply reply = stream.run(request("PUT", "/x", Content::Length, 50'000'000));
  CHECK(reply.transport == Outcome::Ok);
  CHECK(reply.status == 413);
  CHECK(stream.peer.got == "no");
  CHECK(stream.peer.read_so_far < 50'000'000);
}

// The client may wait for it before it sends the rest.
TEST_CASE("an answer that is whole before the content came is one, and its connection is dropped") {
  std::string answer = "200 OK\r\nContent-Length: 2\r\n\r\nno";
  SUBCASE("a success") {}
  SUBCASE("a refusal") {
    answer = "413 Too Large\r\nContent-Length: 2\r\n\r\nno";
  }
  SUBCASE("in chunks") {
    answer = "200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n";
  }
  SUBCASE("without content") {
    answer = "204 No Content\r\n\r\n";
  }
  for (const Content form : {Content::Length, Content::Chunked}) {
    for (const bool closes : {false, true}) {
      CAPTURE(closes);
      std::promise<void> left;
      const RawServer server([&](const RawServer::Peer& peer) {
        peer.read_to(form == Content::Length ? "012" : "012\r\n");
        peer.send("HTTP/1.1 " + answer);
        if (!closes) peer.hang();
        left.set_value();
        return false;
      });
      CurlBench bench(server);
      Stream stream{bench};
      stream.peer.content = "0123456789";
      stream.peer.readable = 3;
      const Reply reply = stream.run(request("PUT", "/x", form, 10));
      CHECK(reply.transport == Outcome::Ok);
      CHECK(answer.starts_with(std::to_string(reply.status)));
      CHECK(stream.peer.got == (reply.status == 204 ? "" : "no"));
      CHECK(stream.peer.read_so_far == 3);
      CHECK(left.get_future().wait_for(holdfast::kPatience) == std::future_status::ready);
      bench.transport.go_on(stream.id);
    }
  }
}

TEST_CASE("an answer that is whole is one, though its upstream takes no more of the content") {
  const RawServer server([](const RawServer::Peer& peer) {
    peer.read(3);
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    peer.hang();
    return false;
  });
  CurlBench bench(server);
  StreamRequest put = request("PUT", "/x", Content::Length, 20'000'000);
  // Where the machine is busy, the upstream may take longer than a short patience to answer.
  for (put.patience = 60ms; put.patience < kEnough; put.patience *= 2) {
    Stream stream{bench};
    stream.peer.content.assign(20'000'000, 'x');
    if (stream.run(put).transport != Outcome::Ok) continue;
    CHECK(stream.peer.got == "ok");
    CHECK(stream.peer.read_so_far > 3);
    CHECK(stream.peer.read_so_far < 20'000'000);
    return;
  }
  FAIL("the answer was not taken for whole");
}

TEST_CASE("who cancels ends the transfer at the upstream too") {
  std::promise<void> left;
  const RawServer server([&](const RawServer::Peer& peer) {
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc");
    peer.hang();
    left.set_value();
    return false;
  });
  CurlBench bench(server);
  Stream stream{bench};
  stream.peer.room = 0;
  stream.peer.on_wait = [&] { bench.loop.stop(); };
  stream.start(request("POST", "/x", Content::Length, 0));
  bench.loop.run();
  bench.transport.cancel(stream.id);
  CHECK(left.get_future().wait_for(holdfast::kPatience) == std::future_status::ready);
  // Nothing for who has gone.
  bench.transport.go_on(stream.id);
}

TEST_CASE("interim answers come before the head, without what could split one") {
  RawServer server([](const RawServer::Peer& peer) {
    peer.send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
    peer.send("HTTP/1.1 103 Early Hints\r\nX y: z\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n");
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    return true;
  });
  CurlBench bench(server);
  Stream stream{bench};
  const Reply reply = stream.run(request("POST", "/"));
  CHECK(reply.transport == Outcome::Ok);
  CHECK(stream.peer.interims == std::vector<std::string>{"103 Link: </a>", "102"});
  CHECK(stream.peer.fields.size() == 1);
  CHECK(stream.peer.got == "ok");
}

TEST_CASE("an answer to HEAD ends with its head, whatever that says of the content") {
  for (const char* framing : {"Content-Length: 5000000000\r\n", "Transfer-Encoding: chunked\r\n",
                              "", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"}) {
    CAPTURE(framing);
    RawServer server([framing](const RawServer::Peer& peer) {
      peer.send(std::string("HTTP/1.1 200 OK\r\nETag: \"a\"\r\n") + framing + "\r\n");
      peer.hang();
      return false;
    });
    CurlBench bench(server);
    Stream stream{bench};
    const Reply reply = stream.run(request("HEAD", "/x"));
    CHECK(reply.transport == Outcome::Ok);
    CHECK(reply.status == 200);
    CHECK(server.heads().at(0).starts_with("HEAD /x HTTP/1.1\r\n"));
    CHECK_FALSE(server.heads().at(0).find("Content-Length") != std::string::npos);
    CHECK(stream.peer.heads == 1);
    CHECK(stream.peer.got.empty());
    const bool told = std::string_view(framing).starts_with("Content-Length: 5000");
    CHECK(stream.peer.length ==
          (told ? std::optional<std::uint64_t>(5'000'000'000) : std::nullopt));
  }
}

TEST_CASE("a GET goes through in pieces with its conditions, and so does what has no content") {
  RawServer server([](const RawServer::Peer& peer) {
    if (peer.asks("/304")) {
      peer.send("HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n");
    } else {
      peer.send(
          "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-1/9\r\n"
          "Content-Length: 2\r\n\r\nab");
    }
    peer.hang();
    return false;
  });
  {
    CurlBench bench(server);
    Stream stream{bench};
    StreamRequest get = request("GET", "/206");
    get.request.fields = {{"Range", "bytes=0-1"}, {"If-None-Match", "\"a\""}};
    CHECK(stream.run(get).transport == Outcome::Ok);
    CHECK(stream.peer.status == 206);
    CHECK(stream.peer.got == "ab");
    CHECK(has_line(server.heads().at(0), "Range: bytes=0-1"));
    CHECK(has_line(server.heads().at(0), "If-None-Match: \"a\""));
  }
  CurlBench bench(server);
  Stream stream{bench};
  CHECK(stream.run(request("GET", "/304")).transport == Outcome::Ok);
  CHECK(stream.peer.status == 304);
  CHECK(stream.peer.got.empty());
}
