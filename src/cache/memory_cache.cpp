#include "cache/memory_cache.h"

#include <xxhash.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <mutex>
#include <shared_mutex>
#include <unordered_set>
#include <utility>
#include <vector>

// What was purged stays until it is replaced or evicted: nobody finds it, and as nobody does, it is
// the first to go. As long as there is no purge, a hit finds that out by one comparison.
//
// One list per shard, newest at the head. The hand walks from the tail towards
// the head: an entry whose bit is set loses the bit and stays where it is, the
// first one without it goes. A replaced entry keeps its place, as if it had been
// hit. Find a hit: shared lock, one hash lookup, at most one store to the bit.
//
// Lock order: one shard at a time, nothing else. What is evicted is freed after
// the lock is given back.

namespace holdfast::cache {
namespace {

struct Entry {
  Entry(std::string_view k, std::uint64_t h, StoredPtr s, std::size_t b)
      : key(k), hash(h), stored(std::move(s)), bytes(b) {}

  const std::string key;
  const std::uint64_t hash;
  StoredPtr stored;
  std::size_t bytes;
  Entry* newer = nullptr;
  Entry* older = nullptr;
  mutable std::atomic<bool> visited{false};
  // The state of the purges (Purges::changes()) at which `stored` was last found to be none of
  // theirs.
  mutable std::atomic<std::uint32_t> judged{0};
};
static_assert(sizeof(Entry) <= 88, "cost_bytes() counts an entry as 88 bytes");

// A key with its hash: what lookups are made by, without making a std::string.
struct Lookup {
  std::string_view key;
  std::uint64_t hash;
};

struct EntryHash {
  using is_transparent = void;
  std::size_t operator()(const std::unique_ptr<Entry>& entry) const { return entry->hash; }
  std::size_t operator()(const Lookup& lookup) const { return lookup.hash; }
};

struct EntryEqual {
  using is_transparent = void;
  using Owned = std::unique_ptr<Entry>;
  bool operator()(const Owned& a, const Owned& b) const { return a->key == b->key; }
  bool operator()(const Owned& a, const Lookup& b) const {
    return a->hash == b.hash && a->key == b.key;
  }
  bool operator()(const Lookup& a, const Owned& b) const { return (*this)(b, a); }
};

using Index = std::unordered_set<std::unique_ptr<Entry>, EntryHash, EntryEqual>;
using Evicted = std::vector<Index::node_type>;

Lookup lookup_of(std::string_view key) {
  return {key, XXH3_64bits(key.data(), key.size())};
}

// Whether no purge has taken it.
bool is_there(const Entry& entry, const Purges& purges) {
  const std::uint32_t changes = purges.changes();
  if (entry.judged.load(std::memory_order_relaxed) == changes) return true;
  if (purges.purged(entry.key, *entry.stored)) return false;
  entry.judged.store(changes, std::memory_order_relaxed);
  return true;
}

// So many erasures of a shard are remembered while it is loaded.
constexpr std::size_t kErasedWhileLoading = 4096;

}  // namespace

struct alignas(64) MemoryCache::Shard {
  mutable std::shared_mutex mutex;
  // Everything below is guarded by `mutex`; an entry's bit may be set under the
  // shared lock.
  Index index;
  Entry* newest = nullptr;
  Entry* oldest = nullptr;
  Entry* hand = nullptr;  // null: start from the oldest
  std::size_t bytes = 0;
  std::size_t limit_bytes = 0;
  std::uint64_t evictions = 0;
  int loadings = 0;                          // that are under way
  std::unordered_set<std::uint64_t> erased;  // hashes of keys, since the first of these began
  bool all_erased = false;                   // or so many that it may be any

  void link(Entry& entry) {
    entry.older = newest;
    (newest ? newest->newer : oldest) = &entry;
    newest = &entry;
    bytes += entry.bytes;
  }

  void unlink(Entry& entry) {
    if (hand == &entry) hand = entry.newer;
    (entry.newer ? entry.newer->older : newest) = entry.older;
    (entry.older ? entry.older->newer : oldest) = entry.newer;
    bytes -= entry.bytes;
  }

  Index::node_type take(Entry& entry) {
    unlink(entry);
    return index.extract(index.find(Lookup{entry.key, entry.hash}));
  }

