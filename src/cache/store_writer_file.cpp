// The part of StoreWriter that is about its file as a whole: whose it is, opening it, setting it
// aside, reading what is left of one that was, and what becomes of it in trouble.
#include "cache/store_writer.h"

#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "cache/row_reader.h"
#include "cache/salvage.h"
#include "cache/schema.h"

namespace holdfast::cache {
namespace {

using namespace std::chrono_literals;

constexpr auto kLockPause = 10ms;

}  // namespace

StoreWriter::FileId StoreWriter::file_id(const std::string& path) const {
  struct stat info = {};
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
    if (result && wal_bytes() > wal_limit_bytes_ / 8 * 7) {
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
