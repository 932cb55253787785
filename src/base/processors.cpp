// A container's own group is mounted as the root of what it sees, whatever the path in its
// membership says; so each folder on the way up is looked at, and those that are not there are
// passed over.
#include "base/processors.h"

#include <sched.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <thread>

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
  unsigned least = 0;
  const auto note = [&least](unsigned allowed) {
    if (allowed > 0) least = least == 0 ? allowed : std::min(least, allowed);
  };
  std::istringstream lines(membership);
  for (std::string line; std::getline(lines, line);) {  // "4:cpu,cpuacct:/group", "0::/group"
    const auto first = line.find(':');
    const auto second = line.find(':', first == std::string::npos ? first : first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    const bool version_2 = controllers == ",,";
    if (!version_2 && controllers.find(",cpu,") == std::string::npos) continue;
    std::string path = line.substr(second + 1);
    for (;;) {
      while (path.ends_with('/')) path.pop_back();
      note(version_2 ? by_version_2(mount + path) : by_version_1(mount + "/cpu" + path));
      if (path.empty()) break;
      path.erase(path.rfind('/') == std::string::npos ? 0 : path.rfind('/'));
    }
  }
  return least;
}

unsigned usable_processors() {
  unsigned count = std::max(1U, std::thread::hardware_concurrency());
  cpu_set_t allowed;
  // It fails where there are more than the set has room for: then all of them.
  if (::sched_getaffinity(0, sizeof allowed, &allowed) == 0) {
    count = std::max(1U, std::min(count, static_cast<unsigned>(CPU_COUNT(&allowed))));
  }
  std::ostringstream membership;
  membership << std::ifstream("/proc/self/cgroup").rdbuf();
  const unsigned quota = processors_by_quota(membership.str(), "/sys/fs/cgroup");
  return quota > 0 ? std::min(count, quota) : count;
}

}  // namespace holdfast::base
