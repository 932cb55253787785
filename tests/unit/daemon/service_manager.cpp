#include "daemon/service_manager.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "base/virtual_scheduler.h"

using namespace holdfast;
using namespace std::chrono_literals;
using daemon::ServiceManager;

namespace {

// A daemon of two loops under a service manager that watches for ten seconds.
struct Service {
  explicit Service(std::optional<base::Duration> watchdog = 10s)
      : manager({[this](const std::string& message) { sent.push_back(message); }, watchdog},
                {loop, liveness, log, [this] { return status; }}) {
    for (const char* name : {"worker-0", "origin"}) {
      heartbeats.push_back(&liveness.add(name, loop.now()));
      heartbeats.back()->start(loop);
    }
  }

  long count(const std::string& message) const {
    return std::count(sent.begin(), sent.end(), message);
  }

  base::VirtualScheduler loop;
  observe::Liveness liveness;
  observe::Log log;
  std::string status = "serving on 3000";
  std::vector<std::string> sent;
  std::vector<observe::Heartbeat*> heartbeats;
  ServiceManager manager;
};

}  // namespace

TEST_CASE("nothing is said before the daemon is ready") {
  Service service;
  service.loop.advance(1min);
  CHECK(service.sent.empty());
}

TEST_CASE("the watchdog is fed four times within its patience") {
  Service service;
  service.manager.ready();
  service.loop.advance(10s);
  CHECK(service.count("WATCHDOG=1") == 4);
}

TEST_CASE("the watchdog is not fed while a loop is stuck, and again once it turns") {
  Service service;
  service.manager.ready();
  service.loop.advance(10s);
  service.heartbeats[1]->stop();
  service.loop.advance(5s);  // as long as a loop may be silent
  service.sent.clear();

  service.loop.advance(10min);
  CHECK(service.count("WATCHDOG=1") == 0);
  CHECK(service.count("STATUS=stuck: origin; serving on 3000") == 1);

  service.heartbeats[1]->start(service.loop);
  service.loop.advance(10s);
  CHECK(service.count("WATCHDOG=1") == 4);
  CHECK(service.sent.back() == "WATCHDOG=1");
  CHECK(service.count("STATUS=serving on 3000") == 1);
}

TEST_CASE("every loop that is stuck is named") {
  Service service(std::nullopt);
  service.manager.ready();
  for (observe::Heartbeat* heartbeat : service.heartbeats) heartbeat->stop();
  service.loop.advance(1min);
  CHECK(service.sent.back() == "STATUS=stuck: worker-0, origin; serving on 3000");
}

TEST_CASE("nobody watches: the watchdog is not fed") {
  Service service(std::nullopt);
  service.manager.ready();
  service.loop.advance(1min);
  CHECK(service.sent == std::vector<std::string>{"READY=1\nSTATUS=serving on 3000"});
}

TEST_CASE("the status is sent when it changes, every three seconds at most") {
  Service service(1s);
  service.manager.ready();
  for (int i = 0; i < 60; ++i) {
    service.status = "lookups: " + std::to_string(i);
    service.loop.advance(1s);
  }
  const auto is_status = [](const std::string& message) { return message.starts_with("STATUS="); };
  const auto sent = std::count_if(service.sent.begin(), service.sent.end(), is_status);
  CHECK(sent >= 19);
  CHECK(sent <= 20);
}

TEST_CASE("a reload says RELOADING with its moment, then READY with a new line") {
  Service service;
  service.manager.ready();
  service.sent.clear();
  service.manager.reloading();
  service.status = "serving on 3000; last reload failed";
  service.manager.ready();
  // The manual clock starts at one hour.
  CHECK(service.sent ==
        std::vector<std::string>{"RELOADING=1\nMONOTONIC_USEC=3600000000",
                                 "READY=1\nSTATUS=serving on 3000; last reload failed"});
}

TEST_CASE("stopping says how long it may take, and the watchdog is still fed meanwhile") {
  Service service;
  service.manager.ready();
  service.status = "draining";
  service.manager.stopping(21s);
  CHECK(service.sent.back() == "STOPPING=1\nEXTEND_TIMEOUT_USEC=21000000\nSTATUS=draining");
  service.sent.clear();
  service.loop.advance(10s);
  CHECK(service.count("WATCHDOG=1") == 4);
}
