// What was answered once is answered for as long as the settings say, with the
// upstream gone: warm, stale, and after a crash.
#include <doctest/doctest.h>

#include "stage.h"

using namespace holdfast::scenario;

namespace {

void all_are_right(const Daemon& daemon, const std::string& cache_status) {
  const auto ips = test_ips();
  const Tally tally = look_up_all(daemon, ips, 8);
  INFO(tally.first_problem);
  CHECK(tally.wrong == 0);
  CHECK(tally.ok == ips.size());
  for (const Response& response : tally.responses) {
    const std::string status = response.field("Cache-Status");
    if (status.find(cache_status) == std::string::npos) {
      FAIL_CHECK("Cache-Status: " << status);
      break;
    }
  }
}

void warm_up(const Daemon& daemon) {
  const auto ips = test_ips();
  const Tally tally = look_up_all(daemon, ips, 20);
  INFO(tally.first_problem);
  REQUIRE(tally.ok == ips.size());
}

}  // namespace

TEST_CASE("warm and the upstream gone: all 200, also after kill -9 and a restart") {
  const Folder folder;
  Upstream upstream;
  Daemon daemon(folder, upstream.url());
  warm_up(daemon);
  upstream.kill();
  all_are_right(daemon, "holdfast; hit; ttl=");
  daemon.wait_for_metric("holdfast_store_puts_total{result=\"committed\"}",
                         [](double n) { return n == 1000; });
  daemon.kill();
  Daemon again(folder, upstream.url());
  all_are_right(again, "holdfast; hit; ttl=");
  CHECK(again.stop() == 0);
}

TEST_CASE("past the freshness lifetime and the upstream gone: all 200, marked as stale") {
  const Folder folder;
  Upstream upstream;
  {
    Daemon daemon(folder, upstream.url());
    warm_up(daemon);
    CHECK(daemon.stop() == 0);
  }
  upstream.kill();
  Daemon tomorrow(folder, upstream.url(), {{"CLOCK_OFFSET", "30h"}});
  all_are_right(tomorrow, "detail=stale-while-revalidate");
  CHECK(tomorrow.stop() == 0);
  Daemon in_nine_days(folder, upstream.url(), {{"CLOCK_OFFSET", "9d"}});
  all_are_right(in_nine_days, "detail=stale-if-error");
  CHECK(in_nine_days.stop() == 0);
}

TEST_CASE("past STALE_IF_ERROR and the upstream gone: an error, no stale answer") {
  const Folder folder;
  Upstream upstream;
  const std::string ip = test_ips(1).front();
  {
    Daemon daemon(folder, upstream.url());
    REQUIRE(get(daemon.lookup_url(ip)).status == 200);
    CHECK(daemon.stop() == 0);
  }
  upstream.kill();
  Daemon much_later(folder, upstream.url(), {{"CLOCK_OFFSET", "60d"}, {"REQUEST_DEADLINE", "1s"}});
  CHECK(get(much_later.lookup_url(ip)).status >= 502);
}

TEST_CASE("a stale response is refreshed behind the answer, once") {
  const Folder folder;
  Upstream upstream;
  const std::string ip = "8.8.8.8";
  {
    Daemon daemon(folder, upstream.url(), one_attempt());
    REQUIRE(get(daemon.lookup_url(ip)).status == 200);
    CHECK(daemon.stop() == 0);
  }
  Daemon tomorrow(folder, upstream.url(), one_attempt({{"CLOCK_OFFSET", "30h"}}));
  upstream.tell("hold", "");
  for (int i = 0; i < 20; ++i) {
    const Response stale = get(tomorrow.lookup_url(ip));
    CHECK(stale.status == 200);
    CHECK(stale.field("Cache-Status").find("stale-while-revalidate") != std::string::npos);
  }
  upstream.wait_until("held=1");
  upstream.tell("release", "");
  upstream.wait_until("in_flight_at_most=0");
  CHECK(upstream.count("requests") == 2);
}

TEST_CASE("cold and the upstream down: a problem within the deadline, none hangs") {
  const Folder folder;
  Upstream upstream;
  for (const std::string mode : {"down", "blackhole"}) {
    CAPTURE(mode);
    upstream.tell("mode", mode);
    Daemon daemon(folder, upstream.url(), {{"REQUEST_DEADLINE", "2s"}});
    const Tally tally = look_up_all(daemon, test_ips(50), 10);
    for (const Response& response : tally.responses) {
      CHECK(response.status >= 502);
      CHECK(response.status <= 504);
      CHECK(response.field("Content-Type") == "application/problem+json");
      CHECK(response.field("Retry-After") != "");
      // The unit tests hold the deadline to the moment; a busy machine takes a while more.
      CHECK(response.duration.count() <= 4.0);
      CHECK(response.body.find("\"error\":") != std::string::npos);
    }
    CHECK(daemon.stop() == 0);
  }
}
