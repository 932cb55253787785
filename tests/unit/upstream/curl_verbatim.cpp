// What goes through as it is, both ways; and how much of it.
#include <doctest/doctest.h>

#include "curl_bench.h"

namespace holdfast::upstream {
namespace {

using namespace std::chrono_literals;
using namespace test;
using Peer = RawServer::Peer;

Reply ask(CurlBench& bench, const Request& request) {
  std::optional<Reply> result;
  bench.transport.start(within(20s), request, [&](Reply reply) {
    result = std::move(reply);
    bench.loop.stop();
  });
  bench.loop.run();
  REQUIRE(result);
  return *result;
}

Reply answer_to(const std::string& bytes, const Request& request) {
  RawServer server([&](const Peer& peer) {
    peer.send(bytes);
    return false;
  });
  CurlBench bench(server);
  return ask(bench, request);
}

const Request kVerbatim{.target = "/x", .verbatim = true};

}  // namespace

TEST_CASE("a verbatim request has its own fields, and none of ours but Host and the credential") {
  RawServer server([](const Peer& peer) {
    peer.send(kHello);
    return false;
  });
  CurlBench bench(server, "t0ken");
  const std::string host = "Host: 127.0.0.1:" + std::to_string(server.port()) + "\r\n";
  const Reply reply = ask(bench, {.target = "/x",
                                  .fields = {{"accept-encoding", "br, gzip"},
                                             {"X-Blank", ""},
                                             {"X-Tab", "a\tb"},
                                             {"X-Evil", "a\r\nb"},
                                             {"Range", "bytes=0-1"}},
                                  .verbatim = true});
  CHECK(reply.status == 200);
  CHECK(reply.with_token);
  CHECK(server.heads().at(0) == "GET /x HTTP/1.1\r\n" + host +
                                    "accept-encoding: br, gzip\r\nX-Blank:\r\nX-Tab: a\tb\r\n"
                                    "Range: bytes=0-1\r\nAuthorization: Bearer t0ken\r\n\r\n");
}

TEST_CASE("who names no content coding wants none, though its request is verbatim") {
  RawServer server([](const Peer& peer) {
    peer.send(kHello);
    return false;
  });
  CurlBench bench(server);
  const std::string host = "Host: 127.0.0.1:" + std::to_string(server.port()) + "\r\n";
  CHECK_FALSE(ask(bench, kVerbatim).with_token);
  CHECK(server.heads().at(0) == "GET /x HTTP/1.1\r\n" + host + "Accept-Encoding: identity\r\n\r\n");
}

TEST_CASE("a verbatim answer keeps its coding, and its chunks alone are undone") {
  const std::string coded = "\x1f\x8b no gzip at all";
  const Reply reply = answer_to("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: " +
                                    std::to_string(coded.size()) + "\r\n\r\n" + coded,
                                kVerbatim);
  CHECK(reply.transport == Outcome::Ok);
  CHECK(reply.body == coded);
  REQUIRE(find_field(reply.fields, "Content-Encoding") != nullptr);
  const Reply chunked = answer_to(
      "HTTP/1.1 206 Partial Content\r\nContent-Encoding: br\r\nTransfer-Encoding: chunked\r\n\r\n"
      "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
      kVerbatim);
  CHECK(chunked.transport == Outcome::Ok);
  CHECK(chunked.status == 206);
  CHECK(chunked.body == "abcde");
}

TEST_CASE("an answer without content is whole, whatever its head says of one") {
  for (const char* head :
       {"HTTP/1.1 204 No Content\r\nContent-Encoding: gzip\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\nContent-Encoding: gzip\r\n\r\n",
        "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n"}) {
    CAPTURE(head);
    const Reply reply = answer_to(head, kVerbatim);
    CHECK(reply.transport == Outcome::Ok);
    CHECK(reply.body.empty());
  }
}

TEST_CASE("what says that it is longer than a request's own limit ends at its head") {
  // The content never comes: who waited for any of it would time out.
  RawServer server([](const Peer& peer) {
    peer.send("HTTP/1.1 200 OK\r\nETag: \"a\"\r\nContent-Length: 11\r\n\r\n");
    peer.hang();
    return false;
  });
  CurlBench bench(server);
  const Reply reply = ask(bench, {.target = "/", .body_limit_bytes = 10});
  CHECK(reply.transport == Outcome::TooLarge);
  CHECK(reply.status == 200);
  CHECK(find_field(reply.fields, "ETag") != nullptr);
}

TEST_CASE("of a content of unknown length no more is taken than a request's own limit") {
  const std::string head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
  const Request request{.target = "/", .body_limit_bytes = 10};
  CHECK(answer_to(head + "A\r\n0123456789\r\n0\r\n\r\n", request).body == "0123456789");
  CHECK(answer_to(head + "B\r\n01234567890\r\n0\r\n\r\n", request).transport == Outcome::TooLarge);
}

TEST_CASE("interim answers are told before the answer, with no secret in them") {
  RawServer server([](const Peer& peer) {
    peer.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nLocation: /?t0ken\r\n\r\n" + kHello);
    return false;
  });
  CurlBench bench(server, "t0ken");
  std::string told;
  Sending sending = within(20s);
  sending.on_interim = [&](int status, const Fields& fields) {
    told += std::to_string(status);
    for (const Field& field : fields) told += " " + field.name + ": " + field.value;
  };
  std::optional<Reply> result;
  bench.transport.start(sending, kVerbatim, [&](Reply reply) {
    result = std::move(reply);
    bench.loop.stop();
  });
  bench.loop.run();
  REQUIRE(result);
  CHECK(told == "103 Link: </a> Location: /?***");
  CHECK(result->body == "hello");
  CHECK(find_field(result->fields, "Link") == nullptr);
}

}  // namespace holdfast::upstream
