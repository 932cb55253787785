#include "cache/store_writer.h"

#include <pthread.h>
#include <sys/stat.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "cache/row_reader.h"
#include "cache/salvage.h"
#include "cache/schema.h"

// States: open (rows_ is there), paused (open, but somebody else holds the lock
// or keeps the WAL from being reset), closed (the disk refused, or the file is
// not to be used). trouble() alone leaves open; try_again() alone comes back to
// it, after a write has gone through. What is queued stays queued meanwhile.

namespace holdfast::cache {
namespace {

using namespace std::chrono_literals;

// Small enough that what waits behind them waits a few milliseconds.
constexpr int kSweepRows = 200;
constexpr int kReleasePages = 128;
constexpr std::size_t kRestoreRows = 256;
constexpr std::size_t kTouchRows = 256;
// Uses that are known and not written yet. A disk that takes the one page it is probed
// with, but not these, would else have us collect more with every attempt.
constexpr std::size_t kMostTouches = 64 << 10;
constexpr auto kTouchEvery = 60s;
// A stop waits so long for a write-back; 300,000 responses or so. The daemon gives its
// loops and the store 10 s.
constexpr auto kWriteBackAtStop = 5s;

std::int64_t wal_limit(std::uint64_t limit_bytes) {
  // 64 MiB is the promise; one transaction may overshoot.
  return std::clamp<std::int64_t>(static_cast<std::int64_t>(limit_bytes / 8), 512 << 10, 56 << 20);
}

std::size_t batch_bytes(std::uint64_t limit_bytes) {
  return std::clamp<std::size_t>(limit_bytes / 64, 64 << 10, 4 << 20);
}

}  // namespace

StoreWriter::StoreWriter(Shared shared)
    : shared_(shared),
      wal_limit_bytes_(wal_limit(shared.settings.limit_bytes)),
      // The WAL has its share of the limit, most of it used at times.
      high_bytes_(std::max<std::int64_t>(
          static_cast<std::int64_t>(shared.settings.limit_bytes) - wal_limit_bytes_ / 4 * 3,
          16 * kPageBytes)),
      low_bytes_(high_bytes_ - high_bytes_ / 128),
      evict_rows_(
          static_cast<int>(std::clamp<std::uint64_t>(shared.settings.limit_bytes >> 17, 16, 100))),
      locks_(shared.settings.path),
      retry_delay_(shared.settings.retry_first),
      checkpointer_(shared.settings.path, shared.settings.vfs),
      restorer_([this] { shared_.queue.wake(); },
                [this] { return shared_.queue.last_sequence(); }) {}

StoreWriter::~StoreWriter() {
  if (!thread_.joinable()) return;
  stopping_ = true;
  shared_.queue.wake();
  thread_.join();
}

void StoreWriter::start() {
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), "store-writer");
    run();
  });
}

void StoreWriter::flush() {
  std::unique_lock lock(flush_mutex_);
  const std::uint64_t wanted = shared_.queue.last_sequence();
  if (flush_reached_ >= wanted) return;
  flush_wanted_ = std::max(flush_wanted_, wanted);
  const std::uint64_t failures = flush_failures_;
  shared_.queue.wake();
  flushed_.wait(lock, [&] { return flush_reached_ >= wanted || flush_failures_ != failures; });
}

bool StoreWriter::committed_through(std::uint64_t sequence) const {
  const std::lock_guard lock(flush_mutex_);
  return flush_reached_ >= sequence;
}

void StoreWriter::finish_flushes(bool failed) {
  const std::lock_guard lock(flush_mutex_);
  if (failed) {
    ++flush_failures_;
    flush_wanted_ = flush_reached_;
  }
  flushed_.notify_all();
}

bool StoreWriter::flush_wanted() {
  const std::lock_guard lock(flush_mutex_);
  return flush_wanted_ > flush_reached_;
}

void StoreWriter::report_corruption(std::uint64_t generation) {
  corrupt_generation_ = generation;
  shared_.queue.wake();
}

