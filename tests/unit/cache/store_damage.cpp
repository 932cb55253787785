// Files that were damaged while nobody looked, and what comes back out of them.
#include <doctest/doctest.h>
#include <sqlite3.h>

#include <algorithm>
#include <cstdlib>
#include <map>

#include "base/random.h"
#include "cache/salvage.h"
#include "cache/store_admin.h"
#include "fault_vfs.h"
#include "rounds.h"
#include "store_fixture.h"

namespace holdfast::cache {
namespace {

std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}
void write_file(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

std::string body_of(int i) {
  // Some need overflow pages.
  return "body " + std::to_string(i) + std::string(i % 97 == 0 ? 9000 : i % 50, 'x');
}

// The bytes of a store with `count` responses. Part of them is in its WAL only,
// as after a crash.
struct Bytes {
  std::string database;
  std::string wal;
};
Bytes make_store(StoreFixture& f, int count) {
  const auto put = [&](int from, int to) {
    for (int i = from; i < to; ++i) {
      while (!f.store->put("key-" + std::to_string(i), f.make(body_of(i)))) f.store->flush();
    }
    f.store->flush();
  };
  f.open();
  put(0, count / 2);
  f.settings.tick = 1h;  // no checkpoint from here on
  f.open();
  put(count / 2, count);
  Bytes bytes{read_file(f.settings.path), read_file(f.settings.path + "-wal")};
  f.store.reset();
  f.settings.tick = 5ms;
  for (const char* end : {"", "-wal", "-shm"}) std::filesystem::remove(f.settings.path + end);
  return bytes;
}

TEST_CASE("random bit flips and truncations: no crash, no wrong answer") {
  constexpr int kCount = 300;
  FaultVfs disk(true);
  StoreFixture f;
  f.settings.vfs = FaultVfs::name();
  const Bytes good = make_store(f, kCount);
  REQUIRE(good.wal.size() > 4096);
  const char* rounds_text = std::getenv("HOLDFAST_DAMAGE_ROUNDS");
  const int rounds = rounds_text ? std::atoi(rounds_text) : holdfast::test::of_rounds(1000);
  int refused = 0;
  std::uint64_t found_in_all = 0;
  for (int seed = 1; seed <= rounds; ++seed) {
    CAPTURE(seed);
    base::Random random(static_cast<std::uint64_t>(seed));
    Bytes bytes = good;
    std::string& target = random.below(3) == 0 ? bytes.wal : bytes.database;
    if (random.below(4) == 0) {
      target.resize(random.below(target.size()));
    } else {
      for (auto flips = 1 + random.below(8); flips > 0; --flips) {
        // Every other one near the start, where the structure is densest.
        const auto range =
            random.below(2) == 0 ? target.size() : std::min<std::size_t>(8192, target.size());
        target[random.below(range)] ^= static_cast<char>(1U << random.below(8));
      }
    }
    write_file(f.settings.path, bytes.database);
    write_file(f.settings.path + "-wal", bytes.wal);
    const auto opened = f.try_open();
    if (!opened) {
      ++refused;  // taken for another program's file: left alone
      REQUIRE((opened.error().kind == base::ErrorKind::NotOurs ||
               opened.error().kind == base::ErrorKind::TooNew));
    } else {
      for (int i = 0; i < kCount; i += 1 + static_cast<int>(random.below(4))) {
        const auto found = f.store->find("key-" + std::to_string(i));
        if (!found || !*found) continue;
        REQUIRE((*found)->body == body_of(i));
        ++found_in_all;
      }
      if (random.below(8) == 0) {
        REQUIRE(f.store->put("after", f.make("the damage")));
        f.store->flush();
        REQUIRE(f.eventually_has("after", "the damage"));
      }
    }
    f.store.reset();
    for (const auto& entry : std::filesystem::directory_iterator(f.folder.path())) {
      std::filesystem::remove(entry.path());
    }
  }
  CHECK(refused < rounds / 20);
  CHECK(found_in_all > 10U * static_cast<unsigned>(rounds));
}

TEST_CASE("a checkpoint that was cut off within the first page damages nothing") {
  StoreFixture f;
  f.settings.tick = 1h;  // no checkpoint: everything is in the WAL
  f.open();
  for (int i = 0; i < 100; ++i) REQUIRE(f.store->put(std::to_string(i), f.make(body_of(i))));
  f.store->flush();
  const std::string database = read_file(f.settings.path);
  const std::string wal = read_file(f.settings.path + "-wal");
  f.store.reset();
  const std::string whole = read_file(f.settings.path);  // the close has copied all
  REQUIRE(database.size() == 4096);
  for (const std::size_t cut : {std::size_t{16}, std::size_t{72}, std::size_t{2048}}) {
    CAPTURE(cut);
    std::filesystem::remove(f.settings.path + "-shm");
    write_file(f.settings.path, whole.substr(0, cut) + database.substr(cut));
    write_file(f.settings.path + "-wal", wal);
    f.open();
    for (int i = 0; i < 100; ++i) REQUIRE(f.body(std::to_string(i)) == body_of(i));
    f.store.reset();
    CHECK(f.folder.count("store.db.damaged") == 0);
    CHECK(f.folder.count("store.db.salvaged") == 0);
  }
}

TEST_CASE("a damaged file is set aside, the daemon goes on, and its rows come back") {
  constexpr int kCount = 2000;
  for (const bool header : {true, false}) {
    CAPTURE(header);
    StoreFixture f;
    Bytes bytes = make_store(f, kCount);
    if (header) {
      // The magic is gone: SQLite would not even open it.
      for (int i = 0; i < 16; ++i) bytes.database[static_cast<std::size_t>(i)] = 'z';
    } else {
      // The root page of the table is.
      for (std::size_t i = 2 * 4096; i < 3 * 4096; ++i) bytes.database[i] = '\xff';
    }
    // With the first page in it, the WAL would mend the header.
    bytes.wal.clear();
    write_file(f.settings.path, bytes.database);
    write_file(f.settings.path + "-wal", bytes.wal);
    f.open();
    REQUIRE(f.store->put("new", f.make("put at once")));
    CHECK(f.eventually_has("new", "put at once"));
    // A page that is bad inside is found when it is read.
    static_cast<void>(f.store->find("key-1"));
    const std::uint64_t expected = kCount / 2;
    CHECK(eventually([&] { return f.store->status().entries == expected + 1; }));
    CHECK(eventually([&] { return f.store->status().state == StoreStatus::State::Ok; }));
    for (int i = 0; i < static_cast<int>(expected); ++i) {
      REQUIRE(f.body("key-" + std::to_string(i)) == body_of(i));
    }
    CHECK(eventually([&] { return f.folder.count("store.db.salvaged-20260501T") >= 1; }));
    CHECK(f.folder.count("store.db.damaged") == 0);
  }
}

TEST_CASE("a salvage that a restart interrupted goes on at the next start") {
  StoreFixture f;
  const Bytes bytes = make_store(f, 500);
  write_file(f.settings.path + ".damaged-20260401T000000Z", bytes.database);
  write_file(f.settings.path + ".damaged-20260401T000000Z-wal", bytes.wal);
  f.open();
  CHECK(eventually([&] { return f.store->status().entries == 500; }));
  CHECK(eventually([&] { return f.folder.count("store.db.damaged") == 0; }));
}

TEST_CASE("a salvage is done with at its end, whatever way the path is written") {
  StoreFixture f;
  const Bytes bytes = make_store(f, 10);
  write_file(f.settings.path + ".damaged-20260401T000000Z", bytes.database);
  f.settings.path = f.folder.path().string() + "//store.db";
  f.open();
  CHECK(eventually([&] { return f.folder.count("store.db.salvaged-20260401T") == 1; }));
  CHECK(f.folder.count("store.db.damaged") == 0);
}

TEST_CASE("a salvage loses nothing to a disk that refuses a write in the middle of it") {
  constexpr std::uint64_t kCount = 500;
  FaultVfs disk(true);
  StoreFixture made;
  const Bytes bytes = make_store(made, kCount);
  for (int nth = 1; nth <= 150; nth += 7) {
    CAPTURE(nth);
    StoreFixture f;
    f.settings.vfs = FaultVfs::name();
    write_file(f.settings.path + ".damaged-20260401T000000Z", bytes.database);
    write_file(f.settings.path + ".damaged-20260401T000000Z-wal", bytes.wal);
    disk.plan({.call = FaultVfs::Call::Write, .nth = nth, .code = SQLITE_IOERR_WRITE});
    if (const auto opened = f.try_open(); !opened) {
      f.store = store_without_file(f.settings, opened.error(), f.clock, f.log);
    }
    REQUIRE(eventually([&] { return f.folder.count("store.db.damaged") == 0; }));
    REQUIRE(eventually([&] { return f.store->status().entries == kCount; }));
    f.store.reset();
    disk.heal();
  }
}

// Where in the database the rows are that have `key`; 0: the WAL has that page, too. Both depend
// on how the puts were grouped.
std::size_t leaf_of(const Bytes& bytes, std::string_view key) {
  constexpr std::size_t kPage = 4096;
  for (std::size_t at = kPage; at + kPage <= bytes.database.size(); at += kPage) {
    const std::string_view page = std::string_view(bytes.database).substr(at, kPage);
    if (page.front() != '\x0d' || page.find(key) == page.npos) continue;
    const std::size_t number = at / kPage + 1;
    const std::string name = {0, 0, static_cast<char>(number >> 8), static_cast<char>(number)};
    for (std::size_t frame = 32; frame < bytes.wal.size(); frame += 24 + kPage) {
      if (bytes.wal.compare(frame, name.size(), name) == 0) return 0;
    }
    return at;
  }
  return 0;
}

TEST_CASE("damage in a file that was set aside meanwhile is not held against the new one") {
  constexpr int kCount = 3000;
  StoreFixture f;
  Bytes bytes = make_store(f, kCount);
  while (leaf_of(bytes, "key-30") == 0) bytes = make_store(f, kCount);
  // It is looked at last.
  const std::size_t leaf = leaf_of(bytes, "key-30");
  std::fill_n(bytes.database.begin() + static_cast<std::ptrdiff_t>(leaf), 4096, '\xff');
  write_file(f.settings.path, bytes.database);
  write_file(f.settings.path + "-wal", bytes.wal);
  f.settings.tick = 1h;  // or the writer may come upon it before anybody reads
  f.open();
  std::atomic<bool> reading{false};
  std::atomic<bool> go_on{false};
  f.store->load_recent([&](std::string_view, const StoredPtr&) {
    reading = true;
    while (!go_on) std::this_thread::sleep_for(1ms);
    return true;
  });
  REQUIRE(eventually([&] { return reading.load(); }));
  for (int i = 0; i < kCount && f.folder.count("store.db.damaged") == 0; ++i) {
    static_cast<void>(f.store->find("key-" + std::to_string(i)));
  }
  CHECK(eventually([&] { return f.folder.count("store.db.salvaged") > 0; }));
  REQUIRE(f.store->put("new", f.make("put since")));
  f.store->flush();
  CHECK(f.body("new") == "put since");
  const StoreStatus before = f.store->status();
  CHECK(before.state == StoreStatus::State::Ok);
  go_on = true;
  CHECK(eventually([&] { return f.store->status().read_errors > before.read_errors; }));
  REQUIRE(f.store->put("newer", f.make("put after")));
  f.store->flush();
  CHECK(f.store->status().write_errors == before.write_errors);
  CHECK(f.store->status().state == StoreStatus::State::Ok);
  CHECK(f.body("newer") == "put after");
}

TEST_CASE("what was purged does not come back out of a file that was set aside") {
  StoreFixture f;
  const Bytes bytes = make_store(f, 500);
  const auto damage = [&] {
    write_file(f.settings.path + ".damaged-20260401T000000Z", bytes.database);
    write_file(f.settings.path + ".damaged-20260401T000000Z-wal", bytes.wal);
  };
  damage();
  f.open();
  f.store->erase_all();
  f.store->flush();
  CHECK(eventually([&] { return f.folder.count("store.db.damaged") == 0; }));
  f.open();
  f.store->flush();
  CHECK(f.body("key-1").empty());
  CHECK(f.store->status().entries == 0);
}

TEST_CASE("what was erased when its file turned out damaged does not come back out of it") {
  constexpr int kCount = 2000;
  StoreFixture f;
  Bytes bytes = make_store(f, kCount);
  // The root page of the table.
  for (std::size_t i = 2 * 4096; i < 3 * 4096; ++i) bytes.database[i] = '\xff';
  write_file(f.settings.path, bytes.database);
  f.open();
  f.store->erase("key-7");
  static_cast<void>(f.store->find("key-1"));
  const int last = kCount / 2 - 1;
  CHECK(f.eventually_has("key-" + std::to_string(last), body_of(last)));
  CHECK(f.body("key-7").empty());
  CHECK(f.body("key-8") == body_of(8));
}

TEST_CASE("erased content is nowhere in the file any more") {
  StoreFixture f;
  f.settings.tick = 1h;
  f.open();
  for (int i = 0; i < 300; ++i) {
    REQUIRE(f.store->put("key-" + std::to_string(i), f.make("secret-body")));
  }
  f.store->flush();
  for (int i = 0; i < 150; ++i) f.store->erase("key-" + std::to_string(i));
  f.store->flush();
  const auto salvaged = [&] {
    int rows = 0;
    f.store.reset();
    const auto result = salvage(
        page::open_files(f.settings.path).value(), [](PurgeTable) {},
        [&](std::string_view, const StoredPtr&) {
          ++rows;
          return true;
        });
    REQUIRE(result);
    return rows;
  };
  CHECK(salvaged() == 150);
  f.open();
  f.store->erase_all();
  f.store->flush();
  CHECK(salvaged() == 0);
}

TEST_CASE("a salvage reads the WAL up to its last whole transaction, and the newest version") {
  StoreFixture f;
  f.settings.tick = 1h;
  f.open();
  REQUIRE(f.store->put("key", f.make("first")));
  f.store->flush();
  f.clock.advance(1min);
  REQUIRE(f.store->put("key", f.make("second")));
  f.store->flush();
  write_file(f.folder.file("copy"), read_file(f.settings.path));
  write_file(f.folder.file("copy-wal"), read_file(f.settings.path + "-wal"));
  std::vector<std::string> bodies;
  const auto collect = [&](std::string_view key, const StoredPtr& stored) {
    CHECK(key == "key");
    bodies.push_back(stored->body);
    return true;
  };
  const auto no_purges = [](PurgeTable) {};
  const auto salvage_copy = [&] {
    return salvage(page::open_files(f.folder.file("copy")).value(), no_purges, collect);
  };
  REQUIRE(salvage_copy());
  CHECK(bodies == std::vector<std::string>{"second"});
  // Without its last frame the last transaction never happened.
  std::string wal = read_file(f.folder.file("copy-wal"));
  wal.resize(wal.size() - 1);
  write_file(f.folder.file("copy-wal"), wal);
  bodies.clear();
  REQUIRE(salvage_copy());
  CHECK(bodies == std::vector<std::string>{"first"});
}

}  // namespace
}  // namespace holdfast::cache
