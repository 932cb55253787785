#include "upstream/base_url.h"

#include <doctest/doctest.h>

using holdfast::upstream::read_base_url;

TEST_CASE("a base URL says where to connect") {
  const auto named = read_base_url("https://API.example.com/v1");
  REQUIRE(named);
  CHECK(named->tls);
  CHECK(named->host == "api.example.com");
  CHECK(named->port == 443);
  CHECK_FALSE(named->numeric);
  CHECK(named->address.empty());

  const auto plain = read_base_url("HTTP://localhost:8080");
  REQUIRE(plain);
  CHECK_FALSE(plain->tls);
  CHECK(plain->host == "localhost");
  CHECK(plain->port == 8080);
  CHECK_FALSE(plain->numeric);

  CHECK(read_base_url("http://a")->port == 80);
  CHECK(read_base_url("http://a:")->port == 80);
  CHECK(read_base_url("http://a:?q")->host == "a");
  CHECK(read_base_url("http://a:65535/x:1")->port == 65535);
}

TEST_CASE("an address is known for one in each form that others read too") {
  struct {
    const char* url;
    const char* address;
  } const numeric[]{
      {"http://127.0.0.1:3000", "127.0.0.1"},
      {"http://127.1", "127.0.0.1"},
      {"https://[2001:DB8:0::7]:8443/a", "2001:db8::7"},
      {"http://[::ffff:192.0.2.1]", "::ffff:192.0.2.1"},
  };
  for (const auto& each : numeric) {
    CAPTURE(each.url);
    const auto url = read_base_url(each.url);
    REQUIRE(url);
    CHECK(url->numeric);
    CHECK(url->address == each.address);
  }
  for (const char* name : {"http://1.example", "http://a.1", "http://cafe", "http://1.2.3.4.5"}) {
    CAPTURE(name);
    const auto url = read_base_url(name);
    REQUIRE(url);
    CHECK_FALSE(url->numeric);
  }
}

TEST_CASE("what is no base URL is refused, and no secret is repeated") {
  for (const char* bad :
       {"", "api.example.com", "ftp://a", "http://", "http://:80", "http://a:0", "http://a:65536",
        "http://a:b", "http://a:-1", "http://[::1", "http://[::1]x", "http://[a]", "http:///a"}) {
    CAPTURE(bad);
    CHECK_FALSE(read_base_url(bad));
  }
  const auto secret = read_base_url("http://user:hunter2@a/");
  REQUIRE_FALSE(secret);
  CHECK(secret.error().message.find("hunter2") == std::string::npos);
}
