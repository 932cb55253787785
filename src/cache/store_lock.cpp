// flock() and not fcntl(): it belongs to the open file, so a second store within one process
// meets it too, and no other descriptor's closing drops it. The file stays where it is, as
// removing it would take it from under somebody who is just opening it.
//
// The file itself has an OFD lock: where a network file system makes an flock() one of the whole
// file, it would meet SQLite's own. Its descriptor is closed when the file is no longer the
// store's, which drops the POSIX locks that a last reader has on it: of a set-aside file they
// guard nothing.
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
// SQLite locks bytes at 1 GiB; no store grows so far as this.
constexpr off_t kLockedByte = off_t{1} << 60;
// A pipe would be waited for.
constexpr int kOpenFlags = O_CLOEXEC | O_NONBLOCK;

// Beside the file itself, as SQLite's own are: a link to it is the same store.
std::string lock_path(const std::string& path) {
  std::error_code error;
  const auto real = std::filesystem::weakly_canonical(path, error);
  return (error ? path : real.string()) + "-lock";
}

bool is_at(int fd, const std::string& path) {
  struct stat opened = {};
  struct stat there = {};
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

bool is_refused(int error) {
  return error == EACCES || error == EPERM || error == EROFS;
}

// Returns 0 or the errno.
int set_lock(int fd, short type) {
  struct flock lock = {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = kLockedByte;
  lock.l_len = 1;
  return ::fcntl(fd, F_OFD_SETLK, &lock) == 0 ? 0 : errno;
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
    if (!fd && is_refused(errno)) {
      // Whoever may only read here can still see that somebody has it.
      const int error = errno;
      fd = base::UniqueFd(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
      if (!fd) return no_lock(file, error);
    }
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

FileLock::FileLock(std::string path, base::UniqueFd file, bool writable)
    : path_(std::move(path)), writable_(writable) {
  files_.push_back(std::move(file));
}

base::Result<FileLock> FileLock::open(const std::string& path) {
  base::UniqueFd file(::open(path.c_str(), O_RDWR | kOpenFlags));
  if (file) return FileLock(path, std::move(file), true);
  if (is_refused(errno)) file = base::UniqueFd(::open(path.c_str(), O_RDONLY | kOpenFlags));
  if (file) return FileLock(path, std::move(file), false);
  if (errno != ENOENT) return no_lock(path, errno);
  return base::internal_error(base::ErrorKind::Unavailable, "there is no " + path + " yet");
}

base::Result<void> FileLock::lock() {
  if (!writable_) {
    base::UniqueFd file(::open(path_.c_str(), O_RDWR | kOpenFlags));
    if (file && is_at(files_.back().get(), path_)) {
      // Shared by what was open before, it would keep us from having it alone.
      if (held_) set_lock(files_.back().get(), F_UNLCK);
      held_ = false;
      writable_ = true;
      files_.push_back(std::move(file));
    }
  }
  if (held_) return {};
  const int error = set_lock(files_.back().get(), writable_ ? F_WRLCK : F_RDLCK);
  held_ = error == 0;
  if (held_) return {};
  if (error != EAGAIN && error != EACCES) return no_lock(path_, error);
  return base::internal_error(
      base::ErrorKind::Busy,
      path_ + " is in use by another holdfast, perhaps by another name (a hard link)");
}

bool FileLock::is_of(const std::string& path) const {
  return is_at(files_.back().get(), path);
}

std::uint64_t FileLock::names() const {
  struct stat there = {};
  return ::fstat(files_.back().get(), &there) == 0 ? there.st_nlink : 0;
}

}  // namespace holdfast::cache
