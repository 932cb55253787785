// Which of the bytes that come back CurlTransport takes for an answer.
#include <doctest/doctest.h>

#include "curl_bench.h"
#include "upstream/judge.h"

namespace holdfast::upstream {
namespace {

using namespace std::chrono_literals;
using namespace test;
using Peer = RawServer::Peer;

}  // namespace

TEST_CASE("content shorter than its Content-Length is truncated, not an answer") {
  RawServer server([](const Peer& peer) {
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello");
    return false;
  });
  CurlBench bench(server);
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
  CurlBench bench(server);
  CHECK(bench.get("/").transport == Outcome::Truncated);
}

TEST_CASE(
    "a reset in the middle of content that only the connection's end would end is truncated") {
  RawServer server([](const Peer& peer) {
    peer.send("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello");
    peer.reset();
    return false;
  });
  CurlBench bench(server);
  CHECK(bench.get("/").transport == Outcome::Truncated);
}

TEST_CASE("chunked content without its last chunk is truncated") {
  RawServer server([](const Peer& peer) {
    peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    return false;
  });
  CurlBench bench(server);
  CHECK(bench.get("/").transport == Outcome::Truncated);
}

TEST_CASE("whole chunked content is joined, and trailers are not fields") {
  RawServer server([](const Peer& peer) {
    peer.send(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        "3\r\nhel\r\n2\r\nlo\r\n0\r\nX-Trailer: 1\r\n\r\n");
    return false;
  });
  CurlBench bench(server);
  const Reply reply = bench.get("/");
  CHECK(reply.transport == Outcome::Ok);
  CHECK(reply.body == "hello");
  CHECK(find_field(reply.fields, "X-Trailer") == nullptr);
}

TEST_CASE("content that only the connection's end ends is known for that") {
  struct Case {
    const char* framing;
    bool open_ended;
  };
  for (const Case& c : {Case{"\r\nhello", true}, Case{"Content-Length: 5\r\n\r\nhello", false},
                        Case{"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", false}}) {
    CAPTURE(c.framing);
    RawServer server([&c](const Peer& peer) {
      peer.send(std::string("HTTP/1.1 200 OK\r\nConnection: close\r\n") + c.framing);
      return false;
    });
    CurlBench bench(server);
    const Reply reply = bench.get("/");
    CHECK(reply.transport == Outcome::Ok);
    CHECK(reply.body == "hello");
    CHECK(reply.open_ended == c.open_ended);
  }
}

TEST_CASE("chunks that libcurl joins although they are none are truncated") {
  for (const std::string broken :
       {"5x\r\nhello\r\n0\r\n\r\n", "5\r\nhello\r\r\n0\r\n\r\n", "5\r\nhello\r\n0 1\r\n\r\n"}) {
    CAPTURE(broken);
    RawServer server([&](const Peer& peer) {
      peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + broken);
      return true;
    });
    CurlBench bench(server);
    const Reply reply = bench.get("/");
    CHECK(reply.transport == Outcome::Truncated);
    CHECK(reply.detail == "the content's chunks are broken");
  }
}

TEST_CASE("what comes behind the last chunk costs the connection, not the answer") {
  RawServer server([](const Peer& peer) {
    peer.send(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
        "HTTP/1.1 200 OK\r\nX-Half:");
    return true;
  });
  CurlSession session(server);
  for (const std::size_t connections : {1U, 2U}) {
    const Reply reply = session.get();
    CHECK(reply.transport == Outcome::Ok);
    CHECK(reply.body == "hello");
    CHECK(server.connections() == connections);
  }
}

TEST_CASE("a text that says HTTP/2 on a connection of HTTP/1.1 is no answer") {
  RawServer server([](const Peer& peer) {
    peer.send("HTTP/2 200 \r\nContent-Length: 5\r\n\r\nhello");
    return true;
  });
  CurlBench bench(server);
  const Reply reply = bench.get("/");
  CHECK(reply.transport == Outcome::Reset);
  CHECK(reply.detail.find("HTTP/2") != std::string::npos);
  CHECK(reply.detail.find("status line") != std::string::npos);
  CHECK(reply.status == 0);
}

