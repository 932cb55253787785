// The loop that reads the store may be held up by a disk that hangs. Clients get
// what memory has all the same, and a clear answer within REQUEST_DEADLINE.
#include <doctest/doctest.h>

#include "frozen_thread.h"
#include "raw_client.h"
#include "stage.h"

using namespace holdfast::scenario;
using namespace std::chrono_literals;

TEST_CASE("while the origin loop hangs misses are 504 in time, and all is right afterwards") {
  const Folder folder;
  Upstream upstream;
  Daemon daemon(folder, upstream.url(), {{"REQUEST_DEADLINE", "1s"}});
  // Until every loop turns.
  REQUIRE(eventually([&] { return get(daemon.lookup_url("8.8.8.8")).status == 200; }));
  const std::vector<std::string> ips = other_ips(50);
  std::vector<RawClient> clients;
  for (std::size_t i = 0; i < ips.size(); ++i) clients.emplace_back(daemon.port());
  {
    daemon.may_be_blocked();
    const FrozenThread frozen(daemon.process().pid(), "origin");
    for (std::size_t i = 0; i < ips.size(); ++i) clients[i].send(get_request("/lookup/" + ips[i]));
    CHECK(get(daemon.lookup_url("8.8.8.8")).body == expected_body("8.8.8.8"));
    for (RawClient& client : clients) {
      const RawClient::Answer answer = client.read();
      CHECK(answer.status == 504);
      CHECK(answer.body.find("no answer came in time") != std::string::npos);
    }
    CHECK(get(daemon.lookup_url("8.8.8.8")).status == 200);
    // Some ask once more, and are answered when the loop goes on or at their deadline.
    for (std::size_t i = 0; i < clients.size(); ++i) {
      clients[i].send(get_request("/lookup/" + ips[ips.size() - 1 - i]));
    }
  }
  for (std::size_t i = 0; i < clients.size(); ++i) {
    const std::string& ip = ips[ips.size() - 1 - i];
    RawClient::Answer answer = clients[i].read();
    CHECK((answer.status == 504 || answer.body == expected_body(ip)));
    // No answer but its own: what came late was for nobody.
    CHECK(eventually([&] {
      answer = clients[i].ask(get_request("/lookup/" + ip));
      return answer.status != 504;
    }));
    CHECK(answer.body == expected_body(ip));
    CHECK(!clients[i].readable_now());
  }
  daemon.wait_for_metric("holdfast_flights", [](double n) { return n == 0; });
  CHECK(daemon.stop() == 0);
}

TEST_CASE("while the origin loop hangs operators see the rest, and are told what hangs") {
  const Folder folder;
  const std::string socket = (folder.path / "admin.sock").string();
  Upstream upstream;
  Daemon daemon(folder, upstream.url(), {{"ADMIN_SOCKET", socket}});
  REQUIRE(eventually([&] { return get(daemon.lookup_url("8.8.8.8")).status == 200; }));
  daemon.may_be_blocked();
  {
    const FrozenThread frozen(daemon.process().pid(), "origin");
    for (const char* page : {"/readyz", "/healthz", "/metrics", "/status", "/status.json"}) {
      CAPTURE(page);
      CHECK(get(daemon.url(page)).status == 200);
    }
    CHECK(ask({"http://x/log-level?level=debug", "POST", {}, "x", socket}).status == 200);
    const Response status = ask({"http://x/status", "GET", {}, {}, socket});
    CHECK(status.status == 504);
    CHECK(contains(status.body, "the origin loop has not answered within 10 s"));
    const Response purge = ask({"http://x/purge?ip=8.8.8.8", "POST", {}, "x", socket});
    CHECK(purge.status == 504);
    CHECK(contains(purge.body, "may still be done"));
    CHECK(contains(get(daemon.url("/livez")).body, "stuck: origin"));
  }
  CHECK(eventually([&] { return get(daemon.url("/livez")).status == 200; }));
  // What came too late to be told was done all the same.
  CHECK(eventually([&] {
    return ask({daemon.lookup_url("8.8.8.8"), "GET", {"Cache-Control: only-if-cached"}}).status ==
           504;
  }));
  CHECK(ask({"http://x/status", "GET", {}, {}, socket}).status == 200);
  CHECK(daemon.stop() == 0);
}