void StoreWriter::run() {
  for (;;) {
    const auto away = [this] { return !rows_ || paused_; };
    const auto hurry = [this] { return stopping_ || flush_wanted(); };
    if (!hurry()) {
      if (away()) {
        shared_.queue.pause(retry_at_);
      } else {
        shared_.queue.wait(more_to_do_ ? Steady::time_point{} : next_tick_,
                           shared_.settings.commit_window);
      }
    }
    if (away()) {
      if (Steady::now() < retry_at_ && !hurry()) continue;
      try_again();
    }
    const bool well = !away() && work();
    finish_flushes(!well);
    if (stopping_ && (!well || may_end())) break;
  }
  // A clean stop leaves nothing in the WAL. If that fails, the next start reads it.
  checkpointer_.wait();
  if (rows_) static_cast<void>(rows_->checkpoint(sqlite::Connection::Checkpoint::Truncate));
}

// While stopping. Else waits for a write-back to bring more.
bool StoreWriter::may_end() {
  if (shared_.queue.size() > 0) return false;
  if (!restorer_.writing_back()) return true;
  if (!stop_by_) stop_by_ = Steady::now() + kWriteBackAtStop;
  if (Steady::now() >= *stop_by_) return true;
  if (!more_to_do_) shared_.queue.pause(*stop_by_);
  return false;
}

bool StoreWriter::work() {
  more_to_do_ = false;
  // A reader may still hold the file that was set aside: that one is known.
  if (corrupt_generation_.exchange(0) == generation()) {
    trouble(base::Error{base::ErrorKind::Corrupt, base::Side::Internal, false,
                        "a read found the file damaged"});
    return false;
  }
  if (!write_batch() || !write_restored() || !make_room() || !mind_wal()) return false;
  if (Steady::now() >= next_tick_) {
    next_tick_ = Steady::now() + shared_.settings.tick;
    if (!tend()) return false;
  }
  return write_touches(kTouchRows) && sweep() && release();
}

bool StoreWriter::transact(const std::function<base::Result<void>()>& work) {
  const auto start = Steady::now();
  const Purges& purges = *shared_.settings.purges;
  const std::uint64_t numbering = purges.numbering();
  if (numbering != purges_numbering_) purges_written_ = 0;
  purges_numbering_ = numbering;
  std::vector<Purge> unwritten;
  if (purges.latest() > purges_written_) unwritten = purges.since(purges_written_);
  // A purge is said to be done when it survives whatever comes.
  base::Result<void> done;
  if (!unwritten.empty()) done = rows_->sync_commits(true);
  if (done) done = rows_->begin();
  if (done && (!unwritten.empty() || !lineage_written_)) done = write_purges(unwritten);
  if (done) done = work();
  if (done) done = rows_->commit();
  if (done && !unwritten.empty()) done = rows_->sync_commits(false);
  if (!done) {
    trouble(done.error());
    return false;
  }
  if (!unwritten.empty()) {
    purges_written_ = unwritten.back().sequence;
    floors_written_ = floors_to_write_;
  }
  lineage_written_ = true;
  const auto took = Steady::now() - start;
  shared_.health.last_commit_seconds = std::chrono::duration<double>(took).count();
  shared_.health.entries = static_cast<std::uint64_t>(rows_->entries());
  if (shared_.settings.on_commit) shared_.settings.on_commit(took);
  wal_used_ = true;
  wal_grew_ = true;
  idle_ticks_ = 0;
  return true;
}

base::Result<void> StoreWriter::apply(const Write& write, std::int64_t now_hour) {
  const auto ignore_value = [](const auto& result) -> base::Result<void> {
    if (!result) return tl::unexpected(result.error());
    return {};
  };
  switch (write.kind) {
    case Write::Kind::Put:
      // Nor may what it would have replaced answer instead.
      if (shared_.settings.purges->purged(write.key, *write.stored)) {
        return ignore_value(rows_->erase(write.key));
      }
      return ignore_value(
          rows_->put(write.key, *write.stored, now_hour, write.sequence <= older_through_));
    case Write::Kind::Erase:
      salvage_no_more();
      restorer_.note_written_erase(write.key);
      return ignore_value(rows_->erase(write.key));
    case Write::Kind::EraseAll:
      salvage_no_more();
      restorer_.note_written_erase_all();
      sweeping_ = true;
      return rows_->erase_all();
    case Write::Kind::DropDamaged: {
      const auto dropped = rows_->drop_damaged(write.row_id);
      if (dropped && *dropped) ++shared_.health.corrupt_rows;
      return ignore_value(dropped);
    }
    case Write::Kind::Purges:
      return {};  // transact() has them written
  }
  return {};
}