TEST_CASE("an answer that cannot be read tells what decided") {
  struct Case {
    std::string bytes;
    std::vector<std::string> words;
  };
  const std::string end = "Content-Length: 5\r\n\r\nhello";
  using namespace std::string_literals;
  for (const Case& each :
       {Case{"HTTP/1.2 200 OK\r\n" + end, {"version", "status line"}},
        Case{"HTTP/1.1 200 OK\r\nX-First: 1\r\nX-Second: a\0b\r\n"s + end, {"X-First", "ul"}},
        Case{"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n" + end, {"Transfer-Encoding"}},
        Case{"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n" + end, {"how long"}},
        Case{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello", {"chunks"}}}) {
    CAPTURE(each.bytes);
    RawServer server([&](const Peer& peer) {
      peer.send(each.bytes);
      return false;
    });
    CurlBench bench(server);
    const Reply reply = bench.get("/");
    CAPTURE(reply.detail);
    CHECK(reply.transport != Outcome::Ok);
    CHECK(reply.unreadable);
    for (const std::string& word : each.words) {
      CHECK(reply.detail.find(word) != std::string::npos);
    }
  }
}

TEST_CASE("a field that is too large is named with its size, and nothing is lacking here") {
  for (const std::size_t size : {70'000U, 104'448U, 300'000U}) {
    CAPTURE(size);
    RawServer server([&](const Peer& peer) {
      peer.send("HTTP/1.1 200 OK\r\nX-First: 1\r\nX-Big: " + std::string(size, 'x') +
                "\r\nContent-Length: 5\r\n\r\nhello");
      return false;
    });
    CurlBench bench(server);
    const Reply reply = bench.get("/");
    CAPTURE(reply.detail);
    CHECK(reply.transport == Outcome::TooLarge);
    CHECK_FALSE(reply.own_lack);
    const bool known = reply.detail.find("X-Big") != std::string::npos ||
                       reply.detail.find("after X-First") != std::string::npos;
    CHECK(known);
    CHECK(reply.detail.find("bytes") != std::string::npos);
  }
}

TEST_CASE("101 that nobody asked for is an answer with that status, at once") {
  RawServer server([](const Peer& peer) {
    peer.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n");
    peer.hang();
    return false;
  });
  CurlBench bench(server);
  const Reply reply = bench.get("/");
  CHECK(reply.transport == Outcome::Ok);
  CHECK(reply.status == 101);
  const Verdict verdict = judge({"/", {}}, reply, {});
  CHECK(verdict.outcome == Outcome::Unexpected);
  CHECK(verdict.reason == "status 101");
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
      CurlBench bench(server);
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
    CurlBench bench(server);
    const Reply reply = bench.get("/");
    CHECK(reply.transport != Outcome::Ok);
  }
}

TEST_CASE("an upstream that says nothing is a timeout, at the timeout") {
  RawServer server([](const Peer& peer) {
    peer.hang();
    return false;
  });
  CurlBench bench(server);
  // Long enough to have connected by then, also where many want the processor.
  const Reply reply = bench.get("/", 800ms);
  CHECK(reply.transport == Outcome::Timeout);
  CHECK(reply.duration >= 700ms);
  CHECK(reply.duration < 5s);
}

TEST_CASE("content that drips in slowly is a timeout") {
  RawServer server([](const Peer& peer) {
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
    do peer.send("x");
    while (peer.pause(5));
    return false;
  });
  CurlBench bench(server);
  CHECK(bench.get("/", 800ms).transport == Outcome::Timeout);
}

TEST_CASE("an attempt may wait for its answer as long as it was given; content may not drip") {
  RawServer server([](const Peer& peer) {
    if (peer.asks("/drip")) {
      peer.send("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
      do peer.send("x");
      while (peer.pause(200));
    } else if (peer.pause(2500)) {
      peer.send(kHello);
    }
    return false;
  });
  CurlBench bench(CurlTransport::Settings{.base_urls = {server.url()}, .low_speed_time = 1s});
  std::size_t left = 2;
  bench.transport.start(within(30s), {"/late", {}}, [&](const Reply& reply) {
    CHECK(reply.transport == Outcome::Ok);
    CHECK(reply.body == "hello");
    --left;
  });
  bench.transport.start(within(30s), {"/drip", {}}, [&](const Reply& reply) {
    CHECK(reply.transport == Outcome::Timeout);
    --left;
  });
  run_all(bench, left);
}

TEST_CASE("content over the limit is cut off, whether its length is announced or not") {
  const std::string big(3000, 'x');
  for (const std::string& head :
       {std::string("Content-Length: 3000\r\n\r\n"), std::string("Connection: close\r\n\r\n"),
        std::string("Content-Length: 99999999999999999999\r\n\r\n")}) {
    RawServer server([&](const Peer& peer) {
      peer.send("HTTP/1.1 200 OK\r\n" + head + big);
      return false;
    });
    CurlBench bench(CurlTransport::Settings{.base_urls = {server.url()}, .body_limit_bytes = 2000});
    const Reply reply = bench.get("/");
    CHECK(reply.transport == Outcome::TooLarge);
    CHECK(reply.body.size() <= 2000);
    // Somebody is there and answers: this key is the trouble, not the upstream.
    CHECK(reply.status == 200);
    CHECK(is_whole(reply));
  }
}

TEST_CASE("content of exactly the limit is an answer") {
  RawServer server([&](const Peer& peer) {
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n" + std::string(2000, 'x'));
    return false;
  });
  CurlBench bench(CurlTransport::Settings{.base_urls = {server.url()}, .body_limit_bytes = 2000});
  CHECK(bench.get("/").transport == Outcome::Ok);
}

TEST_CASE("a head without an end is cut off") {
  RawServer server([](const Peer& peer) {
    peer.send("HTTP/1.1 200 OK\r\n");
    for (int i = 0; i < 2000; ++i) peer.send("X-Field: " + std::string(100, 'x') + "\r\n");
    return false;
  });
  CurlBench bench(server);
  CHECK(bench.get("/").transport == Outcome::TooLarge);
}

TEST_CASE("an interim answer is not the answer, and its fields are forgotten") {
  RawServer server([](const Peer& peer) {
    peer.send("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + kHello);
    return false;
  });
  CurlBench bench(server);
  const Reply reply = bench.get("/");
  CHECK(reply.status == 200);
  CHECK(find_field(reply.fields, "Link") == nullptr);
}

TEST_CASE("a folded line belongs to the field before it, and no space to a field's name") {
  RawServer server([](const Peer& peer) {
    peer.send(
        "HTTP/1.1 200 OK\r\nCache-Control: max-age=60,\r\n  no-store\r\nETag \t: \"a\"\r\n"
        "X-Url:\r\n\thttp://x/\r\n \r\nContent-Length: 5\r\n\r\nhello");
    return false;
  });
  CurlBench bench(server);
  const Reply reply = bench.get("/");
  CHECK(reply.transport == Outcome::Ok);
  REQUIRE(reply.fields.size() == 4);
  CHECK(reply.fields[0].value == "max-age=60, no-store");
  CHECK(reply.fields[1].name == "ETag");
  CHECK(reply.fields[1].value == "\"a\"");
  CHECK(reply.fields[2].value == "http://x/");
}

TEST_CASE("a line that looks like a status line takes nothing back of the head it is in") {
  RawServer server([](const Peer& peer) {
    peer.send(
        "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nHTTP/1.1 200: OK\r\n"
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nHTTP/1.1 200: OK\r\n\r\n");
    return false;
  });
  CurlBench bench(server);
  const Reply reply = bench.get("/");
  CHECK(reply.transport == Outcome::Ok);
  CHECK(reply.body == "hello");
  CHECK(find_field(reply.fields, "Cache-Control") != nullptr);
}

TEST_CASE("content whose length nobody can know for sure is no answer") {
  const std::string two = "Content-Length: 2\r\n";
  const std::string five = "Content-Length: 5\r\n";
  const std::pair<std::string, bool> cases[] = {
      {five, true},
      {five + five, true},
      {"Content-Length: 5, 5\r\n", true},
      {"Content-Length: 05 \r\n", true},
      {"Connection: close\r\n", true},
      {two + five, false},
      {five + two, false},
      {"Content-Length: 2, 5\r\n", false},
      {"Content-Length: 2x\r\n", false},
      {"Content-Length: 0x5\r\n", false},
      {"Content-Length: -5\r\n", false},
      {"Content-Length:\r\n", false},
      {"Content-Length : 5\r\n", false},
      {"Content-Length:\r\n 5\r\n", false},
      {"Transfer-Encoding:\r\n chunked\r\n", false},
      {"Transfer-Encoding : chunked\r\n", false},
      {"Transfer-Encoding: identity\r\n" + five, false},
      {"Transfer-Encoding: identity\r\nContent-Length: 50\r\n", false},
      {"Transfer-Encoding: identity\r\n" + two + five, false},
      {"Transfer-Encoding:\r\n" + two + five, false},
      {"Transfer-Encoding: chunked, identity\r\n" + five, false},
  };
  for (const auto& each : cases) {
    CAPTURE(each.first);
    RawServer server([&fields = each.first](const Peer& peer) {
      peer.send("HTTP/1.1 200 OK\r\n" + fields + "\r\nhello");
      return false;
    });
    CurlBench bench(server);
    CHECK((bench.get("/").transport == Outcome::Ok) == each.second);
  }
}

TEST_CASE("Retry-After is read from seconds and from a date, and kept within a day") {
  const std::pair<const char*, std::pair<long, long>> cases[] = {
      {"7", {7, 7}},
      {"99999999", {86400, 86400}},
      {"Sun, 06 Nov 1994 08:49:37 GMT", {0, 0}},
      {"Fri, 31 Dec 2099 23:59:59 GMT", {86400, 86400}},
  };
  for (const auto& each : cases) {
    CAPTURE(each.first);
    RawServer server([text = std::string(each.first)](const Peer& peer) {
      peer.send("HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\nRetry-After: " + text +
                "\r\n\r\n");
      return false;
    });
    CurlBench bench(server);
    const Reply reply = bench.get("/");
    CHECK(reply.status == 429);
    REQUIRE(reply.retry_after);
    CHECK(reply.retry_after->count() >= each.second.first);
    CHECK(reply.retry_after->count() <= each.second.second);
  }
}

TEST_CASE("Retry-After as a moment counts from the answer's own Date") {
  RawServer server([](const Peer& peer) {
    peer.send(
        "HTTP/1.1 503 X\r\nContent-Length: 0\r\nDate: Fri, 31 Dec 2099 23:59:50 GMT\r\n"
        "Retry-After :\r\n Fri, 31 Dec 2099 23:59:52 GMT\r\n\r\n");
    return false;
  });
  CurlBench bench(server);
  const Reply reply = bench.get("/");
  CHECK(reply.retry_after == 2s);
  CHECK(reply.clock_ahead > 24h);
}

// One reader for all of them (RFC 9112, 5.1 and 5.2).
TEST_CASE("fields in obsolete forms are read as what they are") {
  RawServer server([](const Peer& peer) {
    peer.send(
        "HTTP/1.1 200 OK\r\nCache-Control : max-age=600,\r\n\t no-store\r\nVary:\r\n  *\r\n"
        "ETag\t:\r\n \r\n \"a\"\r\nContent-Length: 5\r\nAge:\r\n 7\r\n\r\nhello");
    return false;
  });
  CurlBench bench(server);
  const Reply reply = bench.get("/");
  CHECK(reply.transport == Outcome::Ok);
  const auto said = [&](const char* name) {
    const std::string* value = find_field(reply.fields, name);
    return value ? *value : std::string("-");
  };
  CHECK(said("Cache-Control") == "max-age=600, no-store");
  CHECK(said("Vary") == "*");
  CHECK(said("ETag") == "\"a\"");
  CHECK(said("Age") == "7");
  CHECK(reply.body == "hello");
}

TEST_CASE("content that is coded although that was not asked for is decoded, or refused by name") {
  // "hello", by gzip -n.
  const std::string coded(
      "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xcb\x48\xcd\xc9\xc9\x07\x00\x86\xa6\x10\x36\x05\x00"
      "\x00\x00",
      25);
  struct Case {
    const char* line;
    std::string content;
    const char* status;
    Outcome outcome;
    const char* body;
  };
  const Case cases[] = {
      {"Content-Encoding: gzip", coded, "200 OK", Outcome::Ok, "hello"},
      {"content-encoding: x-gzip", coded, "203 X", Outcome::Ok, "hello"},
      {"Content-Encoding: identity", "hello", "200 OK", Outcome::Ok, "hello"},
      {"Content-Encoding: zip", "hello", "200 OK", Outcome::InvalidBody, ""},
      {"Content-Encoding: gzip", "hello", "200 OK", Outcome::InvalidBody, ""},
      {"Content-Encoding : gzip", coded, "200 OK", Outcome::Ok, "hello"},
      {"Content-Encoding:\r\n gzip", coded, "200 OK", Outcome::Ok, "hello"},
      // By its length whole, by its coding not.
      {"Content-Encoding: gzip", coded.substr(0, 20), "200 OK", Outcome::InvalidBody, ""},
      {"Content-Encoding: gzip", coded + "x", "200 OK", Outcome::InvalidBody, ""},
      {"Content-Encoding : identity", "hello", "200 OK", Outcome::Ok, "hello"},
      // There the status says what to do.
      {"Content-Encoding: zip", "hello", "429 X", Outcome::Ok, ""},
      {"Content-Encoding : gzip", coded, "404 X", Outcome::Ok, "hello"},
      // Here by its content: the API's own word, or a balancer's?
      {"Content-Encoding: gzip", "hello", "404 X", Outcome::InvalidBody, ""},
      {"Content-Encoding: zip", "hello", "410 X", Outcome::InvalidBody, ""},
  };
  for (const Case& c : cases) {
    CAPTURE(c.line);
    CAPTURE(c.status);
    RawServer server([&c](const Peer& peer) {
      peer.send("HTTP/1.1 " + std::string(c.status) + "\r\n" + c.line +
                "\r\nContent-Length: " + std::to_string(c.content.size()) + "\r\n\r\n" + c.content);
      return false;
    });
    CurlBench bench(server);
    const Reply reply = bench.get("/");
    CHECK(reply.transport == c.outcome);
    CHECK(reply.body == c.body);
    CHECK(is_whole(reply));
    if (c.outcome != Outcome::Ok) {
      CHECK(reply.detail.find("Content-Encoding: ") != std::string::npos);
    }
    CHECK(server.heads()[0].find("\r\nAccept-Encoding: identity\r\n") != std::string::npos);
    CHECK(server.heads()[0].find("gzip") == std::string::npos);
  }
}

}  // namespace holdfast::upstream
