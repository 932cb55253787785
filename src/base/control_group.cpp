// A container's own group is mounted as the root of what it sees, whatever the path in its
// membership says; so each folder on the way up is looked at, and those that are not there are
// passed over.
#include "base/control_group.h"

#include <algorithm>
#include <fstream>
#include <sstream>

namespace holdfast::base {
namespace {

constexpr std::uint64_t kMiB = 1 << 20;

// Where nothing is limited, a file has "max" (version 2), a number that no machine has (version 1),
// or is not there.
std::uint64_t bytes_in(const std::string& file) {
  std::ifstream in(file);
  std::uint64_t bytes = 0;
  constexpr std::uint64_t kNoMachineHas = std::uint64_t{1} << 60;
  return in >> bytes && bytes < kNoMachineHas ? bytes : 0;
}

std::uint64_t lesser(std::uint64_t a, std::uint64_t b) {
  if (a == 0 || b == 0) return std::max(a, b);
  return std::min(a, b);
}

}  // namespace

std::string group_membership() {
  std::ostringstream text;
  text << std::ifstream("/proc/self/cgroup").rdbuf();
  return text.str();
}

std::uint64_t least_of_groups(const std::string& membership, const std::string& mount,
                              const std::string& controller, const GroupLimit& version_1,
                              const GroupLimit& version_2) {
  std::uint64_t least = 0;
  std::istringstream lines(membership);
  for (std::string line; std::getline(lines, line);) {  // "4:cpu,cpuacct:/group", "0::/group"
    const auto first = line.find(':');
    const auto second = line.find(':', first == std::string::npos ? first : first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    const bool is_version_2 = controllers == ",,";
    if (!is_version_2 && controllers.find("," + controller + ",") == std::string::npos) continue;
    std::string path = line.substr(second + 1);
    for (;;) {
      while (path.ends_with('/')) path.pop_back();
      least = lesser(least, is_version_2 ? version_2(mount + path)
                                         : version_1(mount + "/" + controller + path));
      if (path.empty()) break;
      path.erase(path.rfind('/') == std::string::npos ? 0 : path.rfind('/'));
    }
  }
  return least;
}

std::uint64_t memory_by_groups(const std::string& membership, const std::string& mount) {
  return least_of_groups(
      membership, mount, "memory",
      [](const std::string& folder) { return bytes_in(folder + "/memory.limit_in_bytes"); },
      [](const std::string& folder) {
        return lesser(bytes_in(folder + "/memory.max"), bytes_in(folder + "/memory.high"));
      });
}

std::uint64_t within_memory(std::uint64_t wanted, std::uint64_t limit) {
  if (limit == 0) return wanted;
  return std::min(wanted, std::max(limit / 4 / kMiB * kMiB, kMiB));
}

}  // namespace holdfast::base
