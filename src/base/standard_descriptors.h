// What a program has to see to before it opens anything.
#pragma once

#include <fcntl.h>

#include <cerrno>

namespace holdfast::base {

// Opens /dev/null as standard input, output and error where the one who started us has
// closed them. Else the next socket or database would get their number, and whoever
// writes to standard error would write into it. False: they could not be opened.
inline bool open_standard_descriptors() {
  for (int fd = 0; fd <= 2; ++fd) {
    if (::fcntl(fd, F_GETFD) >= 0 || errno != EBADF) continue;
    // The lowest number that is free is this one.
    if (::open("/dev/null", O_RDWR) != fd) return false;
  }
  return true;
}

}  // namespace holdfast::base
