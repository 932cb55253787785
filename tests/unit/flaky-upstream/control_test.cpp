// The control port: live switches, counters, barriers; and a whole upstream
// that goes away and comes back.
#include "control.h"

#include <doctest/doctest.h>

#include "harness.h"
#include "patience.h"

using namespace holdfast::flaky;

TEST_CASE("faults are switched while it runs") {
  Instance instance;
  const std::string target = "/geoip/192.0.2.7";
  CHECK(ask(instance.port(), target).status == 200);
  CHECK(instance.put("/faults", "503=1").status == 200);
  CHECK(ask(instance.port(), target).status == 503);
  CHECK(instance.put("/faults", "none").content == R"({"faults":"none"})");
  CHECK(ask(instance.port(), target).status == 200);
}

TEST_CASE("a bad setting is a 400 that says why, and changes nothing") {
  Instance instance({.faults = *FaultMix::parse("503=1")});
  struct Bad {
    const char *target, *content, *says;
  };
  for (const auto& bad : {Bad{"/faults", "503=2", "fraction"}, Bad{"/faults", "x=1", "unknown"},
                          Bad{"/latency", "soon", "duration"}, Bad{"/rate-limit", "-1", "whole"},
                          Bad{"/mode", "off", "flap"}, Bad{"/fields", "nonsense", "Name: value"},
                          Bad{"/script", "ok,what", "what"}, Bad{"/script?ip=x", "ok", "ip"},
                          Bad{"/release?count=x", "", "whole"}, Bad{"/edition", "new", "whole"}}) {
    CAPTURE(bad.target);
    const auto reply = instance.put(bad.target, bad.content);
    CHECK(reply.status == 400);
    CHECK(reply.content.find(bad.says) != std::string::npos);
    CHECK(is_json(reply.content));
  }
  CHECK(instance.put("/nonsense").status == 404);
  CHECK(ask(instance.port(), "/geoip/192.0.2.7").status == 503);
}

TEST_CASE("counters speak of all, of one address, and of each address") {
  Instance instance;
  instance.put("/script?ip=192.0.2.1", "500,ok");
  ask(instance.port(), "/geoip/192.0.2.1");
  ask(instance.port(), "/geoip/192.0.2.1");
  ask(instance.port(), "/geoip/2001:DB8::1");
  ask(instance.port(), "/geoip/nonsense");
  const auto all = instance.control("/stats").content;
  CHECK(is_json(all));
  CHECK(number_after(all, "requests") == 4);
  CHECK(number_after(all, "completed") == 4);
  CHECK(number_after(all, "ok") == 2);
  CHECK(number_after(all, "500") == 1);
  CHECK(number_after(all, "invalid_ip") == 1);
  CHECK(number_after(all, "in_flight") == 0);
  CHECK(number_after(all, "max_in_flight") == 1);
  CHECK(number_after(all, "distinct_ips") == 2);
  CHECK(number_after(all, "peak_second") >= 1);
  const auto one = instance.control("/stats?ip=192.0.2.1").content;
  CHECK(number_after(one, "requests") == 2);
  CHECK(number_after(one, "ok") == 1);
  CHECK(number_after(one, "500") == 1);
  CHECK(number_after(instance.control("/stats?ip=198.51.100.1").content, "requests") == 0);
  CHECK(instance.control("/stats?ip=nonsense").status == 400);
  CHECK(instance.control("/ips").content == R"({"192.0.2.1":2,"2001:db8::1":1})");

  CHECK(instance.put("/reset").status == 200);
  CHECK(instance.count("requests") == 0);
  CHECK(instance.control("/ips").content == "{}");
}

TEST_CASE("the control port tells what the healthy answer is") {
  Instance instance({.faults = *FaultMix::parse("reset=1")});
  CHECK(instance.control("/answer?ip=2001%3Adb8::1").content == truth("2001:db8::1"));
  CHECK(instance.control("/answer?ip=x").status == 400);
}

TEST_CASE("held answers wait for their release, the oldest first") {
  Instance instance;
  instance.put("/hold");
  Client first(instance.port());
  first.write(get("/geoip/192.0.2.1"));
  instance.wait("held=1");
  Client second(instance.port());
  second.write(get("/geoip/192.0.2.2"));
  instance.wait("held=2");
  CHECK(instance.count("completed") == 0);

  CHECK(instance.put("/release?count=1").content == R"({"release":1})");
  CHECK(first.read().content == truth("192.0.2.1"));
  CHECK(instance.count("held") == 1);
  // Still holding: a new one joins.
  first.write(get("/geoip/192.0.2.3"));
  instance.wait("held=2");
  CHECK(instance.put("/release").content == R"({"release":2})");
  CHECK(second.read().content == truth("192.0.2.2"));
  CHECK(first.read().content == truth("192.0.2.3"));
  CHECK(ask(instance.port(), "/geoip/192.0.2.4").status == 200);
}

