#include "cache/sqlite_store.h"

#include <doctest/doctest.h>
#include <sqlite3.h>

#include <map>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "base/random.h"
#include "fault_vfs.h"
#include "store_fixture.h"

namespace holdfast::cache {
namespace {

using State = StoreStatus::State;

// Another program's connection to the same file.
class Sqlite {
 public:
  explicit Sqlite(const std::string& path) {
    REQUIRE(sqlite3_open(path.c_str(), &db_) == 0);
    sqlite3_busy_timeout(db_, 20'000);  // the writer may be in the middle of something
  }
  ~Sqlite() { sqlite3_close(db_); }
  void run(const std::string& sql) {
    char* message = nullptr;
    const int code = sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, &message);
    REQUIRE_MESSAGE(code == SQLITE_OK, (message ? message : ""));
  }
  std::string text(const std::string& sql) {
    sqlite3_stmt* statement = nullptr;
    REQUIRE(sqlite3_prepare_v2(db_, sql.c_str(), -1, &statement, nullptr) == SQLITE_OK);
    std::string result;
    if (sqlite3_step(statement) == SQLITE_ROW && sqlite3_column_text(statement, 0)) {
      result = reinterpret_cast<const char*>(sqlite3_column_text(statement, 0));
    }
    sqlite3_finalize(statement);
    return result;
  }

 private:
  sqlite3* db_ = nullptr;
};

TEST_CASE("what was put is found, before and after it is committed and after a restart") {
  StoreFixture f;
  f.open();
  const StoredPtr put = make_stored({.status = 404,
                                     .fields = "Content-Type: text/x\r\nX-Odd: \x01\x02\r\n",
                                     .body = std::string("nul \0 and \xff", 11),
                                     .upstream_etag = "\"tag\"",
                                     .upstream_last_modified = "Fri, 01 May 2026 00:00:00 GMT",
                                     .response_time = f.clock.wall() + 123ms,
                                     .initial_age = 5s,
                                     .freshness_lifetime = 6s,
                                     .stale_while_revalidate = 7s,
                                     .stale_if_error = 8s});
  Sqlite other(f.settings.path);
  other.run("BEGIN IMMEDIATE");  // so that it stays queued
  REQUIRE(f.store->put("key", put));
  auto found = f.store->find("key");
  REQUIRE(found);
  CHECK(*found == put);  // the very same object
  other.run("COMMIT");
  REQUIRE(eventually([&] { return f.store->status().queued == 0; }));
  found = f.store->find("key");
  REQUIRE(found);
  REQUIRE(*found);
  CHECK(same(**found, *put));
  f.open();
  found = f.store->find("key");
  REQUIRE(found);
  REQUIRE(*found);
  CHECK(same(**found, *put));
  CHECK(f.store->status().entries == 1);
  CHECK(f.store->status().state == State::Ok);
}

TEST_CASE("how old the oldest and the newest stored response are is known, until all is erased") {
  StoreFixture f;
  f.open();
  const auto oldest = [&] { return f.store->status().oldest; };
  const auto newest = [&] { return f.store->status().newest; };
  CHECK(oldest() == base::WallTime());
  CHECK(newest() == base::WallTime());
  const base::WallTime first = f.clock.wall();
  REQUIRE(f.store->put("a", f.make("1")));
  f.clock.advance(5h);
  REQUIRE(f.store->put("b", f.make("2")));
  f.clock.advance(5h);
  const base::WallTime last = f.clock.wall();
  REQUIRE(f.store->put("c", f.make("3")));
  CHECK(eventually([&] { return oldest() == first && newest() == last; }));
  // A refresh makes it young again.
  REQUIRE(f.store->put("a", f.make("4")));
  CHECK(eventually([&] { return oldest() == first + 5h; }));
  f.open();
  CHECK(eventually([&] { return oldest() == first + 5h && newest() == last; }));
  f.store->erase_all();
  CHECK(eventually([&] { return oldest() == base::WallTime() && newest() == base::WallTime(); }));
}

TEST_CASE("what is absent is null, not an error") {
  StoreFixture f;
  f.open();
  CHECK(f.body("absent").empty());
  CHECK(f.store->status().read_errors == 0);
}

TEST_CASE("the last put counts, however puts and erasures are grouped") {
  StoreFixture f;
  f.open();
  base::Random random(11);
  std::map<std::string, std::string> model;
  for (int i = 0; i < 4000; ++i) {
    const std::string key = "k" + std::to_string(random.below(60));
    const auto what = random.below(1000);
    if (what < 700) {
      model[key] = std::to_string(i);
      REQUIRE(f.store->put(key, f.make(model[key])));
    } else if (what < 900) {
      model.erase(key);
      f.store->erase(key);
    } else if (what < 903) {
      model.clear();
      f.store->erase_all();
    } else if (what < 920) {
      f.store->flush();
    } else {
      const auto expected = model.find(key);
      REQUIRE(f.body(key) == (expected == model.end() ? "" : expected->second));
    }
  }
  f.store->flush();
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 60; ++i) {
      const std::string key = "k" + std::to_string(i);
      const auto expected = model.find(key);
      CHECK(f.body(key) == (expected == model.end() ? "" : expected->second));
    }
    CHECK(f.store->status().entries == model.size());
    f.open();
  }
}

