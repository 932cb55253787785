// StoreLocks is what a daemon holds of its store while it has it: the lock on NAME-lock beside
// the file, and the one on the file itself. One thread; blocks for a few system calls.
#pragma once

#include <optional>
#include <string>

#include "base/result.h"
#include "cache/store_lock.h"
#include "observe/log.h"

namespace holdfast::cache {

class StoreLocks {
 public:
  explicit StoreLocks(std::string path) : path_(std::move(path)) {}

  // Takes what is not held. Does not wait. One that is not to be had is done without, see
  // lacking(); one on a file that is away is kept, as the file may come back. Error: Busy.
  base::Result<void> take();

  // Both, and there is nothing more to ask for.
  bool are_held() const;
  // The one beside the file is no longer what another daemon would ask for.
  bool were_lost() const { return beside_ && !beside_->is_of(path_); }
  // Why one was not to be had when they were last asked for; empty: none was refused.
  const std::string& lacking() const { return lacking_; }

  void tell_what_is_lacking(observe::Log& log) const;
  // If the file has more names than one.
  void tell_more_names(observe::Log& log) const;

 private:
  base::Result<void> take_beside();
  base::Result<void> take_file();

  const std::string path_;
  std::optional<StoreLock> beside_;
  std::optional<FileLock> file_;  // none yet while there is no file
  std::string lacking_;
};

}  // namespace holdfast::cache
