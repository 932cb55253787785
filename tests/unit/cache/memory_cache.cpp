#include "cache/memory_cache.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <list>
#include <string>
#include <thread>
#include <vector>

#include "base/random.h"
#include "rounds.h"

namespace holdfast::cache {
namespace {

StoredPtr response(std::size_t body_bytes, char fill = 'x') {
  return make_stored({.body = std::string(body_bytes, fill)});
}

// SIEVE as the paper's pseudocode has it, on a list and nothing else.
class Model {
 public:
  explicit Model(std::size_t limit_bytes) : limit_(limit_bytes) {}

  StoredPtr find(const std::string& key) {
    const auto it = position(key);
    if (it == list_.end()) return nullptr;
    it->visited = true;
    return it->stored;
  }
  void put(const std::string& key, const StoredPtr& stored, bool replace) {
    const std::size_t cost = cost_bytes(key, *stored);
    const auto it = position(key);
    if (it != list_.end()) {
      if (!replace) return;
      if (cost > limit_) return remove(it);
      it->cost = 0;
      evict(cost, key);
      it->cost = cost;
      it->stored = stored;
      it->visited = true;
    } else if (cost <= limit_) {
      evict(cost, {});
      list_.push_front({key, stored, cost, false});
      if (list_.size() == 1) hand_ = list_.end();
    }
  }
  bool erase(const std::string& key) {
    const auto it = position(key);
    if (it == list_.end()) return false;
    remove(it);
    return true;
  }
  void clear() {
    list_.clear();
    hand_ = list_.end();
  }

  std::size_t bytes() const {
    std::size_t sum = 0;
    for (const Item& item : list_) sum += item.cost;
    return sum;
  }
  std::vector<std::pair<std::string, StoredPtr>> contents() const {
    std::vector<std::pair<std::string, StoredPtr>> all;
    for (const Item& item : list_) all.emplace_back(item.key, item.stored);
    return all;
  }
  std::uint64_t evictions = 0;

 private:
  struct Item {
    std::string key;
    StoredPtr stored;
    std::size_t cost;
    bool visited;
  };
  using Position = std::list<Item>::iterator;

  Position position(const std::string& key) {
    return std::find_if(list_.begin(), list_.end(), [&](const Item& i) { return i.key == key; });
  }
  Position towards_head(Position it) {
    return it == list_.begin() ? list_.end() : std::prev(it);  // end: start from the tail
  }
  void remove(Position it) {
    if (hand_ == it) hand_ = towards_head(it);
    list_.erase(it);
  }
  void evict(std::size_t room, const std::string& spared) {
    while (bytes() + room > limit_) {
      for (;;) {
        if (hand_ == list_.end()) hand_ = std::prev(list_.end());
        if (hand_->key != spared) {
          if (!hand_->visited) break;
          hand_->visited = false;
        }
        hand_ = towards_head(hand_);
      }
      ++evictions;
      remove(hand_);
    }
  }

  std::size_t limit_;
  std::list<Item> list_;
  Position hand_ = list_.end();
};

TEST_CASE("what is cleared is found no more, and freed as fast as its holder likes") {
  MemoryCache cache({.limit_bytes = 1 << 20});
  std::vector<std::weak_ptr<const StoredResponse>> entries;
  for (int i = 0; i < 100; ++i) {
    const StoredPtr stored = response(10);
    entries.emplace_back(stored);
    cache.put(std::to_string(i), stored);
  }
  const auto held = [&] {
    return std::count_if(entries.begin(), entries.end(), [](auto& e) { return !e.expired(); });
  };
  MemoryCache::Remains remains = cache.clear();
  CHECK(cache.stats().entries == 0);
  CHECK(cache.stats().bytes == 0);
  CHECK(cache.find("7") == nullptr);
  CHECK(held() == 100);
  cache.put("7", response(10));
  for (int freed = 0; remains.free(1);) CHECK(held() >= 100 - ++freed);
  CHECK(held() == 0);
  CHECK_FALSE(remains.free(1));
  CHECK(cache.find("7") != nullptr);
}

TEST_CASE("does what SIEVE on a plain list does, for any sequence of calls") {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    CAPTURE(seed);
    base::Random random(seed);
    const std::size_t limit = 4'000 + random.below(60'000);
    MemoryCache cache({.limit_bytes = limit, .shards = 1});
    Model model(limit);
    const std::uint64_t keys = 5 + random.below(150);
    for (int step = 0; step < 2000; ++step) {
      CAPTURE(step);
      const std::string key = "key-" + std::to_string(random.below(keys));
      const std::uint64_t what = random.below(1000);
      if (what < 550) {
        REQUIRE(cache.find(key) == model.find(key));
      } else if (what < 940) {
        const std::size_t size =
            random.below(50) == 0 ? random.below(2 * limit) : random.below(900);
        const StoredPtr stored = response(size);
        const bool replace = random.below(4) != 0;
        replace ? (void)cache.put(key, stored) : cache.put_if_absent(key, stored);
        model.put(key, stored, replace);
      } else if (what < 998) {
        REQUIRE(cache.erase(key) == model.erase(key));
      } else {
        cache.clear();
        model.clear();
      }
      const auto stats = cache.stats();
      REQUIRE(stats.bytes == model.bytes());
      REQUIRE(stats.bytes <= limit);
      REQUIRE(stats.evictions == model.evictions);
    }
    std::vector<std::pair<std::string, StoredPtr>> contents;
    cache.for_each(
        [&](std::string_view key, const StoredPtr& stored) { contents.emplace_back(key, stored); });
    CHECK(contents == model.contents());
    CHECK(cache.stats().entries == contents.size());
  }
}

