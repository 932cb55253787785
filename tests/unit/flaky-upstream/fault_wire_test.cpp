// Each fault as a client meets it on the wire.
#include <doctest/doctest.h>

#include <charconv>
#include <chrono>

#include "harness.h"

using namespace holdfast::flaky;
using namespace std::chrono_literals;

namespace {

constexpr const char* kIp = "192.0.2.7";

// A reply with the fault in it; also that the fault was counted.
Reply meet(const std::string& fault, UpstreamSettings settings = {}) {
  settings.faults = *FaultMix::parse(fault + "=1");
  Instance instance(std::move(settings));
  const auto reply = ask(instance.port(), "/geoip/" + std::string(kIp));
  CHECK(instance.count(fault) == 1);
  CHECK(instance.count("ok") == 0);
  CHECK(number_after(instance.control("/stats?ip=" + std::string(kIp)).content, fault) == 1);
  return reply;
}

std::size_t stated_length(const Reply& reply) {
  std::size_t length = 0;
  const auto text = reply.field("Content-Length");
  std::from_chars(text.data(), text.data() + text.size(), length);
  return length;
}

}  // namespace

TEST_CASE("an error status comes as a JSON error of that status") {
  for (const char* status : {"500", "502", "503", "401", "403", "404"}) {
    CAPTURE(status);
    const auto reply = meet(status);
    CHECK(std::to_string(reply.status) == status);
    CHECK(is_json(reply.content));
    CHECK(reply.content.find("error") != std::string::npos);
  }
}

TEST_CASE("429 says when to come back, in whole seconds rounded up") {
  CHECK(meet("429").field("Retry-After") == "1");
  const auto reply = meet("429", {.fault_settings = {.retry_after = 2500ms}});
  CHECK(reply.status == 429);
  CHECK(reply.field("Retry-After") == "3");
}

TEST_CASE("reset ends the connection with an RST before any byte") {
  const auto reply = meet("reset");
  CHECK(reply.status == 0);
  CHECK(reply.content.empty());
  CHECK(reply.ended == Ended::Rst);
}

TEST_CASE("reset-body ends the connection with an RST in the middle of the body") {
  const auto reply = meet("reset-body");
  CHECK(reply.status == 200);
  CHECK(reply.ended == Ended::Rst);
  CHECK(reply.content.size() == truth(kIp).size() / 2);
  CHECK(stated_length(reply) == truth(kIp).size());
}

TEST_CASE("short-body states more than it sends") {
  const auto reply = meet("short-body");
  CHECK(reply.status == 200);
  CHECK(reply.ended == Ended::Fin);
  CHECK(reply.content == truth(kIp));
  CHECK(stated_length(reply) > reply.content.size());
}

TEST_CASE("malformed is never JSON, and comes in several kinds") {
  Instance instance({.faults = *FaultMix::parse("malformed=1")});
  bool shorter = false, longer = false;
  for (int i = 0; i < 64; ++i) {
    const auto reply = ask(instance.port(), "/geoip/192.0.2." + std::to_string(i));
    CHECK(reply.status == 200);
    CHECK(stated_length(reply) == reply.content.size());
    CHECK_FALSE(is_json(reply.content));
    const auto right = truth("192.0.2." + std::to_string(i)).size();
    shorter |= reply.content.size() < right;
    longer |= reply.content.size() > right;
  }
  CHECK(shorter);
  CHECK(longer);
}

TEST_CASE("html is a 200 with a page in place of the answer") {
  const auto reply = meet("html");
  CHECK(reply.status == 200);
  CHECK(reply.field("Content-Type") == "text/html; charset=utf-8");
  CHECK(reply.content.starts_with("<!DOCTYPE html>"));
}

TEST_CASE("html404 is a balancer's page, of which some may not be stored") {
  Instance instance({.faults = *FaultMix::parse("html404=1")});
  bool plain = false, forbidden = false;
  for (int i = 0; i < 64; ++i) {
    const auto reply = ask(instance.port(), "/geoip/192.0.2." + std::to_string(i));
    CHECK(reply.status == 404);
    CHECK(reply.field("Content-Type") == "text/html; charset=utf-8");
    CHECK(reply.content.starts_with("<!DOCTYPE html>"));
    CHECK(stated_length(reply) == reply.content.size());
    const auto cache_control = reply.field("Cache-Control");
    plain |= cache_control.empty();
    forbidden |= cache_control == "no-store";
  }
  CHECK(plain);
  CHECK(forbidden);
}

TEST_CASE("other-ip is a whole answer about the neighbour") {
  const auto reply = meet("other-ip");
  CHECK(reply.status == 200);
  CHECK(reply.content == truth("192.0.2.6"));
}

TEST_CASE("empty is a 200 of length 0") {
  const auto reply = meet("empty");
  CHECK(reply.status == 200);
  CHECK(reply.field("Content-Length") == "0");
  CHECK(reply.content.empty());
}

TEST_CASE("hang takes the request and says nothing until the client goes") {
  Instance instance({.faults = *FaultMix::parse("hang=1")});
  Client client(instance.port());
  client.write(get("/geoip/192.0.2.7"));
  instance.wait("in_flight=1");
  CHECK(instance.count("hang") == 1);
  CHECK(instance.count("completed") == 0);
  client.close();
  instance.wait("aborted=1");
  CHECK(instance.count("in_flight") == 0);
}

