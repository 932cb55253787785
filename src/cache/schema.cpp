#include "cache/schema.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <string_view>
#include <thread>
#include <utility>

// Before SQLite touches a file, its first page is looked at as bytes. Three marks
// tell that it is ours: SQLite's magic, our application_id, and our table's name
// in the schema. Two of three make it ours but damaged, so that one bad byte
// neither turns our file into a stranger's nor a stranger's into ours. Damaged
// may also mean that a checkpoint was cut off within this page: the WAL has it
// whole then, so SQLite is asked before the file is given up.

namespace holdfast::cache {
namespace {

using base::ErrorKind;

constexpr std::string_view kMagic{"SQLite format 3\0", 16};
constexpr std::size_t kUserVersionAt = 60;
constexpr std::size_t kApplicationIdAt = 68;
constexpr std::size_t kCellCountAt = 103;  // of page 1, after the file's header of 100 bytes

// Rows are appended; the hash finds them, `used` and `expires` (hours) say who
// goes first. `body` comes behind what a lookup reads first, so that this needs no overflow page.
// What came with version 2 is where ALTER TABLE puts it, in its spelling, and NULL in older rows.
#define HOLDFAST_RESPONSE                                                                \
  "CREATE TABLE holdfast_response("                                                      \
  "id INTEGER PRIMARY KEY,key_hash INTEGER NOT NULL,used INTEGER NOT NULL,"              \
  "expires INTEGER NOT NULL,checksum INTEGER NOT NULL,key TEXT NOT NULL,"                \
  "status INTEGER NOT NULL,response_time INTEGER NOT NULL,initial_age INTEGER NOT NULL," \
  "freshness_lifetime INTEGER NOT NULL,stale_while_revalidate INTEGER NOT NULL,"         \
  "stale_if_error INTEGER NOT NULL,upstream_etag TEXT,upstream_last_modified TEXT,"      \
  "fields TEXT NOT NULL,body TEXT NOT NULL"
constexpr const char* kFirstResponse = HOLDFAST_RESPONSE ") STRICT";
constexpr const char* kResponse = HOLDFAST_RESPONSE ", seen INTEGER, tags TEXT) STRICT";
#undef HOLDFAST_RESPONSE

// One row: rows at or below `erased_through` are gone, though not yet deleted.
constexpr const char* kState =
    "CREATE TABLE holdfast_state(one INTEGER PRIMARY KEY CHECK(one=1),"
    "erased_through INTEGER NOT NULL,entries INTEGER NOT NULL) STRICT";
// See cache/purges.h; `at` in milliseconds since the Unix epoch.
#define HOLDFAST_PURGE                                                       \
  "CREATE TABLE holdfast_purge(kind INTEGER NOT NULL,soft INTEGER NOT NULL," \
  "what TEXT NOT NULL,sequence INTEGER NOT NULL,at INTEGER NOT NULL,"        \
  "checksum INTEGER NOT NULL,PRIMARY KEY(kind,soft,what)) STRICT"
constexpr const char* kPurge = HOLDFAST_PURGE;
constexpr const char* kIndexes[] = {
    "CREATE INDEX holdfast_by_expiry ON holdfast_response(expires)",
    "CREATE INDEX holdfast_by_hash ON holdfast_response(key_hash)",
    "CREATE INDEX holdfast_by_use ON holdfast_response(used)",
};

// No row is touched, however many there are.
constexpr Migration kMigrations[] = {
    {kVersionWithoutTags,
     "ALTER TABLE holdfast_response ADD COLUMN seen INTEGER;"
     "ALTER TABLE holdfast_response ADD COLUMN tags TEXT;" HOLDFAST_PURGE},
};
#undef HOLDFAST_PURGE

// What a file of that version has, in the order of check_schema().
std::string schema_of(std::int64_t version) {
  const bool first = version == kVersionWithoutTags;
  std::string all = first ? "" : std::string(kPurge) + ";";
  all.append(first ? kFirstResponse : kResponse).append(";").append(kState);
  for (const char* sql : kIndexes) all.append(";").append(sql);
  return all;
}

std::int32_t big_endian(std::string_view bytes, std::size_t at) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  }
  return static_cast<std::int32_t>(value);
}

