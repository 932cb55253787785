// An upstream that comes and goes: who asks while it is away waits for its return.
#include <doctest/doctest.h>

#include "stage.h"

using namespace holdfast::scenario;

TEST_CASE("flapping 2 s up, 2 s down, cold keys at 10 a second: all 200") {
  const Folder folder;
  Upstream upstream({"--mode", "flap:2s/2s", "--latency", "20ms"});
  Daemon daemon(folder, upstream.url());
  const auto ips = test_ips(160);
  const Tally result = tally(ips, ask_at_rate(lookups(daemon, ips), 10));
  INFO(result.first_problem);
  CHECK(result.wrong == 0);
  CHECK(result.ok == ips.size());
  CHECK(daemon.stop() == 0);
}
