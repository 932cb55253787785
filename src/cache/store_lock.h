// StoreLock is one daemon's claim on a store's file, for as long as it lives: a second one
// would not hear of the first one's purges, and each would evict and sweep what the other
// counts on. It is a lock of the kernel's on NAME-lock beside the file, so it ends with its
// process however that ends, and holds between containers that share the folder. It
// concerns daemons alone: `holdfast store` needs none. Blocks for a few system calls.
//
// FileLock is the same claim on the file itself, whatever it is called: a hard link is the same
// file by a name that has another lock beside it, and a WAL of its own, so that two daemons
// would damage it.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace holdfast::cache {

class StoreLock {
 public:
  // Does not wait. `path` is the store's. Errors: Busy, naming who has it; Io: there is no
  // lock to be had, as the folder is not there or its file system knows none.
  static base::Result<StoreLock> take(const std::string& path);

  // Whether it still is what the next one would ask for: the path may lead elsewhere by
  // now, and somebody may have removed the file.
  bool is_of(const std::string& path) const;

 private:
  explicit StoreLock(base::UniqueFd file) : file_(std::move(file)) {}

  base::UniqueFd file_;
};

class FileLock {
 public:
  // Opens the file, without the lock. To be kept as long as it is the store's: closing any
  // descriptor of a file drops the POSIX locks that this process has on it, SQLite's among
  // them. Errors: Unavailable, there is no file yet; Io.
  static base::Result<FileLock> open(const std::string& path);

  // Does not wait. Locks a byte far behind those that SQLite locks; shared with others who can
  // only read, where this process can only read, and alone once it may write. Errors: Busy,
  // another process has it, by whatever name; Io, there is no such lock to be had.
  base::Result<void> lock();

  bool is_held() const { return held_; }
  // There is nothing more to ask for.
  bool is_held_alone() const { return held_ && writable_; }
  // Whether it is of the file that is at `path` now.
  bool is_of(const std::string& path) const;
  // How many names the file has.
  std::uint64_t names() const;

 private:
  FileLock(std::string path, base::UniqueFd file, bool writable);

  std::string path_;
  std::vector<base::UniqueFd> files_;  // the last one locks
  bool writable_;
  bool held_ = false;
};

}  // namespace holdfast::cache
