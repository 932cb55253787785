// Store keeps stored responses by cache key, across restarts. The origin loop's
// own thread only, except where a method says otherwise.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"
#include "cache/stored_response.h"

namespace holdfast::cache {

struct StoreStatus {
  enum class State {
    Ok,
    Degraded,  // reads or writes fail; the daemon goes on from memory
    Off,       // never opened, or given up
  };
  State state = State::Off;
  std::string reason;            // why it is not Ok; for people
  base::WallTime since{};        // when `state` last changed
  bool locked = true;            // whether another daemon is kept from the file
  std::uint64_t entries = 0;     // as of the last count
  std::uint64_t size_bytes = 0;  // database and WAL
  // When the oldest and the newest stored response were received, to the hour, as
  // of the last tick; the epoch where nothing is stored.
  base::WallTime oldest{};
  base::WallTime newest{};
  std::size_t queued = 0;       // puts not yet committed
  std::uint64_t dropped = 0;    // puts refused because the queue was full
  std::uint64_t committed = 0;  // puts made durable
  std::uint64_t evicted = 0;
  std::uint64_t read_errors = 0;
  std::uint64_t write_errors = 0;
  std::uint64_t corrupt_rows = 0;  // rows whose checksum did not match: dropped, never answered
  double last_commit_seconds = 0;  // how long the last transaction took
};

class Store {
 public:
  virtual ~Store() = default;

  // Null if absent, purged, or unreadable as itself. Stale ones are returned too. May
  // block for one disk read. Errors: Io, Corrupt (the row is dropped), Unavailable.
  virtual base::Result<StoredPtr> find(std::string_view key) = 0;

  // Queues the write, all or nothing, and never blocks. It is committed within
  // 50 ms. False if the queue is full: not stored.
  virtual bool put(std::string_view key, StoredPtr stored) = 0;

  // Queues a removal, in order with the puts. Never refused: when very many wait
  // for a disk that takes none, they become one of everything.
  virtual void erase(std::string_view key) = 0;
  virtual void erase_all() = 0;

  // There are purges, in the Purges that the store was given, that are to be written: queued as an
  // erasure is.
  virtual void write_purges() {}

  // How far what is queued by now goes, and whether that far all is committed. Any thread.
  virtual std::uint64_t queued_through() const { return 0; }
  virtual bool committed_through(std::uint64_t) const { return true; }

  // Says that `key` was used, so that eviction spares it. Never blocks, may be
  // forgotten. Any thread.
  virtual void used(std::string_view key) = 0;

  // Reads the most recently used responses in the background, until `sink`
  // returns false, and calls it on a thread of the store's.
  virtual void load_recent(std::function<bool(std::string_view key, StoredPtr)> sink) = 0;

  // Commits everything queued before this call and returns. For a clean stop.
  virtual void flush() = 0;

  // Any thread.
  virtual StoreStatus status() const = 0;
};

}  // namespace holdfast::cache