TEST_CASE("a held request whose client leaves is no longer held") {
  Instance instance;
  instance.put("/hold");
  Client client(instance.port());
  client.write(get("/geoip/192.0.2.1"));
  instance.wait("held=1");
  client.close();
  instance.wait("aborted=1");
  CHECK(instance.count("held") == 0);
  CHECK(instance.put("/release").content == R"({"release":0})");
}

TEST_CASE("a wait ends with the event it waits for") {
  Instance instance;
  Client waiter(instance.control_port());
  waiter.write(get("/wait?requests=2"));
  ask(instance.port(), "/geoip/192.0.2.1");
  ask(instance.port(), "/geoip/192.0.2.1");
  const auto reply = waiter.read();
  CHECK(reply.status == 200);
  CHECK(number_after(reply.content, "requests") == 2);
}

TEST_CASE("a wait in vain ends with 408, a wait for nothing with 400") {
  Instance instance;
  CHECK(instance.control("/wait?requests=1&timeout=10ms").status == 408);
  CHECK(instance.control("/wait").status == 400);
  CHECK(instance.control("/wait?requests=many").status == 400);
  CHECK(instance.control("/wait?requests=1&timeout=x").status == 400);
}

TEST_CASE("requests to one address at a time are counted as such") {
  Instance instance;
  instance.put("/hold");
  Client one(instance.port()), two(instance.port());
  one.write(get("/geoip/192.0.2.1"));
  two.write(get("/geoip/192.0.2.1"));
  instance.wait("held=2");
  const auto counts = instance.control("/stats?ip=192.0.2.1").content;
  CHECK(number_after(counts, "in_flight") == 2);
  CHECK(number_after(counts, "max_in_flight") == 2);
}

TEST_CASE("fields are switched while it runs") {
  Instance instance;
  CHECK(instance.put("/fields", "Cache-Control: max-age=5, public\nETag: on\n").status == 200);
  const auto with = ask(instance.port(), "/geoip/192.0.2.1");
  CHECK(with.field("Cache-Control") == "max-age=5, public");
  CHECK_FALSE(with.field("ETag").empty());
  instance.put("/fields", "");
  CHECK(ask(instance.port(), "/geoip/192.0.2.1").field("ETag").empty());
}

TEST_CASE("down resets what is open and refuses what comes; up brings the same port back") {
  Instance instance;
  Client idle(instance.port());
  idle.write(get("/geoip/192.0.2.1"));
  CHECK(idle.read().status == 200);
  CHECK(instance.put("/mode", "down").status == 200);
  CHECK(idle.read_all().ended == Ended::Rst);
  CHECK(Client(instance.port()).refused());
  CHECK(instance.put("/mode", "up").status == 200);
  CHECK(ask(instance.port(), "/geoip/192.0.2.1").status == 200);
}

TEST_CASE("refuse lets open connections be") {
  Instance instance;
  Client open(instance.port());
  open.write(get("/geoip/192.0.2.1"));
  CHECK(open.read().status == 200);
  instance.put("/mode", "refuse");
  CHECK(Client(instance.port()).refused());
  open.write(get("/geoip/192.0.2.1"));
  CHECK(open.read().status == 200);
}

TEST_CASE("a black hole accepts and reads, and never answers") {
  Instance instance;
  instance.put("/mode", "blackhole");
  Client client(instance.port());
  CHECK(client.connected());
  client.write(get("/geoip/192.0.2.1"));
  instance.wait("in_flight=1");
  CHECK(instance.count("blackholed") == 1);
  instance.put("/mode", "up");
  CHECK(ask(instance.port(), "/geoip/192.0.2.1").status == 200);
  CHECK(instance.count("in_flight") == 1);
  client.close();
  instance.wait("aborted=1");
}

TEST_CASE("flapping goes down by itself and comes back by itself") {
  Instance instance;
  instance.put("/mode", "flap:20ms/20ms");
  // Each phase is waited for by trying; the tries are the clock.
  bool refused = false, back = false;
  const auto end = std::chrono::steady_clock::now() + holdfast::kPatience;
  while (!back && std::chrono::steady_clock::now() < end) {
    // A connection that is being made just as the listener closes is reset
    // rather than refused, which is neither of the two phases.
    const Client attempt(instance.port());
    refused |= attempt.refused();
    back = refused && attempt.connected();
  }
  CHECK(refused);
  CHECK(back);
}
