// The store on SQLite: one file (and its WAL), a thread that writes, one that
// checkpoints, and reads on the caller's thread. src/cache/README.md has the
// states, the format on disk and what was rejected.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"
#include "cache/purges.h"
#include "cache/store.h"
#include "observe/log.h"

namespace holdfast::cache {

struct StoreSettings {
  std::string path;
  // STORE_LIMIT: of the database and its WAL together, kept within a tenth.
  std::uint64_t limit_bytes = std::uint64_t{2} << 30;
  // What may wait to be written; more is refused and counted. Erasures have room of
  // their own.
  std::size_t queue_entries = 16384;
  std::size_t queue_bytes = std::size_t{32} << 20;
  // How long a write waits for others to share its transaction.
  std::chrono::milliseconds commit_window{10};
  // How soon a disk that refused is tried again: first, and at most.
  std::chrono::milliseconds retry_first{250};
  std::chrono::milliseconds retry_most{5000};
  // How long open_store() waits for another daemon to let go of the file: one that was
  // killed a moment ago may not be quite gone.
  std::chrono::milliseconds lock_patience{1000};
  // How soon a lock that was not to be had is asked for again.
  std::chrono::milliseconds lock_retry{10000};
  // How often the file is looked after when nothing is written.
  std::chrono::milliseconds tick{1000};

  // After the disk was away: calls its argument for every response that memory
  // still holds, and these are written unless the store has them as recent. Runs
  // on a thread of the store's. MemoryCache::for_each fits. May be empty.
  std::function<void(const std::function<void(std::string_view, const StoredPtr&)>&)> memory;
  // What was purged by route, path, tag, or all. Those in the file are added to it when that is
  // opened. Null: the store's own.
  Purges* purges = nullptr;
  // How long each transaction took. On the writer's thread. May be empty.
  std::function<void(base::Duration)> on_commit;
  // How long each find() that had to look into the file took. On the thread that
  // calls find(). May be empty.
  std::function<void(base::Duration)> on_read;
  // The name of a registered SQLite VFS; empty: the default. For tests.
  std::string vfs;
};

// Opens the store, making the file if there is none. A damaged file of ours is
// set aside and a new one begun; what is readable in it comes back in the
// background. `clock` and `log` must outlive the store; several of its threads
// ask the clock for the wall time.
// Errors: NotOurs and TooNew (the file is left untouched), Busy, Io.
base::Result<std::unique_ptr<Store>> open_store(StoreSettings settings, const base::Clock& clock,
                                                observe::Log& log);

// The store to go on with after open_store() failed with `why`: it finds nothing, but what
// a file holds that can only be read, and queues what it can, is Degraded (Off for NotOurs and
// TooNew), and keeps trying to open the file, so that it comes up by itself once it can.
std::unique_ptr<Store> store_without_file(StoreSettings settings, const base::Error& why,
                                          const base::Clock& clock, observe::Log& log);

}  // namespace holdfast::cache
