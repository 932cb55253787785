#include "http/rate_limiter.h"

#include <doctest/doctest.h>

#include "test_server.h"

using namespace holdfast;
using namespace holdfast::http;
using namespace holdfast::http::test;

namespace {

ClientKey client(std::uint8_t low, std::uint8_t high = 0) {
  return {0, 0xff, 0, 0, 192, 0, high, low};
}

}  // namespace

TEST_CASE("a client may send its burst at once and then its rate") {
  RateLimiter limiter(10, 5, 1);
  auto now = base::SteadyTime(1h);
  for (int i = 0; i < 5; ++i) CHECK(limiter.take(client(1), now) == 0ns);
  CHECK(limiter.take(client(1), now) == 100ms);
  CHECK(limiter.take(client(1), now) == 100ms);  // asking costs nothing
  now += 99ms;
  CHECK(limiter.take(client(1), now) == 1ms);
  now += 1ms;
  CHECK(limiter.take(client(1), now) == 0ns);
  CHECK(limiter.take(client(1), now) == 100ms);
  now += 1h;
  for (int i = 0; i < 5; ++i) CHECK(limiter.take(client(1), now) == 0ns);
  CHECK(limiter.take(client(1), now) > 0ns);
}

TEST_CASE("clients do not share a bucket") {
  RateLimiter limiter(1, 1, 1);
  const auto now = base::SteadyTime(1h);
  for (int i = 0; i < 200; ++i) {
    CHECK(limiter.take(client(static_cast<std::uint8_t>(i)), now) == 0ns);
    CHECK(limiter.take(client(static_cast<std::uint8_t>(i)), now) > 0ns);
  }
}

TEST_CASE("the emptiest bucket is the last that a crowd of other clients displaces") {
  RateLimiter limiter(1, 10, 1, 8);  // one set
  const auto now = base::SteadyTime(1h);
  for (int i = 0; i < 10; ++i) limiter.take(client(1), now);
  CHECK(limiter.take(client(1), now) > 0ns);
  for (int i = 0; i < 1000; ++i) {
    CHECK(limiter.take(client(static_cast<std::uint8_t>(i), static_cast<std::uint8_t>(1 + i / 256)),
                       now) == 0ns);
  }
  CHECK(limiter.take(client(1), now) > 0ns);
}

TEST_CASE("requests above the rate are 429 with Retry-After, and the connection stays") {
  TestServer server({.client_limits = limits({.rate = 0.5, .burst = 2})});
  Client one(server.port());
  Client two(server.port());  // the same address
  CHECK(one.ask(get("/1")).status == 200);
  CHECK(two.ask(get("/2")).status == 200);
  const auto answer = one.ask(get("/3"));
  CHECK(answer.status == 429);
  CHECK(answer.field("Retry-After") == "2");
  CHECK(answer.field("Content-Type") == "application/problem+json");
  CHECK(answer.field("Connection") == "(none)");
  CHECK(two.ask("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", true).status == 429);
  CHECK(server.handler.requests() == 2);
  CHECK(server.handler.rejections(2) == std::vector<std::string>{"client_rate", "client_rate"});
  CHECK(server.counted(observe::Family::RequestsLimited, "client_rate", 2) == 2);
  server.pass(2s);
  CHECK(one.ask(get("/4")).body == "GET /4");
}