enum class Owner { Nobody, Ours, OursDamaged };

tl::unexpected<base::Error> not_ours(const std::string& path) {
  return base::internal_error(ErrorKind::NotOurs,
                              path + " was not made by Holdfast: it is left untouched");
}

tl::unexpected<base::Error> too_new(const std::string& path, std::int64_t version) {
  return base::internal_error(ErrorKind::TooNew,
                              path + " was made by a later Holdfast (its format is " +
                                  std::to_string(version) + ", this one knows up to " +
                                  std::to_string(kSchemaVersion) + "): it is left untouched");
}

base::Result<Owner> judge(const std::string& path, const std::string& vfs) {
  // Opening a pipe would wait for somebody at its other end.
  struct stat there = {};
  if (::stat(path.c_str(), &there) == 0 && !S_ISREG(there.st_mode)) {
    return base::internal_error(ErrorKind::Io, path + " is not a file");
  }
  const auto head = sqlite::read_head(path, kPageBytes, vfs);
  if (!head) {
    if (head.error().kind == ErrorKind::Unavailable) return Owner::Nobody;
    return tl::unexpected(head.error());
  }
  if (head->empty()) return Owner::Nobody;
  const auto damaged = [&](const char* how) {
    return base::internal_error(ErrorKind::Corrupt, path + ": " + how);
  };
  const bool magic = std::string_view(*head).starts_with(kMagic);
  if (head->size() < kPageBytes) {
    // Shorter than a page of ours. With SQLite's magic it is a cut-off database
    // (setting it aside loses nothing); the smallest whole one has 512 bytes.
    return magic && head->size() < 512 ? damaged("cut off within the first page") : not_ours(path);
  }
  const std::int32_t application = big_endian(*head, kApplicationIdAt);
  const bool marked = head->find("holdfast_response") != std::string::npos;
  const int votes = int{magic} + int{application == kApplicationId} + int{marked};
  if (votes == 3) {
    const std::int32_t version = big_endian(*head, kUserVersionAt);
    if (version > kSchemaVersion) return too_new(path, version);
    return Owner::Ours;
  }
  if (votes == 2) return Owner::OursDamaged;
  // A database with nothing in it: ours if we were killed while making it, as
  // the rest may still be in the WAL. SQLite will tell.
  const bool empty = (*head)[kCellCountAt] == 0 && (*head)[kCellCountAt + 1] == 0;
  if (magic && application == 0 && empty) return Owner::Nobody;
  return not_ours(path);
}

base::Result<void> run(sqlite::Connection& connection, const char* sql) {
  const int code = connection.execute(sql);
  if (code != 0) return tl::unexpected(connection.error(code, sql));
  return {};
}

std::string version_pragma(std::int32_t version) {
  return "PRAGMA user_version=" + std::to_string(version);
}

base::Result<void> create(sqlite::Connection& connection) {
  // Both must come before the first table.
  for (const char* sql : {"PRAGMA page_size=4096", "PRAGMA auto_vacuum=INCREMENTAL"}) {
    if (auto done = run(connection, sql); !done) return done;
  }
  auto mode = connection.text("PRAGMA journal_mode=WAL");
  // SQLite does not wait for this lock, which another process that makes the same file has.
  for (int i = 0; !mode && mode.error().kind == ErrorKind::Busy && i < 25; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    mode = connection.text("PRAGMA journal_mode=WAL");
  }
  if (!mode) return tl::unexpected(std::move(mode.error()));
  const std::string application = "PRAGMA application_id=" + std::to_string(kApplicationId);
  const std::string version = version_pragma(kSchemaVersion);
  auto made = run(connection, "BEGIN IMMEDIATE");
  if (made) {
    // Another process may have been faster: an import, while the daemon starts.
    const auto tables = connection.integer("SELECT count(*) FROM sqlite_schema");
    if (!tables) made = tl::unexpected(tables.error());
    if (tables && *tables > 0) return run(connection, "ROLLBACK");
  }
  if (made) made = run(connection, application.c_str());
  // In this order the pages of their beginnings are known: see salvage.cpp.
  for (const char* sql : {kResponse, kState, kIndexes[0], kIndexes[1], kIndexes[2], kPurge}) {
    if (made) made = run(connection, sql);
  }
  if (made) made = run(connection, "INSERT INTO holdfast_state VALUES(1,0,0)");
  if (made) made = run(connection, version.c_str());
  if (made) made = run(connection, "COMMIT");
  if (!made && connection.in_transaction()) connection.execute("ROLLBACK");
  return made;
}

