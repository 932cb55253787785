#include "cache/sqlite_store.h"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "cache/row_reader.h"
#include "cache/store_health.h"
#include "cache/store_writer.h"
#include "cache/used_keys.h"
#include "cache/write_queue.h"

namespace holdfast::cache {
namespace {

using Steady = std::chrono::steady_clock;

// How long a file that cannot be opened for reading is let alone.
constexpr std::chrono::milliseconds kReopenPause{250};
// How many responses load_recent() reads within one read transaction.
constexpr int kRecentRows = 256;
// Before the first successful open.
constexpr std::uint64_t kNeverOpened = 1;

// As many writes as a transaction may have. Each may touch a page or two, and the
// WAL's share of a small limit must hold them.
std::size_t batch_entries(std::uint64_t limit_bytes) {
  return static_cast<std::size_t>(std::clamp<std::uint64_t>(limit_bytes >> 16, 32, 512));
}

StoreSettings with_purges(StoreSettings settings, Purges& own) {
  if (settings.purges == nullptr) settings.purges = &own;
  return settings;
}

class SqliteStore final : public Store {
 public:
  SqliteStore(StoreSettings settings, const base::Clock& clock, observe::Log& log)
      : settings_(with_purges(std::move(settings), own_purges_)),
        clock_(clock),
        log_(log),
        health_(clock, log, settings_.path),
        queue_({.entries = settings_.queue_entries,
                .bytes = settings_.queue_bytes,
                .batch_entries = batch_entries(settings_.limit_bytes)}),
        writer_({settings_, clock, log, queue_, used_, health_}) {}

  ~SqliteStore() override {
    {
      const std::lock_guard lock(loaders_mutex_);
      stopping_ = true;
      stopped_.notify_all();
    }
    for (std::thread& loader : loaders_) loader.join();
  }

  StoreWriter& writer() { return writer_; }
  std::chrono::milliseconds lock_patience() const { return settings_.lock_patience; }
  StoreHealth& health() { return health_; }

  base::Result<StoredPtr> find(std::string_view key) override;
  void load_recent(std::function<bool(std::string_view, StoredPtr)> sink) override;
  StoreStatus status() const override;

  bool put(std::string_view key, StoredPtr stored) override {
    return queue_.put(key, std::move(stored));
  }
  void erase(std::string_view key) override {
    writer_.restorer().note_erase(key);
    if (queue_.erase(key)) return;
    log_.event(
        observe::Level::Error, "store_erased",
        {{"path", settings_.path}, {"reason", "too many erasures wait to be kept one by one"}});
  }
  void erase_all() override {
    writer_.restorer().note_erase_all();
    queue_.erase_all();
  }
  void write_purges() override { queue_.purges(); }
  std::uint64_t queued_through() const override { return queue_.last_sequence(); }
  bool committed_through(std::uint64_t sequence) const override {
    return writer_.committed_through(sequence);
  }
  void used(std::string_view key) override { used_.add(key_hash(key)); }
  void flush() override { writer_.flush(); }

 private:
  base::Result<void> open_reader();
  void load(const std::function<bool(std::string_view, StoredPtr)>& sink);
  // False: the store is going away.
  bool wait_until_opened();

  Purges own_purges_;
  const StoreSettings settings_;
  const base::Clock& clock_;
  observe::Log& log_;
  StoreHealth health_;
  WriteQueue queue_;
  UsedKeys used_;
  StoreWriter writer_;

  // Of the thread that calls find().
  std::optional<RowReader> reader_;
  std::uint64_t reader_generation_ = 0;
  Steady::time_point reopen_at_{};
  bool reads_well_ = true;

