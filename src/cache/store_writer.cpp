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
constexpr auto kLockPause = 10ms;
// A WAL frame is a page and its header.
constexpr std::int64_t kFrameBytes = kPageBytes + 24;

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
    struct stat info {};
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

bool StoreWriter::mind_wal() {
  if (!wal_grew_) return true;
  wal_grew_ = false;
  using Checkpoint = sqlite::Connection::Checkpoint;
  const std::int64_t bytes = rows_->wal_frames() * kFrameBytes;
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

StoreWriter::FileId StoreWriter::file_id(const std::string& path) const {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return {};
  return {info.st_dev, info.st_ino};
}

// Of a file that was deleted or replaced, the WAL's index may be there still. SQLite would cut
// it short for the next file, and whoever reads the old one to its end has it mapped.
void StoreWriter::leave_index() {
  const std::string& path = shared_.settings.path;
  const std::string index = path + "-shm";
  if (opened_ == FileId{}) return;
  const auto names = sqlite::names_move();
  if (file_id(path) == opened_ || file_id(index) != opened_index_) return;
  ::unlink(index.c_str());
}

base::Result<void> StoreWriter::lock(std::chrono::milliseconds patience) {
  const StoreSettings& settings = shared_.settings;
  if (locks_.are_held()) return {};
  // Beside another program's file there is nothing for us to lock, nor to leave behind.
  if (auto ours = check_ours(settings.path, settings.vfs); !ours) return ours;
  const Steady::time_point give_up = Steady::now() + patience;
  auto taken = locks_.take();
  while (!taken) {
    waited_for_lock_ = true;
    if (Steady::now() >= give_up) return taken;
    std::this_thread::sleep_for(kLockPause);
    taken = locks_.take();
  }
  next_lock_ = Steady::now() + settings.lock_retry;
  // What was queued meanwhile may be older than what the other daemon wrote.
  if (std::exchange(waited_for_lock_, false)) older_through_ = shared_.queue.last_sequence();
  return {};
}

// Somebody may have removed the lock's file: before another daemon finds that there is none. And
// one that was not to be had is asked for now and then.
bool StoreWriter::mind_locks() {
  const bool lacking = !locks_.lacking().empty();
  if (!locks_.were_lost() && !(lacking && Steady::now() >= next_lock_)) return true;
  if (auto locked = lock(); !locked) {
    trouble(base::Error{base::ErrorKind::Io, base::Side::Internal, true, locked.error().message});
    return false;
  }
  if (lacking != !locks_.lacking().empty()) tell_locks();
  return true;
}

void StoreWriter::tell_locks() {
  const bool locked = locks_.lacking().empty();
  if (!locked) {
    locks_.tell_what_is_lacking(shared_.log);
  } else if (!shared_.health.locked) {
    shared_.log.event(observe::Level::Info, "store_locked", {{"path", shared_.settings.path}});
  }
  shared_.health.locked = locked;
}

base::Result<void> StoreWriter::open(std::chrono::milliseconds lock_patience) {
  auto opened = open_to_write(lock_patience);
  if (!opened && opened.error().kind == base::ErrorKind::Io && offer_reading()) {
    opened.error().message =
        shared_.settings.path + " can be read, not written: " + opened.error().message;
  }
  return opened;
}

// What is stored answers also where nothing can be written. False: it cannot be read either.
bool StoreWriter::offer_reading() {
  const std::string& path = shared_.settings.path;
  const FileId there = file_id(path);
  if (there == FileId{}) return false;
  // Readers open it by themselves once they know of it.
  if (there == opened_) return true;
  auto reader = RowReader::open(path, shared_.settings.vfs);
  if (!reader || !reader->find({})) return false;
  if (const auto entries = reader->entries()) {
    shared_.health.entries = static_cast<std::uint64_t>(*entries);
  }
  auto purges = reader->purges();
  if (!purges) return false;
  take_over(*std::move(purges));
  opened_ = there;
  opened_index_ = file_id(path + "-shm");
  reads_only_ = true;
  generation_.fetch_add(1, std::memory_order_acq_rel);
  return true;
}

base::Result<void> StoreWriter::open_to_write(std::chrono::milliseconds lock_patience) {
  const StoreSettings& settings = shared_.settings;
  // First of all: what another daemon has open is not to be healed, nor its WAL touched.
  if (auto locked = lock(lock_patience); !locked) return locked;
  leave_index();
  PurgeTable purges;
  const auto make = [&]() -> base::Result<RowWriter> {
    auto opened = RowWriter::open(settings.path, settings.vfs, wal_limit_bytes_ / 4);
    if (!opened) return opened;
    auto found = opened->purges();
    if (!found) return tl::unexpected(std::move(found.error()));
    purges = *std::move(found);
    return opened;
  };
  auto rows = make();
  if (!rows && rows.error().kind == base::ErrorKind::Corrupt && may_heal()) {
    if (auto moved = move_aside(rows.error().message); !moved) return moved;
    rows = make();
  }
  if (!rows) return tl::unexpected(std::move(rows.error()));
  // A file that opens may still refuse to be written.
  if (auto probed = rows->probe(); !probed) return probed;
  // It may have been made only now.
  if (auto locked = lock(); !locked) return locked;
  rows_ = std::move(*rows);
  reads_only_ = false;
  opened_ = file_id(settings.path);
  opened_index_ = file_id(settings.path + "-shm");
  take_over(std::move(purges));
  tell_locks();
  locks_.tell_more_names(shared_.log);
  salvage_next();
  sweeping_ = true;
  wal_used_ = true;
  wal_grew_ = true;
  shared_.health.entries = static_cast<std::uint64_t>(rows_->entries());
  generation_.fetch_add(1, std::memory_order_acq_rel);
  return {};
}

bool StoreWriter::may_heal() const {
  // A disk that damages whatever is written to it is not to be filled with
  // set-aside files.
  return last_heal_ == Steady::time_point{} || Steady::now() - last_heal_ > 60s;
}

base::Result<void> StoreWriter::move_aside(const std::string& reason) {
  const auto aside = set_aside(shared_.settings.path, shared_.clock.wall());
  if (!aside) return tl::unexpected(aside.error());
  last_heal_ = Steady::now();
  shared_.log.event(observe::Level::Error, "store_damaged",
                    {{"path", shared_.settings.path}, {"moved_to", *aside}, {"reason", reason}});
  return {};
}

// Also after a restart: what was set aside and not read to its end yet.
void StoreWriter::salvage_next() {
  for (const std::string& aside : unsalvaged(shared_.settings.path)) {
    if (!salvaging_.insert(aside).second) continue;
    // Now, as the first erasure gives it another name.
    auto opened = page::open_files(aside);
    if (!opened) {
      note_failed_salvage(aside, opened.error());
      continue;
    }
    restorer_.start(
        Restorer::Kind::Salvage,
        [this, aside, lineage = lineage_,
         files = std::make_shared<page::Files>(std::move(*opened))](const Restorer::Push& push) {
          bring_back(aside, std::move(*files), lineage, push);
        });
  }
}

void StoreWriter::note_failed_salvage(const std::string& aside, const base::Error& error) {
  shared_.log.event(observe::Level::Error, "store_salvage_failed",
                    {{"path", aside}, {"reason", error.message}});
}

// An erased response must not come back at the next start either, when nobody
// remembers what was erased: the file is not read again.
void StoreWriter::salvage_no_more() {
  for (const std::string& aside : salvaging_) mark_salvaged(shared_.settings.path, aside);
  salvaging_.clear();
}

void StoreWriter::bring_back(const std::string& aside, page::Files files,
                             const std::string& lineage, const Restorer::Push& push) {
  bool to_the_end = true;
  const auto result = salvage(
      std::move(files),
      [&](PurgeTable purges) {
        // Those that this process has seen it knows. Numbers that it has not given are older.
        if (purges.lineage.empty() || purges.lineage != lineage) {
          shared_.settings.purges->take_over(std::move(purges.purges));
        }
      },
      [&](std::string_view key, StoredPtr stored) {
        to_the_end = push(key, std::move(stored));
        return to_the_end;
      });
  if (!result) {
    note_failed_salvage(aside, result.error());
    return;
  }
  shared_.log.event(observe::Level::Info, "store_salvaged",
                    {{"path", aside},
                     {"rows", result->rows},
                     {"damaged", result->damaged},
                     {"complete", to_the_end}});
  if (to_the_end) mark_salvaged(shared_.settings.path, aside);
}

void StoreWriter::trouble(const base::Error& error) {
  ++shared_.health.write_errors;
  rows_->rollback();
  wal_grew_ = false;
  // A disk that works now and then shall not change our state every moment.
  const bool was_well = shared_.health.is_ok(StoreHealth::Part::Writing) &&
                        Steady::now() - well_since_ > shared_.settings.retry_most * 4;
  retry_delay_ = was_well ? shared_.settings.retry_first
                          : std::min(retry_delay_ * 2, shared_.settings.retry_most);
  shared_.health.degraded(StoreHealth::Part::Writing, error.message);
  if (error.kind == base::ErrorKind::Busy) {
    paused_ = true;
    retry_at_ = Steady::now() + retry_delay_;
    return;
  }
  rows_.reset();
  file_was_closed_ = true;
  retry_at_ = Steady::now() + retry_delay_;
  // Now, as open() may find a file that looks well from outside.
  if (error.kind == base::ErrorKind::Corrupt && may_heal() && move_aside(error.message)) {
    retry_at_ = Steady::now();
  }
}

void StoreWriter::try_again() {
  base::Result<void> result;
  if (rows_) {
    result = rows_->probe();
    if (result && rows_->wal_frames() * kFrameBytes > wal_limit_bytes_ / 8 * 7) {
      const auto complete = rows_->checkpoint(sqlite::Connection::Checkpoint::Restart);
      if (!complete) result = tl::unexpected(complete.error());
      if (complete && !*complete) {
        retry_at_ = Steady::now() + retry_delay_;
        return;
      }
    }
  } else {
    result = open();
  }
  if (result) {
    // A page may go through where more does not: what waits decides.
    if (write_batch()) recovered();
    return;
  }
  const base::Error& error = result.error();
  if (rows_ && error.kind != base::ErrorKind::Busy) {
    trouble(error);
    return;
  }
  ++shared_.health.write_errors;
  if (rows_) rows_->rollback();
  if (error.kind == base::ErrorKind::NotOurs || error.kind == base::ErrorKind::TooNew) {
    shared_.health.off(error.message);
  } else {
    shared_.health.degraded(StoreHealth::Part::Writing, error.message);
  }
  retry_delay_ = std::min(retry_delay_ * 2, shared_.settings.retry_most);
  retry_at_ = Steady::now() + retry_delay_;
}

void StoreWriter::recovered() {
  paused_ = false;
  next_tick_ = well_since_ = Steady::now();
  const std::uint64_t dropped = shared_.queue.dropped();
  const bool lacks_some = file_was_closed_ || dropped != dropped_when_well_;
  dropped_when_well_ = dropped;
  file_was_closed_ = false;
  shared_.health.ok(StoreHealth::Part::Writing);
  if (!lacks_some || !shared_.settings.memory) return;
  restorer_.start(Restorer::Kind::WriteBack, [this](const Restorer::Push& push) {
    // Memory is locked while it is walked, so the walk only takes references.
    std::vector<Restorer::Item> held;
    shared_.settings.memory([&](std::string_view key, const StoredPtr& stored) {
      held.push_back({std::string(key), stored});
    });
    for (Restorer::Item& item : held) {
      if (!push(item.key, std::move(item.stored))) return;
    }
  });
}

}  // namespace holdfast::cache
