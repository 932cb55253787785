#include "observe/thread_times.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <charconv>

namespace holdfast::observe {

TimeUsed SystemThreadTimes::used() {
  TimeUsed used;
  timespec cpu{};
  if (::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu) == 0) {
    used.cpu = std::chrono::seconds(cpu.tv_sec) + std::chrono::nanoseconds(cpu.tv_nsec);
  }
  rusage usage{};
  if (::getrusage(RUSAGE_THREAD, &usage) == 0) {
    used.waits = static_cast<std::uint64_t>(usage.ru_nvcsw);
  }
  used.queued = queued();
  return used;
}

// /proc/PID/schedstat: time on a core, time waiting for one, both in nanoseconds, and how
// often it was given one.
std::optional<base::Duration> SystemThreadTimes::queued() {
  if (!opened_) {
    opened_ = true;
    schedstat_.reset(::open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC));
  }
  if (!schedstat_) return std::nullopt;
  std::array<char, 96> text;
  const ssize_t size = ::pread(schedstat_.get(), text.data(), text.size(), 0);
  if (size <= 0) return std::nullopt;
  const char* const end = text.data() + size;
  std::int64_t number = 0;
  const auto cpu = std::from_chars(text.data(), end, number);
  if (cpu.ec != std::errc() || cpu.ptr == end) return std::nullopt;
  if (std::from_chars(cpu.ptr + 1, end, number).ec != std::errc()) return std::nullopt;
  return base::Duration(number);
}

}  // namespace holdfast::observe
