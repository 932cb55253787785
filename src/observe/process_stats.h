// What the kernel knows of this process, for the process_ metrics.
#pragma once

#include <cstdint>

namespace holdfast::observe {

struct ProcessStats {
  double cpu_seconds = 0;  // user and system, all threads
  std::uint64_t resident_bytes = 0;
  std::uint64_t open_fds = 0;
  double max_fds = 0;  // the soft limit; infinite if there is none
};

// Any thread. A handful of system calls on /proc. What cannot be read is 0.
ProcessStats read_process_stats();

// Unix time, from the kernel's clock ticks: right to 10 ms. 0 if unreadable.
double process_start_time();

class Metrics;
// Registers the process_ metrics and the build's version.
void export_process(Metrics& metrics, const char* version);

}  // namespace holdfast::observe
