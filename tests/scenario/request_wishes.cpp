// What a client can ask of the cache with Cache-Control (RFC 9111, 5.2.1), and
// what it cannot: making the upstream work for nothing.
#include <doctest/doctest.h>

#include "stage.h"

using namespace holdfast::scenario;

namespace {

Response ask_with(const Daemon& daemon, const std::string& ip, const std::string& cache_control) {
  return ask({daemon.lookup_url(ip), "GET", {"Cache-Control: " + cache_control}});
}

}  // namespace

TEST_CASE("only-if-cached: what is stored, or 504 without a request to the upstream") {
  const Folder folder;
  Upstream upstream;
  const std::string ip = "8.8.8.8";
  {
    Daemon daemon(folder, upstream.url(), one_attempt());
    const Response absent = ask_with(daemon, ip, "only-if-cached");
    CHECK(absent.status == 504);
    CHECK(absent.field("Content-Type") == "application/problem+json");
    CHECK(absent.field("Cache-Status") == "holdfast; detail=only-if-cached");
    CHECK(absent.field("Retry-After") == "");
    CHECK(upstream.count("requests") == 0);
    // It is no failure of ours, so nobody is paged for it. Counted once it is sent.
    daemon.wait_for_metric(
        "holdfast_requests_total{route=\"lookup\",code=\"504\",cache=\"absent\"}",
        [](double count) { return count == 1; });
    CHECK(daemon.metric("holdfast_requests_total{route=\"lookup\",code=\"504\",cache=\"error\"}") ==
          0);

    REQUIRE(get(daemon.lookup_url(ip)).status == 200);
    const Response stored = ask_with(daemon, ip, "only-if-cached");
    CHECK(stored.status == 200);
    CHECK(stored.body == expected_body(ip));
    CHECK(daemon.stop() == 0);
  }
  // From the store too; and a stale answer is not refreshed behind it.
  Daemon tomorrow(folder, upstream.url(), one_attempt({{"CLOCK_OFFSET", "30h"}}));
  const Response stale = ask_with(tomorrow, ip, "only-if-cached");
  CHECK(stale.status == 200);
  CHECK(stale.field("Cache-Status").find("stale-while-revalidate") != std::string::npos);
  CHECK(ask_with(tomorrow, ip, "only-if-cached, min-fresh=1").status == 504);
  CHECK(tomorrow.stop() == 0);
  CHECK(upstream.count("requests") == 1);
}

