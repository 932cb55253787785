#include "base/control_group.h"

#include <doctest/doctest.h>

#include "groups.h"

using namespace holdfast::base;

namespace {

constexpr std::uint64_t kMiB = 1 << 20;

std::uint64_t memory_of(const Groups& groups, const std::string& membership) {
  return memory_by_groups(membership, groups.mount.string());
}

}  // namespace

TEST_CASE("a control group's memory is the least on the way up, of what stops and what slows it") {
  const Groups groups;
  CHECK(memory_of(groups, "0::/a/b\n") == 0);
  groups.write("a/b/memory.max", "max\n");
  groups.write("a/b/memory.high", "max\n");
  CHECK(memory_of(groups, "0::/a/b\n") == 0);
  groups.write("a/memory.max", "536870912\n");
  CHECK(memory_of(groups, "0::/a/b\n") == 512 * kMiB);
  groups.write("a/b/memory.max", "1073741824\n");
  CHECK(memory_of(groups, "0::/a/b\n") == 512 * kMiB);
  groups.write("a/b/memory.high", "134217728\n");
  CHECK(memory_of(groups, "0::/a/b\n") == 128 * kMiB);
  // What a container sees of its own group, whatever it is called outside.
  groups.write("memory.max", "67108864\n");
  CHECK(memory_of(groups, "0::/../elsewhere\n") == 64 * kMiB);
}

TEST_CASE("version 1 limits memory too, and its largest number is no limit") {
  const Groups groups;
  groups.write("memory/a/memory.limit_in_bytes", "9223372036854771712\n");
  CHECK(memory_of(groups, "9:memory:/a\n4:cpu,cpuacct:/a\n0::/\n") == 0);
  groups.write("memory/a/memory.limit_in_bytes", "268435456\n");
  CHECK(memory_of(groups, "9:memory:/a\n4:cpu,cpuacct:/a\n0::/\n") == 256 * kMiB);
  CHECK(memory_of(groups, "4:cpu,cpuacct:/a\n") == 0);
  groups.write("memory/a/memory.limit_in_bytes", "nonsense\n");
  CHECK(memory_of(groups, "9:memory:/a\n") == 0);
  CHECK(memory_of(groups, "") == 0);
  CHECK(memory_of(groups, "nonsense\n:\n::\n0:\n") == 0);
}

TEST_CASE("a cache has at most a quarter of what is limited, and all it wants of what is not") {
  CHECK(within_memory(64 * kMiB, 0) == 64 * kMiB);
  CHECK(within_memory(64 * kMiB, 512 * kMiB) == 64 * kMiB);
  CHECK(within_memory(64 * kMiB, 256 * kMiB) == 64 * kMiB);
  CHECK(within_memory(64 * kMiB, 130 * kMiB + 7) == 32 * kMiB);
  CHECK(within_memory(64 * kMiB, 3 * kMiB) == kMiB);
}