// The quick check: the tables are the ones that this version makes, word for word.
base::Result<void> check_schema(sqlite::Connection& connection, const std::string& path,
                                std::int64_t version) {
  auto found = connection.text(
      "SELECT group_concat(sql,';') FROM (SELECT sql FROM sqlite_schema "
      "WHERE name LIKE 'holdfast_%' ORDER BY type DESC,name)");
  if (!found) return tl::unexpected(std::move(found.error()));
  if (*found != schema_of(version)) {
    return base::internal_error(ErrorKind::Corrupt, path + ": its tables are not the store's");
  }
  return {};
}

// What SQLite itself finds in the file, WAL included. `judged` is what its first
// page alone made of it.
base::Result<Owner> confirm(sqlite::Connection& connection, const std::string& path, Owner judged) {
  // In one transaction: the tables may be made by another process at this moment.
  if (auto begun = run(connection, "BEGIN"); !begun) return tl::unexpected(begun.error());
  const auto application = connection.integer("PRAGMA application_id");
  if (!application) return tl::unexpected(application.error());
  const auto version = connection.integer("PRAGMA user_version");
  if (!version) return tl::unexpected(version.error());
  const auto tables = connection.integer("SELECT count(*) FROM sqlite_schema");
  if (!tables) return tl::unexpected(tables.error());
  if (auto ended = run(connection, "COMMIT"); !ended) return tl::unexpected(ended.error());
  if (*application != kApplicationId && judged == Owner::OursDamaged) {
    return base::internal_error(ErrorKind::Corrupt, path + ": the first page is damaged");
  }
  if (*application == 0 && *tables == 0) return Owner::Nobody;
  if (*application != kApplicationId) return not_ours(path);
  if (*version > kSchemaVersion) return too_new(path, *version);
  return Owner::Ours;
}

base::Result<void> configure(sqlite::Connection& connection) {
  // cell_size_check finds a damaged page when it is read, not when it is used.
  for (const char* sql : {"PRAGMA mmap_size=0", "PRAGMA cell_size_check=ON",
                          "PRAGMA trusted_schema=OFF", "PRAGMA temp_store=MEMORY"}) {
    if (auto done = run(connection, sql); !done) return done;
  }
  return {};
}

}  // namespace

base::Result<void> migrate(sqlite::Connection& connection, std::int32_t target,
                           std::span<const Migration> steps) {
  if (auto begun = run(connection, "BEGIN IMMEDIATE"); !begun) return begun;
  const auto move = [&]() -> base::Result<void> {
    auto version = connection.integer("PRAGMA user_version");
    if (!version) return tl::unexpected(std::move(version.error()));
    for (const Migration& step : steps) {
      if (step.from != *version || *version >= target) continue;
      if (auto done = run(connection, step.sql); !done) return done;
      ++*version;
    }
    if (*version != target) {
      return base::internal_error(
          ErrorKind::Corrupt,
          "no way from format " + std::to_string(*version) + " to " + std::to_string(target));
    }
    const std::string pragma = version_pragma(target);
    if (auto done = run(connection, pragma.c_str()); !done) return done;
    return run(connection, "COMMIT");
  };
  auto moved = move();
  if (!moved && connection.in_transaction()) connection.execute("ROLLBACK");
  return moved;
}

base::Result<void> check_ours(const std::string& path, const std::string& vfs) {
  const auto owner = judge(path, vfs);
  // All else is for who opens it.
  if (owner ||
      (owner.error().kind != ErrorKind::NotOurs && owner.error().kind != ErrorKind::TooNew)) {
    return {};
  }
  return tl::unexpected(owner.error());
}

