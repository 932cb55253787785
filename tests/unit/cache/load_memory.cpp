#include "cache/load_memory.h"

#include <doctest/doctest.h>

#include <functional>
#include <string>
#include <string_view>
#include <utility>

namespace holdfast::cache {
namespace {

// Has read, and hands over when it is told to.
class SlowStore final : public Store {
 public:
  using Sink = std::function<bool(std::string_view, StoredPtr)>;

  base::Result<StoredPtr> find(std::string_view) override { return nullptr; }
  bool put(std::string_view, StoredPtr) override { return true; }
  void erase(std::string_view) override {}
  void erase_all() override {}
  void used(std::string_view) override {}
  void load_recent(Sink sink) override { sink_ = std::move(sink); }
  void flush() override {}
  StoreStatus status() const override { return {}; }

  bool hands_over(std::string_view key) { return sink_(key, make_stored({.body = "from before"})); }
  void ends() { sink_ = nullptr; }

 private:
  Sink sink_;
};

std::string body_in_memory(const MemoryCache& memory, std::string_view key) {
  const StoredPtr found = memory.find(key);
  return found ? found->body : std::string();
}

}  // namespace

TEST_CASE("what is erased while memory is loaded from the store does not come back") {
  MemoryCache memory({.limit_bytes = 64 << 20});
  SlowStore store;
  load_memory(store, memory, 48 << 20);
  CHECK(store.hands_over("early"));
  bool others = true;
  SUBCASE("one") {
    memory.erase("key");
    memory.erase("early");
  }
  SUBCASE("one that was stored anew and erased again") {
    memory.put("key", make_stored({.body = "stored anew"}));
    CHECK(store.hands_over("key"));
    CHECK(body_in_memory(memory, "key") == "stored anew");
    memory.erase("key");
    memory.erase("early");
  }
  SUBCASE("all") {
    memory.clear();
    others = false;
  }
  SUBCASE("more than are remembered") {
    memory.erase("key");
    memory.erase("early");
    for (int i = 0; i < 200'000; ++i) memory.erase(std::to_string(i));
    others = false;
  }
  store.hands_over("key");
  store.hands_over("early");
  store.hands_over("other");
  CHECK_FALSE(memory.find("key"));
  CHECK_FALSE(memory.find("early"));
  CHECK((memory.find("other") != nullptr) == others);
  // What is stored since is as welcome as ever.
  memory.put("key", make_stored({.body = "stored anew"}));
  store.hands_over("key");
  CHECK(body_in_memory(memory, "key") == "stored anew");

  // The next load reads what is there now.
  memory.erase("key");
  store.ends();
  memory.erase("key");
  load_memory(store, memory, 48 << 20);
  store.hands_over("key");
  CHECK(memory.find("key"));
}

TEST_CASE("what nobody takes any more is passed over") {
  MemoryCache memory({.limit_bytes = 64 << 20});
  SlowStore store;
  load_memory(store, memory, 48 << 20,
              [](std::string_view key, const StoredResponse&) { return key != "gone"; });
  CHECK(store.hands_over("gone"));
  CHECK(store.hands_over("key"));
  CHECK_FALSE(memory.find("gone"));
  CHECK(memory.find("key"));
}

TEST_CASE("loading from the store ends where memory has so many bytes") {
  MemoryCache memory({.limit_bytes = 1 << 20, .shards = 1});
  SlowStore store;
  load_memory(store, memory, 64 << 10);
  int loaded = 0;
  while (loaded < 10'000 && store.hands_over(std::to_string(loaded))) ++loaded;
  CHECK(loaded < 10'000);
  CHECK(memory.stats().bytes > 64 << 10);
  CHECK(memory.stats().bytes < 66 << 10);
  CHECK(memory.stats().evictions == 0);
}

}  // namespace holdfast::cache