bool StoreWriter::write_batch() {
  const auto batch = shared_.queue.peek(batch_bytes(shared_.settings.limit_bytes));
  if (batch.taken == 0) return true;
  if (!batch.writes.empty()) {
    const std::int64_t now_hour = hour();
    const bool written = transact([&]() -> base::Result<void> {
      for (const Write* write : batch.writes) {
        if (auto applied = apply(*write, now_hour); !applied) return applied;
      }
      return {};
    });
    if (!written) return false;
  }
  const auto is_put = [](const Write* write) { return write->kind == Write::Kind::Put; };
  shared_.health.committed +=
      static_cast<std::uint64_t>(std::count_if(batch.writes.begin(), batch.writes.end(), is_put));
  shared_.queue.done(batch);
  const std::lock_guard lock(flush_mutex_);
  flush_reached_ = batch.last_sequence;
  return true;
}

bool StoreWriter::write_restored() {
  // Written by this thread alone, so it is read without the lock.
  const auto items = restorer_.next(kRestoreRows, flush_reached_);
  if (items.empty()) return true;
  more_to_do_ = true;
  const std::int64_t now_hour = hour();
  const bool written = transact([&]() -> base::Result<void> {
    for (const Restorer::Item& item : items) {
      if (shared_.settings.purges->purged(item.key, *item.stored)) continue;
      const auto put = rows_->put(item.key, *item.stored, now_hour, true);
      if (!put) return tl::unexpected(put.error());
    }
    return {};
  });
  if (written) restorer_.done(items.size());
  return written;
}

bool StoreWriter::write_touches(std::size_t most) {
  if (touches_.empty()) return true;
  const std::size_t count = std::min(most, touches_.size());
  const std::int64_t now_hour = hour();
  const bool written = transact([&]() -> base::Result<void> {
    for (std::size_t i = touches_.size() - count; i < touches_.size(); ++i) {
      if (auto touched = rows_->touch(touches_[i], now_hour); !touched) return touched;
    }
    return {};
  });
  if (!written) return false;
  touches_.resize(touches_.size() - count);
  more_to_do_ = more_to_do_ || !touches_.empty();
  return true;
}

bool StoreWriter::note_size() {
  const auto size = rows_->size();
  if (!size) {
    trouble(size.error());
    return false;
  }
  used_bytes_ = (size->pages - size->free_pages) * kPageBytes;
  file_bytes_ = size->pages * kPageBytes;
  std::int64_t on_disk = 0;
  for (const char* suffix : {"", "-wal"}) {
    struct stat info = {};
    if (::stat((shared_.settings.path + suffix).c_str(), &info) == 0) on_disk += info.st_size;
  }
  shared_.health.size_bytes = static_cast<std::uint64_t>(on_disk);
  return true;
}

bool StoreWriter::make_room() {
  if (!wal_grew_) return true;
  if (!note_size()) return false;
  if (used_bytes_ <= high_bytes_) return true;
  // Who was used lately must be known before anyone is chosen.
  shared_.used.drain(touches_, kMostTouches);
  if (!write_touches(touches_.size())) return false;
  for (int rounds = 0; used_bytes_ > low_bytes_; ++rounds) {
    // Between batches the queue has its turn, unless the limit itself is near.
    if (rounds >= 2 && used_bytes_ <= high_bytes_ + high_bytes_ / 64) {
      more_to_do_ = true;
      break;
    }
    RowWriter::Evicted evicted;
    const bool done = transact([&]() -> base::Result<void> {
      auto result = rows_->evict(evict_rows_, hour());
      if (!result) return tl::unexpected(std::move(result.error()));
      evicted = *result;
      return {};
    });
    if (!done) return false;
    const int count = evicted.expired + evicted.unused;
    shared_.health.evicted += static_cast<std::uint64_t>(count);
    if (!note_size() || !mind_wal()) return false;
    if (count == 0) break;  // nothing left to take
  }
  return true;
}

