// WriteQueue holds what is to be written, in order, between the threads that ask
// for it and the one that writes, and answers reads of what is not committed
// yet. Bounded by entries and bytes; nothing here blocks on the disk. A put may be
// refused, as memory has it too; an erasure never is, as what it was for would come
// back.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "cache/stored_response.h"

namespace holdfast::cache {

struct Write {
  enum class Kind {
    Put,
    Erase,
    EraseAll,
    DropDamaged,
    Purges,  // that there are some to be written: whoever writes knows which
  };
  Kind kind = Kind::Put;
  std::string key;
  StoredPtr stored;         // of a put
  std::int64_t row_id = 0;  // of a damaged row
  std::uint64_t sequence = 0;
  std::chrono::steady_clock::time_point queued{};
};

class WriteQueue {
 public:
  struct Limits {
    std::size_t entries = 16384;
    std::size_t bytes = 32U << 20;
    // So many erasures find room where puts do not, in as many bytes again.
    std::size_t erasures = 100'000;
    std::size_t batch_entries = 512;  // as many are worth writing at once
  };
  explicit WriteQueue(Limits limits) : limits_(limits) {}

  // Any thread. False: full (or too large), not queued.
  bool put(std::string_view key, StoredPtr stored);
  bool drop_damaged(std::int64_t row_id);
  // Any thread. False: more wait than are kept one by one, so everything is erased.
  bool erase(std::string_view key);
  void erase_all();
  // Any thread. Where there is no room it is not needed: with what is queued they are written too.
  void purges();

  // What a read must see although the table does not have it yet. Any thread.
  enum class Pending { No, Put, Erased };
  Pending find(std::string_view key, StoredPtr& stored) const;

  std::size_t size() const;
  std::uint64_t dropped() const;
  std::uint64_t last_sequence() const;

  // The rest is for the writing thread.

  // Returns when there is a full batch, when the oldest write has waited for
  // `window`, at `until`, or after wake().
  void wait(std::chrono::steady_clock::time_point until, std::chrono::milliseconds window);
  // Returns at `until` or after wake(), whatever is queued.
  void pause(std::chrono::steady_clock::time_point until);
  // Any thread.
  void wake();

  // The next writes, oldest first. They stay queued, and stay valid, until done()
  // is told about them. Left out are those that a later one of them makes pointless.
  struct Batch {
    std::vector<const Write*> writes;
    std::size_t taken = 0;  // how many done() shall take off
    std::uint64_t last_sequence = 0;
  };
  Batch peek(std::size_t max_bytes);
  void done(const Batch& batch);

 private:
  // With mutex_ held:
  bool has_room(const Write& write, std::size_t entries, std::size_t bytes) const;
  void push(Write write);
  void forget();
  static std::size_t bytes_of(const Write& write);

  const Limits limits_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_. A deque, as its elements stay where they are while others
  // come and go; a queued write never changes.
  std::deque<Write> writes_;
  std::unordered_map<std::string_view, const Write*> latest_;  // by key, since the last EraseAll
  std::uint64_t erase_all_sequence_ = 0;                       // of the last one queued; 0: none
  std::uint64_t next_sequence_ = 1;
  std::size_t bytes_ = 0;
  std::size_t taken_ = 0;  // by the last peek(): the writing thread may be reading them
  std::uint64_t dropped_ = 0;
  bool woken_ = false;
};

}  // namespace holdfast::cache
