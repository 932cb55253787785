// Every call the store makes on the disk fails in turn. Whatever fails, answers
// are right, failures are reported, and the file is sound when the disk is back.
// HOLDFAST_EVERY_FAULT=1 leaves no call out; without it the steps grow.
#include <doctest/doctest.h>
#include <sqlite3.h>

#include <atomic>
#include <map>

#include "cache/store_admin.h"
#include "fault_vfs.h"
#include "store_fixture.h"

namespace holdfast::cache {
namespace {

using Call = FaultVfs::Call;
using State = StoreStatus::State;

bool sound(const std::string& path) {
  FILE* out = std::tmpfile();
  const auto checked = store_check(path, out);
  std::fclose(out);
  return checked && *checked;
}

struct Outcome {
  bool fault_happened = false;
  bool reported = false;
};

// Writes, reads and closes with one fault planned, then opens again without.
Outcome suffer(FaultVfs& disk, const FaultVfs::Fault& fault) {
  StoreFixture f;
  f.settings.vfs = FaultVfs::name();
  f.settings.retry_first = 1ms;
  f.settings.retry_most = 2ms;
  f.settings.commit_window = 1ms;
  f.settings.tick = 1ms;
  Outcome outcome;
  disk.plan(fault);
  const auto opened = f.try_open();
  if (!opened) {
    outcome.reported = true;
    REQUIRE(opened.error().kind != base::ErrorKind::NotOurs);
    f.store = store_without_file(f.settings, opened.error(), f.clock, f.log);
  }
  const auto check_answers = [&](const std::map<std::string, std::string>& expected) {
    for (const auto& [key, body] : expected) {
      const auto found = f.store->find(key);
      if (!found) {
        outcome.reported = true;
      } else if (*found) {
        REQUIRE((*found)->body == body);
      }
    }
  };
  std::map<std::string, std::string> put;
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 8; ++i) {
      const std::string key = std::to_string(round) + "-" + std::to_string(i);
      const std::string body = key + std::string(i == 7 ? 9000 : 50, 'b');
      if (f.store->put(key, f.make(body))) put[key] = body;
    }
    f.store->flush();
    check_answers(put);
  }
  const auto before_close = f.store->status();
  outcome.reported |= before_close.write_errors > 0 || before_close.read_errors > 0;
  if (fault.lasting && before_close.state == State::Degraded) {
    // The disk comes back: the store takes it up again by itself, with all that waited.
    outcome.fault_happened = disk.failed() > 0;
    disk.heal();
    REQUIRE(eventually([&] { return f.store->status().state == State::Ok; }));
    f.store->flush();
    REQUIRE(eventually([&] { return f.store->status().queued == 0; }));
    // Reading too, after the pause it makes between attempts.
    REQUIRE(eventually([&] { return f.store->find("absent").has_value(); }));
    for (const auto& [key, body] : put) REQUIRE(f.body(key) == body);
  }
  const bool nothing_queued = f.store->status().queued == 0;
  // It did the work, or it said that it could not.
  REQUIRE((outcome.reported || f.store->status().committed == put.size()));
  f.store.reset();
  outcome.fault_happened |= disk.failed() > 0;
  disk.heal();

  f.open();
  for (const auto& [key, body] : put) {
    const std::string found = f.body(key);
    // What was committed is there; what was not may be missing, never wrong.
    if (nothing_queued || !found.empty()) REQUIRE(found == body);
  }
  f.store.reset();
  REQUIRE(sound(f.settings.path));
  REQUIRE(f.folder.count("store.db.damaged") == 0);
  REQUIRE(f.folder.count("store.db.salvaged") == 0);
  return outcome;
}

void suffer_all(Call call, std::initializer_list<int> codes, bool partial = false) {
  FaultVfs disk(true);
  const bool every = std::getenv("HOLDFAST_EVERY_FAULT") != nullptr;
  int happened = 0;
  for (const int code : codes) {
    for (const bool lasting : {false, true}) {
      int quiet = 0;
      // Up to where nothing more fails. Later calls are more of the same.
      for (int nth = 1; quiet < 3; nth += every ? 1 : 1 + nth / 16) {
        CAPTURE(static_cast<int>(call));
        CAPTURE(code);
        CAPTURE(lasting);
        CAPTURE(nth);
        const Outcome outcome = suffer(disk, {call, nth, code, lasting, partial});
        quiet = outcome.fault_happened ? 0 : quiet + 1;
        happened += outcome.fault_happened;
      }
    }
  }
  CHECK(happened > 5);
}

