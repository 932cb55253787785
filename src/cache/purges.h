// Purges remembers what was purged, or marked stale, by route, by path, by tag or altogether: not
// which responses that concerns, but when it was said. Each is numbered; a response knows the
// number of the last one when its answer was asked for (StoredParts::seen), and is judged by those
// that came after. So a purge costs the same however much is stored, holds for what is on disk
// and for what is under way, and needs no clock that is right. Any thread.
//
// At most so many are remembered one by one. Beyond, the oldest become one purge of all that is
// older: too much is purged then, never too little.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "cache/stored_response.h"

namespace holdfast::cache {

struct Purge {
  // The numbers are those on disk.
  enum class Kind : std::uint8_t {
    All = 0,
    Route = 1,
    Path = 2,  // all variants of it, by path_of() their keys
    Tag = 3,
  };
  Kind kind = Kind::All;
  // It may still be used as a stale response may.
  bool soft = false;
  std::string what;  // empty of All
  std::uint64_t sequence = 0;
  base::WallTime at;
};

// The route that a key is of, and what it has in common with all variants of its path, by whatever
// rules the route has had: the key without query, fields, and what stands for the rules
// (src/proxy/route.h has its form).
std::string_view route_of(std::string_view key);
std::string path_of(std::string_view key);

class Purges {
 public:
  static constexpr std::size_t kMost = 50'000;

  explicit Purges(std::size_t most = kMost) : most_(most) {}
  Purges(const Purges&) = delete;
  Purges& operator=(const Purges&) = delete;

  // In force when it returns. Its number.
  std::uint64_t add(Purge::Kind kind, bool soft, std::string_view what, base::WallTime now);

  // The number of the last one; 0: none yet. Of who asks for something now.
  std::uint64_t latest() const { return latest_.load(std::memory_order_acquire); }
  // The same of those that are not soft.
  std::uint64_t latest_hard() const { return latest_hard_.load(std::memory_order_relaxed); }
  // Another value after every change, and never 0 then: what was judged at the same one need not
  // be judged again.
  std::uint32_t changes() const { return changes_.load(std::memory_order_acquire); }

  enum class Verdict {
    Untouched,
    Stale,   // and says so from now on, to all who hold it
    Purged,  // as good as not there
  };
  Verdict judge(std::string_view key, const StoredResponse& stored) const;
  bool purged(std::string_view key, const StoredResponse& stored) const {
    return judge(key, stored) == Verdict::Purged;
  }
  // The same of what has those two, and marks nothing.
  bool purged(std::string_view key, std::uint64_t seen, std::string_view tags) const;

  // Those behind that number, oldest first.
  std::vector<Purge> since(std::uint64_t sequence) const;
  // Nothing at or below these counts but by them: the numbers of the last purge of everything,
  // whether it was asked for or made of others.
  struct Floors {
    std::uint64_t hard = 0;
    std::uint64_t soft = 0;
    bool operator==(const Floors&) const = default;
  };
  Floors floors() const;
  std::vector<Purge> of_everything() const;

  // What a file holds, which this process did not write. Ours so far count as later than all of
  // that, and what was asked for so far as earlier than all: nobody knows how they were in time.
  // Returns the number of the last of them, 0 if there are none.
  std::uint64_t take_over(std::vector<Purge> from_file);
  // Another value after the numbers of ours have changed by that.
  std::uint64_t numbering() const { return numbering_.load(std::memory_order_acquire); }

  std::size_t size() const;

 private:
  struct Marks {
    std::uint64_t hard = 0;
    std::uint64_t soft = 0;
  };
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const {
      return std::hash<std::string_view>{}(text);
    }
  };
  using ByName = std::unordered_map<std::string, Marks, Hash, std::equal_to<>>;

  // With mutex_ held:
  ByName& names(Purge::Kind kind);
  void insert(Purge purge);
  void raise_floor(bool soft, std::uint64_t sequence, base::WallTime at);
  void forget(std::map<std::uint64_t, Purge>::iterator entry);
  void make_room();
  void changed();
  Marks covering(std::string_view key, std::string_view tags) const;

  const std::size_t most_;
  std::atomic<std::uint64_t> latest_{0};
  std::atomic<std::uint64_t> latest_hard_{0};
  std::atomic<std::uint32_t> changes_{0};
  std::atomic<std::uint64_t> numbering_{0};
  mutable std::shared_mutex mutex_;
  // Guarded by mutex_. By number; the last of each kind, softness and name.
  std::map<std::uint64_t, Purge> entries_;
  ByName routes_;
  ByName paths_;
  ByName tags_;
  Marks all_;
  Marks any_tag_;  // for who has more tags than are kept
};

}  // namespace holdfast::cache
