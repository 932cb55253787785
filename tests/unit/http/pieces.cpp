// Contents and answers in pieces: who waits for whom, told by counts of bytes, and what becomes of
// those that break off.
#include <doctest/doctest.h>

#include "http/byte_buffer.h"
#include "test_server.h"

using namespace holdfast::http;
using namespace holdfast::http::test;
using holdfast::observe::Family;

namespace {

std::string post(std::string_view path, std::string_view fields) {
  return std::string("POST ").append(path).append(" HTTP/1.1\r\nHost: a\r\n").append(fields) +
         "\r\n";
}

// The one that is under way: its answer, piece by piece, from the test's thread.
struct Pieces {
  TestServer& server;
  ExchangeId id;

  void begin(const ResponseHead& head) {
    server.on_loop([&] { server.server().begin(id, head); });
  }
  bool write(std::string_view piece) {
    bool with_kernel = false;
    server.on_loop([&] { with_kernel = server.server().write(id, piece); });
    return with_kernel;
  }
  void end() {
    server.on_loop([&] { server.server().end(id); });
  }
  void interim(std::string_view fields) {
    server.on_loop([&] { server.server().interim(id, 103, fields); });
  }
  void cut() {
    server.on_loop([&] { server.server().cut(id); });
  }
  void take(std::size_t bytes) {
    server.on_loop([&] { server.server().take_content(id, bytes); });
    server.barrier();
  }
  void for_client_alone() {
    server.on_loop([&] { server.server().for_client_alone(id); });
  }
};

Pieces asked(TestServer& server, Client& client, std::string_view request) {
  client.send(request);
  return {server, server.handler.request(0).id};
}

}  // namespace

TEST_CASE("a streamed content comes as far as it is asked for, and then its end") {
  TestServer server;
  Client client(server.port());
  Pieces pieces = asked(server, client, post("/stream", "Content-Length: 10\r\n") + "0123456789");
  CHECK(server.handler.content_of(0).empty());
  pieces.take(4);
  CHECK(server.handler.content_of(4) == "0123");
  server.barrier();
  CHECK(server.handler.content_of(4) == "0123");
  pieces.take(1);
  CHECK(server.handler.content_of(5) == "01234");
  CHECK_FALSE(server.handler.content_has_ended());
  pieces.take(100);
  CHECK(server.handler.content_ended());
  CHECK(server.handler.content_of(10) == "0123456789");
  server.respond(pieces.id, {.body = "done"});
  CHECK(client.read().body == "done");
  // The connection serves on.
  CHECK(client.ask(get("/next")).body == "GET /next");
}

