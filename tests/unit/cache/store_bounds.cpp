// What the store may take: of the disk in all, and of it for the WAL, whatever
// is written and whoever reads meanwhile.
#include <doctest/doctest.h>
#include <sqlite3.h>

#include <algorithm>
#include <vector>

#include "base/random.h"
#include "cache/row_reader.h"
#include "cache/used_keys.h"
#include "fault_vfs.h"
#include "rounds.h"
#include "store_fixture.h"

namespace holdfast::cache {
namespace {

using State = StoreStatus::State;

constexpr std::uintmax_t kLargestWal = 64 << 20;

std::uintmax_t size_of(const std::string& path) {
  std::error_code none;
  const auto size = std::filesystem::file_size(path, none);
  return none ? 0 : size;
}

// Another process in the middle of a long read: it sees the file as it was when
// it began, and the WAL cannot be started anew until it is done.
class LongRead {
 public:
  explicit LongRead(const std::string& path) {
    REQUIRE(sqlite3_open_v2(path.c_str(), &handle_, SQLITE_OPEN_READONLY, nullptr) == SQLITE_OK);
    sqlite3_busy_timeout(handle_, 20'000);
    run("BEGIN");
    run("SELECT count(*) FROM holdfast_response");
  }
  ~LongRead() { sqlite3_close(handle_); }
  LongRead(const LongRead&) = delete;
  LongRead& operator=(const LongRead&) = delete;

 private:
  void run(const char* sql) {
    REQUIRE(sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr) == SQLITE_OK);
  }
  sqlite3* handle_ = nullptr;
};

// Puts `count` large responses; returns the size of the largest WAL seen.
std::uintmax_t put_many(StoreFixture& f, int first, int count) {
  std::uintmax_t largest = 0;
  for (int i = first; i < first + count; ++i) {
    const StoredPtr stored = f.make(std::to_string(i) + std::string(16 << 10, 'b'));
    while (!f.store->put("key-" + std::to_string(i), stored)) {
      if (f.store->status().state != State::Ok) return largest;
      std::this_thread::sleep_for(1ms);
    }
    largest = std::max(largest, size_of(f.settings.path + "-wal"));
  }
  return largest;
}

TEST_CASE("the WAL stays under 64 MiB while readers and the writer are busy") {
  StoreFixture f;
  f.settings.tick = 1s;
  f.open();
  REQUIRE(put_many(f, 0, 100) <= kLargestWal);
  f.store->flush();
  std::atomic<bool> done{false};
  std::atomic<bool> failed{false};
  std::vector<std::thread> readers;
  for (int n = 0; n < 2; ++n) {
    readers.emplace_back([&] {
      auto reader = RowReader::open(f.settings.path, {});
      std::vector<std::int64_t> damaged;
      while (!done && reader) {
        // As an export walks: many short reads, one right after the other.
        std::int64_t after = 0;
        for (bool more = true; more && !done;) {
          const auto read = reader->all(
              after, 64, [](std::string_view, const StoredPtr&) { return true; }, damaged);
          if (!read && read.error().kind != base::ErrorKind::Busy) failed = true;
          more = read && *read;
        }
      }
      if (!reader || !damaged.empty()) failed = true;
    });
  }
  const std::uintmax_t largest = put_many(f, 100, 8000);
  f.store->flush();
  done = true;
  for (std::thread& reader : readers) reader.join();
  CHECK_FALSE(failed);
  CHECK(largest > (1 << 20));
  CHECK(largest <= kLargestWal);
  CHECK(f.store->status().state == State::Ok);
  CHECK(f.store->status().entries == 8100);
}

TEST_CASE("a long read: writing stops before the WAL has 64 MiB, and goes on after it") {
  StoreFixture f;
  f.open();
  REQUIRE(put_many(f, 0, 10) <= kLargestWal);
  f.store->flush();
  int put = 10;
  {
    const LongRead read(f.settings.path);
    // The queue takes some more after the writer has stopped.
    for (; put < 20'000 && f.store->status().state == State::Ok; put += 10) {
      REQUIRE(put_many(f, put, 10) <= kLargestWal);
    }
    REQUIRE(f.store->status().state == State::Degraded);
    CHECK(f.store->status().reason.find("long read") != std::string::npos);
    CHECK(size_of(f.settings.path + "-wal") > (32 << 20));
    CHECK(size_of(f.settings.path + "-wal") <= kLargestWal);
    CHECK(f.body("key-1").size() > (16 << 10));
  }
  CHECK(eventually([&] { return f.store->status().state == State::Ok; }));
  f.store->flush();
  CHECK(f.store->status().queued == 0);
  CHECK(f.body("key-" + std::to_string(put - 20)).size() > (16 << 10));
  // Idle, it is cut to nothing.
  CHECK(eventually([&] { return size_of(f.settings.path + "-wal") == 0; }));
}

TEST_CASE("the limit holds within a tenth for any mixture of writes") {
  FaultVfs quick(true);
  for (std::uint64_t seed = 1; seed <= std::uint64_t{holdfast::test::of_seeds(4)}; ++seed) {
    CAPTURE(seed);
    base::Random random(seed);
    StoreFixture f;
    f.settings.vfs = FaultVfs::name();
    f.settings.limit_bytes = 16 << 20;
    f.open();
    const std::size_t longest = std::size_t{200} << random.below(9);  // 200 bytes to 50 KiB
    const std::uint64_t keys = 500 + random.below(200'000);
    std::uint64_t written = 0;
    std::uintmax_t largest = 0;
    // Twice what fits.
    while (written < 2 * f.settings.limit_bytes) {
      for (int i = 0; i < 50; ++i) {
        const std::string key = "key-" + std::to_string(random.below(keys));
        if (random.below(10) == 0) {
          f.store->erase(key);
          continue;
        }
        const std::size_t size = 1 + random.below(longest);
        while (!f.store->put(key, f.make(std::string(size, 'b')))) f.store->flush();
        written += size + 130;
      }
      largest = std::max(largest, size_of(f.settings.path) + size_of(f.settings.path + "-wal"));
    }
    f.store->flush();
    largest = std::max(largest, size_of(f.settings.path) + size_of(f.settings.path + "-wal"));
    CAPTURE(longest);
    CAPTURE(keys);
    CHECK(f.store->status().state == State::Ok);
    CHECK(largest <= f.settings.limit_bytes / 10 * 11);
    // It is not kept by keeping nothing either.
    if (keys * longest / 2 > 2 * f.settings.limit_bytes) {
      CHECK(largest >= f.settings.limit_bytes / 10 * 8);
    }
  }
}

TEST_CASE("uses that cannot be written do not pile up, and are not forgotten either") {
  UsedKeys used;
  for (std::int64_t hash = 1; hash <= 1000; ++hash) used.add(hash);
  std::vector<std::int64_t> waiting(300, -1);
  used.drain(waiting, 1000);
  CHECK(waiting.size() == 1000);
  used.drain(waiting, 1000);
  CHECK(waiting.size() == 1000);
  // Those before were written.
  std::vector<std::int64_t> rest;
  used.drain(rest, 1000);
  CHECK(rest.size() == 300);
  rest.insert(rest.end(), waiting.begin() + 300, waiting.end());
  std::sort(rest.begin(), rest.end());
  CHECK(rest.front() == 1);
  CHECK(rest.back() == 1000);
  CHECK(std::unique(rest.begin(), rest.end()) == rest.end());
}

}  // namespace
}  // namespace holdfast::cache
