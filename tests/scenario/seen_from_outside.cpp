// Health, metrics and log say what is going on, and never the token.
#include <doctest/doctest.h>
#include <signal.h>

#include <algorithm>
#include <fstream>
#include <thread>

#include "faults.h"
#include "frozen_thread.h"
#include "stage.h"

using namespace holdfast::scenario;

TEST_CASE("the health pages answer while the upstream is gone") {
  const Folder folder;
  Upstream upstream;
  Daemon daemon(folder, upstream.url());
  CHECK(get(daemon.url("/livez")).status == 200);
  CHECK(get(daemon.url("/readyz")).status == 200);
  const Response health = get(daemon.url("/healthz"));
  CHECK(health.status == 200);
  CHECK(health.field("Content-Type") == "application/json");
  CHECK(health.field("Cache-Control") == "no-store");
  CHECK(health.body.find("\"name\":\"store\"") != std::string::npos);
  CHECK(health.body.find("\"name\":\"upstream") != std::string::npos);
  upstream.kill();
  CHECK(get(daemon.url("/livez")).status == 200);
  CHECK(get(daemon.url("/readyz")).status == 200);
  CHECK(get(daemon.url("/healthz")).body.find("\"name\":\"upstream") != std::string::npos);
}

TEST_CASE("the metrics count what happened") {
  const Folder folder;
  Upstream upstream;
  upstream.tell("script?ip=8.8.8.8", "500");
  Daemon daemon(folder, upstream.url(), one_attempt());
  const std::string hits = "holdfast_requests_total{route=\"lookup\",code=\"200\",cache=\"hit\"}";
  const std::string misses =
      "holdfast_requests_total{route=\"lookup\",code=\"200\",cache=\"miss\"}";
  CHECK(get(daemon.url("/metrics")).body.find(hits + " 0") != std::string::npos);
  CHECK(get(daemon.lookup_url("8.8.8.8")).status == 200);
  CHECK(get(daemon.lookup_url("8.8.8.8")).status == 200);
  CHECK(daemon.metric(hits) == 1);
  daemon.wait_for_metric(misses, [](double n) { return n == 1; });  // counted once it is sent
  CHECK(daemon.metric("holdfast_upstream_retries_total") == 1);
  const Response page = get(daemon.url("/metrics"));
  CHECK(page.field("Content-Type").find("text/plain; version=0.0.4") == 0);
}

// In top and in a profile, only the control loop goes by the program's name. And, in its
// builds, a thread of ThreadSanitizer's runtime.
TEST_CASE("every thread has a name of its own") {
#ifdef SANITIZED_THREADS
  constexpr int kOthers = 1;
#else
  constexpr int kOthers = 0;
#endif
  const Folder folder;
  Upstream upstream;
  Daemon daemon(folder, upstream.url());
  CHECK(get(daemon.lookup_url("8.8.8.8")).status == 200);
  const pid_t process = daemon.process().pid();
  // Each names itself as soon as it runs.
  CHECK(eventually([&] {
    const auto threads = threads_of(process);
    const auto nameless = std::count_if(threads.begin(), threads.end(), [&](const auto& thread) {
      return thread.second == "holdfast" && thread.first != process;
    });
    return threads.size() >= 5 && nameless <= kOthers;
  }));
}

TEST_CASE("a daemon told to keep no store raises no alarm about one") {
  const Folder folder;
  Upstream upstream;
  Daemon with_store(folder, upstream.url());
  CHECK(get(with_store.url("/metrics")).body.find("\nholdfast_store_up 1\n") != std::string::npos);
  Daemon without(folder, upstream.url(), {{"STORE_PATH", "off"}});
  CHECK(get(without.url("/metrics")).body.find("\nholdfast_store_up ") == std::string::npos);
  // What could not be opened is an alarm.
  Daemon broken(folder, upstream.url(),
                {{"STORE_PATH", (folder.path / "absent" / "holdfast.db").string()}});
  CHECK(get(broken.url("/metrics")).body.find("\nholdfast_store_up 0\n") != std::string::npos);
}

TEST_CASE("the log is on standard error") {
  const Folder folder;
  Upstream upstream;
  Daemon daemon(folder, upstream.url(), {},
                {.launcher = {"sh", "-c", "exec \"$0\" \"$@\" >/dev/null"}});
  daemon.process().wait_for_line("\"event\":\"listening\"");
  CHECK(daemon.stop() == 0);
}

