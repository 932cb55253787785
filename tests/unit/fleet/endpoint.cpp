#include "fleet/endpoint.h"

#include <doctest/doctest.h>

#include <string>

using namespace holdfast;
using fleet::Endpoint;
using fleet::parse_endpoints;

namespace {

std::string refusal(std::string_view text) {
  const auto endpoints = parse_endpoints(text);
  return endpoints ? "accepted" : endpoints.error().message;
}

}  // namespace

TEST_CASE("an endpoint is a host with a port, a user and a database, or a Unix socket") {
  const auto endpoints = parse_endpoints(
      "redis://Cache.example,redis://app@[2001:db8::1]:7000/3,redis://192.0.2.7:6380/,"
      "unix:/run/valkey/valkey.sock");
  REQUIRE(endpoints.has_value());
  REQUIRE(endpoints->size() == 4);
  CHECK((*endpoints)[0] == Endpoint{.host = "cache.example", .name = "cache.example:6379"});
  CHECK((*endpoints)[1] == Endpoint{.host = "2001:db8::1",
                                    .port = 7000,
                                    .user = "app",
                                    .database = 3,
                                    .name = "[2001:db8::1]:7000/3"});
  CHECK((*endpoints)[2] == Endpoint{.host = "192.0.2.7", .port = 6380, .name = "192.0.2.7:6380"});
  CHECK((*endpoints)[3] ==
        Endpoint{.path = "/run/valkey/valkey.sock", .name = "unix:/run/valkey/valkey.sock"});
}

TEST_CASE("what is no endpoint is refused with what is wrong") {
  CHECK(refusal("") == "neither redis:// nor unix:");
  CHECK(refusal("redis://a,") == "neither redis:// nor unix:");
  CHECK(refusal("http://a") == "neither redis:// nor unix:");
  CHECK(refusal("redis://") == "no host: ");
  CHECK(refusal("redis://:6379") == "no host: :6379");
  CHECK(refusal("redis://a b") == "no host: a b");
  CHECK(refusal("redis://[::1") == "a bracket is not closed: [::1");
  CHECK(refusal("redis://[example]:1") == "no host: [example]:1");
  CHECK(refusal("redis://[::1]6379") == "not a port: [::1]6379");
  CHECK(refusal("redis://a:") == "not a port: a:");
  CHECK(refusal("redis://a:0") == "not a port: a:0");
  CHECK(refusal("redis://a:65536") == "not a port: a:65536");
  CHECK(refusal("redis://a/x") == "behind the / stands the number of a database: a/x");
  CHECK(refusal("redis://a/-1") == "behind the / stands the number of a database: a/-1");
  CHECK(refusal("redis://a/1?b") == "behind the / stands the number of a database: a/1?b");
  CHECK(refusal("redis://@a") == "no user before the @");
  CHECK(refusal("unix:run/a") == "unix: wants an absolute path of at most 107 bytes: unix:run/a");
  CHECK(refusal("redis://a,redis://A:6379") == "stands there twice: a:6379");
}

TEST_CASE("a password in an endpoint is refused, and not repeated") {
  for (const char* const text :
       {"redis://user:s3cret@host", "redis://:s3cret@host:1/2", "redis://user:s3c@ret@host"}) {
    CHECK(refusal(text) == "a URL holds no password: it goes into a file");
  }
}
