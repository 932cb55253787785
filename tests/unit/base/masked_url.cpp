#include "base/masked_url.h"

#include <doctest/doctest.h>

using holdfast::base::masked_url;

TEST_CASE("host, port, words and versions of a URL are shown") {
  for (const char* url :
       {"http://localhost:8000", "https://api.example.com:8443/v1",
        "https://[2001:db8::1]:80/geoip", "https://api.example.com/api/v2.1/geoip2/json",
        "http://10.0.0.17/ipv4",
        "https://node12345678901234567.example.com/geolocation-service/v1beta1", "http://a/", ""}) {
    CHECK(masked_url(url) == url);
  }
}

TEST_CASE("what may be a key in a URL is not") {
  CHECK(masked_url("https://api.example/v1/KEY123") == "https://api.example/v1/***");
  CHECK(masked_url("https://api.example/v1/KEY123/geo") == "https://api.example/v1/***/geo");
  CHECK(masked_url("https://api.example/0123456789abcdef0123456789abcdef/v1") ==
        "https://api.example/***/v1");
  CHECK(masked_url("https://a/550e8400-e29b-41d4-a716-446655440000") == "https://a/***");
  CHECK(masked_url("https://a/AbCdEfGhIjKlMnOpQrSt") == "https://a/***");
  CHECK(masked_url("https://a/sk_live_4eC39Hq/b") == "https://a/***/b");
  CHECK(masked_url("https://a/key=x") == "https://a/***");
  CHECK(masked_url("https://a/b%41c") == "https://a/***");
}

TEST_CASE("user info and query are not shown, nor more of what is no URL") {
  CHECK(masked_url("https://user:password@a:80/v1") == "https://***@a:80/v1");
  CHECK(masked_url("https://user@x@a/v1") == "https://***@a/v1");
  CHECK(masked_url("https://a/v1?key=x&y") == "https://a/v1?***");
  CHECK(masked_url("https://a?key") == "https://a?***");
  CHECK(masked_url("https://a/v1#x") == "https://a/v1#***");
  CHECK(masked_url("api.example/v1/KEY123") == "api.example/v1/***");
  CHECK(masked_url("0123456789abcdef") == "***");
  CHECK(masked_url("/v1//KEY123/") == "/v1//***/");
}
