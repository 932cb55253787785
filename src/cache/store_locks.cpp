#include "cache/store_locks.h"

#include <utility>

namespace holdfast::cache {

bool StoreLocks::are_held() const {
  return lacking_.empty() && beside_ && beside_->is_of(path_) && file_ && file_->is_of(path_) &&
         file_->is_held_alone();
}

base::Result<void> StoreLocks::take() {
  lacking_.clear();
  for (const auto take : {&StoreLocks::take_beside, &StoreLocks::take_file}) {
    auto taken = (this->*take)();
    if (taken) continue;
    if (taken.error().kind == base::ErrorKind::Busy) return taken;
    // A file that is not there yet has nothing to be locked.
    if (taken.error().kind != base::ErrorKind::Unavailable) lacking_ = taken.error().message;
  }
  return {};
}

base::Result<void> StoreLocks::take_beside() {
  if (beside_ && beside_->is_of(path_)) return {};
  auto taken = StoreLock::take(path_);
  if (!taken) return tl::unexpected(std::move(taken.error()));
  beside_ = std::move(*taken);
  return {};
}

base::Result<void> StoreLocks::take_file() {
  if (!file_ || !file_->is_of(path_)) {
    auto opened = FileLock::open(path_);
    if (!opened) return tl::unexpected(std::move(opened.error()));
    file_ = std::move(*opened);
  }
  return file_->lock();
}

void StoreLocks::tell_what_is_lacking(observe::Log& log) const {
  const bool by_file = file_ && file_->is_held();
  const char* const warning = by_file   ? "only the file's own lock keeps a second daemon from it"
                              : beside_ ? "a daemon that knows the file by another name is not "
                                          "kept from it"
                                        : "nothing keeps a second daemon from this store";
  log.event(observe::Level::Warn, "store_not_locked",
            {{"path", path_}, {"reason", lacking_}, {"warning", warning}});
}

void StoreLocks::tell_more_names(observe::Log& log) const {
  if (!file_ || file_->names() < 2) return;
  log.event(observe::Level::Warn, "store_has_more_names",
            {{"path", path_},
             {"names", file_->names()},
             {"warning", "opened by another name it lacks what is in this one's -wal"}});
}

}  // namespace holdfast::cache