TEST_CASE("a put is committed by itself, without a flush") {
  StoreFixture f;
  f.open();
  REQUIRE(f.store->put("key", f.make("body")));
  CHECK(eventually([&] { return f.store->status().committed == 1; }));
  Sqlite other(f.settings.path);
  CHECK(other.text("SELECT body FROM holdfast_response") == "body");
}

TEST_CASE("keys with the same 32-bit hash are told apart") {
  // The table narrows by 32 bits of a hash; put two rows under one hash by hand.
  StoreFixture f;
  f.open();
  REQUIRE(f.store->put("one", f.make("1")));
  REQUIRE(f.store->put("two", f.make("2")));
  f.store.reset();
  Sqlite(f.settings.path)
      .run(
          "UPDATE holdfast_response SET key_hash="
          "(SELECT key_hash FROM holdfast_response WHERE key='one')");
  f.open();
  CHECK(f.body("one") == "1");
  CHECK(f.body("two").empty());  // not where its own hash leads, and never the other's
}

TEST_CASE("the queue is bounded by entries and by bytes; what it refuses is counted") {
  StoreFixture f;
  f.settings.queue_entries = 10;
  f.open();
  Sqlite other(f.settings.path);
  other.run("BEGIN IMMEDIATE");  // nothing is written meanwhile
  int accepted = 0;
  for (int i = 0; i < 30; ++i) accepted += f.store->put(std::to_string(i), f.make("x"));
  CHECK(accepted == 10);
  CHECK(f.store->status().dropped == 20);
  CHECK(f.store->status().queued == 10);
  other.run("COMMIT");
  REQUIRE(eventually([&] { return f.store->status().queued == 0; }));
  CHECK(f.store->put("big", f.make(std::string(20 << 20, 'b'))));
  CHECK_FALSE(f.store->put("too big", f.make(std::string(40 << 20, 'b'))));
}

TEST_CASE("a clean stop leaves nothing unwritten and an empty WAL") {
  StoreFixture f;
  f.settings.commit_window = 1h;
  f.open();
  for (int i = 0; i < 3000; ++i) {
    REQUIRE(f.store->put(std::to_string(i), f.make("body " + std::to_string(i))));
  }
  f.store.reset();
  CHECK(std::filesystem::file_size(f.settings.path + "-wal") == 0);
  f.open();
  CHECK(f.store->status().entries == 3000);
  CHECK(f.body("2999") == "body 2999");
}

