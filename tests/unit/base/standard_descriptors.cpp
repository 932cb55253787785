#include "base/standard_descriptors.h"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/unique_fd.h"

using holdfast::base::open_standard_descriptors;
using holdfast::base::UniqueFd;

// In a process of its own, which has no output left to say anything by.
TEST_CASE("what is closed of 0 to 2 becomes /dev/null, what is open stays") {
  for (unsigned closed = 0; closed < 8; ++closed) {
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      const UniqueFd other(::open("/", O_RDONLY | O_DIRECTORY));
      for (int fd = 0; fd < 3; ++fd) {
        ::dup2(other.get(), fd);
        if ((closed >> fd & 1U) != 0) ::close(fd);
      }
      bool right = open_standard_descriptors();
      for (int fd = 0; fd < 3; ++fd) {
        const bool null = ::fcntl(fd, F_GETFL) >= 0 && ::write(fd, "x", 1) == 1;
        right = right && null == ((closed >> fd & 1U) != 0);
      }
      ::_exit(right ? 0 : 1);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CAPTURE(closed);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
  }
}
