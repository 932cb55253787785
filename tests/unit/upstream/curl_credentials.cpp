// How the token, and the Host that is set, go with requests.
#include <doctest/doctest.h>

#include <string>

#include "curl_bench.h"
#include "upstream/curl_transport.h"

namespace holdfast::upstream {

using namespace std::chrono_literals;
using test::CurlBench;
using test::kHello;
using test::RawServer;

namespace {

// The head that goes out for a request with those fields.
std::string head_of(Credential credential, const std::string& target, Fields fields,
                    const std::string& host = {}) {
  RawServer server([](const RawServer::Peer& peer) {
    peer.send(kHello);
    return true;
  });
  CurlTransport::Settings settings{.base_urls = {server.url() + "/base"}};
  settings.credential = std::move(credential);
  settings.host = host;
  CurlBench bench(std::move(settings), "s3cr+t &k");
  CHECK(bench.get(target, 5s, std::move(fields)).status == 200);
  REQUIRE(server.heads().size() == 1);
  return server.heads()[0];
}

std::size_t count(const std::string& text, const std::string& what) {
  std::size_t found = 0;
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) {
    ++found;
  }
  return found;
}

}  // namespace

TEST_CASE("the token is a field of its own where that is said, and nobody else's of that name") {
  const std::string head = head_of({Credential::In::Field, "X-Api-Key"}, "/a",
                                   {{"x-api-key", "a client's"}, {"Authorization", "theirs"}});
  CHECK(count(head, "\r\nX-Api-Key: s3cr+t &k\r\n") == 1);
  CHECK(head.find("a client's") == std::string::npos);
  CHECK(count(head, "\r\nAuthorization: theirs\r\n") == 1);
  const std::string bearer = head_of({}, "/a", {{"authorization", "theirs"}});
  CHECK(count(bearer, "\r\nAuthorization: Bearer s3cr+t &k\r\n") == 1);
  CHECK(bearer.find("theirs") == std::string::npos);
}

TEST_CASE("the token is a parameter of the query where that is said, percent-encoded") {
  const Credential in_query{Credential::In::Query, "key"};
  CHECK(head_of(in_query, "/a", {}).starts_with("GET /base/a?key=s3cr%2Bt%20%26k HTTP/1.1\r\n"));
  CHECK(head_of(in_query, "/a?b=c", {})
            .starts_with("GET /base/a?b=c&key=s3cr%2Bt%20%26k HTTP/1.1\r\n"));
  CHECK(head_of(in_query, "/a", {}).find("Authorization") == std::string::npos);
}

TEST_CASE("an upstream that repeats the query where it redirects to shows nobody the token") {
  RawServer server([](const RawServer::Peer& peer) {
    peer.send(
        "HTTP/1.1 302 Found\r\nLocation: /b?key=s3cr%2Bt%20%26k&x=s3cr+t &k\r\n"
        "Content-Length: 0\r\n\r\n");
    return true;
  });
  CurlTransport::Settings settings{.base_urls = {server.url()}};
  settings.credential = {Credential::In::Query, "key"};
  CurlBench bench(std::move(settings), "s3cr+t &k");
  const Reply reply = bench.get("/a");
  REQUIRE(find_field(reply.fields, "Location"));
  CHECK(*find_field(reply.fields, "Location") == "/b?key=***&x=***");
}

TEST_CASE("nor does it in another spelling") {
  const std::string token = "ab/cd+efghij==";
  for (const char* location : {"/login/%2fback%3fkey%3dab%2fcd%2befghij%3d%3d",
                               "/login/back%253Fkey%253Dab%252Fcd%252Befghij%253D%253D",
                               "/login/ab%2Fcd+efghij%3D%3D", "/login/a%62/cd+efghij=="}) {
    CAPTURE(location);
    RawServer server([location](const RawServer::Peer& peer) {
      peer.send("HTTP/1.1 302 Found\r\nLocation: " + std::string(location) +
                "\r\nContent-Length: 0\r\n\r\n");
      return true;
    });
    CurlTransport::Settings settings{.base_urls = {server.url()}};
    settings.credential = {Credential::In::Query, "key"};
    CurlBench bench(std::move(settings), token);
    CHECK(*find_field(bench.get("/a").fields, "Location") == "***");
  }
}

TEST_CASE("nor a key in the URL that it was asked by") {
  RawServer server([](const RawServer::Peer& peer) {
    peer.send(
        "HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1/v1/k3y0123456789abcdef/a/\r\n"
        "Content-Length: 0\r\n\r\n");
    return true;
  });
  CurlBench bench(CurlTransport::Settings{.base_urls = {server.url() + "/v1/k3y0123456789abcdef"}});
  const Reply reply = bench.get("/a");
  REQUIRE(find_field(reply.fields, "Location"));
  CHECK(*find_field(reply.fields, "Location") == "http://127.0.0.1/v1/***/a/");
}

TEST_CASE("Host is the URL's, what is set for all, or what the request brings") {
  const std::string url = head_of({}, "/a", {});
  CHECK(url.find("\r\nHost: 127.0.0.1:") != std::string::npos);
  const std::string set = head_of({}, "/a", {}, "api.example");
  CHECK(count(set, "\r\nHost: ") == 1);
  CHECK(set.find("\r\nHost: api.example\r\n") != std::string::npos);
  const std::string brought = head_of({}, "/a", {{"host", "shop.example:8080"}}, "api.example");
  CHECK(count(brought, "\r\nHost: ") == 1);
  CHECK(brought.find("\r\nHost: shop.example:8080\r\n") != std::string::npos);
}

}  // namespace holdfast::upstream