TEST_CASE("erasing everything hides it at once and deletes it little by little") {
  StoreFixture f;
  f.open();
  for (int i = 0; i < 3000; ++i) REQUIRE(f.store->put(std::to_string(i), f.make("old")));
  f.store->flush();
  f.store->erase_all();
  CHECK(f.body("1").empty());
  REQUIRE(f.store->put("1", f.make("new")));
  f.store->flush();
  CHECK(f.body("1") == "new");
  CHECK(f.body("2").empty());
  CHECK(f.store->status().entries == 1);
  Sqlite other(f.settings.path);
  CHECK(eventually([&] { return other.text("SELECT count(*) FROM holdfast_response") == "1"; }));
  REQUIRE(f.store->put("after", f.make("the sweep")));
  f.store->flush();
  CHECK(f.body("after") == "the sweep");
  CHECK(f.store->status().entries == 2);
}

TEST_CASE("a row whose content does not match its checksum is a miss, dropped and counted") {
  StoreFixture f;
  f.open();
  for (const char* key : {"a", "b", "c", "d", "e", "f"}) REQUIRE(f.store->put(key, f.make(key)));
  f.store.reset();
  {
    Sqlite other(f.settings.path);
    other.run("UPDATE holdfast_response SET body='A' WHERE key='a'");
    other.run("UPDATE holdfast_response SET status=201 WHERE key='b'");
    other.run("UPDATE holdfast_response SET response_time=response_time+1 WHERE key='c'");
    other.run("UPDATE holdfast_response SET fields='' WHERE key='d'");
    other.run("UPDATE holdfast_response SET checksum=checksum+1 WHERE key='e'");
  }
  f.open();
  for (const char* key : {"a", "b", "c", "d", "e"}) {
    const auto found = f.store->find(key);
    REQUIRE_FALSE(found);
    CHECK(found.error().kind == base::ErrorKind::Corrupt);
  }
  CHECK(f.body("f") == "f");
  f.store->flush();
  CHECK(f.store->status().corrupt_rows == 5);
  CHECK(f.store->status().entries == 1);
  CHECK(f.store->status().state == State::Ok);
  CHECK(f.body("a").empty());
}

TEST_CASE("the most recently used come first when memory is warmed") {
  StoreFixture f;
  f.open();
  for (int i = 0; i < 700; ++i) {
    REQUIRE(f.store->put("old-" + std::to_string(i), f.make("x")));
  }
  REQUIRE(f.store->put("gone", answer("x", f.clock.wall() - 24h, 1s)));
  f.store->flush();
  f.clock.advance(200h);
  REQUIRE(f.store->put("new", f.make("y")));
  f.store->flush();
  std::mutex mutex;
  std::vector<std::string> keys;
  f.store->load_recent([&](std::string_view key, const StoredPtr&) {
    const std::lock_guard lock(mutex);
    keys.emplace_back(key);
    return keys.size() < 701;
  });
  REQUIRE(eventually([&] {
    const std::lock_guard lock(mutex);
    return keys.size() == 701;
  }));
  CHECK(keys.front() == "new");
  CHECK(keys[1] == "old-699");
  CHECK(keys.back() == "old-0");
  CHECK(std::set(keys.begin(), keys.end()).size() == 701);  // "gone" is not worth loading
}