std::int64_t StoreWriter::wal_bytes() const {
  constexpr std::int64_t kFrameBytes = kPageBytes + 24;  // a page and its header
  return rows_->wal_frames() * kFrameBytes;
}

bool StoreWriter::mind_wal() {
  if (!wal_grew_) return true;
  wal_grew_ = false;
  using Checkpoint = sqlite::Connection::Checkpoint;
  const std::int64_t bytes = wal_bytes();
  if (bytes > wal_limit_bytes_ / 4) checkpointer_.request(generation());
  if (bytes <= wal_limit_bytes_ / 2) return true;
  // Writes come faster than they are copied, so they wait for the copying. Later
  // on, for readers too, since the WAL starts anew only when nobody reads it.
  checkpointer_.wait();
  const bool late = bytes > wal_limit_bytes_ / 4 * 3;
  const auto complete = rows_->checkpoint(late ? Checkpoint::Restart : Checkpoint::Passive);
  if (!complete) {
    trouble(complete.error());
    return false;
  }
  if (!*complete && bytes > wal_limit_bytes_ / 8 * 7) {
    trouble(base::Error{base::ErrorKind::Busy, base::Side::Internal, true,
                        "a long read keeps the write-ahead log from being reset"});
    return false;
  }
  return true;
}

// Readers find out that they can read again when somebody asks for something;
// that may take long, and the store must not be called degraded until then.
void StoreWriter::try_reading() {
  auto reader = RowReader::open(shared_.settings.path, shared_.settings.vfs);
  if (!reader || !reader->find({})) return;
  shared_.health.ok(StoreHealth::Part::Reading);
  generation_.fetch_add(1, std::memory_order_acq_rel);
}

bool StoreWriter::tend() {
  if (file_id(shared_.settings.path) != opened_) {
    trouble(base::Error{base::ErrorKind::Io, base::Side::Internal, true,
                        shared_.settings.path + " was deleted or replaced"});
    return false;
  }
  if (!mind_locks()) return false;
  if (!shared_.health.is_ok(StoreHealth::Part::Reading)) try_reading();
  if (Steady::now() >= next_touches_) {
    next_touches_ = Steady::now() + kTouchEvery;
    shared_.used.drain(touches_, kMostTouches);
  }
  // Idle: first the other thread copies, then there is nothing left to wait for
  // when the WAL is cut to nothing here.
  if (wal_used_ && ++idle_ticks_ == 2) {
    checkpointer_.request(generation());
  } else if (wal_used_ && idle_ticks_ > 2 && checkpointer_.idle()) {
    const auto complete = rows_->checkpoint(sqlite::Connection::Checkpoint::Truncate);
    if (!complete) {
      trouble(complete.error());
      return false;
    }
    if (*complete) wal_used_ = false;
  }
  return note_span() && note_size();
}

bool StoreWriter::note_span() {
  // Rows that erase_all() has hidden would have to be passed over one by one.
  if (sweeping_) return true;
  const auto span = rows_->span();
  if (!span) {
    trouble(span.error());
    return false;
  }
  shared_.health.oldest_ms = span->oldest;
  shared_.health.newest_ms = span->newest;
  return true;
}

bool StoreWriter::sweep() {
  if (!sweeping_) return sweep_purged();
  bool more = false;
  const bool done = transact([&]() -> base::Result<void> {
    const auto swept = rows_->sweep(kSweepRows);
    if (!swept) return tl::unexpected(swept.error());
    more = *swept;
    return {};
  });
  if (!done) return false;
  sweeping_ = more;
  more_to_do_ = more_to_do_ || more;
  return true;
}

bool StoreWriter::release() {
  // Free pages are used again before the file grows, so they are given back only
  // where the file is larger than it may be: after the limit was lowered.
  if (file_bytes_ <= high_bytes_ || used_bytes_ > high_bytes_ || used_bytes_ == file_bytes_) {
    return true;
  }
  const bool done = transact([&] { return rows_->release(kReleasePages); });
  if (!done || !note_size()) return false;
  more_to_do_ = true;
  return true;
}

}  // namespace holdfast::cache
