// What we lack ourselves is nobody's failure: no breaker, no address, no key pays for it.
#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>

#include "simulated_upstream.h"
#include "upstream/curl_outcome.h"

namespace holdfast::upstream {

using namespace std::chrono_literals;
using test::Fault;
using test::World;

TEST_CASE("while we lack descriptors nothing is held against the upstream, and then all goes on") {
  for (const base::Resource resource : base::kResources) {
    World world;
    world.fetch_all(50, 5);
    int unreachable = 0;
    world.fetcher.on_unreachable([&](std::size_t) { ++unreachable; });
    world.upstream.lacking = resource;
    for (int i = 0; i < 200; ++i) world.fetch("/lacking" + std::to_string(i), 10s);
    world.scheduler.advance(4s);
    const OriginStatus during = world.fetcher.status().origins[0];
    CHECK(during.breaker == Breaker::State::Closed);
    CHECK(during.error_rate.value_or(0) == 0);
    CHECK(during.last_error.empty());
    CHECK_FALSE(during.last_error_at.has_value());
    CHECK_FALSE(during.addresses.at(0).dark);
    CHECK(unreachable == 0);
    world.upstream.lacking.reset();
    world.settle();
    CHECK(world.answered() == 250);
    CHECK(world.fetcher.status().in_flight == 0);
  }
}

TEST_CASE("who could not be asked for, for want of something here, is told just that") {
  World world;
  world.upstream.lacking = base::Resource::Ports;
  world.fetch("/a", 2s);
  world.settle();
  REQUIRE(world.results.size() == 1);
  CHECK(world.results[0].end == FetchEnd::Deadline);
  CHECK(world.results[0].outcome == Outcome::Local);
  CHECK(world.results[0].attempts.at(0).outcome == Outcome::Local);
  CHECK(world.results[0].attempts.at(0).detail == "none left");
}

TEST_CASE("a probe for which something is lacking here leaves the breaker as it was") {
  World world;
  world.upstream.always[0] = Fault::Refused;
  world.fetch_all(60, 60);
  REQUIRE(world.fetcher.status().origins[0].breaker == Breaker::State::Open);
  const std::string last_error = world.fetcher.status().origins[0].last_error;
  world.upstream.always.clear();
  world.upstream.lacking = base::Resource::Descriptors;
  world.fetch("/a", 30s);
  world.scheduler.advance(5s);
  CHECK(world.fetcher.status().origins[0].breaker != Breaker::State::Closed);
  CHECK(world.fetcher.status().origins[0].last_error == last_error);
  world.upstream.lacking.reset();
  world.scheduler.advance(3s);
  CHECK(world.fetcher.status().origins[0].breaker == Breaker::State::Closed);
  CHECK(world.answered() == 1);
}

TEST_CASE(
    "a content that there is no memory to judge is asked for again, and held against nobody") {
  World world;
  world.fetch_all(50, 5);
  FetchRequest request;
  request.request.target = "/unjudged";
  request.deadline = world.now() + 10s;
  int judged = 0;
  request.validate = [&judged](const Reply&) -> Verdict {
    if (++judged > 5) return {};
    return {Outcome::Local, "no memory to read it"};
  };
  FetchResult result;
  world.fetcher.start(std::move(request), [&result](FetchResult end) { result = std::move(end); });
  world.scheduler.advance(10s);
  CHECK(result.end == FetchEnd::Answered);
  CHECK(result.outcome == Outcome::Ok);
  REQUIRE(result.attempts.size() >= 2);
  CHECK(result.attempts[0].outcome == Outcome::Local);
  const OriginStatus after = world.fetcher.status().origins[0];
  CHECK(after.breaker == Breaker::State::Closed);
  CHECK(after.error_rate == 0);
  CHECK(after.last_error.empty());
}

TEST_CASE("errno tells what is lacking, and an address out of reach is no lack of ports") {
  sockaddr_in loopback{};
  loopback.sin_family = AF_INET;
  loopback.sin_port = htons(9);
  loopback.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const auto lacking = [&](int error) {
    return resource_lacking(error, reinterpret_cast<const sockaddr*>(&loopback), sizeof loopback);
  };
  CHECK(lacking(EMFILE) == base::Resource::Descriptors);
  CHECK(lacking(ENFILE) == base::Resource::Descriptors);
  CHECK(lacking(EADDRNOTAVAIL) == base::Resource::Ports);
  CHECK(lacking(ENOMEM) == base::Resource::Memory);
  CHECK(lacking(ENOBUFS) == base::Resource::Memory);
  CHECK(lacking(EAGAIN) == base::Resource::Memory);
  for (const int error : {0, ECONNREFUSED, ENETUNREACH, EHOSTUNREACH, ETIMEDOUT, ECONNRESET}) {
    CHECK_FALSE(lacking(error).has_value());
  }
  // Of a link that it does not name: nothing can be sent there from here.
  sockaddr_in6 nowhere{};
  nowhere.sin6_family = AF_INET6;
  nowhere.sin6_port = htons(9);
  REQUIRE(::inet_pton(AF_INET6, "fe80::1", &nowhere.sin6_addr) == 1);
  CHECK_FALSE(
      resource_lacking(EADDRNOTAVAIL, reinterpret_cast<const sockaddr*>(&nowhere), sizeof nowhere)
          .has_value());
}

}  // namespace holdfast::upstream