TEST_CASE("the limit holds: the expired go first, then the least recently used") {
  StoreFixture f;
  f.settings.limit_bytes = 4 << 20;
  f.open();
  const std::string body(1000, 'b');
  const auto fill = [&](const std::string& prefix, int count) {
    for (int i = 0; i < count; ++i) {
      while (!f.store->put(prefix + std::to_string(i), f.make(body))) f.store->flush();
    }
    f.store->flush();
  };
  for (int i = 0; i < 100; ++i) {
    REQUIRE(f.store->put("expired-" + std::to_string(i), answer(body, f.clock.wall() - 400h, 1s)));
  }
  fill("used-", 100);
  fill("unused-", 1000);
  REQUIRE(f.store->status().evicted == 0);
  f.clock.advance(2h);
  for (int i = 0; i < 100; ++i) f.store->used("used-" + std::to_string(i));
  for (int i = 0; i < 50; ++i) {
    fill("new-" + std::to_string(i) + "-", 200);
    CAPTURE(i);
    CAPTURE(std::filesystem::file_size(f.settings.path));
    CAPTURE(std::filesystem::file_size(f.settings.path + "-wal"));
    REQUIRE(f.store->status().size_bytes <= f.settings.limit_bytes * 11 / 10);
  }
  const auto count = [&](const std::string& prefix) {
    return std::stoi(
        Sqlite(f.settings.path)
            .text("SELECT count(*) FROM holdfast_response WHERE key LIKE '" + prefix + "-%'"));
  };
  CHECK(count("expired") == 0);
  CHECK(count("unused") == 0);
  CHECK(f.store->status().evicted > 5000);
  CHECK(count("new-49") == 200);
  CHECK(eventually([&] {  // the last eviction may still be under way
    return f.store->status().entries ==
           std::stoul(Sqlite(f.settings.path).text("SELECT count(*) FROM holdfast_response"));
  }));
}

TEST_CASE("what was used is spared when others go") {
  StoreFixture f;
  f.settings.limit_bytes = 4 << 20;
  f.open();
  const std::string body(1000, 'b');
  for (int i = 0; i < 2000; ++i) REQUIRE(f.store->put("k" + std::to_string(i), f.make(body)));
  f.store->flush();
  REQUIRE(f.store->status().evicted == 0);
  f.clock.advance(2h);
  for (int i = 0; i < 50; ++i) f.store->used("k" + std::to_string(i));
  for (int i = 0; i < 1200; ++i) {
    while (!f.store->put("n" + std::to_string(i), f.make(body))) f.store->flush();
  }
  f.store->flush();
  CHECK(eventually([&] { return f.store->status().evicted > 300; }));
  int kept = 0;
  for (int i = 0; i < 50; ++i) kept += f.body("k" + std::to_string(i)).empty() ? 0 : 1;
  // All but the odd one that lost its slot among the noted uses to another.
  CHECK(kept >= 48);
}

TEST_CASE("a lowered limit gives the room back to the file system") {
  FaultVfs quick(true);
  StoreFixture f;
  f.settings.vfs = FaultVfs::name();
  f.settings.limit_bytes = 16 << 20;
  f.open();
  for (int i = 0; i < 8000; ++i) {
    while (!f.store->put(std::to_string(i), f.make(std::string(1000, 'b')))) f.store->flush();
  }
  f.store.reset();
  REQUIRE(std::filesystem::file_size(f.settings.path) > (8 << 20));
  f.settings.limit_bytes = 4 << 20;
  f.open();
  REQUIRE(f.store->put("one more", f.make("x")));
  // The file shrinks when the WAL that says so has been copied into it. That takes
  // many turns, and as long as something happens it is right.
  const auto so_far = [&] {
    return std::pair(f.store->status().evicted, std::filesystem::file_size(f.settings.path));
  };
  for (auto seen = so_far(); seen.second >= (4 << 20) * 11 / 10; seen = so_far()) {
    REQUIRE(eventually([&] { return so_far() != seen; }));
  }
  CHECK(f.body("one more") == "x");
}

