#include "base/processors.h"

#include <sched.h>

#include <algorithm>
#include <fstream>
#include <thread>

#include "base/control_group.h"

namespace holdfast::base {
namespace {

// Rounded up. Microseconds of processor time per period; 0: nothing that limits.
unsigned share(long long quota, long long period) {
  if (quota <= 0 || period <= 0) return 0;
  return static_cast<unsigned>(std::clamp<long long>((quota + period - 1) / period, 1, 1 << 20));
}

// Version 2: "150000 100000" or "max 100000".
unsigned by_version_2(const std::string& folder) {
  std::ifstream file(folder + "/cpu.max");
  long long quota = 0, period = 0;
  if (!(file >> quota >> period)) return 0;
  return share(quota, period);
}

unsigned by_version_1(const std::string& folder) {
  std::ifstream quota_file(folder + "/cpu.cfs_quota_us"),
      period_file(folder + "/cpu.cfs_period_us");
  long long quota = 0, period = 0;
  if (!(quota_file >> quota) || !(period_file >> period)) return 0;
  return share(quota, period);
}

}  // namespace

unsigned processors_by_quota(const std::string& membership, const std::string& mount) {
  return static_cast<unsigned>(
      least_of_groups(membership, mount, "cpu", by_version_1, by_version_2));
}

unsigned usable_processors() {
  unsigned count = std::max(1U, std::thread::hardware_concurrency());
  cpu_set_t allowed;
  // It fails where there are more than the set has room for: then all of them.
  if (::sched_getaffinity(0, sizeof allowed, &allowed) == 0) {
    count = std::max(1U, std::min(count, static_cast<unsigned>(CPU_COUNT(&allowed))));
  }
  const unsigned quota = processors_by_quota(group_membership(), kGroupMount);
  return quota > 0 ? std::min(count, quota) : count;
}

}  // namespace holdfast::base