  std::mutex loaders_mutex_;
  std::condition_variable stopped_;
  std::atomic<bool> stopping_{false};
  std::vector<std::thread> loaders_;  // guarded by loaders_mutex_
};

base::Result<void> SqliteStore::open_reader() {
  const std::uint64_t generation = writer_.generation();
  if (generation == kNeverOpened) {
    return base::internal_error(base::ErrorKind::Unavailable, "the store is not open");
  }
  if (reader_ && reader_generation_ == generation) return {};
  reader_.reset();
  if (reader_generation_ == generation && Steady::now() < reopen_at_) {
    return base::internal_error(base::ErrorKind::Unavailable, "the store cannot be read");
  }
  reader_generation_ = generation;
  reopen_at_ = Steady::now() + kReopenPause;
  auto reader = RowReader::open(settings_.path, settings_.vfs);
  if (!reader) return tl::unexpected(std::move(reader.error()));
  reader_ = std::move(*reader);
  return {};
}

base::Result<StoredPtr> SqliteStore::find(std::string_view key) {
  StoredPtr pending;
  switch (queue_.find(key, pending)) {
    case WriteQueue::Pending::Put:
      return settings_.purges->purged(key, *pending) ? nullptr : pending;
    case WriteQueue::Pending::Erased:
      return nullptr;
    case WriteQueue::Pending::No:
      break;
  }
  const auto failed = [&](const base::Error& error) {
    ++health_.read_errors;
    // A lock passes by itself; all else may have to do with this connection.
    if (error.kind != base::ErrorKind::Busy) {
      reads_well_ = false;
      health_.degraded(StoreHealth::Part::Reading, error.message);
      reader_.reset();
    }
    if (error.kind == base::ErrorKind::Corrupt) writer_.report_corruption(reader_generation_);
    return tl::unexpected(error);
  };
  const auto start = Steady::now();
  if (auto opened = open_reader(); !opened) {
    if (opened.error().kind == base::ErrorKind::Unavailable) {
      return tl::unexpected(std::move(opened.error()));
    }
    return failed(opened.error());
  }
  auto found = reader_->find(key);
  if (writer_.reads_only()) {
    reader_.reset();
    reopen_at_ = {};
  }
  if (settings_.on_read) settings_.on_read(Steady::now() - start);
  if (!found) return failed(found.error());
  if (!reads_well_) health_.ok(StoreHealth::Part::Reading);
  reads_well_ = true;
  if (found->damaged_row != 0) {
    queue_.drop_damaged(found->damaged_row);
    return base::internal_error(base::ErrorKind::Corrupt,
                                "a stored response does not match its checksum");
  }
  if (found->stored && settings_.purges->purged(key, *found->stored)) return nullptr;
  if (found->stored) used(key);
  return std::move(found->stored);
}

StoreStatus SqliteStore::status() const {
  StoreStatus status = health_.status();
  status.queued = queue_.size();
  status.dropped = queue_.dropped();
  return status;
}

void SqliteStore::load_recent(std::function<bool(std::string_view, StoredPtr)> sink) {
  const std::lock_guard lock(loaders_mutex_);
  if (stopping_) return;
  loaders_.emplace_back([this, sink = std::move(sink)] {
    pthread_setname_np(pthread_self(), "store-loader");
    load(sink);
  });
}

bool SqliteStore::wait_until_opened() {
  std::unique_lock lock(loaders_mutex_);
  while (!stopping_ && writer_.generation() == kNeverOpened) {
    stopped_.wait_for(lock, kReopenPause);
  }
  return !stopping_;
}

void SqliteStore::load(const std::function<bool(std::string_view, StoredPtr)>& sink) {
  if (!wait_until_opened()) return;
  const std::uint64_t generation = writer_.generation();  // of what is opened now, or of less
  auto reader = RowReader::open(settings_.path, settings_.vfs);
  if (!reader) {
    ++health_.read_errors;
    return;
  }
  const std::int64_t now_hour = hour_of(clock_.wall());
  const auto visit = [&](std::string_view key, StoredPtr stored) {
    if (stopping_) return false;
    if (settings_.purges->purged(key, *stored)) return true;
    return expiry_hour(*stored) < now_hour || sink(key, std::move(stored));
  };
  RowReader::Place place;
  std::vector<std::int64_t> damaged;
  for (bool more = true; more;) {
    damaged.clear();
    const auto read = reader->recent(place, kRecentRows, visit, damaged);
    for (const std::int64_t id : damaged) queue_.drop_damaged(id);
    if (!read) {
      ++health_.read_errors;
      if (read.error().kind == base::ErrorKind::Corrupt) writer_.report_corruption(generation);
      return;
    }
    more = *read;
  }
}

}  // namespace

base::Result<std::unique_ptr<Store>> open_store(StoreSettings settings, const base::Clock& clock,
                                                observe::Log& log) {
  auto store = std::make_unique<SqliteStore>(std::move(settings), clock, log);
  if (auto opened = store->writer().open(store->lock_patience()); !opened) {
    return tl::unexpected(std::move(opened.error()));
  }
  store->writer().start();
  return store;
}

std::unique_ptr<Store> store_without_file(StoreSettings settings, const base::Error& why,
                                          const base::Clock& clock, observe::Log& log) {
  auto store = std::make_unique<SqliteStore>(std::move(settings), clock, log);
  if (why.kind == base::ErrorKind::NotOurs || why.kind == base::ErrorKind::TooNew) {
    store->health().off(why.message);
  } else if (why.kind != base::ErrorKind::Io) {
    store->health().degraded(StoreHealth::Part::Writing, why.message);
  } else if (const auto opened = store->writer().open(); !opened) {
    // Once more, as what can only be read is to answer the first request already.
    store->health().degraded(StoreHealth::Part::Writing, opened.error().message);
  }
  store->writer().start();
  return store;
}

}  // namespace holdfast::cache