TEST_CASE(
    "neither the token nor a key in API_URL is in what the daemon says, whatever goes wrong") {
  const Folder folder;
  const std::string key = "k3y0123456789abcdef";
  Upstream upstream({"--path", "/v1/" + key + "/geoip/"});
  Daemon daemon(folder, upstream.url() + "/v1/" + key,
                {{"LOG_LEVEL", "debug"}, {"REQUEST_DEADLINE", "1s"}});
  // Until every loop turns.
  REQUIRE(eventually([&] { return get(daemon.lookup_url("8.8.8.8")).status == 200; }));
  std::string said;
  int asked = 0;
  // A new address each time: what is stored meets no fault.
  const auto ask_around = [&](const std::string& fault) {
    ++asked;
    const std::string ip =
        "20.77." + std::to_string(asked / 256) + "." + std::to_string(asked % 256);
    if (!fault.empty()) upstream.tell("script?ip=" + ip, fault);
    const auto before = upstream.count("requests");
    int status = 0;
    for (const std::string& path :
         {"/lookup/" + ip, std::string("/lookup/nowhere"), std::string("/healthz"),
          std::string("/metrics"), std::string("/livez"), std::string("/status"),
          std::string("/status.json")}) {
      const Response response = get(daemon.url(path));
      said += response.head + response.body;
      if (path.ends_with(ip)) status = response.status;
    }
    CAPTURE(fault);
    if (!fault.empty()) CHECK(upstream.count("requests") > before);
    return status;
  };
  for (const auto& info : holdfast::flaky::all_faults()) ask_around(std::string(info.name));
  upstream.tell("mode", "down");
  CHECK(ask_around("") >= 502);
  upstream.tell("mode", "up");
  CHECK(eventually([&] { return ask_around("") == 200; }));
  upstream.tell("faults", "401=1");
  CHECK(eventually([&] {
    ask_around("");
    return daemon.metric("holdfast_upstream_token_accepted") == 0;
  }));
  ask_around("");
  CHECK(daemon.stop() == 0);
  said += daemon.process().output();
  CHECK(said.find("\"event\":\"request\"") != std::string::npos);
  CHECK(said.find(Upstream::kToken) == std::string::npos);
  CHECK(said.find("Bearer") == std::string::npos);
  CHECK(said.find(key) == std::string::npos);
  CHECK(said.find("/v1/***") != std::string::npos);
}

TEST_CASE("two keys for one upstream are two origins, told apart by their number") {
  const Folder folder;
  Upstream upstream;
  const std::string base = upstream.url() + "/";
  Daemon daemon(folder, base + "abcdef0123456789," + base + "0123456789abcdef");
  const std::string name = upstream.url().substr(7) + "/***";
  const std::string metrics = get(daemon.url("/metrics")).body;
  CHECK(contains(metrics, "holdfast_breaker_state{origin=\"" + name + "\"}"));
  CHECK(contains(metrics, "holdfast_breaker_state{origin=\"" + name + "-2\"}"));
}

TEST_CASE("a wrong token is a configuration fault: 502, a word in health, no storm of retries") {
  const Folder folder;
  Upstream upstream;
  Daemon daemon(folder, upstream.url(), one_attempt({{"API_TOKEN", "another-one"}}));
  const Response response = get(daemon.lookup_url("8.8.8.8"));
  CHECK(response.status == 502);
  CHECK(upstream.count("requests") == 1);
}

TEST_CASE("a token rotated in its file is used without a restart or a signal") {
  const Folder folder;
  Upstream upstream;
  const std::string file = (folder.path / "token").string();
  std::ofstream(file) << "the-old-one\n";
  Daemon daemon(folder, upstream.url(), {{"API_TOKEN_FILE", file}});
  CHECK(get(daemon.lookup_url("8.8.8.8")).status == 502);
  std::ofstream(file) << Upstream::kToken << "\n";
  daemon.process().wait_for_line("\"event\":\"token_changed\"");
  // The origin loop hears of it a moment after the log.
  Response response;
  do response = get(daemon.lookup_url("8.8.8.8"));
  while (response.status == 502);
  CHECK(response.status == 200);
  CHECK(response.body == expected_body("8.8.8.8"));
  CHECK(daemon.stop() == 0);
  CHECK(daemon.process().output().find(Upstream::kToken) == std::string::npos);
}

TEST_CASE("with PROBE_PATH an outage is known, and its end, before any client asks") {
  const Folder folder;
  Upstream upstream;
  Daemon daemon(folder, upstream.url(),
                {{"PROBE_PATH", "/geoip/8.8.8.8"}, {"PROBE_INTERVAL", "100ms"}});
  while (upstream.count("requests") == 0) {
  }
  upstream.tell("faults", "500=1");
  daemon.process().wait_for_line("\"state\":\"open\"");
  while (get(daemon.url("/healthz")).body.find("breaker") == std::string::npos) {
  }
  upstream.tell("faults", "");
  daemon.process().wait_for_line("\"state\":\"closed\"");
  CHECK(daemon.stop() == 0);
}

TEST_CASE("SIGTERM finishes what is in flight, then exit 0") {
  const Folder folder;
  Upstream upstream;
  upstream.tell("hold", "");
  Daemon daemon(folder, upstream.url());
  std::jthread client([&] {
    const Response response = get(daemon.lookup_url("8.8.8.8"));
    CHECK(response.status == 200);
    CHECK(response.body == expected_body("8.8.8.8"));
  });
  upstream.wait_until("held=1");
  daemon.process().signal(SIGTERM);
  daemon.process().wait_for_line("\"event\":\"draining\"");
  // Soon no new connections; the log line comes first.
  while (get(daemon.url("/livez")).status != 0) {
  }
  upstream.tell("release", "");
  client.join();
  CHECK(daemon.process().wait() == 0);
  // What was answered during the drain is in the store.
  Daemon again(folder, upstream.url());
  CHECK(get(again.lookup_url("8.8.8.8")).field("Cache-Status").find("hit") != std::string::npos);
}