TEST_CASE("whichever open fails, the store works or says so") {
  suffer_all(Call::Open, {SQLITE_CANTOPEN});
}
TEST_CASE("whichever read fails, the store works or says so") {
  suffer_all(Call::Read, {SQLITE_IOERR_READ});
}
TEST_CASE("whichever write finds the disk full, the store works or says so") {
  suffer_all(Call::Write, {SQLITE_FULL});
}
TEST_CASE("whichever write fails halfway, the store works or says so") {
  suffer_all(Call::Write, {SQLITE_IOERR_WRITE}, true);
}
TEST_CASE("whichever truncation fails, the store works or says so") {
  FaultVfs disk(true);
  for (int nth = 1; nth <= 3; ++nth) {
    for (const bool lasting : {false, true}) {
      suffer(disk, {Call::Truncate, nth, SQLITE_IOERR_TRUNCATE, lasting, false});
    }
  }
}
TEST_CASE("whichever sync fails, the store works or says so") {
  suffer_all(Call::Sync, {SQLITE_IOERR_FSYNC});
}
TEST_CASE("whichever shared-memory call fails, the store works or says so") {
  suffer_all(Call::SharedMemory, {SQLITE_IOERR_SHMMAP});
}

TEST_CASE("a full disk and a full queue: what is erased then stays so, also on the disk") {
  FaultVfs disk(true);
  StoreFixture f;
  f.settings.vfs = FaultVfs::name();
  f.settings.queue_entries = 20;
  f.open();
  REQUIRE(f.store->put("kept", f.make("k")));
  for (int i = 0; i < 200; ++i) {
    while (!f.store->put(std::to_string(i), f.make("forbidden since"))) f.store->flush();
  }
  f.store->flush();
  disk.plan({Call::Write, 1, SQLITE_FULL, true, false});
  for (int i = 0; f.store->put("fill " + std::to_string(i), f.make("x"));) REQUIRE(++i < 100);
  for (int i = 0; i < 200; ++i) f.store->erase(std::to_string(i));
  for (int i = 0; i < 200; ++i) REQUIRE(f.body(std::to_string(i)).empty());
  CHECK(f.body("kept") == "k");
  disk.heal();
  REQUIRE(eventually([&] { return f.store->status().queued == 0; }));
  f.open();
  for (int i = 0; i < 200; ++i) REQUIRE(f.body(std::to_string(i)).empty());
  CHECK(f.body("kept") == "k");
}

TEST_CASE("what was erased and is stored anew is on the disk once memory has written back") {
  FaultVfs disk(true);
  StoreFixture f;
  f.settings.vfs = FaultVfs::name();
  f.settings.limit_bytes = 2 << 20;  // 32 writes a transaction
  f.settings.queue_entries = 1000;
  StoredPtr anew;
  std::atomic<bool> asked{false};
  f.settings.memory = [&](const auto& visit) {
    visit("key", anew);
    asked = true;
    asked.notify_all();
  };
  std::atomic<bool> recovering{false};
  int commits = 0;
  // By the second transaction memory has been asked.
  f.settings.on_commit = [&](base::Duration) {
    if (recovering && ++commits > 1) asked.wait(false);
  };
  f.open();
  REQUIRE(f.store->put("key", f.make("from before")));
  f.store->flush();
  disk.plan({Call::Write, 1, SQLITE_FULL, true, false});
  for (int i = 0; f.store->put("fill " + std::to_string(i), f.make("x"));) REQUIRE(++i < 1001);
  f.store->erase("key");
  f.clock.advance(1min);
  anew = f.make("stored anew");
  REQUIRE_FALSE(f.store->put("key", anew));  // no room
  REQUIRE(eventually([&] { return f.store->status().state == State::Degraded; }));
  recovering = true;
  disk.heal();
  REQUIRE(eventually([&] { return f.store->status().queued == 0; }));
  f.store.reset();
  f.settings.memory = nullptr;
  f.settings.on_commit = nullptr;
  f.open();
  CHECK(f.body("key") == "stored anew");
}

TEST_CASE("a full disk: degraded, reads go on, and all is written once there is room") {
  FaultVfs disk(true);
  StoreFixture f;
  f.settings.vfs = FaultVfs::name();
  f.settings.queue_entries = 20;
  std::map<std::string, StoredPtr> memory;
  f.settings.memory = [&](const auto& visit) {
    for (const auto& [key, stored] : memory) visit(key, stored);
  };
  f.open();
  REQUIRE(f.store->put("before", f.make("b")));
  f.store->flush();
  disk.plan({Call::Write, 1, SQLITE_FULL, true, false});
  for (int i = 0; i < 100; ++i) {
    const std::string key = std::to_string(i);
    memory[key] = f.make("body " + key);
    f.store->put(key, memory[key]);
  }
  CHECK(eventually([&] { return f.store->status().state == State::Degraded; }));
  CHECK(f.store->status().reason.find("full") != std::string::npos);
  CHECK(f.store->status().dropped == 80);
  // Trying again is no change of state: "ok" means that writes go through.
  const auto since = f.store->status().since;
  const auto errors = f.store->status().write_errors;
  f.clock.advance(1h);
  CHECK(eventually([&] { return f.store->status().write_errors > errors + 10; }));
  CHECK(f.store->status().since == since);
  CHECK(f.body("before") == "b");
  CHECK(f.body("3") == "body 3");
  disk.heal();
  CHECK(eventually([&] { return f.store->status().entries == 101; }));
  CHECK(f.store->status().state == State::Ok);
  f.open();
  for (const auto& [key, stored] : memory) CHECK(f.body(key) == stored->body);
}

}  // namespace
}  // namespace holdfast::cache
