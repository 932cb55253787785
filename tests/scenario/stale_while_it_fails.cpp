// With something stored, a failing upstream is nobody's trouble but its own.
#include <doctest/doctest.h>

#include <algorithm>

#include "stage.h"

using namespace holdfast::scenario;

namespace {

// All of test_ips.txt stored, or so many; then the upstream fails that way, and the daemon is
// started again, so much later.
struct Stage {
  Stage(const std::string& knob, const std::string& fault, const std::string& later,
        std::size_t most = SIZE_MAX)
      : ips(test_ips(most)) {
    {
      Daemon before(folder, upstream.url());
      const Tally warm = look_up_all(before, ips, 20);
      INFO(warm.first_problem);
      REQUIRE(warm.ok == ips.size());
      CHECK(before.stop() == 0);
    }
    upstream.tell("reset", "");
    upstream.tell(knob, fault);
    start(later);
  }

  void start(const std::string& later) {
    daemon = std::make_unique<Daemon>(folder, upstream.url(),
                                      Process::Environment{{"CLOCK_OFFSET", later}});
  }

  Tally all_are_right(const std::string& detail) {
    Tally tally = look_up_all(*daemon, ips, 8);
    INFO(tally.first_problem);
    CHECK(tally.wrong == 0);
    CHECK(tally.ok == ips.size());
    const auto marked = std::count_if(
        tally.responses.begin(), tally.responses.end(), [&](const Response& response) {
          return response.field("Cache-Status").find("detail=" + detail) != std::string::npos;
        });
    CHECK(marked == static_cast<long>(ips.size()));
    return tally;
  }

  Folder folder;
  Upstream upstream;
  std::vector<std::string> ips;
  std::unique_ptr<Daemon> daemon;
};

}  // namespace

// The breaker knows after some 50 attempts. That nobody waited for them is told by
// how few there were: a thousand answers came, and the upstream gave none.
TEST_CASE("stale and the upstream a black hole: all 200, and nobody waits for it") {
  Stage stage("mode", "blackhole", "30h");
  const Tally tally = stage.all_are_right("stale-while-revalidate");
  // A cache behind us sees how stale they are: a lifetime of a day or so, an age of 30 hours.
  for (const Response& response : tally.responses) {
    CHECK(seconds_left(response) == stated_ttl(response));
    CHECK(seconds_left(response) < 0);
  }
  CHECK(stage.upstream.count("completed") == 0);
  CHECK(stage.upstream.count("requests") < 100);
}

TEST_CASE("stale-if-error and the upstream a black hole: all 200, and few wait for it") {
  Stage stage("mode", "blackhole", "9d");
  const Tally tally = stage.all_are_right("stale-if-error");
  // Until the breaker opens, for the patience of 250 ms; then nobody.
  const auto waited =
      std::count_if(tally.responses.begin(), tally.responses.end(),
                    [](const Response& response) { return response.duration.count() >= 0.25; });
  CHECK(waited < 800);
  CHECK(stage.upstream.count("completed") == 0);
  CHECK(stage.upstream.count("requests") < 200);
}

TEST_CASE("stale and the token refused: all 200 and a handful of attempts") {
  for (const std::string later : {"30h", "9d"}) {
    CAPTURE(later);
    Stage stage("faults", "401=1", later);
    stage.all_are_right(later == "30h" ? "stale-while-revalidate" : "stale-if-error");
    // Those in flight when the first came back, and the checks since.
    CHECK(stage.upstream.count("requests") <= 30);
  }
}

// A balancer's page, some of which may not be stored, while the API behind it is replaced; the
// API's own word, while its data is loaded anew. Neither takes an answer's place so soon, in
// memory or on disk.
TEST_CASE("stale and every address 404 for a while: all 200, and so when the upstream is gone") {
  for (const std::string fault : {"html404=1", "404=1"}) {
    CAPTURE(fault);
    Stage stage("faults", fault, "30h", 100);
    stage.all_are_right("stale-while-revalidate");
    // That many refreshes, or attempts of them, were told so.
    stage.upstream.wait_until("requests=40");
    stage.all_are_right("stale-while-revalidate");
    CHECK(stage.daemon->stop() == 0);
    stage.upstream.tell("mode", "down");
    stage.start("9d");
    stage.all_are_right("stale-if-error");
  }
}