TEST_CASE("drip sends the head at once and the body a byte at a time") {
  const auto start = std::chrono::steady_clock::now();
  const auto reply = meet("drip", {.fault_settings = {.drip_interval = 1ms}});
  CHECK(reply.content == truth(kIp));
  // A byte per interval cannot be faster than that; how much slower is not ours to say.
  CHECK(std::chrono::steady_clock::now() - start >= 1ms * truth(kIp).size());
}

TEST_CASE("a client that leaves during a drip is noticed") {
  Instance instance({.faults = *FaultMix::parse("drip=1"),
                     .fault_settings = {.drip_interval = std::chrono::hours(1)}});
  Client client(instance.port());
  client.write(get("/geoip/192.0.2.7"));
  instance.wait("in_flight=1");
  client.close();
  instance.wait("aborted=1");
}

TEST_CASE("slow is the right answer, late") {
  const auto start = std::chrono::steady_clock::now();
  const auto reply = meet("slow", {.fault_settings = {.slow_delay = 50ms}});
  CHECK(reply.status == 200);
  CHECK(reply.content == truth(kIp));
  CHECK(std::chrono::steady_clock::now() - start >= 50ms);
}

TEST_CASE("latency delays every answer") {
  Instance instance({.latency = *parse_latency("50ms,sigma=0")});
  const auto start = std::chrono::steady_clock::now();
  CHECK(ask(instance.port(), "/geoip/192.0.2.7").status == 200);
  CHECK(std::chrono::steady_clock::now() - start >= 50ms);
}

TEST_CASE("close ends the connection with a FIN before any byte") {
  const auto reply = meet("close");
  CHECK(reply.status == 0);
  CHECK(reply.content.empty());
  CHECK(reply.ended == Ended::Fin);
}

TEST_CASE("garbage is not HTTP") {
  const auto reply = meet("garbage");
  CHECK(reply.status == 0);
  CHECK_FALSE(reply.head.empty());
}

TEST_CASE("short-chunked ends without the last chunk") {
  const auto reply = meet("short-chunked");
  CHECK(reply.field("Transfer-Encoding") == "chunked");
  CHECK(reply.field("Content-Length").empty());
  CHECK(reply.content.find(truth(kIp)) != std::string::npos);
  CHECK(reply.content.find("\r\n0\r\n") == std::string::npos);
  CHECK(reply.ended == Ended::Fin);
}

TEST_CASE("wrong shapes are valid JSON all the same") {
  CHECK(meet("missing-fields").content == R"({"ip":"192.0.2.7"})");
  CHECK(meet("not-an-object").content == "[]");
  const auto reply = meet("oversized", {.fault_settings = {.oversized_bytes = 1 << 20}});
  CHECK(reply.content.size() > 1 << 20);
  CHECK(is_json(reply.content));
}

TEST_CASE("a fault that leaves the connection whole lets the next request have it") {
  Instance instance;
  instance.put("/script", "500,malformed,empty,ok");
  Client client(instance.port());
  for (const int status : {500, 200, 200, 200}) {
    client.write(get("/geoip/192.0.2.7"));
    CHECK(client.read().status == status);
  }
}

TEST_CASE("faults ignore conditions: a broken upstream never says 304") {
  Instance instance({.faults = *FaultMix::parse("malformed=1"), .etag = true});
  const auto reply = ask(instance.port(), "/geoip/192.0.2.7", "If-None-Match: *\r\n");
  CHECK(reply.status == 200);
  CHECK_FALSE(is_json(reply.content));
  CHECK(reply.field("ETag").empty());
}

TEST_CASE("over the limit comes 429 with Retry-After") {
  Instance instance({.requests_per_second = 2});
  Client client(instance.port());
  int limited = 0;
  std::string retry_after;
  // Ten in a burst last under a second, or the machine stood still.
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < 10; ++i) client.write(get("/geoip/192.0.2.7"));
  for (int i = 0; i < 10; ++i) {
    const auto reply = client.read();
    if (reply.status != 429) continue;
    ++limited;
    retry_after = reply.field("Retry-After");
  }
  const auto seconds =
      std::chrono::ceil<std::chrono::seconds>(std::chrono::steady_clock::now() - start).count();
  CHECK(limited >= 10 - 2 * (seconds + 1));
  CHECK(limited <= 8);
  CHECK(static_cast<std::uint64_t>(limited) == instance.count("rate_limited"));
  if (limited > 0) CHECK(retry_after == "1");
}

TEST_CASE("the same seed plays the same faults for each address, in whatever order they come") {
  const auto play = [](std::uint64_t seed, bool backwards) {
    Instance instance({.seed = seed, .faults = *FaultMix::parse("5xx=0.5")});
    std::string statuses(120, ' ');
    for (std::size_t i = 0; i < 120; ++i) {
      const auto n = backwards ? 119 - i : i;
      const auto reply = ask(instance.port(), "/geoip/192.0.2." + std::to_string(n));
      statuses[n] = static_cast<char>('0' + reply.status % 10 + (reply.status == 200 ? 9 : 0));
    }
    return statuses;
  };
  const auto first = play(5, false);
  CHECK(first == play(5, true));
  CHECK(first != play(6, false));
}
