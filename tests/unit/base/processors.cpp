#include "base/processors.h"

#include <doctest/doctest.h>
#include <sched.h>

#include <string>
#include <thread>

#include "groups.h"

using namespace holdfast::base;

namespace {

unsigned allowed(const Groups& groups, const std::string& membership) {
  return processors_by_quota(membership, groups.mount.string());
}

}  // namespace

TEST_CASE("a control group's quota is counted in whole processors, the least on the way up") {
  const Groups groups;
  CHECK(allowed(groups, "0::/a/b\n") == 0);
  groups.write("a/b/cpu.max", "max 100000\n");
  CHECK(allowed(groups, "0::/a/b\n") == 0);
  groups.write("a/cpu.max", "350000 100000\n");
  CHECK(allowed(groups, "0::/a/b\n") == 4);
  groups.write("a/b/cpu.max", "150000 100000\n");
  CHECK(allowed(groups, "0::/a/b\n") == 2);
  groups.write("a/b/cpu.max", "1000 100000\n");
  CHECK(allowed(groups, "0::/a/b\n") == 1);
  // What a container sees of its own group, whatever it is called outside.
  groups.write("cpu.max", "250000 100000\n");
  CHECK(allowed(groups, "0::/\n") == 3);
  CHECK(allowed(groups, "0::/../../elsewhere\n") == 3);
}

TEST_CASE("version 1 of control groups counts too, and what is no membership does not") {
  const Groups groups;
  groups.write("cpu/a/cpu.cfs_quota_us", "200000\n");
  groups.write("cpu/a/cpu.cfs_period_us", "100000\n");
  CHECK(allowed(groups, "9:memory:/a\n4:cpu,cpuacct:/a\n0::/\n") == 2);
  groups.write("cpu/a/cpu.cfs_quota_us", "-1\n");
  CHECK(allowed(groups, "4:cpu,cpuacct:/a\n") == 0);
  CHECK(allowed(groups, "") == 0);
  CHECK(allowed(groups, "nonsense\n:\n::\n0:\n") == 0);
}

TEST_CASE("a thread that may run on one processor may use one") {
  std::thread([] {
    cpu_set_t all;
    REQUIRE(::sched_getaffinity(0, sizeof all, &all) == 0);
    cpu_set_t one;
    CPU_ZERO(&one);
    for (int i = 0; i < CPU_SETSIZE; ++i) {
      if (!CPU_ISSET(i, &all)) continue;
      CPU_SET(i, &one);
      break;
    }
    REQUIRE(::sched_setaffinity(0, sizeof one, &one) == 0);
    CHECK(usable_processors() == 1);
  }).join();
  CHECK(usable_processors() >= 1);
}