TEST_CASE("what was hit outlives a scan of things nobody asks for again") {
  MemoryCache cache({.limit_bytes = 64 << 10, .shards = 1});
  cache.put("popular", response(100));
  for (int i = 0; i < 10'000; ++i) {
    cache.put("scan-" + std::to_string(i), response(100));
    REQUIRE(cache.find("popular"));
  }
  CHECK(cache.stats().evictions > 9000);
}

TEST_CASE("an entry larger than a shard's share is not kept, nor what it would replace") {
  MemoryCache cache({.limit_bytes = 64 << 10, .shards = 4});
  CHECK(cache.put("key", response(10)));
  REQUIRE(cache.find("key"));
  CHECK_FALSE(cache.put("key", response(20 << 10)));
  CHECK_FALSE(cache.find("key"));
  cache.put_if_absent("other", response(20 << 10));
  CHECK_FALSE(cache.find("other"));
  CHECK(cache.stats().bytes == 0);
}

TEST_CASE("a response stays valid for whoever holds it after it has been evicted") {
  MemoryCache cache({.limit_bytes = 8 << 10, .shards = 1});
  const StoredPtr held = response(1000, 'h');
  cache.put("held", held);
  for (int i = 0; i < 100; ++i) cache.put(std::to_string(i), response(1000));
  CHECK_FALSE(cache.find("held"));
  CHECK(held->body == std::string(1000, 'h'));
}

TEST_CASE("keys may hold any byte, and the empty key is a key") {
  MemoryCache cache({.limit_bytes = 1 << 20, .shards = 3});
  using namespace std::string_view_literals;
  for (const std::string_view key : {""sv, "\0"sv, "\0\0"sv, "a\0b"sv, "a"sv, "\xff\xfe"sv}) {
    cache.put(key, response(key.size(), 'k'));
  }
  CHECK(cache.stats().entries == 6);
  CHECK(cache.find("a\0b"sv)->body == "kkk");
  CHECK(cache.find("")->body.empty());
}

TEST_CASE("many threads at once: every hit is the right one, and the limit holds") {
  constexpr std::size_t kLimit = 256 << 10;
  MemoryCache cache({.limit_bytes = kLimit, .shards = 4});
  std::atomic<bool> wrong{false};
  std::vector<std::thread> threads;
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    threads.emplace_back([&, seed] {
      base::Random random(seed);
      for (int step = 0; step < holdfast::test::of_rounds(20'000); ++step) {
        const std::string key = std::to_string(random.below(1500));
        const std::uint64_t what = random.below(100);
        if (what < 80) {
          const StoredPtr found = cache.find(key);
          if (found && found->body != key) wrong = true;
        } else if (what < 95) {
          cache.put(key, make_stored({.body = key}));
        } else if (what < 98) {
          cache.put_if_absent(key, make_stored({.body = key}));
        } else if (what < 99) {
          cache.erase(key);
        } else if (cache.stats().bytes > kLimit) {
          wrong = true;
        }
        if (step % 5000 == 4999) {
          cache.for_each([&](std::string_view k, const StoredPtr& stored) {
            if (stored->body != k) wrong = true;
          });
          if (seed == 1) cache.clear();
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK_FALSE(wrong);
}

}  // namespace

TEST_CASE("memory shrinks bit by bit to a new limit, and those that were not asked for go first") {
  MemoryCache cache({.limit_bytes = 1 << 20, .shards = 1});
  const std::size_t each = cost_bytes("key-000", *response(1000));
  for (int i = 100; i < 200; ++i) cache.put("key-" + std::to_string(i), response(1000));
  CHECK(cache.find("key-100") != nullptr);
  CHECK(cache.shrink(each * 10, 40));
  CHECK(cache.stats().entries == 60);
  CHECK(cache.limit_bytes() == 1 << 20);
  CHECK(cache.shrink(each * 10, 49));
  CHECK_FALSE(cache.shrink(each * 10, 1));
  CHECK(cache.stats().entries == 10);
  CHECK(cache.stats().evictions == 90);
  CHECK(cache.find("key-100") != nullptr);

  cache.set_limit(each * 10);
  CHECK(cache.limit_bytes() == each * 10);
  cache.put("key-300", response(1000));
  CHECK(cache.stats().entries == 10);
  // Also in one go, and up again.
  cache.set_limit(each * 2);
  CHECK(cache.stats().entries == 2);
  cache.set_limit(each * 4);
  for (int i = 400; i < 410; ++i) cache.put("key-" + std::to_string(i), response(1000));
  CHECK(cache.stats().entries == 4);
}

}  // namespace holdfast::cache
