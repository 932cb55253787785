// What a scraper and a health check see while something is wrong: a token that is
// refused, lookups that depend on the upstream, clients that are turned away or leave.
#include <doctest/doctest.h>

#include <fstream>
#include <functional>
#include <optional>

#include "health_page.h"
#include "raw_client.h"
#include "stage.h"

using namespace holdfast::scenario;

namespace {

constexpr const char* kAccepted = "holdfast_upstream_token_accepted";
constexpr const char* kRunway = "holdfast_outage_runway_ratio";

// A daemon with its token in a file.
struct Rotating {
  explicit Rotating(const std::string& token) {
    write(token);
    daemon.emplace(folder, upstream.url(), Process::Environment{{"API_TOKEN_FILE", file()}});
  }
  std::string file() const { return (folder.path / "token").string(); }
  void write(const std::string& token) const { std::ofstream(file()) << token << "\n"; }
  // Asks for keys that nobody asked for, until the daemon has made up its mind.
  bool is_refused() {
    return eventually([&] {
      CHECK(get(daemon->lookup_url("192.0.2." + std::to_string(++asked))).status == 502);
      return daemon->metric(kAccepted) == 0;
    });
  }
  bool health_says(const char* member, const std::string& json) {
    return eventually([&] { return HealthPage(*daemon).text("upstream", member) == json; });
  }

  const Folder folder;
  Upstream upstream;
  std::optional<Daemon> daemon;
  int asked = 0;
};

}  // namespace

TEST_CASE("a refused token with nothing stored is down, until another one is in its file") {
  Rotating service("yesterdays-one");
  Daemon& daemon = *service.daemon;
  CHECK(daemon.metric(kAccepted) == 1);  // for all that is known
  CHECK(get(daemon.lookup_url("8.8.8.8")).status == 502);
  CHECK(daemon.metric(kAccepted) == 1);  // one refusal may be about one address
  CHECK(service.is_refused());
  CHECK(service.health_says("state", "\"down\""));
  {
    HealthPage health(daemon);
    CHECK(health.text("upstream", "reason") == "\"the upstream refuses our token\"");
    CHECK(contains(health.text("upstream", "last_error"), "unauthorized: status 401"));
    CHECK(health.text("status") == "\"down\"");
    CHECK(health.response.status == 503);
  }
  CHECK(get(daemon.url("/readyz")).status == 200);  // what is stored could be answered

  service.write(Upstream::kToken);
  daemon.wait_for_metric(kAccepted, [](double value) { return value == 1; });
  CHECK(eventually([&] { return get(daemon.lookup_url("8.8.8.8")).status == 200; }));
  CHECK(service.health_says("state", "\"ok\""));
  CHECK(HealthPage(daemon).text("status") == "\"ok\"");
}

TEST_CASE("an upstream that refuses a good token for a while: stored answers go on, and it heals") {
  Rotating service(Upstream::kToken);
  Daemon& daemon = *service.daemon;
  REQUIRE(get(daemon.lookup_url("8.8.8.8")).status == 200);
  service.upstream.tell("faults", "403=1");
  CHECK(service.is_refused());
  CHECK(service.health_says("state", "\"down\""));
  {
    HealthPage health(daemon);
    CHECK(health.text("status") == "\"degraded\"");  // something is stored
    CHECK(health.response.status == 200);
  }
  CHECK(get(daemon.lookup_url("8.8.8.8")).status == 200);
  CHECK(contains(get(daemon.url("/status")).body, "The upstream refuses our token."));
  const auto asked = service.upstream.count("requests");
  for (int i = 0; i < 50; ++i) get(daemon.lookup_url("198.51.100." + std::to_string(i)));
  // One check every two seconds and longer, whatever clients ask for.
  CHECK(service.upstream.count("requests") <= asked + 25);

  service.upstream.tell("faults", "none");
  CHECK(eventually([&] { return get(daemon.lookup_url("8.8.4.4")).status == 200; }));
  CHECK(daemon.metric(kAccepted) == 1);
  CHECK(service.health_says("state", "\"ok\""));
}

TEST_CASE(
    "an upstream that redirects is asked once, and told as a wrong API_URL with its Location") {
  const Folder folder;
  Upstream upstream({"--faults", "redirect=1"});
  Daemon daemon(folder, upstream.url());
  const Response response = get(daemon.lookup_url("8.8.8.8"));
  CHECK(response.status == 502);
  CHECK(contains(response.body, "status 301, Location: https://moved.example/v2"));
  CHECK(upstream.count("requests") == 1);
  CHECK(eventually([&] { return HealthPage(daemon).text("upstream", "state") == "\"down\""; }));
  HealthPage health(daemon);
  CHECK(health.text("upstream", "reason") ==
        "\"the upstream is not at API_URL: it redirects, status 301, Location: "
        "https://moved.example/v2\"");
  CHECK(health.text("upstream", "breaker") == "\"closed\"");
  CHECK(contains(get(daemon.url("/status")).body, "The upstream is not at API_URL"));
  upstream.tell("faults", "none");
  CHECK(get(daemon.lookup_url("8.8.8.8")).status == 200);
  CHECK(eventually([&] { return HealthPage(daemon).text("upstream", "state") == "\"ok\""; }));
}