  // Needs an entry other than `spared` to be there.
  Index::node_type evict_one(const Entry* spared) {
    Entry* victim = hand ? hand : oldest;
    while (victim == spared || victim->visited.load(std::memory_order_relaxed)) {
      if (victim != spared) victim->visited.store(false, std::memory_order_relaxed);
      victim = victim->newer ? victim->newer : oldest;
    }
    hand = victim;
    ++evictions;
    return take(*victim);
  }

  void make_room(std::size_t room, const Entry* spared, Evicted& evicted) {
    while (bytes + room > limit_bytes) evicted.push_back(evict_one(spared));
  }

  void insert(const Lookup& lookup, StoredPtr stored, std::size_t cost, Evicted& evicted) {
    make_room(cost, nullptr, evicted);
    auto entry = std::make_unique<Entry>(lookup.key, lookup.hash, std::move(stored), cost);
    link(**index.insert(std::move(entry)).first);
  }

  void note_erased(std::uint64_t hash) {
    if (loadings == 0 || all_erased) return;
    erased.insert(hash);
    if (erased.size() > kErasedWhileLoading) note_all_erased();
  }

  void note_all_erased() {
    all_erased = loadings > 0;
    erased.clear();
  }
};

MemoryCache::MemoryCache(Settings settings)
    : shard_bits_(static_cast<unsigned>(
          std::countr_zero(std::bit_ceil(std::clamp(settings.shards, 1U, 1U << 16))))),
      purges_(settings.purges) {
  const std::size_t count = std::size_t{1} << shard_bits_;
  shards_ = std::make_unique<Shard[]>(count);
  set_limit(settings.limit_bytes);
}

MemoryCache::~MemoryCache() = default;

void MemoryCache::set_limit(std::size_t limit_bytes) {
  limit_bytes_.store(limit_bytes, std::memory_order_relaxed);
  const std::size_t count = std::size_t{1} << shard_bits_;
  for (std::size_t i = 0; i < count; ++i) {
    Evicted evicted;
    const std::unique_lock lock(shards_[i].mutex);
    shards_[i].limit_bytes = limit_bytes / count;
    shards_[i].make_room(0, nullptr, evicted);
  }
}

std::size_t MemoryCache::limit_bytes() const {
  return limit_bytes_.load(std::memory_order_relaxed);
}

bool MemoryCache::shrink(std::size_t limit_bytes, std::size_t most) {
  const std::size_t count = std::size_t{1} << shard_bits_;
  for (std::size_t i = 0; i < count; ++i) {
    Evicted evicted;
    const std::unique_lock lock(shards_[i].mutex);
    while (shards_[i].bytes > limit_bytes / count) {
      if (most == 0) return true;
      --most;
      evicted.push_back(shards_[i].evict_one(nullptr));
    }
  }
  return false;
}

// The high bits: the hash table inside the shard uses the others.
MemoryCache::Shard& MemoryCache::shard_for(std::uint64_t hash) const {
  return shards_[shard_bits_ == 0 ? 0 : hash >> (64 - shard_bits_)];
}

StoredPtr MemoryCache::find(std::string_view key) const {
  const Lookup lookup = lookup_of(key);
  const Shard& shard = shard_for(lookup.hash);
  const std::shared_lock lock(shard.mutex);
  const auto found = shard.index.find(lookup);
  if (found == shard.index.end()) return nullptr;
  const Entry& entry = **found;
  if (!is_there(entry, purges_)) return nullptr;
  // Written only when it changes, so that a popular entry's cache line stays
  // shared between the cores.
  if (!entry.visited.load(std::memory_order_relaxed)) {
    entry.visited.store(true, std::memory_order_relaxed);
  }
  return entry.stored;
}

bool MemoryCache::put(std::string_view key, StoredPtr stored) {
  const Lookup lookup = lookup_of(key);
  const std::size_t bytes = cost_bytes(key, *stored);
  Shard& shard = shard_for(lookup.hash);
  Evicted evicted;  // freed after the lock is given back, as is what was replaced
  const std::unique_lock lock(shard.mutex);
  const auto found = shard.index.find(lookup);
  Entry* present = found == shard.index.end() ? nullptr : found->get();
  if (bytes > shard.limit_bytes) {
    if (present) evicted.push_back(shard.take(*present));
    return false;
  }
  if (present) {
    shard.bytes -= present->bytes;
    present->bytes = 0;
    shard.make_room(bytes, present, evicted);
    present->bytes = bytes;
    shard.bytes += bytes;
    present->stored.swap(stored);
    present->judged.store(0, std::memory_order_relaxed);
    present->visited.store(true, std::memory_order_relaxed);
    return true;
  }
  shard.insert(lookup, std::move(stored), bytes, evicted);
  return true;
}

void MemoryCache::put_if_absent(std::string_view key, StoredPtr stored) {
  const Lookup lookup = lookup_of(key);
  const std::size_t bytes = cost_bytes(key, *stored);
  Shard& shard = shard_for(lookup.hash);
  Evicted evicted;
  const std::unique_lock lock(shard.mutex);
  if (shard.all_erased || shard.erased.contains(lookup.hash)) return;
  if (bytes > shard.limit_bytes || shard.index.contains(lookup)) return;
  shard.insert(lookup, std::move(stored), bytes, evicted);
}

MemoryCache::Loading::Loading(MemoryCache& cache) : cache_(cache) {
  for (std::size_t i = 0; i < std::size_t{1} << cache_.shard_bits_; ++i) {
    const std::unique_lock lock(cache_.shards_[i].mutex);
    ++cache_.shards_[i].loadings;
  }
}

MemoryCache::Loading::~Loading() {
  for (std::size_t i = 0; i < std::size_t{1} << cache_.shard_bits_; ++i) {
    Shard& shard = cache_.shards_[i];
    const std::unique_lock lock(shard.mutex);
    if (--shard.loadings > 0) continue;
    shard.erased = {};
    shard.all_erased = false;
  }
}

void MemoryCache::end_loading() {
  for (std::size_t i = 0; i < std::size_t{1} << shard_bits_; ++i) {
    const std::unique_lock lock(shards_[i].mutex);
    shards_[i].note_all_erased();
  }
}

bool MemoryCache::erase(std::string_view key) {
  const Lookup lookup = lookup_of(key);
  Shard& shard = shard_for(lookup.hash);
  Index::node_type erased;
  const std::unique_lock lock(shard.mutex);
  shard.note_erased(lookup.hash);
  const auto found = shard.index.find(lookup);
  if (found == shard.index.end()) return false;
  erased = shard.take(**found);
  return true;
}

struct MemoryCache::Remains::Held {
  std::vector<Index> indexes;
};

MemoryCache::Remains::Remains() : held_(std::make_unique<Held>()) {}
MemoryCache::Remains::~Remains() = default;
MemoryCache::Remains::Remains(Remains&&) noexcept = default;
MemoryCache::Remains& MemoryCache::Remains::operator=(Remains&&) noexcept = default;

bool MemoryCache::Remains::free(std::size_t most) {
  std::vector<Index>& indexes = held_->indexes;
  for (; most > 0 && !indexes.empty(); --most) {
    Index& last = indexes.back();
    if (!last.empty()) last.erase(last.begin());
    if (last.empty()) indexes.pop_back();
  }
  return !indexes.empty();
}

MemoryCache::Remains MemoryCache::clear() {
  Remains remains;
  for (std::size_t i = 0; i < std::size_t{1} << shard_bits_; ++i) {
    Shard& shard = shards_[i];
    Index& erased = remains.held_->indexes.emplace_back();
    const std::unique_lock lock(shard.mutex);
    shard.note_all_erased();
    erased.swap(shard.index);
    shard.newest = shard.oldest = shard.hand = nullptr;
    shard.bytes = 0;
  }
  return remains;
}

void MemoryCache::for_each(
    const std::function<void(std::string_view, const StoredPtr&)>& visit) const {
  for (std::size_t i = 0; i < std::size_t{1} << shard_bits_; ++i) {
    const Shard& shard = shards_[i];
    const std::shared_lock lock(shard.mutex);
    for (const Entry* entry = shard.newest; entry; entry = entry->older) {
      visit(entry->key, entry->stored);
    }
  }
}

MemoryCache::Stats MemoryCache::stats() const {
  Stats stats;
  for (std::size_t i = 0; i < std::size_t{1} << shard_bits_; ++i) {
    const Shard& shard = shards_[i];
    const std::shared_lock lock(shard.mutex);
    stats.entries += shard.index.size();
    stats.bytes += shard.bytes;
    stats.evictions += shard.evictions;
  }
  return stats;
}

}  // namespace holdfast::cache
