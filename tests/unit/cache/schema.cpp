#include "cache/schema.h"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <array>
#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "cache/salvage.h"
#include "fault_vfs.h"
#include "store_fixture.h"

namespace holdfast::cache {
namespace {

sqlite::Connection opened(const TempFolder& folder) {
  auto connection = open_for_writing(folder.file(), {}, 1 << 20);
  REQUIRE_MESSAGE(connection, (connection ? "" : connection.error().message));
  return std::move(*connection);
}

TEST_CASE("a new file says whose it is and which format it has") {
  const TempFolder folder;
  auto connection = opened(folder);
  CHECK(connection.integer("PRAGMA application_id").value() == kApplicationId);
  CHECK(connection.integer("PRAGMA user_version").value() == kSchemaVersion);
  CHECK(connection.integer("PRAGMA page_size").value() == kPageBytes);
  CHECK(connection.text("PRAGMA journal_mode").value() == "wal");
  CHECK(connection.integer("PRAGMA auto_vacuum").value() == 2);
  CHECK(connection.integer("PRAGMA synchronous").value() == 1);
  CHECK(connection.integer("PRAGMA mmap_size").value() == 0);
  CHECK(connection.text("PRAGMA integrity_check").value() == "ok");
}

TEST_CASE("a new file and what goes with it are their owner's alone, and an old one stays") {
  const auto mode_of = [](const std::string& path) {
    struct stat status = {};
    REQUIRE(::stat(path.c_str(), &status) == 0);
    return status.st_mode & 0777;
  };
  const mode_t umask_before = ::umask(0);
  const TempFolder folder;
  const auto made = opened(folder);
  for (const char* suffix : {"", "-wal", "-shm"}) {
    CAPTURE(suffix);
    CHECK(mode_of(folder.file() + suffix) == 0600);
  }
  const TempFolder other;
  std::ofstream(other.file()).close();
  REQUIRE(::chmod(other.file().c_str(), 0640) == 0);
  const auto found = opened(other);
  for (const char* suffix : {"", "-wal", "-shm"}) {
    CAPTURE(suffix);
    CHECK(mode_of(other.file() + suffix) == 0640);
  }
  ::umask(umask_before);
}

TEST_CASE("a migration goes through all its steps in one transaction, or through none") {
  const TempFolder folder;
  auto connection = opened(folder);
  const std::array steps{
      Migration{kSchemaVersion, "ALTER TABLE holdfast_state ADD COLUMN one_more INTEGER"},
      Migration{kSchemaVersion + 1, "UPDATE holdfast_state SET one_more=7"},
      Migration{kSchemaVersion + 2, "UPDATE no_such_table SET x=1"},
  };
  CHECK_FALSE(migrate(connection, kSchemaVersion + 3, steps));
  CHECK(connection.integer("PRAGMA user_version").value() == kSchemaVersion);
  CHECK_FALSE(connection.integer("SELECT one_more FROM holdfast_state"));
  CHECK_FALSE(connection.in_transaction());

  REQUIRE(migrate(connection, kSchemaVersion + 2, steps));
  CHECK(connection.integer("PRAGMA user_version").value() == kSchemaVersion + 2);
  CHECK(connection.integer("SELECT one_more FROM holdfast_state").value() == 7);

  CHECK_FALSE(migrate(connection, 9, steps));  // no way there
  CHECK(connection.integer("PRAGMA user_version").value() == kSchemaVersion + 2);
}

TEST_CASE("tables that are not quite ours are taken for damage") {
  const TempFolder folder;
  CHECK(opened(folder).execute("DROP INDEX holdfast_by_use") == 0);
  const auto connection = open_for_writing(folder.file(), {}, 1 << 20);
  REQUIRE_FALSE(connection);
  CHECK(connection.error().kind == base::ErrorKind::Corrupt);
}

TEST_CASE("reading needs a file, and does not make one") {
  const TempFolder folder;
  const auto connection = open_for_reading(folder.file(), {});
  REQUIRE_FALSE(connection);
  CHECK_FALSE(std::filesystem::exists(folder.file()));
}

TEST_CASE("a file in which the tables were about to be made is taken up") {
  const TempFolder folder;
  {
    auto connection = sqlite::Connection::open(folder.file(), sqlite::Connection::Mode::Create, {});
    REQUIRE(connection);
    REQUIRE(connection->execute("PRAGMA auto_vacuum=INCREMENTAL") == 0);
    REQUIRE(connection->execute("PRAGMA journal_mode=WAL") == 0);
  }
  CHECK(opened(folder).integer("SELECT count(*) FROM holdfast_response").value() == 0);
}

// An import, and the daemon that starts meanwhile.
TEST_CASE("several that make the same file at the same time all get it") {
  for (int round = 0; round < 30; ++round) {
    CAPTURE(round);
    const TempFolder folder;
    std::array<std::string, 4> errors;
    {
      std::vector<std::jthread> threads;
      for (std::string& error : errors) {
        threads.emplace_back([&] {
          // Who waits for another's disk longer than it may tries again, as the store does.
          const auto not_busy = [&] {
            const auto connection = open_for_writing(folder.file(), {}, 1 << 20);
            error = connection ? "" : connection.error().message;
            return connection || connection.error().kind != base::ErrorKind::Busy;
          };
          static_cast<void>(eventually(not_busy));
        });
      }
    }
    for (const std::string& error : errors) CHECK(error == "");
    auto connection = opened(folder);
    CHECK(connection.integer("SELECT count(*) FROM holdfast_state").value() == 1);
    CHECK(connection.text("PRAGMA journal_mode").value() == "wal");
  }
}

TEST_CASE("a stranger who makes the file a moment before us keeps it") {
  const TempFolder folder;
  FaultVfs vfs;
  vfs.before(FaultVfs::Call::SharedMemory, [&] {
    auto stranger = sqlite::Connection::open(folder.file(), sqlite::Connection::Mode::Create, {});
    REQUIRE(stranger);
    REQUIRE(stranger->execute("CREATE TABLE theirs(x)") == 0);
  });
  const auto connection = open_for_writing(folder.file(), FaultVfs::name(), 1 << 20);
  REQUIRE_FALSE(connection);
  CHECK(connection.error().kind == base::ErrorKind::NotOurs);
}

TEST_CASE("whoever opens a file reads that file, though its name passes on meanwhile") {
  const TempFolder folder;
  FaultVfs vfs;
  opened(folder);  // makes it
  std::thread mover;
  std::atomic<bool> moves{false};
  std::atomic<bool> is_open{false};
  // Between the opening of the database and that of what else is found by name. The mover has
  // its chance, and must wait.
  vfs.before(FaultVfs::Call::SharedMemory, [&] {
    mover = std::thread([&] {
      moves = true;
      REQUIRE(set_aside(folder.file(), base::WallTime{}));
      CHECK(is_open);
    });
    while (!moves) std::this_thread::yield();
    for (int i = 0; i < 1000; ++i) std::this_thread::yield();
    is_open = true;  // the lock is given back after this
  });
  const auto connection = open_for_reading(folder.file(), FaultVfs::name());
  CHECK(connection);
  mover.join();
  CHECK_FALSE(open_for_reading(folder.file(), FaultVfs::name()));
}

TEST_CASE("the state a lookup, an eviction and a warm start need comes from an index") {
  const TempFolder folder;
  auto connection = opened(folder);
  struct Plan {
    const char* sql;
    const char* index;
  };
  for (const Plan& plan :
       {Plan{"SELECT id FROM holdfast_response WHERE key_hash=1 AND key='k'", "holdfast_by_hash"},
        Plan{"UPDATE holdfast_response SET used=2 WHERE key_hash=1 AND used<2", "holdfast_by_hash"},
        Plan{"SELECT id FROM holdfast_response WHERE expires<1 ORDER BY expires LIMIT 9",
             "holdfast_by_expiry"},
        Plan{"SELECT id FROM holdfast_response ORDER BY used,id LIMIT 9", "holdfast_by_use"},
        Plan{"SELECT id FROM holdfast_response WHERE used=1 AND id<9 ORDER BY id DESC LIMIT 9",
             "holdfast_by_use (used=? AND rowid<?)"},
        Plan{"SELECT id FROM holdfast_response WHERE used<1 ORDER BY used DESC,id DESC LIMIT 9",
             "holdfast_by_use"}}) {
    CAPTURE(plan.sql);
    auto statement = connection.prepare((std::string("EXPLAIN QUERY PLAN ") + plan.sql).c_str());
    REQUIRE(statement);
    REQUIRE(statement->step() == 1);
    CHECK(statement->text(3).find(plan.index) != std::string_view::npos);
    CHECK(statement->step() == 0);  // no sorting after it
  }
}

}  // namespace
}  // namespace holdfast::cache