base::Result<sqlite::Connection> open_for_writing(const std::string& path, const std::string& vfs,
                                                  std::int64_t wal_keep_bytes) {
  auto names = sqlite::names_stay();
  const auto judged = judge(path, vfs);
  if (!judged) return tl::unexpected(judged.error());
  auto connection = sqlite::Connection::open(path, sqlite::Connection::Mode::Create, vfs);
  if (!connection) return connection;
  const auto prepare = [&]() -> base::Result<void> {
    // Long enough for another process's short transaction, too short to matter.
    connection->busy_timeout(std::chrono::milliseconds(250));
    if (auto done = configure(*connection); !done) return done;
    auto owner = confirm(*connection, path, *judged);
    names.unlock();
    if (!owner) return tl::unexpected(std::move(owner.error()));
    if (*owner == Owner::Nobody) {
      if (auto done = create(*connection); !done) return done;
      // Whoever was faster may be a stranger.
      owner = confirm(*connection, path, *judged);
      if (!owner) return tl::unexpected(std::move(owner.error()));
    }
    const auto version = connection->integer("PRAGMA user_version");
    if (!version) return tl::unexpected(version.error());
    if (*version < kSchemaVersion) {
      if (auto done = migrate(*connection, kSchemaVersion, kMigrations); !done) return done;
    }
    if (auto done = check_schema(*connection, path, kSchemaVersion); !done) return done;
    const std::string keep = "PRAGMA journal_size_limit=" + std::to_string(wal_keep_bytes);
    // NORMAL: a commit is a write without a sync, and the WAL is synced before each
    // checkpoint. A crash of the process loses nothing, of the machine the last
    // commits; neither corrupts the file. secure_delete: what was deleted must
    // not come back when a damaged file is salvaged.
    for (const char* sql : {"PRAGMA synchronous=NORMAL", "PRAGMA cache_size=-8192",
                            "PRAGMA secure_delete=FAST", keep.c_str()}) {
      if (auto done = run(*connection, sql); !done) return done;
    }
    return {};
  };
  if (auto prepared = prepare(); !prepared) return tl::unexpected(std::move(prepared.error()));
  return connection;
}

namespace {

// There is nothing in the WAL, and who may not write the file cannot make the WAL's index.
bool may_be_read_alone(const std::string& path) {
  struct stat wal = {};
  const bool nothing =
      ::stat((path + "-wal").c_str(), &wal) == 0 ? wal.st_size == 0 : errno == ENOENT;
  return nothing && ::faccessat(AT_FDCWD, path.c_str(), W_OK, AT_EACCESS) != 0 &&
         (errno == EACCES || errno == EROFS || errno == EPERM);
}

base::Result<sqlite::Connection> open_to_read(const std::string& path, const std::string& vfs,
                                              sqlite::Connection::Mode mode) {
  const auto names = sqlite::names_stay();
  const auto judged = judge(path, vfs);
  if (!judged) return tl::unexpected(judged.error());
  auto connection = sqlite::Connection::open(path, mode, vfs);
  if (!connection) return connection;
  const auto prepare = [&]() -> base::Result<void> {
    connection->busy_timeout(std::chrono::milliseconds(100));
    if (auto done = configure(*connection); !done) return done;
    auto confirmed = confirm(*connection, path, *judged);
    if (!confirmed) return tl::unexpected(std::move(confirmed.error()));
    if (*confirmed == Owner::Nobody) {
      return base::internal_error(ErrorKind::Unavailable, path + " is empty");
    }
    const auto version = connection->integer("PRAGMA user_version");
    if (!version) return tl::unexpected(version.error());
    return check_schema(*connection, path, *version);
  };
  if (auto prepared = prepare(); !prepared) return tl::unexpected(std::move(prepared.error()));
  return connection;
}

}  // namespace

base::Result<sqlite::Connection> open_for_reading(const std::string& path, const std::string& vfs) {
  using Mode = sqlite::Connection::Mode;
  auto opened = open_to_read(path, vfs, Mode::ReadOnly);
  if (opened || opened.error().kind != ErrorKind::Io || !may_be_read_alone(path)) return opened;
  return open_to_read(path, vfs, Mode::Immutable);
}

}  // namespace holdfast::cache