TEST_CASE("the cause of a failure names what decided, to clients and to operators") {
  const Folder folder;
  Upstream upstream;
  Daemon daemon(folder, upstream.url(), {{"REQUEST_DEADLINE", "1s"}});
  const std::pair<const char*, const char*> cases[] = {
      {"bom=1",
       "status 200, Content-Type: application/json: not JSON: it begins with a byte order"},
      {"html=1", "status 200, Content-Type: text/html; charset=utf-8: not JSON"},
      {"html404=1",
       "status 404, Content-Type: text/html; charset=utf-8: a 404 that is not the API's own"},
      {"503=1", "status 503"},
  };
  for (const auto& each : cases) {
    CAPTURE(each.first);
    const std::string cause = each.second;
    upstream.tell("faults", each.first);
    // Where the machine is so busy that no answer comes in time, that is the cause.
    CHECK(eventually([&] { return contains(get(daemon.lookup_url("8.8.8.8")).body, cause); }));
    CHECK(contains(get(daemon.url("/status.json")).body, cause));
    CHECK(eventually(
        [&] { return contains(HealthPage(daemon).text("upstream", "last_error"), cause); }));
  }
}

TEST_CASE("the outage runway is the share of lookups that needed no upstream") {
  const Folder folder;
  Upstream upstream;
  Daemon daemon(folder, upstream.url(), {{"REQUEST_DEADLINE", "3s"}});
  const std::string before = get(daemon.url("/metrics")).body;
  CHECK(contains(before, std::string("\n") + kRunway + " Nan\n"));  // nobody has asked
  CHECK(get(daemon.lookup_url("8.8.8.8")).status == 200);
  for (int i = 0; i < 3; ++i) CHECK(get(daemon.lookup_url("8.8.8.8")).status == 200);
  // Neither is a lookup that the upstream could have helped: no address, and nothing
  // but what is stored.
  CHECK(get(daemon.lookup_url("nowhere")).status == 400);
  const Query stored_only{daemon.lookup_url("9.9.9.9"), "GET", {"Cache-Control: only-if-cached"}};
  CHECK(ask(stored_only).status == 504);
  daemon.wait_for_metric(kRunway, [](double share) { return share == 0.75; });

  upstream.kill();
  CHECK(get(daemon.lookup_url("8.8.4.4")).status >= 502);
  daemon.wait_for_metric(kRunway, [](double share) { return share == 0.6; });
}

TEST_CASE("clients turned away are overload in health, log and metrics, for as long as it lasts") {
  const Folder folder;
  Upstream upstream;
  Daemon daemon(folder, upstream.url(), one_attempt({{"MAX_WAITING", "1"}}));
  CHECK(HealthPage(daemon).text("overloaded") == "false");
  upstream.tell("hold", "");
  RawClient waiting(daemon.port());
  waiting.send(get_request("/lookup/192.0.2.1"));
  upstream.wait_until("held=1");
  CHECK(daemon.metric("holdfast_flight_waiters") == 1);
  CHECK(daemon.metric("holdfast_flight_waiters_limit") == 1);
  CHECK(HealthPage(daemon).text("status") == "\"ok\"");  // full, and nobody the worse for it

  // One more each time, so that it lasts for as long as this takes to look.
  int turned_away = 0;
  const auto while_it_lasts = [&](const std::function<bool()>& condition) {
    return eventually([&] {
      CHECK(get(daemon.lookup_url("192.0.2.2")).status == 503);
      ++turned_away;
      return condition();
    });
  };
  CHECK(while_it_lasts([&] {
    HealthPage health(daemon);
    return health.text("overloaded") == "true" && health.text("status") == "\"degraded\"" &&
           health.response.status == 200;
  }));
  CHECK(while_it_lasts([&] {
    return contains(get(daemon.url("/status")).body, "Clients are turned away for want of room.");
  }));
  CHECK(daemon.metric("holdfast_requests_limited_total{reason=\"waiters\"}") == turned_away);
  daemon.process().wait_for_line("\"event\":\"overload\"");

  upstream.tell("release", "");
  CHECK(waiting.read().status == 200);
  daemon.process().wait_for_line("\"event\":\"overload_over\",\"turned_away\":");
  CHECK(eventually([&] { return HealthPage(daemon).text("status") == "\"ok\""; }));
  CHECK(daemon.metric("holdfast_flight_waiters") == 0);
}

TEST_CASE("a client that leaves before its answer is counted, and what was fetched is kept") {
  const Folder folder;
  Upstream upstream;
  Daemon daemon(folder, upstream.url(), one_attempt());
  const std::string abandoned = "holdfast_requests_abandoned_total";
  upstream.tell("hold", "");
  {
    RawClient gone(daemon.port());
    gone.send(get_request("/lookup/8.8.8.8"));
    upstream.wait_until("held=1");
    CHECK(contains(get(daemon.url("/metrics")).body, "\n" + abandoned + " 0\n"));
  }
  daemon.wait_for_metric(abandoned, [](double count) { return count == 1; });
  upstream.tell("release", "");
  CHECK(eventually(
      [&] { return contains(get(daemon.lookup_url("8.8.8.8")).field("Cache-Status"), "; hit"); }));
  CHECK(upstream.count("requests", "8.8.8.8") == 1);
  CHECK(daemon.metric(abandoned) == 1);
}

TEST_CASE("connections near their limit: how many there are, may be, and had to go") {
  const Folder folder;
  Upstream upstream;
  Daemon daemon(folder, upstream.url(), {{"MAX_CONNECTIONS", "2"}, {"WORKERS", "1"}});
  RawClient first(daemon.port());
  CHECK(first.ask(get_request("/livez")).status == 200);
  RawClient second(daemon.port());
  CHECK(second.ask(get_request("/livez")).status == 200);
  // Who asks for it needs room too.
  daemon.wait_for_metric("holdfast_connections_closed_total{reason=\"evicted\"}",
                         [](double count) { return count == 1; });
  CHECK(first.ends());
  CHECK(daemon.metric("holdfast_connections_limit") == 2);
}