TEST_CASE("a batch asks for each of its elements what its Cache-Control says") {
  const Folder folder;
  Upstream upstream({"--cache-control", "max-age=36000"});
  const auto post = [](const Daemon& daemon, const std::string& cache_control) {
    return ask({daemon.url("/lookup"),
                "POST",
                {"Content-Type: application/json", "Cache-Control: " + cache_control},
                R"(["8.8.8.8","8.8.4.4","x"])"});
  };
  const std::string absent =
      R"({"ip":"8.8.4.4","error":"nothing is stored that could be used at once","status":504})";
  {
    Daemon daemon(folder, upstream.url(), one_attempt());
    REQUIRE(get(daemon.lookup_url("8.8.8.8")).status == 200);
    const Response partly = post(daemon, "only-if-cached");
    CHECK(partly.status == 200);
    CHECK(partly.body.find("[" + expected_body("8.8.8.8") + "," + absent + ",{") == 0);
    CHECK(partly.field("Cache-Status") == R"(holdfast; detail="hit=1 absent=1 error=1")");
    CHECK(daemon.metric(
              "holdfast_requests_total{route=\"lookup_batch\",code=\"504\",cache=\"absent\"}") ==
          1);
    // Fresh, and long enough for half of its lifetime.
    CHECK(post(daemon, "only-if-cached, min-fresh=99999").body == partly.body);
    CHECK(daemon.stop() == 0);
  }
  {
    // Stale, and not refreshed behind the answer; from the store, then from memory.
    Daemon tomorrow(folder, upstream.url(), one_attempt({{"CLOCK_OFFSET", "30h"}}));
    for (int i = 0; i < 2; ++i) {
      const Response stale = post(tomorrow, "only-if-cached");
      CHECK(stale.body.find("[" + expected_body("8.8.8.8") + "," + absent + ",{") == 0);
      CHECK(stale.field("Cache-Status") == R"(holdfast; detail="stale=1 absent=1 error=1")");
    }
    CHECK(post(tomorrow, "only-if-cached, min-fresh=1").field("Cache-Status") ==
          R"(holdfast; detail="absent=2 error=1")");
    CHECK(tomorrow.stop() == 0);
  }
  CHECK(upstream.count("requests") == 1);
  {
    Daemon later(folder, upstream.url(), one_attempt({{"CLOCK_OFFSET", "6h"}}));
    CHECK(post(later, "min-fresh=3600").body.find("[" + expected_body("8.8.8.8") + ",") == 0);
    CHECK(upstream.count("requests") == 2);  // 8.8.4.4
    // By the upstream's clock both are six hours old, but 8.8.4.4 was so when it came.
    CHECK(post(later, "min-fresh=18000").body.find("[" + expected_body("8.8.8.8") + ",") == 0);
    later.wait_for_metric("holdfast_refreshes_total{result=\"replaced\"}",
                          [](double n) { return n == 1; });
    CHECK(post(later, "min-fresh=18000").field("Cache-Status") ==
          R"(holdfast; detail="hit=2 error=1")");
    CHECK(later.stop() == 0);
  }
  CHECK(upstream.count("requests") == 3);
}

TEST_CASE("min-fresh refreshes what would expire too soon, at most from half its lifetime on") {
  const Folder folder;
  Upstream upstream({"--cache-control", "max-age=36000"});
  const std::string ip = "8.8.8.8";
  {
    Daemon daemon(folder, upstream.url(), one_attempt());
    REQUIRE(get(daemon.lookup_url(ip)).status == 200);
    // Whatever a client wants, and however often.
    for (int i = 0; i < 20; ++i) {
      CHECK(ask_with(daemon, ip, "min-fresh=999999999, no-cache, max-age=0").status == 200);
    }
    CHECK(upstream.count("requests") == 1);
    CHECK(daemon.stop() == 0);
  }
  Daemon later(folder, upstream.url(), one_attempt({{"CLOCK_OFFSET", "6h"}}));
  CHECK(ask_with(later, ip, "min-fresh=3600").field("Cache-Status").find("holdfast; hit") == 0);
  CHECK(upstream.count("requests") == 1);
  // Either the refreshed one, or at once what is there if the upstream takes long.
  const std::string status = ask_with(later, ip, "min-fresh=18000").field("Cache-Status");
  CAPTURE(status);
  CHECK((status.find("holdfast; fwd=request; fwd-status=200; stored") == 0 ||
         status.find("holdfast; hit") == 0));
  const auto give_up = std::chrono::steady_clock::now() + kPatience;
  while (later.metric("holdfast_refreshes_total{result=\"replaced\"}") != 1) {
    REQUIRE(std::chrono::steady_clock::now() < give_up);
  }
  CHECK(upstream.count("requests") == 2);
}

TEST_CASE("min-fresh with the upstream down costs nobody a fresh response") {
  const Folder folder;
  Upstream upstream;
  const std::string ip = "8.8.8.8";
  {
    Daemon daemon(folder, upstream.url());
    REQUIRE(get(daemon.lookup_url(ip)).status == 200);
    CHECK(daemon.stop() == 0);
  }
  upstream.kill();
  Daemon later(folder, upstream.url(), {{"CLOCK_OFFSET", "18h"}});
  const Response kept = ask_with(later, ip, "min-fresh=43200");
  CHECK(kept.status == 200);
  CHECK(kept.body == expected_body(ip));
  CHECK(kept.field("Cache-Status").find("holdfast; hit; ttl=") == 0);
}
