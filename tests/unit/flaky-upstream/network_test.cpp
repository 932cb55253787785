// What stands for a network between: latency by address, connections that end, several addresses.
#include <doctest/doctest.h>

#include <chrono>

#include "harness.h"

using namespace holdfast::flaky;
using namespace std::chrono_literals;

namespace {

bool has(std::string_view block, std::string_view address) {
  return Block::parse(block)->contains(*parse_address(address));
}

}  // namespace

TEST_CASE("a block has the addresses that begin with its bits, of its own family") {
  CHECK(has("10.0.0.0/8", "10.255.1.2"));
  CHECK_FALSE(has("10.0.0.0/8", "11.0.0.0"));
  CHECK(has("192.0.2.128/25", "192.0.2.255"));
  CHECK_FALSE(has("192.0.2.128/25", "192.0.2.127"));
  CHECK(has("192.0.2.7", "192.0.2.7"));
  CHECK_FALSE(has("192.0.2.7", "192.0.2.6"));
  CHECK(has("0.0.0.0/0", "203.0.113.9"));
  CHECK_FALSE(has("0.0.0.0/0", "2001:db8::1"));
  CHECK(has("2001:db8::/33", "2001:db8:7fff::1"));
  CHECK_FALSE(has("2001:db8::/33", "2001:db8:8000::1"));
  for (const char* bad : {"", "10.0.0.0/33", "2001:db8::/129", "10/8", "10.0.0.0/", "x"}) {
    CAPTURE(bad);
    CHECK_FALSE(Block::parse(bad).has_value());
  }
}

TEST_CASE("addresses of a block have a latency of their own") {
  UpstreamSettings settings;
  settings.latency_for.emplace_back(*Block::parse("10.0.0.0/8"), *parse_latency("50ms,sigma=0"));
  // An hour: nobody else could be answered meanwhile.
  settings.latency = *parse_latency("1h,sigma=0");
  Instance instance(std::move(settings));
  auto start = std::chrono::steady_clock::now();
  CHECK(ask(instance.port(), "/geoip/10.1.2.3").status == 200);
  CHECK(std::chrono::steady_clock::now() - start >= 50ms);

  CHECK(instance.put("/latency", "off").status == 200);
  CHECK(instance.put("/latency?for=2001:db8::/32", "60ms,sigma=0").status == 200);
  CHECK(instance.put("/latency?for=10.0.0.0/8", "off").status == 200);
  const auto stats = instance.control("/stats").content;
  CHECK(stats.find(R"("latency_for":{"2001:db8::/32":"60ms,sigma=0"})") != std::string::npos);
  start = std::chrono::steady_clock::now();
  CHECK(ask(instance.port(), "/geoip/2001:db8::7").status == 200);
  CHECK(std::chrono::steady_clock::now() - start >= 60ms);
  CHECK(instance.put("/latency?for=nowhere", "1s").status == 400);
  CHECK(instance.put("/latency?for=10.0.0.0/8", "soon").status == 400);
}

TEST_CASE("after so many requests, each answer is its connection's last, and says so") {
  Instance instance(UpstreamSettings{.close_after = 2});
  Client kept(instance.port());
  for (int i = 0; i < 2; ++i) {
    kept.write(get("/geoip/192.0.2.7"));
    const auto reply = kept.read();
    CHECK(reply.status == 200);
    CHECK(reply.field("Connection") == "");
  }
  kept.write(get("/geoip/192.0.2.7"));
  const auto last = kept.read_all();
  CHECK(last.content == truth("192.0.2.7"));
  CHECK(last.field("Connection") == "close");
  CHECK(last.ended == Ended::Fin);

  // Counted from when it is said.
  CHECK(instance.put("/close-after", "1").status == 200);
  Client other(instance.port());
  other.write(get("/geoip/192.0.2.7"));
  CHECK(other.read().field("Connection") == "");
  other.write(get("/geoip/192.0.2.7"));
  CHECK(other.read_all().ended == Ended::Fin);
  CHECK(instance.put("/close-after", "off").status == 200);
  Client third(instance.port());
  third.write(get("/geoip/192.0.2.7"));
  CHECK(third.read().field("Connection") == "");
  CHECK(instance.put("/close-after", "-1").status == 400);
}

TEST_CASE("it listens at each of its addresses, or at none of them") {
  Instance instance({.addresses = {"127.0.0.1", "127.0.0.2"}});
  for (const char* address : {"127.0.0.1", "127.0.0.2"}) {
    Client client(instance.port(), address);
    REQUIRE(client.connected());
    client.write(get("/geoip/192.0.2.7"));
    CHECK(client.read().content == truth("192.0.2.7"));
  }
  CHECK(Client(instance.port(), "127.0.0.3").refused());
  instance.put("/mode", "refuse");
  for (const char* address : {"127.0.0.1", "127.0.0.2"}) {
    CHECK(Client(instance.port(), address).refused());
  }
  instance.put("/mode", "up");
  for (const char* address : {"127.0.0.1", "127.0.0.2"}) {
    CHECK(Client(instance.port(), address).connected());
  }
}
