// How many processors this process may use: fewer than the machine has, where its CPU
// affinity or its control group's quota says so. Reads files; any thread.
#pragma once

#include <string>

namespace holdfast::base {

// At least 1; a quota of one and a half counts as two.
unsigned usable_processors();

// What the control groups that `membership` (the text of /proc/self/cgroup) names, and those
// above them, are allowed; 0 where nothing limits them. `mount`: /sys/fs/cgroup.
unsigned processors_by_quota(const std::string& membership, const std::string& mount);

}  // namespace holdfast::base
