// The main job: every address of test_ips.txt gets a 200 with the right body
// from a cold cache while the upstream misbehaves in every way it knows.
#include <doctest/doctest.h>

#include "stage.h"

using namespace holdfast::scenario;

namespace {

void all_are_right(const std::string& faults, std::size_t concurrency) {
  const Folder folder;
  Upstream upstream({"--faults", faults, "--seed", "7"});
  Daemon daemon(folder, upstream.url());
  const auto ips = test_ips();
  const Tally tally = look_up_all(daemon, ips, concurrency);
  INFO(tally.first_problem);
  CHECK(tally.wrong == 0);
  CHECK(tally.ok == ips.size());
  CHECK(daemon.stop() == 0);
}

}  // namespace

TEST_CASE("cold, 30 % errors, one after another: all 200") {
  all_are_right("500=0.3", 1);
}
TEST_CASE("cold, 30 % errors, 20 at a time: all 200") {
  all_are_right("500=0.3", 20);
}
// Each of these 404s is no word of the API's about its address.
TEST_CASE("cold, a balancer's 404 for one in ten, 20 at a time: all 200") {
  all_are_right("html404=0.1", 20);
}
TEST_CASE("cold, 50 % of every fault, one after another: all 200") {
  all_are_right("mixed=0.5", 1);
}
TEST_CASE("cold, 50 % of every fault, 20 at a time: all 200") {
  all_are_right("mixed=0.5", 20);
}
