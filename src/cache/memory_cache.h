// MemoryCache keeps stored responses in memory under a byte limit, for all
// workers at once. Any thread; a hit takes no exclusive lock and makes no copy.
// Eviction is SIEVE (Zhang et al., NSDI 2024): a hit sets a bit, nothing moves.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "cache/purges.h"
#include "cache/stored_response.h"

namespace holdfast::cache {

class MemoryCache {
 public:
  struct Settings {
    std::size_t limit_bytes = 64U << 20;
    unsigned shards = 16;                // rounded up to a power of two
    std::size_t purges = Purges::kMost;  // remembered one by one
  };
  struct Stats {
    std::size_t entries = 0;
    std::size_t bytes = 0;
    std::uint64_t evictions = 0;
  };

  explicit MemoryCache(Settings settings);
  ~MemoryCache();
  MemoryCache(const MemoryCache&) = delete;
  MemoryCache& operator=(const MemoryCache&) = delete;

  // What was purged by route, path or tag, or all: it holds for what is kept here, and for the
  // store that is given it.
  Purges& purges() { return purges_; }
  const Purges& purges() const { return purges_; }

  // Null if absent, or purged. Stale ones are returned too: reuse is the caller's decision.
  StoredPtr find(std::string_view key) const;

  // Replaces what is there. Evicts until it fits; an entry larger than a shard's
  // share of the limit is not kept (and what it would replace is dropped): false.
  bool put(std::string_view key, StoredPtr stored);

  // Like put(), but keeps what is there already, and leaves out what was erased since
  // a Loading began. For warming from the store.
  void put_if_absent(std::string_view key, StoredPtr stored);

  // Lives from before the first read of what put_if_absent() is given until after the
  // last of these puts: what is read may be erased before it is put. So many erasures
  // that they are not all remembered keep everything out. Any thread.
  class Loading {
   public:
    explicit Loading(MemoryCache& cache);
    ~Loading();
    Loading(const Loading&) = delete;
    Loading& operator=(const Loading&) = delete;

   private:
    MemoryCache& cache_;
  };

  // From now on puts nothing of what is being loaded: what it was held against holds no more.
  void end_loading();

  // True if it was there.
  bool erase(std::string_view key);

  // Any thread. For a limit below what there is, shrink() first, bit by bit: the next put() would
  // evict all that is too much in one go.
  void set_limit(std::size_t limit_bytes);
  std::size_t limit_bytes() const;
  // Evicts so many entries at most of those that are too many for such a limit. False: none are.
  bool shrink(std::size_t limit_bytes, std::size_t most);

  // What clear() took out, which nobody finds any more: freed with it, or bit by bit by
  // who must not stop for as long as a million entries take.
  class Remains {
   public:
    Remains();
    ~Remains();
    Remains(Remains&&) noexcept;
    Remains& operator=(Remains&&) noexcept;
    // Frees so many entries. False: nothing is left.
    bool free(std::size_t most);

   private:
    friend class MemoryCache;
    struct Held;
    std::unique_ptr<Held> held_;
  };
  Remains clear();

  // Calls `visit` for every entry, a shard at a time, under that shard's shared
  // lock: `visit` must be short and must not call back into the cache.
  void for_each(const std::function<void(std::string_view, const StoredPtr&)>& visit) const;

  Stats stats() const;

 private:
  struct Shard;
  Shard& shard_for(std::uint64_t hash) const;

  std::unique_ptr<Shard[]> shards_;
  unsigned shard_bits_;
  std::atomic<std::size_t> limit_bytes_{0};
  Purges purges_;
};

}  // namespace holdfast::cache
