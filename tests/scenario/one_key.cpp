// One origin's word is not everybody's, and what is said of all keys is not taken for the truth.
#include <doctest/doctest.h>

#include <cstdlib>
#include <fstream>

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

}  // namespace

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
