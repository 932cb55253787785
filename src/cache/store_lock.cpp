// flock() and not fcntl(): it belongs to the open file, so a second store within one process
// meets it too, and no other descriptor's closing drops it. The file stays where it is, as
// removing it would take it from under somebody who is just opening it.
#include "cache/store_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

namespace holdfast::cache {
namespace {

constexpr int kAttempts = 10;

// Beside the file itself, as SQLite's own are: a link to it is the same store.
std::string lock_path(const std::string& path) {
  std::error_code error;
  const auto real = std::filesystem::weakly_canonical(path, error);
  return (error ? path : real.string()) + "-lock";
}

bool is_at(int fd, const std::string& path) {
  struct stat opened {};
  struct stat there {};
  return ::fstat(fd, &opened) == 0 && ::stat(path.c_str(), &there) == 0 &&
         opened.st_dev == there.st_dev && opened.st_ino == there.st_ino;
}

// For whoever is told that the store is in use, perhaps in another container.
void sign(int fd) {
  std::array<char, 256> host{};
  if (::gethostname(host.data(), host.size() - 1) != 0) host[0] = '\0';
  const std::string text =
      "process " + std::to_string(::getpid()) + " on " + std::string(host.data()) + "\n";
  // It is there for people: a full disk is no reason to do without the lock.
  if (::ftruncate(fd, 0) != 0 || ::pwrite(fd, text.data(), text.size(), 0) < 0) return;
}

std::string signature(int fd) {
  std::array<char, 300> text{};
  const ssize_t size = ::pread(fd, text.data(), text.size() - 1, 0);
  std::string who(text.data(), size > 0 ? static_cast<std::size_t>(size) : 0);
  who.resize(std::min(who.find('\n'), who.size()));
  return who.empty() ? "another process" : who;
}

tl::unexpected<base::Error> no_lock(const std::string& file, int error) {
  return base::internal_error(base::ErrorKind::Io,
                              "no lock on " + file + ": " + std::strerror(error));
}

}  // namespace

base::Result<StoreLock> StoreLock::take(const std::string& path) {
  const std::string file = lock_path(path);
  for (int i = 0; i < kAttempts; ++i) {
    base::UniqueFd fd(::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!fd) return no_lock(file, errno);
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
      const int error = errno;
      if (error == EINTR) continue;
      if (error != EWOULDBLOCK) return no_lock(file, error);
      return base::internal_error(base::ErrorKind::Busy, path + " is in use by another holdfast (" +
                                                             signature(fd.get()) + ")");
    }
    // Removed in between, it would be nobody else's lock.
    if (!is_at(fd.get(), file)) continue;
    sign(fd.get());
    return StoreLock(std::move(fd));
  }
  return no_lock(file, EAGAIN);
}

bool StoreLock::is_of(const std::string& path) const {
  return is_at(file_.get(), lock_path(path));
}

}  // namespace holdfast::cache
