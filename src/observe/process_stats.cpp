#include "observe/process_stats.h"

#include <dirent.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ctime>
#include <fstream>
#include <limits>
#include <sstream>
#include <string>

#include "observe/metrics.h"

namespace holdfast::observe {
namespace {

double cpu_seconds() {
  rusage usage{};
  if (::getrusage(RUSAGE_SELF, &usage) != 0) return 0;
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// /proc/self/statm: pages of total and of resident memory.
std::uint64_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  std::uint64_t total = 0;
  std::uint64_t resident = 0;
  if (!(statm >> total >> resident)) return 0;
  return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

// Since Linux 6.2 the size of /proc/self/fd is the number of descriptors; before
// that it is 0, and only counting helps.
std::uint64_t open_fds() {
  struct stat info = {};
  if (::stat("/proc/self/fd", &info) == 0 && info.st_size > 0) {
    return static_cast<std::uint64_t>(info.st_size);
  }
  DIR* directory = ::opendir("/proc/self/fd");
  if (directory == nullptr) return 0;
  std::uint64_t count = 0;
  while (const dirent* entry = ::readdir(directory)) {
    if (entry->d_name[0] != '.') ++count;
  }
  ::closedir(directory);
  return count - 1;  // not the one this function holds
}

double max_fds() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  return limit.rlim_cur == RLIM_INFINITY ? std::numeric_limits<double>::infinity()
                                         : static_cast<double>(limit.rlim_cur);
}

double seconds(clockid_t clock) {
  timespec now{};
  if (::clock_gettime(clock, &now) != 0) return 0;
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

// When the machine started. Not from /proc/stat, which a sandbox hides
// (ProcSubset=pid of systemd).
double boot_time() {
  return seconds(CLOCK_REALTIME) - seconds(CLOCK_BOOTTIME);
}

// Field 22 of /proc/self/stat, counted after the command's name, which is in
// parentheses and may hold anything.
double ticks_from_boot() {
  std::ifstream stat("/proc/self/stat");
  std::string line;
  std::getline(stat, line);
  const auto name_end = line.rfind(')');
  if (name_end == std::string::npos) return 0;
  std::istringstream rest(line.substr(name_end + 1));
  std::string skipped;
  for (int field = 3; field < 22; ++field) rest >> skipped;
  double ticks = 0;
  rest >> ticks;
  return ticks;
}

}  // namespace

ProcessStats read_process_stats() {
  return {cpu_seconds(), resident_bytes(), open_fds(), max_fds()};
}

double process_start_time() {
  // Worked out once: the wall clock may be set, and the start must not move with it.
  static const double start = [] {
    const double ticks = ticks_from_boot();
    return ticks == 0 ? 0 : boot_time() + ticks / static_cast<double>(::sysconf(_SC_CLK_TCK));
  }();
  return start;
}

void export_process(Metrics& metrics, const char* version) {
  metrics.callback(Family::BuildInfo, {{"version", version}}, [] { return 1.0; });
  metrics.callback(Family::ProcessStartTime, {}, [start = process_start_time()] { return start; });
  metrics.callback(Family::ProcessCpu, {}, cpu_seconds);
  metrics.callback(Family::ProcessResidentMemory, {},
                   [] { return static_cast<double>(resident_bytes()); });
  metrics.callback(Family::ProcessOpenFds, {}, [] { return static_cast<double>(open_fds()); });
  metrics.callback(Family::ProcessMaxFds, {}, max_fds);
}

}  // namespace holdfast::observe
