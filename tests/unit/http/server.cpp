// HTTP/1.1 as clients see it, over real sockets.
#include "http/server.h"

#include <doctest/doctest.h>

#include "test_server.h"

using namespace holdfast;
using namespace holdfast::http;
using namespace holdfast::http::test;

namespace {

// A stream of pipelined requests of every kind of framing.
struct Stream {
  std::string bytes;
  std::size_t answers = 0;
};

Stream pipelined() {
  Stream s;
  const auto add = [&s](std::string_view text) {
    s.bytes += text;
    ++s.answers;
  };
  add("GET /a?b=c HTTP/1.1\r\nHost: h\r\n\r\n");
  add("\r\nPOST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello");
  add("HEAD /h HTTP/1.1\r\nHost: h\r\n\r\n");
  add("POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
      "3;x\r\nfoo\r\n2\r\n\r\n\r\n0\r\nT: u\r\n\r\n");
  add("GET /d HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nxyz");
  add("PUT http://h2/e HTTP/1.1\r\nHost: h\r\nIf-None-Match: \"1\"\r\n\r\n");
  add("OPTIONS * HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  return s;
}

std::string answers_to(TestServer& server, std::string_view first, std::string_view second) {
  Client client(server.port());
  deliver(server, client, first);
  client.send(second);
  return client.read_to_end().value_or("(no end)");
}

std::size_t count(const std::string& text, std::string_view what) {
  std::size_t n = 0;
  for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++n;
  return n;
}

}  // namespace

TEST_CASE("an answer has a status line, Date, Content-Length, the handler's fields, the content") {
  TestServer server;
  Client client(server.port());
  const auto answer = client.ask(get("/x?y"));
  CHECK(answer.status == 200);
  CHECK(answer.head ==
        "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Length: 8\r\n"
        "Content-Type: text/plain\r\n");
  CHECK(answer.body == "GET /x?y");
  CHECK(server.handler.request(0).client == "127.0.0.1");
}

TEST_CASE("an answer that has a Date of its own gets no other one") {
  TestServer server;
  server.handler.set([](Server& http, ExchangeId id, const Request&) {
    http.respond(id, {.fields = "Date: then\r\n", .body = "x", .has_date = true});
  });
  Client client(server.port());
  CHECK(client.ask(get("/")).head == "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nDate: then\r\n");
}

TEST_CASE("a connection is kept for the next request") {
  TestServer server;
  Client client(server.port());
  for (int i = 0; i < 20; ++i) {
    const auto path = "/" + std::to_string(i);
    CHECK(client.ask(get(path)).body == "GET " + path);
  }
  CHECK(server.connections() == 1);
}

TEST_CASE("pipelined requests are answered in order, however the bytes are split") {
  TestServer server;
  const auto stream = pipelined();
  const auto expected = answers_to(server, stream.bytes, "");
  REQUIRE(count(expected, "HTTP/1.1 200 OK\r\n") == stream.answers);
  CHECK(expected.find("POST /p with hello") != std::string::npos);
  CHECK(expected.find("POST /c with foo\r\n") != std::string::npos);
  CHECK(expected.find("GET /dHTTP/1.1 200") != std::string::npos);
  CHECK(expected.find("PUT /e") != std::string::npos);
  CHECK(expected.find("Connection: close\r\n") != std::string::npos);

  for (std::size_t split = 1; split < stream.bytes.size(); ++split) {
    CAPTURE(split);
    CHECK(answers_to(server, stream.bytes.substr(0, split), stream.bytes.substr(split)) ==
          expected);
  }
  Client client(server.port());
  for (const char byte : stream.bytes) {
    deliver(server, client, {&byte, 1});
  }
  CHECK(client.read_to_end() == expected);
}

TEST_CASE("pipelined requests are answered in order when each answer comes later") {
  TestServer server;
  const auto stream = pipelined();
  const auto expected = answers_to(server, stream.bytes, "");
  server.handler.set([&server](Server& http, ExchangeId id, const Request& request) {
    server.loop().post([&http, id, body = TestHandler::describe(request)] {
      http.respond(id, {.fields = "Content-Type: text/plain\r\n", .body = body});
    });
  });
  CHECK(answers_to(server, stream.bytes, "") == expected);
  for (std::size_t split = 1; split < stream.bytes.size(); split += 7) {
    CAPTURE(split);
    CHECK(answers_to(server, stream.bytes.substr(0, split), stream.bytes.substr(split)) ==
          expected);
  }
  CHECK(server.in_flight() == 0);
}

TEST_CASE("more pipelined requests than one read holds are all answered, in order") {
  TestServer server({.max_pending_write_bytes = 1000});
  std::string stream;
  for (int i = 0; i < 3000; ++i) stream += get("/" + std::to_string(i));
  Client client(server.port());
  std::thread sender([&] { client.send(stream); });
  for (int i = 0; i < 3000; ++i) {
    const auto answer = client.read();
    if (answer.body != "GET /" + std::to_string(i)) {
      FAIL_CHECK("answer " << i << " is " << answer.status << " " << answer.body);
      break;
    }
  }
  sender.join();
}

TEST_CASE("a late answer goes to its own request, and nothing behind it overtakes it") {
  TestServer server;
  Client slow(server.port());
  Client quick(server.port());
  slow.send(get("/later/1") + get("/2"));
  const auto id = server.handler.request(0).id;
  CHECK(quick.ask(get("/3")).body == "GET /3");
  CHECK(server.in_flight() == 1);
  CHECK(!slow.readable_now());
  CHECK(server.handler.requests() == 2);  // "/2" waits for its turn
  server.respond(id, {.status = 503, .body = "one"});
  CHECK(slow.read().body == "one");
  CHECK(slow.read().body == "GET /2");
  CHECK(server.in_flight() == 0);
}

TEST_CASE("an answer for an exchange that is over is for nobody") {
  TestServer server;
  Client client(server.port());
  client.send(get("/later"));
  const auto id = server.handler.request(0).id;
  server.respond(id, {.body = "right"});
  CHECK(client.read().body == "right");
  server.respond(id, {.body = "twice"});
  server.respond(id + (1U << 20), {.body = "never was"});
  server.respond(12345, {.body = "never was"});
  server.respond(0, {.body = "never was"});
  CHECK(client.ask(get("/next")).body == "GET /next");
  client.send(get("/later"));
  const auto second = server.handler.request(2).id;
  CHECK(second != id);
  client.reset();
  CHECK(server.await([&] { return server.connections() == 0; }));
  Client other(server.port());
  other.send(get("/later"));
  CHECK(server.handler.request(3).id != second);  // though the place is the same
  server.respond(second, {.body = "foreign"});
  server.barrier();
  CHECK(!other.readable_now());
}

TEST_CASE("the handler may answer other exchanges while it handles one") {
  TestServer server;
  Client first(server.port());
  first.send(get("/later") + get("/behind"));
  const auto waiting = server.handler.request(0).id;
  server.handler.set([waiting](Server& http, ExchangeId id, const Request& request) {
    http.respond(waiting, {.body = "for the first"});
    http.respond(id, {.body = request.path});
    http.respond(waiting, {.body = "too much"});
  });
  Client second(server.port());
  CHECK(second.ask(get("/mine")).body == "/mine");
  CHECK(first.read().body == "for the first");
  CHECK(first.read().body == "/behind");
}

TEST_CASE("HEAD gets the fields of GET, with the length, and no content") {
  TestServer server;
  Client client(server.port());
  auto answer = client.ask("HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n", true);
  CHECK(answer.status == 200);
  CHECK(answer.field("Content-Length") == "7");
  CHECK(client.ask(get("/y")).body == "GET /y");
}

TEST_CASE("204 and 304 have neither content nor Content-Length") {
  TestServer server;
  server.handler.set([](Server& http, ExchangeId id, const Request& request) {
    http.respond(id, {.status = request.path == "/204" ? 204 : 304,
                      .fields = "ETag: \"x\"\r\n",
                      .body = "must not be sent"});
  });
  Client client(server.port());
  for (const char* path : {"/204", "/304"}) {
    const auto answer = client.ask(get(path));
    CHECK("/" + std::to_string(answer.status) == path);
    CHECK(answer.field("Content-Length") == "(none)");
    CHECK(answer.field("ETag") == "\"x\"");
  }
  client.half_close();
  CHECK(client.at_end());
}

TEST_CASE("Connection: close is honoured, and said back") {
  TestServer server;
  Client client(server.port());
  const auto answer = client.ask(get("/x", "Connection: close\r\n"));
  CHECK(answer.field("Connection") == "close");
  CHECK(client.at_end());
  CHECK(server.counted(observe::Family::ConnectionsClosed, "client") == 1);
}

TEST_CASE("the last answer and the connection's end come in one segment") {
  TestServer server;
  for (std::size_t i = 0; i < 40; ++i) {
    const bool later = i % 2 == 1;
    CAPTURE(later);
    Client client(server.port());
    client.send(get(later ? "/later" : "/x", "Connection: close\r\n"));
    if (later) server.respond(server.handler.request(i).id, {.body = "late"});
    char bytes[4096];
    CHECK(::recv(client.fd(), bytes, sizeof bytes, 0) > 0);
    // Nothing else is waited for: where the answer is, the end is.
    CHECK(::recv(client.fd(), bytes, sizeof bytes, MSG_DONTWAIT) == 0);
  }
}

TEST_CASE("requests pipelined behind Connection: close are not handled") {
  TestServer server;
  Client client(server.port());
  client.send(get("/x", "Connection: close\r\n") + get("/y"));
  CHECK(client.read().status == 200);
  CHECK(client.at_end());
  CHECK(server.handler.requests() == 1);
}

TEST_CASE("the handler can close a connection with its answer") {
  TestServer server;
  server.handler.set([](Server& http, ExchangeId id, const Request&) {
    http.respond(id, {.status = 503, .close = true});
  });
  Client client(server.port());
  CHECK(client.ask(get("/x")).field("Connection") == "close");
  CHECK(client.at_end());
}

TEST_CASE("HTTP/1.0 closes after the answer unless keep-alive was asked for") {
  TestServer server;
  Client client(server.port());
  CHECK(client.ask("GET /x HTTP/1.0\r\n\r\n").field("Connection") == "close");
  CHECK(client.at_end());

  Client keeping(server.port());
  for (int i = 0; i < 2; ++i) {
    const auto answer = keeping.ask("GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    CHECK(answer.status == 200);
    CHECK(answer.field("Connection") == "keep-alive");
  }
}

TEST_CASE("a half-closed client still gets its answers") {
  TestServer server;
  Client client(server.port());
  client.send(get("/1") + get("/later") + get("/3"));
  client.half_close();
  const auto id = server.handler.request(1).id;
  CHECK(client.read().body == "GET /1");
  server.barrier();
  CHECK(server.connections() == 1);
  server.respond(id, {.body = "late"});
  CHECK(client.read().body == "late");
  CHECK(client.read().body == "GET /3");
  CHECK(client.at_end());
  CHECK(server.await([&] { return server.connections() == 0; }));
}

TEST_CASE("a client that half-closes when its next request is about to be served is answered") {
  TestServer server;
  Client client(server.port());
  client.send(get("/later") + get("/2") + get("/3"));
  const auto id = server.handler.request(0).id;
  server.on_loop([&] {
    server.server().respond(id, {.body = "1"});
    client.half_close();  // seen in the same turn in which "/2" is to go on
  });
  CHECK(client.read().body == "1");
  CHECK(client.read().body == "GET /2");
  CHECK(client.read().body == "GET /3");
  CHECK(client.at_end());
}

TEST_CASE("a client that ends in the middle of a request is let go") {
  TestServer server;
  for (const char* part : {"", "G", "GET / HTTP/1.1\r\nHost: a\r\n", "\r\n",
                           "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc"}) {
    Client client(server.port());
    client.send(part);
    client.half_close();
    CHECK(client.at_end());
  }
  CHECK(server.await([&] { return server.connections() == 0; }));
  CHECK(server.handler.requests() == 0);
}

TEST_CASE("the handler is told once when a client resets while its request is in flight") {
  TestServer server;
  Client client(server.port());
  client.send(get("/later"));
  const auto id = server.handler.request(0).id;
  client.reset();
  CHECK(server.handler.first_abandoned() == id);
  server.respond(id, {.body = "for nobody"});
  CHECK(server.await([&] { return server.connections() == 0; }));
  CHECK(server.in_flight() == 0);
  CHECK(server.handler.abandoned_count() == 1);
  CHECK(server.counted(observe::Family::ConnectionsClosed, "error") == 1);
  CHECK(server.abandoned(1) == 1);
}

TEST_CASE("a request whose client closes before the answer is counted as abandoned, once") {
  TestServer server;
  Client patient(server.port());
  patient.send(get("/later"));
  server.handler.request(0);
  {
    Client gone(server.port());
    gone.send(get("/later"));
    const auto id = server.handler.request(1).id;
    gone.close();
    CHECK(server.abandoned(1) == 1);
    server.respond(id, {.body = "for nobody"});  // it might have closed its side only
  }
  CHECK(server.await([&] { return server.connections() == 1; }));
  // Those who have their answers may go.
  CHECK(Client(server.port()).ask(get("/")).status == 200);
  CHECK(server.await([&] { return server.connections() == 1; }));
  server.respond(server.handler.request(0).id, {.body = "at last"});
  CHECK(patient.read().body == "at last");
  CHECK(server.abandoned(1) == 1);
}

TEST_CASE("requests in flight are abandoned when the server is destroyed") {
  TestHandler* handler;
  ExchangeId id;
  {
    TestServer server;
    handler = &server.handler;
    Client client(server.port());
    client.send(get("/later"));
    id = server.handler.request(0).id;
    server.destroy();
    CHECK(handler->first_abandoned() == id);
    CHECK(client.at_end());
  }
}

TEST_CASE("a request's content is collected where the handler wants it") {
  TestServer server;
  Client client(server.port());
  const std::string content(1000, 'x');
  CHECK(
      client
          .ask("POST /p HTTP/1.1\r\nHost: a\r\nContent-Type: a/b\r\nContent-Length: 1000\r\n\r\n" +
               content)
          .body == "POST /p with " + content);
  CHECK(server.handler.request(0).fields[Known::ContentType] == "a/b");
  CHECK(client
            .ask("POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                 "3e8\r\n" +
                 content + "\r\n0\r\n\r\n")
            .body == "POST /p with " + content);
}

TEST_CASE("content that nobody wants is read and thrown away, and the connection stays") {
  TestServer server({.max_discarded_body_bytes = 50'000});
  Client client(server.port());
  const std::string content(50'000, 'x');
  CHECK(client.ask(get("/a", "Content-Length: 50000\r\n") + content).body == "GET /a");
  CHECK(
      client
          .ask(get("/b", "Transfer-Encoding: chunked\r\n") + "c350\r\n" + content + "\r\n0\r\n\r\n")
          .body == "GET /b");
  CHECK(client.ask(get("/c")).body == "GET /c");
}

TEST_CASE("content beyond the limit is 413, and the connection closes after the client's last") {
  TestServer server({.max_discarded_body_bytes = 50'000});
  const std::string content(300'000, 'x');
  for (const std::string& request :
       {"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n" + content,
        get("/b", "Content-Length: 300000\r\n") + content,
        get("/c", "Transfer-Encoding: chunked\r\n") + "493e0\r\n" + content,
        get("/d", "Content-Length: 999999999999999999\r\n")}) {
    Client client(server.port());
    CHECK(client.send(request));
    const auto answer = client.read();
    CHECK(answer.status == 413);
    CHECK(answer.field("Connection") == "close");
    client.half_close();
    CHECK(client.at_end());
  }
  CHECK(server.handler.requests() == 0);
  CHECK(server.counted(observe::Family::RequestsRejected, "body_too_large", 4) == 4);
}

TEST_CASE("Expect: 100-continue is answered before the content, and not for one too large") {
  TestServer server;
  Client client(server.port());
  client.send("POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
  CHECK(client.read().status == 100);
  CHECK(client.ask("ok").body == "POST /p with ok");
  // Needless once content is on its way.
  CHECK(client
            .ask("POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n"
                 "\r\nok")
            .body == "POST /p with ok");
  CHECK(client
            .ask("POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 2000\r\nExpect: 100-continue\r\n"
                 "\r\n")
            .status == 413);
}

TEST_CASE(
    "who waits to be asked for what nobody reads is answered without, and the connection ends") {
  TestServer server;
  const std::string expects = "Content-Length: 2\r\nExpect: 100-continue\r\n";
  for (const char* method : {"GET", "PUT"}) {
    CAPTURE(method);
    Client client(server.port());
    const auto answer =
        client.ask(std::string(method) + " /p HTTP/1.1\r\nHost: a\r\n" + expects + "\r\n");
    CHECK(answer.status == 200);
    CHECK(answer.body == std::string(method) + " /p");
    CHECK(answer.field("Connection") == "close");
    // It may come all the same, and is no request.
    client.send("GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n");
    client.half_close();
    CHECK(client.at_end());
  }
  // Also where the answer comes later.
  Client client(server.port());
  client.send(get("/later", expects));
  const ExchangeId id = server.handler.request(2).id;
  CHECK_FALSE(client.readable_now());
  server.respond(id, {.body = "done"});
  const auto answer = client.read();
  CHECK(answer.body == "done");
  CHECK(answer.field("Connection") == "close");
  CHECK(server.handler.requests() == 3);
  // Who does not wait has it read and dropped, as without an Expect.
  Client hasty(server.port());
  CHECK(hasty.ask(get("/p", expects) + "ok").body == "GET /p");
  CHECK(hasty.ask(get("/q")).body == "GET /q");
}

TEST_CASE("every error the server makes itself is problem+json and closes") {
  struct Case {
    int status;
    const char* reason;
    std::string request;
  };
  const std::vector<Case> cases = {
      {400, "malformed", "GET / HTTP/1.1\r\nHost: a\r\nA : b\r\n\r\n"},
      {400, "malformed", "GET / HTTP/1.1\nHost: a\n\n"},
      {400, "malformed", get("/", "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n")},
      {400, "malformed", get("/", "Transfer-Encoding: chunked\r\n") + "x\r\n"},
      {400, "host", "GET / HTTP/1.1\r\n\r\n"},
      {413, "body_too_large", get("/", "Content-Length: 1000000\r\n")},
      {414, "target_too_long", get("/" + std::string(9000, 'a'))},
      {417, "expectation", get("/", "Expect: wonders\r\n")},
      {431, "head_too_large", get("/", "A: " + std::string(17000, 'a') + "\r\n")},
      {501, "method", "BREW / HTTP/1.1\r\nHost: a\r\n\r\n"},
      {501, "transfer_coding", get("/", "Transfer-Encoding: br\r\n")},
      {505, "version", "GET / HTTP/3.0\r\nHost: a\r\n\r\n"},
  };
  for (const auto& c : cases) {
    CAPTURE(c.request);
    TestServer server;
    Client client(server.port());
    client.send(c.request);
    const auto answer = client.read();
    CHECK(answer.status == c.status);
    CHECK(answer.field("Content-Type") == "application/problem+json");
    CHECK(answer.field("Connection") == "close");
    CHECK(answer.body.find("\"status\":" + std::to_string(c.status)) != std::string::npos);
    client.half_close();
    CHECK(client.at_end());
    CHECK(server.handler.requests() == 0);
    CHECK(server.handler.rejections(1) == std::vector<std::string>{c.reason});
    CHECK(server.counted(observe::Family::RequestsRejected, c.reason) == 1);
    CHECK(server.counted(observe::Family::ConnectionsClosed, "rejected") == 1);
  }
}

TEST_CASE("good requests before a bad one are answered, none behind it") {
  TestServer server;
  Client client(server.port());
  client.send(get("/1") + get("/later") + "GET /3 HTTP/9.9\r\n\r\n" + get("/4"));
  const auto id = server.handler.request(1).id;
  CHECK(client.read().body == "GET /1");
  server.respond(id, {.body = "2"});
  CHECK(client.read().body == "2");
  CHECK(client.read().status == 505);
  CHECK(client.at_end());
  CHECK(server.handler.requests() == 2);
}

TEST_CASE("many pipelined requests of one client do not keep another waiting") {
  TestServer server;
  Client greedy(server.port());
  Client modest(server.port());
  CHECK(greedy.ask(get("/0")).status == 200);
  CHECK(modest.ask(get("/0")).status == 200);
  constexpr std::size_t kMany = 800;
  std::string stream;
  for (std::size_t i = 0; i < kMany; ++i) stream += get("/" + std::to_string(i));
  // Both are there when the loop looks, the greedy one first.
  server.on_loop([&] {
    greedy.send(stream);
    modest.send(get("/modest"));
  });
  CHECK(modest.read().body == "GET /modest");
  for (std::size_t i = 0; i < kMany; ++i) {
    if (greedy.read().body != "GET /" + std::to_string(i)) {
      FAIL_CHECK("answer " << i);
      break;
    }
  }
  std::size_t before = 2;
  while (server.handler.request(before).path != "/modest") ++before;
  CHECK(before < kMany / 4);
}

TEST_CASE("a refused HEAD gets no content either") {
  TestServer server;
  Client client(server.port());
  client.send("HEAD / HTTP/1.1\r\nHost: a b\r\n\r\n");
  CHECK(client.read(true).status == 400);
  CHECK(client.at_end());
}

TEST_CASE("Date follows the wall clock") {
  TestServer server;
  Client client(server.port());
  CHECK(client.ask(get("/")).field("Date") == "Thu, 01 Jan 2026 00:00:00 GMT");
  server.pass(999ms);
  CHECK(client.ask(get("/")).field("Date") == "Thu, 01 Jan 2026 00:00:00 GMT");
  server.pass(1ms);
  CHECK(client.ask(get("/")).field("Date") == "Thu, 01 Jan 2026 00:00:01 GMT");
  client.send(get("/later"));
  const auto id = server.handler.request(3).id;
  server.pass(59s);
  server.respond(id, {});
  CHECK(client.read().field("Date") == "Thu, 01 Jan 2026 00:01:00 GMT");
}

TEST_CASE("an answer larger than the socket takes arrives whole") {
  TestServer server;
  std::string large;
  for (int i = 0; large.size() < 8'000'000; ++i) large += std::to_string(i) + ",";
  server.handler.set([&large](Server& http, ExchangeId id, const Request& request) {
    http.respond(id, {.body = request.path == "/large" ? large : "small"});
  });
  Client client(server.port());
  client.send(get("/large") + get("/small"));
  CHECK(client.read().body == large);
  CHECK(client.read().body == "small");
  client.send(get("/large", "Connection: close\r\n"));
  CHECK(client.read().body == large);
  CHECK(client.at_end());
}