TEST_CASE("a file of another program is refused and left as it was") {
  for (const int kind : {0, 1, 2, 3}) {
    CAPTURE(kind);
    StoreFixture f;
    if (kind == 0) std::ofstream(f.settings.path) << "PORT=3000\n";
    if (kind == 1) std::ofstream(f.settings.path) << std::string(100'000, 'z');
    if (kind == 2) Sqlite(f.settings.path).run("CREATE TABLE t(x); INSERT INTO t VALUES(1)");
    if (kind == 3) {
      Sqlite(f.settings.path).run("PRAGMA journal_mode=WAL; CREATE TABLE holdfast_x(x)");
    }
    const auto read_all = [&] {
      std::ifstream in(f.settings.path, std::ios::binary);
      return std::string(std::istreambuf_iterator<char>(in), {});
    };
    const std::string before = read_all();
    const auto opened = f.try_open();
    REQUIRE_FALSE(opened);
    CHECK(opened.error().kind == base::ErrorKind::NotOurs);
    CHECK(opened.error().message.find(f.settings.path) != std::string::npos);
    CHECK(read_all() == before);
    CHECK(f.folder.count("store.db.") == 0);

    f.store = store_without_file(f.settings, opened.error(), f.clock, f.log);
    CHECK(f.store->status().state == State::Off);
    CHECK(f.store->find("key").error().kind == base::ErrorKind::Unavailable);
    std::filesystem::remove(f.settings.path);
    REQUIRE(f.store->put("key", f.make("once it is gone")));
    CHECK(eventually([&] { return f.store->status().state == State::Ok; }));
    f.store->flush();
    CHECK(f.body("key") == "once it is gone");
  }
}

TEST_CASE("a file of a later release is refused and left as it was") {
  StoreFixture f;
  f.open();
  REQUIRE(f.store->put("key", f.make("body")));
  f.store.reset();
  Sqlite(f.settings.path).run("PRAGMA user_version=99");
  const auto opened = f.try_open();
  REQUIRE_FALSE(opened);
  CHECK(opened.error().kind == base::ErrorKind::TooNew);
  Sqlite(f.settings.path).run("PRAGMA user_version=2");
  f.open();
  CHECK(f.body("key") == "body");
}

TEST_CASE("a folder that is not there yet: degraded, and up by itself once it is") {
  StoreFixture f;
  f.settings.path = f.folder.file("later/store.db");
  const auto opened = f.try_open();
  REQUIRE_FALSE(opened);
  CHECK(opened.error().kind == base::ErrorKind::Io);
  f.store = store_without_file(f.settings, opened.error(), f.clock, f.log);
  CHECK(f.store->status().state == State::Degraded);
  CHECK_FALSE(f.store->status().reason.empty());
  REQUIRE(f.store->put("key", f.make("body")));
  CHECK(f.body("key") == "body");  // from the queue
  std::filesystem::create_directory(f.folder.file("later"));
  CHECK(eventually([&] { return f.store->status().state == State::Ok; }));
  f.store->flush();
  CHECK(f.body("key") == "body");
  CHECK(f.store->status().committed == 1);
}

TEST_CASE("another process that holds the lock: degraded until it lets go, nothing lost") {
  StoreFixture f;
  f.open();
  REQUIRE(f.store->put("before", f.make("1")));
  f.store->flush();
  {
    Sqlite other(f.settings.path);
    other.run("BEGIN IMMEDIATE");
    REQUIRE(f.store->put("during", f.make("2")));
    CHECK(eventually([&] { return f.store->status().state == State::Degraded; }));
    CHECK(f.body("before") == "1");
    CHECK(f.body("during") == "2");
    other.run("COMMIT");
  }
  CHECK(eventually([&] { return f.store->status().state == State::Ok; }));
  f.store->flush();
  CHECK(f.store->status().committed == 2);
}

TEST_CASE("a deleted file: a new one, and memory writes back what it holds") {
  StoreFixture f;
  const StoredPtr held = f.make("held in memory");
  f.settings.memory = [&](const auto& visit) { visit("held", held); };
  f.open();
  REQUIRE(f.store->put("held", held));
  REQUIRE(f.store->put("only on disk", f.make("x")));
  f.store->flush();
  // The database last: with it gone, a new one is made at any moment.
  for (const char* end : {"-shm", "-wal", ""}) std::filesystem::remove(f.settings.path + end);
  CHECK(eventually([&] { return std::filesystem::exists(f.settings.path); }));
  CHECK(eventually([&] {
    const auto status = f.store->status();
    return status.state == State::Ok && status.entries == 1;
  }));
  CHECK(f.body("held") == "held in memory");
  f.open();
  CHECK(f.body("held") == "held in memory");
  CHECK(f.body("only on disk").empty());
}

TEST_CASE("a file that is gone while it is read is read to its end, beside the new one") {
  constexpr int kRows = 2000;
  StoreFixture f;
  f.open();
  for (int i = 0; i < kRows; ++i) REQUIRE(f.store->put(std::to_string(i), f.make("old")));
  f.store->flush();
  std::atomic<int> read{0};
  std::atomic<bool> go_on{false};
  f.store->load_recent([&](std::string_view, const StoredPtr&) {
    ++read;
    go_on.wait(false);
    return true;
  });
  REQUIRE(eventually([&] { return read == 1; }));
  // The index of its WAL stays, by its name.
  std::filesystem::remove(f.settings.path);
  REQUIRE(eventually([&] { return std::filesystem::exists(f.settings.path); }));
  CHECK(eventually([&] {
    const auto found = f.store->find("0");
    return found && !*found;
  }));
  REQUIRE(f.store->put("new", f.make("new")));
  f.store->flush();
  go_on = true;
  go_on.notify_all();
  CHECK(eventually([&] { return read == kRows; }));
  CHECK(f.eventually_has("new", "new"));
}

TEST_CASE("a write-back never undoes what is more recent, nor what was erased meanwhile") {
  StoreFixture f;
  const StoredPtr old = f.make("old");
  f.clock.advance(1min);
  std::atomic<bool> asked{false};
  std::atomic<bool> go{false};
  f.settings.memory = [&](const auto& visit) {
    asked = true;
    go.wait(false);
    for (const char* key : {"replaced", "erased", "kept"}) visit(key, old);
  };
  f.open();
  std::filesystem::remove(f.settings.path);
  REQUIRE(eventually([&] { return asked.load(); }));
  REQUIRE(f.store->put("replaced", f.make("new")));
  f.store->erase("erased");
  f.store->flush();
  go = true;
  go.notify_all();
  CHECK(eventually([&] { return f.body("kept") == "old"; }));
  CHECK(f.body("replaced") == "new");
  CHECK(f.body("erased").empty());
}

TEST_CASE("a stop while memory writes back: all of it is written first") {
  StoreFixture f;
  const StoredPtr held = f.make("held in memory");
  constexpr int kHeld = 1500;
  std::atomic<bool> asked{false};
  std::atomic<bool> stopping{false};
  f.settings.memory = [&](const auto& visit) {
    asked = true;
    asked.notify_all();
    stopping.wait(false);
    for (int i = 0; i < kHeld; ++i) visit(std::to_string(i), held);
  };
  f.open();
  for (const char* end : {"-shm", "-wal", ""}) std::filesystem::remove(f.settings.path + end);
  asked.wait(false);
  std::thread other([&] {
    stopping = true;
    stopping.notify_all();
  });
  f.store.reset();
  other.join();
  f.settings.memory = nullptr;
  f.open();
  CHECK(f.store->status().entries == kHeld);
}

TEST_CASE("each change of state is reported once, with its reason and its time") {
  StoreFixture f;
  std::filesystem::create_directory(f.folder.file("disk"));
  f.settings.path = f.folder.file("disk/store.db");
  f.open();
  const auto since = f.store->status().since;
  f.clock.advance(1h);
  // All of it, so that no file can be made there.
  std::filesystem::rename(f.folder.file("disk"), f.folder.file("away"));
  CHECK(eventually([&] { return f.store->status().state == State::Degraded; }));
  CHECK(f.store->status().since == since + 1h);
  CHECK_FALSE(f.store->status().reason.empty());
  CHECK(f.store->status().write_errors > 0);
  f.clock.advance(1h);
  std::filesystem::rename(f.folder.file("away"), f.folder.file("disk"));
  CHECK(eventually([&] { return f.store->status().state == State::Ok; }));
  CHECK(f.store->status().since == since + 2h);
  CHECK(f.store->status().reason.empty());
}

}  // namespace
}  // namespace holdfast::cache
