// StoreWriter is the thread that owns the only connection that writes rows. It
// drains the queue into transactions, makes room, looks after the WAL, and when
// the disk refuses, keeps trying until it does not.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "cache/checkpointer.h"
#include "cache/page_file.h"
#include "cache/restorer.h"
#include "cache/row_writer.h"
#include "cache/sqlite_store.h"
#include "cache/store_health.h"
#include "cache/store_locks.h"
#include "cache/used_keys.h"
#include "cache/write_queue.h"

namespace holdfast::cache {

class StoreWriter {
 public:
  // What the writer shares with the store; all of it outlives the writer.
  struct Shared {
    const StoreSettings& settings;
    const base::Clock& clock;
    observe::Log& log;
    WriteQueue& queue;
    UsedKeys& used;
    StoreHealth& health;
  };

  explicit StoreWriter(Shared shared);
  // Writes what is queued, and what memory has to give back after the disk was away,
  // for some seconds at most; unless the disk refuses.
  ~StoreWriter();
  StoreWriter(const StoreWriter&) = delete;
  StoreWriter& operator=(const StoreWriter&) = delete;

  // Opens the file, setting aside a damaged one. For others before start() only;
  // without it, the thread begins by trying. Waits for another daemon's lock for so long.
  // After an Io error find() may answer all the same, from a file that can only be read.
  base::Result<void> open(std::chrono::milliseconds lock_patience = {});
  void start();

  // Any thread. Returns when all that was queued before is committed, or when an
  // attempt to do so has failed.
  void flush();
  // Any thread. Whether all queued writes through that number are committed.
  bool committed_through(std::uint64_t sequence) const;
  // Any thread. Something read from the file of that generation contradicts itself.
  void report_corruption(std::uint64_t generation);
  // Changes whenever the path leads to another file: readers reopen. Any thread.
  std::uint64_t generation() const { return generation_.load(std::memory_order_acquire); }
  // The file could only be read when it was opened. Whoever keeps it open then keeps this
  // process from writing it later: the WAL's index is mapped once, as the first one may. Any
  // thread.
  bool reads_only() const { return reads_only_.load(std::memory_order_relaxed); }
  Restorer& restorer() { return restorer_; }

 private:
  using Steady = std::chrono::steady_clock;
  struct FileId {
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
    bool operator==(const FileId&) const = default;
  };

  void run();
  bool flush_wanted();
  bool may_end();
  void finish_flushes(bool failed);

  // Each of these returns false after trouble, which it has dealt with.
  bool work();
  bool write_batch();
  bool write_restored();
  bool write_touches(std::size_t most);
  bool make_room();
  std::int64_t wal_bytes() const;  // while open
  bool mind_wal();
  bool tend();
  void try_reading();
  bool sweep();
  bool sweep_purged();
  bool release();
  bool note_size();
  bool note_span();
  base::Result<void> write_purges(const std::vector<Purge>& purges);
  void take_over(PurgeTable found);
  bool transact(const std::function<base::Result<void>()>& work);
  base::Result<void> apply(const Write& write, std::int64_t now_hour);

  void trouble(const base::Error& error);
  void try_again();
  void recovered();
  bool may_heal() const;
  base::Result<void> move_aside(const std::string& reason);
  void salvage_next();
  void salvage_no_more();
  void note_failed_salvage(const std::string& aside, const base::Error& error);
  // Runs on the restorer's thread.
  void bring_back(const std::string& aside, page::Files files, const std::string& lineage,
                  const Restorer::Push& push);
  void leave_index();
  // Errors: Busy (another daemon has the store), NotOurs, TooNew.
  base::Result<void> lock(std::chrono::milliseconds patience = {});
  bool mind_locks();
  void tell_locks();
  base::Result<void> open_to_write(std::chrono::milliseconds lock_patience);
  bool offer_reading();
  FileId file_id(const std::string& path) const;
  std::int64_t hour() const { return hour_of(shared_.clock.wall()); }

  Shared shared_;
  const std::int64_t wal_limit_bytes_;
  const std::int64_t high_bytes_;  // of pages in use: evict above
  const std::int64_t low_bytes_;   // and until below
  const int evict_rows_;           // at once

  // The writing thread's own.
  StoreLocks locks_;  // behind all that has the file open
  bool waited_for_lock_ = false;
  std::uint64_t older_through_ = 0;  // a write's sequence
  std::optional<RowWriter> rows_;
  FileId opened_;
  FileId opened_index_;  // of its WAL
  std::vector<std::int64_t> touches_;
  std::set<std::string> salvaging_;  // files whose salvage was started
  // What our purges are numbered by (see kLineageKind), whether the file says so, and the last of
  // them that it has.
  std::string lineage_;
  bool lineage_written_ = false;
  std::uint64_t purges_written_ = 0;
  std::uint64_t purges_numbering_ = 0;
  Purges::Floors floors_written_;
  Purges::Floors floors_to_write_;  // of this transaction
  // A walk over all rows, for what was purged: from when on another one may begin, for which
  // purge, and how far it has come.
  Steady::time_point next_walk_{};
  std::uint64_t walked_for_ = 0;
  std::optional<std::uint64_t> walk_for_;
  std::int64_t walk_after_ = 0;
  Steady::time_point next_tick_{};
  Steady::time_point next_touches_{};
  Steady::time_point next_lock_{};  // when to ask again for one that is lacking
  Steady::time_point retry_at_{};
  std::chrono::milliseconds retry_delay_;
  Steady::time_point last_heal_{};
  Steady::time_point well_since_{};            // when the disk last took writes again
  std::optional<Steady::time_point> stop_by_;  // when to end, also within a write-back
  std::int64_t used_bytes_ = 0;
  std::int64_t file_bytes_ = 0;
  int idle_ticks_ = 0;
  bool paused_ = false;           // open, but busy: no work until retry_at_
  bool file_was_closed_ = false;  // since the store was last well
  bool more_to_do_ = false;       // so do not sleep
  bool sweeping_ = true;          // there may be rows that erase_all() has hidden
  bool wal_used_ = true;          // since it was last cut to nothing
  bool wal_grew_ = true;          // since mind_wal() last looked
  std::uint64_t dropped_when_well_ = 0;

  std::atomic<std::uint64_t> generation_{1};
  std::atomic<std::uint64_t> corrupt_generation_{0};  // as reported; 0: none
  std::atomic<bool> reads_only_{false};
  std::atomic<bool> stopping_{false};
  mutable std::mutex flush_mutex_;
  std::condition_variable flushed_;
  // Guarded by flush_mutex_.
  std::uint64_t flush_wanted_ = 0;  // a write's sequence
  std::uint64_t flush_reached_ = 0;
  std::uint64_t flush_failures_ = 0;

  Checkpointer checkpointer_;
  Restorer restorer_;
  std::thread thread_;
};

}  // namespace holdfast::cache
