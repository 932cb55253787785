// StoreLock is one daemon's claim on a store's file, for as long as it lives: a second one
// would not hear of the first one's purges, and each would evict and sweep what the other
// counts on. It is a lock of the kernel's on NAME-lock beside the file, so it ends with its
// process however that ends, and holds between containers that share the folder. It
// concerns daemons alone: `holdfast store` needs none. Blocks for a few system calls.
#pragma once

#include <string>

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

}  // namespace holdfast::cache
