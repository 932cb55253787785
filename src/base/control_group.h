// What the control groups of this process, and those above them, allow it: version 1 and 2. Reads
// files; any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace holdfast::base {

// The text of /proc/self/cgroup; empty where there is none.
std::string group_membership();

// Where the groups' files are.
inline constexpr const char* kGroupMount = "/sys/fs/cgroup";

// What a group's folder says is allowed; 0: nothing is limited there.
using GroupLimit = std::function<std::uint64_t(const std::string& folder)>;

// The least that the groups in `membership`, and those above them, are allowed of what version 1
// calls `controller` ("cpu"); 0 where nothing limits it.
std::uint64_t least_of_groups(const std::string& membership, const std::string& mount,
                              const std::string& controller, const GroupLimit& version_1,
                              const GroupLimit& version_2);

// Bytes of memory that they are allowed, or at which the kernel begins to slow them down.
std::uint64_t memory_by_groups(const std::string& membership, const std::string& mount);

// Of a memory that is limited (0: it is not), what a cache may have that would else have `wanted`:
// a quarter, in whole MiB and at least one. The rest is for connections, the store and the kernel's
// pages.
std::uint64_t within_memory(std::uint64_t wanted, std::uint64_t limit);

}  // namespace holdfast::base