TEST_CASE("what nobody takes is not read: the client waits, and the server holds next to nothing") {
  TestServer server;
  Client client(server.port());
  const std::string head = post("/stream", "Content-Length: 50000\r\n");
  Pieces pieces = asked(server, client, head);
  pieces.take(1000);
  client.send(std::string(50'000, 'x'));
  CHECK(server.handler.content_of(1000).size() == 1000);
  for (int turn = 0; turn < 20; ++turn) server.barrier();
  CHECK(server.handler.content_of(1000).size() == 1000);
  pieces.take(49'000);
  CHECK(server.handler.content_ended());
  CHECK(server.handler.content_of(50'000).size() == 50'000);
}

TEST_CASE(
    "a chunked content comes without its framing and its trailers, and a next request behind") {
  TestServer server;
  Client client(server.port());
  Pieces pieces =
      asked(server, client,
            post("/stream", "Transfer-Encoding: chunked\r\n") +
                "3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\nTrailer: t\r\n\r\n" + get("/next"));
  pieces.take(5);
  CHECK(server.handler.content_of(3).substr(0, 3) == "abc");
  pieces.take(1000);
  CHECK(server.handler.content_ended());
  CHECK(server.handler.content_of(13) == "abc0123456789");
  server.respond(pieces.id, {.body = "done"});
  CHECK(client.read().body == "done");
  CHECK(client.read().body == "GET /next");
}

TEST_CASE("100 is said once the content is asked for, and not to who is refused first") {
  const std::string head = post("/stream", "Content-Length: 4\r\nExpect: 100-continue\r\n");
  SUBCASE("asked for") {
    TestServer server;
    Client client(server.port());
    Pieces pieces = asked(server, client, head);
    server.barrier();
    CHECK_FALSE(client.readable_now());
    pieces.take(100);
    CHECK(client.read().head.starts_with("HTTP/1.1 100 Continue\r\n"));
    client.send("data");
    CHECK(server.handler.content_ended());
    server.respond(pieces.id, {.body = "done"});
    CHECK(client.read().body == "done");
  }
  SUBCASE("refused") {
    TestServer server;
    Client client(server.port());
    Pieces pieces = asked(server, client, head);
    server.respond(pieces.id, {.status = 503, .body = "no"});
    const Answer answer = client.read();
    CHECK(answer.status == 503);
    CHECK(answer.field("Connection") == "close");
    CHECK(client.at_end());
  }
}

TEST_CASE(
    "a content beyond the limit is refused: at once by its length, in the middle by its chunks") {
  TestServer server;
  SUBCASE("length") {
    Client client(server.port());
    const Answer answer = client.ask(post("/stream", "Content-Length: 50001\r\n"));
    CHECK(answer.status == 413);
    CHECK(answer.body == "refused");
    CHECK(answer.field("Connection") == "close");
    client.send("nothing of it comes");
    CHECK(server.await([&] { return server.in_flight() == 0; }));
    CHECK(server.handler.content_of(0).empty());
    CHECK(server.counted(Family::RequestsRejected, "body_too_large") == 1);
  }
  SUBCASE("chunks") {
    Client client(server.port());
    Pieces pieces = asked(server, client, post("/stream", "Transfer-Encoding: chunked\r\n"));
    pieces.take(1'000'000);
    client.send("8000\r\n" + std::string(0x8000, 'x') + "\r\n");
    CHECK(server.handler.content_of(0x8000).size() == 0x8000);
    client.send("8000\r\n");
    const Answer answer = client.read();
    CHECK(answer.status == 413);
    CHECK(answer.body.find("more than 50,000 bytes") != std::string::npos);
    CHECK(server.handler.first_abandoned() == pieces.id);
    CHECK_FALSE(server.handler.content_has_ended());
    CHECK(server.handler.rejections(1).at(0) == "body_too_large");
    CHECK(server.await([&] { return server.in_flight() == 0; }));
  }
}

TEST_CASE("broken chunks are 400, and end the exchange") {
  TestServer server;
  Client client(server.port());
  Pieces pieces = asked(server, client, post("/stream", "Transfer-Encoding: chunked\r\n"));
  pieces.take(1000);
  client.send("3\r\nabc\r\nZZ\r\n");
  CHECK(client.read().status == 400);
  CHECK(server.handler.first_abandoned() == pieces.id);
  CHECK_FALSE(server.handler.content_has_ended());
}

TEST_CASE("a client that leaves in the middle of its content ends the exchange") {
  TestServer server;
  Client client(server.port());
  Pieces pieces = asked(server, client, post("/stream", "Content-Length: 10\r\n"));
  pieces.take(1000);
  client.send("123");
  CHECK(server.handler.content_of(3) == "123");
  client.close();
  CHECK(server.handler.first_abandoned() == pieces.id);
  CHECK_FALSE(server.handler.content_has_ended());
}

TEST_CASE("a client that sends nothing more of its content gets 408, if that is waited for") {
  TestServer server;
  Client client(server.port());
  Pieces pieces = asked(server, client, post("/stream", "Content-Length: 10\r\n"));
  // Not its fault as long as nobody takes it.
  server.pass(60s);
  server.barrier();
  CHECK(server.handler.abandoned_count() == 0);
  pieces.take(1000);
  client.send("123");
  CHECK(server.handler.content_of(3) == "123");
  server.pass(9s);
  client.send("4");
  CHECK(server.handler.content_of(4) == "1234");
  server.pass(9s);
  server.barrier();
  CHECK(server.handler.abandoned_count() == 0);
  server.pass(2s);
  CHECK(client.read().status == 408);
  CHECK(server.handler.first_abandoned() == pieces.id);
}

TEST_CASE("an answer in pieces: by its length, in chunks, or up to the end of the connection") {
  TestServer server;
  Client client(server.port());
  SUBCASE("length") {
    Pieces pieces = asked(server, client, get("/later"));
    pieces.begin({.status = 201, .fields = "X-Y: z\r\n", .length = 6});
    CHECK(pieces.write("abc"));
    CHECK(pieces.write("def"));
    pieces.end();
    const Answer answer = client.read();
    CHECK(answer.status == 201);
    CHECK(answer.body == "abcdef");
    CHECK(answer.field("X-Y") == "z");
    CHECK(answer.field("Date") != "(none)");
    CHECK(client.ask(get("/next")).body == "GET /next");
    CHECK(server.in_flight() == 0);
  }
  SUBCASE("chunks") {
    Pieces pieces =
        asked(server, client, "GET /later HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    pieces.begin({.fields = "Date: then\r\n", .has_date = true});
    pieces.write("abc");
    pieces.write(std::string(16, 'x'));
    pieces.end();
    const auto all = client.read_to_end();
    REQUIRE(all);
    CHECK(*all ==
          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\nDate: then\r\n\r\n"
          "3\r\nabc\r\n10\r\nxxxxxxxxxxxxxxxx\r\n0\r\n\r\n");
  }
  SUBCASE("up to the end") {
    Pieces pieces = asked(server, client, "GET /later HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    pieces.begin({.fields = "Date: then\r\n", .has_date = true});
    pieces.write("abc");
    pieces.end();
    const auto all = client.read_to_end();
    REQUIRE(all);
    CHECK(*all == "HTTP/1.1 200 OK\r\nConnection: close\r\nDate: then\r\n\r\nabc");
  }
  SUBCASE("none") {
    Pieces pieces = asked(server, client, get("/later"));
    pieces.begin({.status = 204, .length = 5});
    pieces.write("stray");
    pieces.end();
    const Answer answer = client.read();
    CHECK(answer.status == 204);
    CHECK(answer.field("Content-Length") == "(none)");
    CHECK(client.ask(get("/next")).body == "GET /next");
  }
}

TEST_CASE("a client that leaves right behind the last byte of its answer has been answered") {
  TestServer server;
  Client client(server.port());
  const auto is_answered = [&](Pieces& pieces) {
    CHECK(server.handler.answered_by_length(1).at(0) == pieces.id);
    CHECK(server.in_flight() == 0);
    client.close();
    CHECK(server.await([&] { return server.connections() == 0; }));
    // What is said of it afterwards finds nobody.
    pieces.write("stray");
    pieces.cut();
    CHECK(server.handler.abandoned_count() == 0);
    CHECK(server.value(Family::RequestsAbandoned) == 0);
  };
  SUBCASE("length") {
    Pieces pieces = asked(server, client, get("/later"));
    pieces.begin({.length = 3});
    pieces.write("abc");
    CHECK(client.read().body == "abc");
    is_answered(pieces);
  }
  SUBCASE("length 0") {
    Pieces pieces = asked(server, client, get("/later"));
    pieces.begin({.length = 0});
    CHECK(client.read().status == 200);
    is_answered(pieces);
  }
  SUBCASE("no content") {
    Pieces pieces = asked(server, client, get("/later"));
    pieces.begin({.status = 204});
    CHECK(client.read().status == 204);
    is_answered(pieces);
  }
  SUBCASE("while its own content comes") {
    Pieces pieces = asked(server, client, post("/stream", "Content-Length: 10\r\n"));
    pieces.take(100);
    pieces.begin({.length = 3});
    pieces.write("abc");
    CHECK(client.read().body == "abc");
    CHECK(server.in_flight() == 1);
    client.close();
    is_answered(pieces);
  }
}

TEST_CASE("what fails behind the whole answer does not harm the connection") {
  TestServer server;
  Client client(server.port());
  SUBCASE("which serves on") {
    Pieces pieces = asked(server, client, get("/later"));
    pieces.begin({.length = 3});
    pieces.write("abc");
    pieces.cut();
    CHECK(client.read().body == "abc");
    CHECK(client.ask(get("/next")).body == "GET /next");
  }
  SUBCASE("which ends as it would, for its content has not come") {
    Pieces pieces = asked(server, client, post("/stream", "Content-Length: 10\r\n"));
    pieces.begin({.length = 3});
    pieces.write("abc");
    pieces.cut();
    CHECK(client.read().body == "abc");
    CHECK(client.at_end());
  }
}

TEST_CASE("an answer that breaks off is never made to look whole") {
  TestServer server;
  Client client(server.port());
  SUBCASE("cut in chunks") {
    Pieces pieces = asked(server, client, get("/later"));
    pieces.begin({});
    pieces.write("abc");
    pieces.cut();
    CHECK_FALSE(client.read_to_end());
  }
  SUBCASE("too short") {
    Pieces pieces = asked(server, client, get("/later"));
    pieces.begin({.length = 5});
    pieces.write("abc");
    pieces.end();
    CHECK_FALSE(client.read_to_end());
  }
  SUBCASE("too long") {
    Pieces pieces = asked(server, client, get("/later"));
    pieces.begin({.length = 2});
    pieces.write("abc");
    CHECK_FALSE(client.read_to_end());
  }
  SUBCASE("to HTTP/1.0") {
    Pieces pieces = asked(server, client, "GET /later HTTP/1.0\r\n\r\n");
    pieces.begin({});
    pieces.write("abc");
    pieces.cut();
    CHECK_FALSE(client.read_to_end());
  }
  CHECK(server.await([&] { return server.in_flight() == 0 && server.connections() == 0; }));
  // It was the handler's own doing.
  CHECK(server.handler.abandoned_count() == 0);
}

TEST_CASE("an answer up to the connection's end is not ended by the server's own") {
  TestServer server;
  Client client(server.port(), 4096);
  Pieces pieces = asked(server, client, "GET /later HTTP/1.0\r\n\r\n");
  pieces.begin({});
  SUBCASE("while it comes") {
    pieces.write("abc");
  }
  SUBCASE("while its last part waits for the client") {
    const std::string piece(1 << 20, 'x');
    for (int i = 0; i < 64 && pieces.write(piece); ++i) {
    }
    pieces.end();
  }
  server.destroy();
  CHECK_FALSE(client.read_to_end());
}

TEST_CASE("a slow reader is waited for, and told of when it has taken what there was") {
  TestServer server;
  Client client(server.port(), 4096);
  Pieces pieces = asked(server, client, get("/later"));
  pieces.begin({});
  const std::string piece(64 << 10, 'x');
  std::size_t written = 0;
  bool taken = true;
  while (taken && written < (64U << 20)) {
    taken = pieces.write(piece);
    written += piece.size();
  }
  REQUIRE_FALSE(taken);
  CHECK(server.handler.written_calls(0) == 0);
  std::size_t read = 0;
  while (read < written) read += client.read_some(256 << 10);
  CHECK(server.handler.written_calls(1) == 1);
  pieces.end();
  CHECK(server.await([&] { return server.in_flight() == 0; }));
}

TEST_CASE("a reader that takes nothing of its answer is cut off, and the exchange abandoned") {
  TestServer server;
  Client client(server.port(), 4096);
  Pieces pieces = asked(server, client, get("/later"));
  pieces.begin({});
  const std::string piece(1 << 20, 'x');
  for (int i = 0; i < 64 && pieces.write(piece); ++i) {
  }
  server.pass(21s);
  CHECK(server.handler.first_abandoned() == pieces.id);
  // What comes for it still finds nobody.
  CHECK(pieces.write("more"));
  pieces.end();
}

TEST_CASE("who ends its side has its answer still, but for what is done for it alone") {
  TestServer server;
  Client client(server.port());
  Pieces pieces = asked(server, client, get("/later"));
  SUBCASE("for everybody") {
    client.half_close();
    client.wait_until_received();
    server.barrier();
    pieces.begin({});
    pieces.write("abc");
    pieces.end();
    CHECK(client.read_to_end()->ends_with("3\r\nabc\r\n0\r\n\r\n"));
  }
  SUBCASE("for it alone") {
    pieces.for_client_alone();
    client.half_close();
    CHECK(server.handler.first_abandoned() == pieces.id);
  }
}

TEST_CASE("an answer that comes before the content has ended closes the connection") {
  TestServer server;
  Client client(server.port());
  Pieces pieces = asked(server, client, post("/stream", "Content-Length: 10\r\n"));
  pieces.take(100);
  pieces.begin({.status = 200, .length = 3});
  pieces.write("abc");
  // What still comes of it is taken meanwhile.
  client.send("12345");
  CHECK(server.handler.content_of(5) == "12345");
  pieces.end();
  const Answer answer = client.read();
  CHECK(answer.body == "abc");
  CHECK(answer.field("Connection") == "close");
  CHECK(client.at_end());
}

TEST_CASE("a buffer that is filled and taken from for ever stays as small as what it holds") {
  ByteBuffer buffer;
  std::string expected;
  char next = 'a';
  for (int i = 0; i < 10'000; ++i) {
    const std::string piece(100, next);
    next = next == 'z' ? 'a' : static_cast<char>(next + 1);
    buffer.append(piece);
    expected += piece;
    if (expected.size() < 500) continue;
    buffer.consume(100);
    expected.erase(0, 100);
  }
  CHECK(buffer.view() == expected);
  CHECK(buffer.capacity() < 4096);
}

TEST_CASE("to HEAD an answer in pieces has no content, and the length that was told") {
  TestServer server;
  Client client(server.port());
  client.send("HEAD /later HTTP/1.1\r\nHost: a\r\n\r\n");
  Pieces pieces{server, server.handler.request(0).id};
  pieces.begin({.fields = "Date: then\r\n", .has_date = true, .length = 5'000'000'000});
  CHECK(client.read(true).head ==
        "HTTP/1.1 200 OK\r\nContent-Length: 5000000000\r\nDate: then\r\n");
  CHECK(server.handler.answered_by_length(1).at(0) == pieces.id);
  client.send("HEAD /later HTTP/1.1\r\nHost: a\r\n\r\n");
  Pieces none{server, server.handler.request(1).id};
  none.begin({.status = 304, .fields = "Date: then\r\n", .has_date = true, .length = 5});
  CHECK(client.read(true).head == "HTTP/1.1 304 Not Modified\r\nDate: then\r\n");
  CHECK(client.ask(get("/next")).body == "GET /next");
}

TEST_CASE("interim answers come before the final one, whole or in pieces") {
  TestServer server;
  Client client(server.port());
  Pieces pieces = asked(server, client, get("/later"));
  pieces.interim("Link: </a>\r\n");
  CHECK(client.read().head == "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n");
  pieces.interim("Link: </b>\r\n");
  CHECK(client.read().head == "HTTP/1.1 103 Early Hints\r\nLink: </b>\r\n");
  SUBCASE("whole") {
    server.respond(pieces.id, {.body = "done"});
  }
  SUBCASE("in pieces") {
    pieces.begin({.length = 4});
    pieces.interim("Link: </late>\r\n");  // nobody is told any more
    pieces.write("done");
    pieces.end();
  }
  const Answer answer = client.read();
  CHECK(answer.status == 200);
  CHECK(answer.body == "done");
  pieces.interim("Link: </late>\r\n");
  CHECK(client.ask(get("/next")).body == "GET /next");
}

TEST_CASE("an interim answer inside handle() keeps its place behind the answers before it") {
  TestServer server;
  server.handler.set([](Server& http, ExchangeId id, const Request& request) {
    if (request.path == "/hints") http.interim(id, 103, "Link: </a>\r\n");
    http.respond(id, {.body = request.path});
  });
  Client client(server.port());
  client.send(get("/first") + get("/hints") + get("/last"));
  CHECK(client.read().body == "/first");
  CHECK(client.read().status == 103);
  CHECK(client.read().body == "/hints");
  CHECK(client.read().body == "/last");
}

TEST_CASE("interim answers are few, and there are none for HTTP/1.0") {
  TestServer server;
  SUBCASE("few") {
    Client client(server.port());
    Pieces pieces = asked(server, client, get("/later"));
    for (int i = 0; i < 20; ++i) pieces.interim("");
    server.respond(pieces.id, {.body = "done"});
    int interims = 0;
    Answer answer = client.read();
    for (; answer.status == 103; answer = client.read()) ++interims;
    CHECK(interims == 8);
    CHECK(answer.body == "done");
    // Of each request.
    client.send(get("/later"));
    pieces.id = server.handler.request(1).id;
    pieces.interim("");
    CHECK(client.read().status == 103);
  }
  SUBCASE("HTTP/1.0") {
    Client client(server.port());
    Pieces pieces = asked(server, client, "GET /later HTTP/1.0\r\n\r\n");
    pieces.interim("Link: </a>\r\n");
    server.respond(pieces.id, {.body = "done"});
    const auto all = client.read_to_end();
    REQUIRE(all);
    CHECK(all->starts_with("HTTP/1.1 200 OK\r\n"));
  }
}

TEST_CASE("an interim answer for who has gone finds nobody") {
  TestServer server;
  Client client(server.port());
  Pieces pieces = asked(server, client, get("/later"));
  pieces.for_client_alone();
  client.reset();
  CHECK(server.handler.first_abandoned() == pieces.id);
  pieces.interim("Link: </a>\r\n");
  CHECK(server.connections() == 0);
}
