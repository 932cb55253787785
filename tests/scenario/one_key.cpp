// One key's trouble is not the upstream's, one origin's word is not everybody's, and what is said
// of all keys is not taken for the truth.
#include <doctest/doctest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <thread>

#include "health_page.h"
#include "stage.h"

using namespace holdfast::scenario;

namespace {

// Exit code of cache-warm for that list.
int warm_up(const Folder& folder, const Daemon& daemon, const std::vector<std::string>& ips) {
  const std::string list = (folder.path / "list").string();
  std::string text;
  for (const std::string& ip : ips) text += ip + "\n";
  std::ofstream(list) << text;
  const char* const program = std::getenv("CACHE_WARM");
  REQUIRE(program != nullptr);
  Process process({program, "--wait", "--url", daemon.url(""), list}, {});
  return process.wait();
}

// Whoever asks for that address meets the fault: more often than any fetch asks.
void always_to(Upstream& upstream, const std::string& ip, const std::string& fault) {
  std::string script;
  for (int i = 0; i < 500; ++i) script += fault + ",";
  upstream.tell("script?ip=" + ip, script);
}

// Whole answers that are none.
constexpr const char* kNoAnswers[] = {"500", "empty", "missing-fields", "html404"};

// What one such address costs the upstream, however slow the machine: a hopeless fetch that goes
// on to its deadline asks hundreds of times.
constexpr std::uint64_t kHandful = 20;

// No outage was seen. For ten seconds health tells the share of attempts that failed, as it should.
bool stayed_up(const Daemon& daemon) {
  return HealthPage(daemon).text("upstream", "state") != "\"down\"" &&
         daemon.metric_sum("holdfast_breaker_transitions_total") == 0;
}

}  // namespace

TEST_CASE("an address that the API cannot answer costs a handful of attempts, and no health") {
  for (const std::string fault : kNoAnswers) {
    CAPTURE(fault);
    const Folder folder;
    Upstream upstream;
    Daemon daemon(folder, upstream.url(), one_attempt());
    REQUIRE(look_up_all(daemon, test_ips(20), 4).ok == 20);
    always_to(upstream, "10.0.0.1", fault);
    const Response response = get(daemon.lookup_url("10.0.0.1"));
    CHECK(response.status == 502);
    CHECK(contains(response.body, "the upstream answers others, and fails for this one"));
    CHECK(upstream.count("requests", "10.0.0.1") <= kHandful);
    // It rests: whoever asks next is told the same without a request, though nothing is stored.
    CHECK(eventually([&] {
      const std::uint64_t asked = upstream.count("requests", "10.0.0.1");
      const Response again = get(daemon.lookup_url("10.0.0.1"));
      return again.status == 502 && again.field("Retry-After") != "" &&
             upstream.count("requests", "10.0.0.1") == asked;
    }));
    CHECK(stayed_up(daemon));
    CHECK(get(daemon.lookup_url("8.8.8.8")).body == expected_body("8.8.8.8"));
  }
}

TEST_CASE("among addresses that the API cannot answer the others are answered") {
  const Folder folder;
  Upstream upstream;
  Daemon daemon(folder, upstream.url(), one_attempt());
  REQUIRE(look_up_all(daemon, test_ips(20), 4).ok == 20);
  std::vector<Query> bad;
  for (int i = 0; i < 60; ++i) {
    const std::string ip = "10.1.0." + std::to_string(i);
    always_to(upstream, ip, kNoAnswers[static_cast<std::size_t>(i) % std::size(kNoAnswers)]);
    bad.push_back({daemon.lookup_url(ip)});
  }
  std::vector<Response> told;
  std::jthread others([&] { told = ask_all(bad, 30); });
  // So many in a row, of so many addresses, that a breaker could think that nothing works; and
  // then good ones among them.
  upstream.wait_until("requests=140");
  const std::vector<std::string> good = other_ips(60);
  const Tally tally = look_up_all(daemon, good, 4);
  INFO(tally.first_problem);
  CHECK(tally.ok == good.size());
  others.join();
  for (const Response& response : told) CHECK(response.status == 502);
  CHECK(stayed_up(daemon));
  CHECK(upstream.count("requests") <= 20 + 60 + 60 * kHandful);
}

TEST_CASE("403 for one kind of address refuses that kind, and no other") {
  const Folder folder;
  Upstream upstream;
  Daemon daemon(folder, upstream.url(), one_attempt());
  REQUIRE(get(daemon.lookup_url("8.8.4.4")).status == 200);
  for (int i = 1; i <= 5; ++i) {
    const std::string ip = "10.0.0." + std::to_string(i);
    CAPTURE(ip);
    always_to(upstream, ip, "403");
    const Response response = get(daemon.lookup_url(ip));
    CHECK(response.status == 502);
    CHECK(contains(response.body, "the upstream refuses this request to us (status 403)"));
    CHECK(upstream.count("requests", ip) <= kHandful);
    CHECK(get(daemon.lookup_url("9.9.9." + std::to_string(i))).status == 200);
  }
  // More of them than it takes to doubt the token, with no success between.
  for (int i = 6; i <= 10; ++i) {
    const std::string ip = "10.0.0." + std::to_string(i);
    always_to(upstream, ip, "403");
    CHECK(get(daemon.lookup_url(ip)).status == 502);
  }
  CHECK(get(daemon.lookup_url("8.8.8.8")).body == expected_body("8.8.8.8"));
  CHECK(daemon.metric("holdfast_upstream_token_accepted") == 1);
  CHECK(stayed_up(daemon));
}

TEST_CASE("of two origins the first refuses our token, or knows nothing: the second is asked") {
  for (const std::string fault : {"401=1", "403=1", "404=1"}) {
    CAPTURE(fault);
    const Folder folder;
    Upstream first({"--faults", fault});
    Upstream second;
    Daemon daemon(folder, first.url() + "," + second.url());
    const Tally tally = look_up_all(daemon, test_ips(100), 4);
    INFO(tally.first_problem);
    CHECK(tally.ok == 100);
    CHECK(first.count("requests") < 100);
  }
}

TEST_CASE("a wrong path in API_URL is a fault, not a thousand addresses without an entry") {
  const Folder folder;
  Upstream upstream;
  Daemon daemon(folder, upstream.url() + "/nowhere");
  CHECK(warm_up(folder, daemon, test_ips(30)) == 1);
  daemon.process().wait_for_line("\"event\":\"entries_missing\"");
  CHECK(eventually([&] { return HealthPage(daemon).text("upstream", "state") == "\"degraded\""; }));
  CHECK(contains(HealthPage(daemon).text("upstream", "reason"), "API_URL"));
  CHECK(daemon.stop() == 0);
}
