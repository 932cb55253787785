// What was purged by route, path or tag, in the store's file: after a restart, a crash, damage, in
// files of before there were tags, and in what is exported and imported.
#include <doctest/doctest.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <string>
#include <vector>

#include "cache/freshness.h"
#include "cache/purges.h"
#include "cache/store_admin.h"
#include "store_fixture.h"

namespace holdfast::cache {
namespace {

using Kind = Purge::Kind;

void run_sql(const std::string& path, const char* sql) {
  sqlite3* db = nullptr;
  REQUIRE(sqlite3_open(path.c_str(), &db) == 0);
  sqlite3_busy_timeout(db, 20'000);
  char* message = nullptr;
  const int code = sqlite3_exec(db, sql, nullptr, nullptr, &message);
  REQUIRE_MESSAGE(code == SQLITE_OK, (message ? message : ""));
  sqlite3_close(db);
}

std::int64_t number(const std::string& path, const std::string& sql) {
  sqlite3* db = nullptr;
  sqlite3_stmt* statement = nullptr;
  REQUIRE(sqlite3_open(path.c_str(), &db) == 0);
  sqlite3_busy_timeout(db, 20'000);
  REQUIRE(sqlite3_prepare_v2(db, sql.c_str(), -1, &statement, nullptr) == SQLITE_OK);
  REQUIRE(sqlite3_step(statement) == SQLITE_ROW);
  const std::int64_t value = sqlite3_column_int64(statement, 0);
  sqlite3_finalize(statement);
  sqlite3_close(db);
  return value;
}

// The file as the release before made it.
void make_first_version(const std::string& path) {
  run_sql(path,
          "BEGIN; ALTER TABLE holdfast_response DROP COLUMN tags;"
          "ALTER TABLE holdfast_response DROP COLUMN seen; DROP TABLE holdfast_purge;"
          "PRAGMA user_version=1; COMMIT");
}

// A daemon's purges and store, begun anew with each open().
struct Fixture : StoreFixture {
  Fixture() { begin(); }
  ~Fixture() { store.reset(); }  // which knows the purges
  void begin() {
    store.reset();
    purges = std::make_unique<Purges>();
    settings.purges = purges.get();
  }
  void restart() {
    begin();
    open();
  }
  StoredPtr tagged(std::string body, std::string tags, std::uint64_t seen) const {
    StoredParts parts = *make(std::move(body));
    parts.tags = std::move(tags);
    parts.seen = seen;
    return make_stored(std::move(parts));
  }
  void put(std::string_view key, std::string tags = {}) {
    REQUIRE(store->put(key, tagged(std::string(key), std::move(tags), purges->latest())));
  }
  void purge(Kind kind, std::string_view what, bool soft = false) {
    purges->add(kind, soft, what, clock.wall());
    store->write_purges();
  }
  std::string stored_keys(std::initializer_list<const char*> keys) {
    std::string found;
    for (const char* key : keys) {
      if (!body(key).empty()) found.append(found.empty() ? "" : " ").append(key);
    }
    return found;
  }
  std::unique_ptr<Purges> purges;
};

TEST_CASE("a purge holds for what waits to be written, what is written, and after a restart") {
  Fixture f;
  f.open();
  f.put("a/1", "x\ny");
  f.put("a/2", "y");
  f.store->flush();
  f.put("b~12345678/1?q=1", "x");
  f.put("b~12345678/1?q=2");
  f.put("b~12345678/2", "\n");
  f.put("c/1");
  const auto all = {"a/1", "a/2", "b~12345678/1?q=1", "b~12345678/1?q=2", "b~12345678/2", "c/1"};
  f.purge(Kind::Tag, "x");
  CHECK(f.stored_keys(all) == "a/2 b~12345678/1?q=2 c/1");
  f.restart();
  CHECK(f.stored_keys(all) == "a/2 b~12345678/1?q=2 c/1");
  f.put("a/1", "x");
  CHECK(f.stored_keys(all) == "a/1 a/2 b~12345678/1?q=2 c/1");
  f.purge(Kind::Path, "b/1");
  CHECK(f.stored_keys(all) == "a/1 a/2 c/1");
  f.store->flush();
  f.purge(Kind::Route, "a");
  CHECK(f.stored_keys(all) == "c/1");
  f.restart();
  CHECK(f.stored_keys(all) == "c/1");
  f.purge(Kind::All, "");
  CHECK(f.stored_keys(all) == "");
  f.restart();
  CHECK(f.stored_keys(all) == "");
  f.put("a/1", "x");
  CHECK(f.stored_keys(all) == "a/1");
}

TEST_CASE("what was marked stale is so after a restart, from that time on") {
  Fixture f;
  f.open();
  f.put("a/1", "x");
  f.clock.advance(1h);
  f.purge(Kind::Tag, "x", true);
  f.restart();
  f.clock.advance(1h);
  const StoredPtr found = f.store->find("a/1").value();
  REQUIRE(found);
  const Freshness after = freshness(*found, f.clock.wall());
  CHECK(after.use == Use::StaleWhileRevalidate);
  CHECK(after.ttl == -1h);
}

TEST_CASE("a fetch from before a purge is not written, nor is what it would have replaced left") {
  Fixture f;
  f.open();
  f.put("a/1");
  f.store->flush();
  const StoredPtr late = f.tagged("late", "x", f.purges->latest());
  f.purge(Kind::Tag, "x");
  REQUIRE(f.store->put("a/1", late));
  CHECK(f.body("a/1") == "");
  f.store->flush();
  CHECK(f.body("a/1") == "");
  CHECK(number(f.settings.path, "SELECT count(*) FROM holdfast_response") == 0);
}

TEST_CASE("a purge is committed before it is said to be, and survives the process") {
  Fixture f;
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    auto opened = open_store(f.settings, f.clock, f.log);
    if (!opened) ::_exit(1);
    Store& store = **opened;
    static_cast<void>(store.put("a/1", f.tagged("x", "t", 0)));
    store.flush();
    f.purges->add(Kind::Tag, false, "t", f.clock.wall());
    store.write_purges();
    const std::uint64_t through = store.queued_through();
    while (!store.committed_through(through)) ::usleep(500);
    ::kill(::getpid(), SIGKILL);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WIFSIGNALED(status));
  f.restart();
  CHECK(f.body("a/1") == "");
}

TEST_CASE("purges that became one of everything hold after a restart, and leave the file") {
  Fixture f;
  f.store.reset();
  f.purges = std::make_unique<Purges>(4);
  f.settings.purges = f.purges.get();
  f.open();
  f.put("a/1", "first");
  f.put("a/2");
  f.purge(Kind::Tag, "first");
  f.store->flush();
  f.put("a/3");
  for (int i = 0; i < 6; ++i) {
    f.purge(Kind::Tag, "t" + std::to_string(i));
    f.store->flush();
  }
  f.put("a/4");
  const auto all = {"a/1", "a/2", "a/3", "a/4"};
  CHECK(f.stored_keys(all) == "a/4");
  f.store->flush();
  CHECK(number(f.settings.path, "SELECT count(*) FROM holdfast_purge WHERE kind<14") == 4);
  f.restart();
  CHECK(f.stored_keys(all) == "a/4");
  CHECK(f.purges->purged("a/1", 1, "first"));
}

TEST_CASE("what was purged leaves the file, in the background, and the rest stays") {
  Fixture f;
  f.open();
  for (int i = 0; i < 1000; ++i) f.put("a/" + std::to_string(i), i % 2 ? "odd" : "even");
  f.store->flush();
  f.purge(Kind::Tag, "odd");
  CHECK(eventually(
      [&] { return number(f.settings.path, "SELECT count(*) FROM holdfast_response") == 500; }));
  CHECK(eventually([&] { return f.store->status().entries == 500; }));
  CHECK(f.body("a/2") == "a/2");
  // Not at once again: it reads all of the file. A purge holds without it.
  f.purge(Kind::Tag, "even");
  f.store->flush();
  CHECK(f.body("a/2") == "");
  // By hand it is at once.
  f.store.reset();
  FILE* const out = std::tmpfile();
  REQUIRE(store_compact(f.settings.path, out));
  std::fclose(out);
  CHECK(number(f.settings.path, "SELECT count(*) FROM holdfast_response") == 0);
}

TEST_CASE(
    "a file of before there were tags loses nothing, and a purge takes its rows by their route") {
  Fixture f;
  f.open();
  for (const char* key : {"a/1", "b~12345678/1?q=2", "lookup/8.8.8.8"}) f.put(key);
  f.store.reset();
  make_first_version(f.settings.path);
  f.restart();
  const auto all = {"a/1", "b~12345678/1?q=2", "lookup/8.8.8.8"};
  CHECK(f.stored_keys(all) == "a/1 b~12345678/1?q=2 lookup/8.8.8.8");
  CHECK(number(f.settings.path, "PRAGMA user_version") == 2);
  f.purge(Kind::Tag, "any");
  CHECK(f.stored_keys(all) == "a/1 b~12345678/1?q=2 lookup/8.8.8.8");
  f.purge(Kind::Route, "b");
  f.purge(Kind::Route, "lookup");
  CHECK(f.stored_keys(all) == "a/1");
  f.put("b~12345678/1?q=2", "x");
  f.restart();
  CHECK(f.stored_keys(all) == "a/1 b~12345678/1?q=2");
  f.purge(Kind::Tag, "x");
  CHECK(f.stored_keys(all) == "a/1");
}

TEST_CASE("a file of before there were tags that can only be read answers as it is") {
  Fixture f;
  f.open();
  f.put("a/1");
  f.store.reset();
  make_first_version(f.settings.path);
  FILE* const out = std::tmpfile();
  const auto exported = store_export(f.settings.path, out);
  std::fclose(out);
  REQUIRE(exported);
  CHECK(exported->written == 1);
  CHECK(number(f.settings.path, "PRAGMA user_version") == 1);
}

TEST_CASE("a store that comes later is older than what was purged without it") {
  Fixture f;
  f.open();
  f.put("a/1", "x");
  f.purge(Kind::Tag, "y");
  f.put("a/2", "x");
  f.put("a/3", "y");
  // Another daemon has the file; this one lives without it for a while.
  Fixture second;
  second.settings.path = f.settings.path;
  second.settings.lock_patience = 1ms;
  const auto refused = open_store(second.settings, second.clock, second.log);
  REQUIRE_FALSE(refused);
  second.store = store_without_file(second.settings, refused.error(), second.clock, second.log);
  const StoredPtr held = second.tagged("held", "z", second.purges->latest());
  second.purge(Kind::Tag, "x");
  // What the first one purges holds for what the second one has, once it has the file.
  f.purge(Kind::Tag, "z");
  f.store.reset();
  REQUIRE(eventually([&] { return second.store->status().state == StoreStatus::State::Ok; }));
  CHECK(second.stored_keys({"a/1", "a/2", "a/3"}) == "a/3");
  CHECK(second.purges->purged("a/4", *held));
  second.restart();
  CHECK(second.stored_keys({"a/1", "a/2", "a/3"}) == "a/3");
}

TEST_CASE("a damaged file's purges hold for what is salvaged from it") {
  Fixture f;
  f.open();
  f.put("a/1", "x");
  f.put("a/2", "y");
  f.put("a/3", "y");
  f.store->flush();
  f.purge(Kind::Tag, "x");
  f.purge(Kind::Tag, "z");
  f.store.reset();
  // As if nothing had been deleted yet, and with the schema gone.
  run_sql(f.settings.path,
          "PRAGMA writable_schema=ON; UPDATE holdfast_response SET seen=NULL WHERE 0;"
          "DELETE FROM holdfast_purge WHERE kind=15; DROP INDEX holdfast_by_use");
  f.restart();
  CHECK(f.eventually_has("a/3", "a/3"));
  CHECK(f.body("a/1") == "");
  CHECK(f.body("a/2") == "a/2");
  CHECK(f.purges->purged("a/9", 0, "z"));
}

std::string exported(const std::string& path) {
  FILE* const out = std::tmpfile();
  REQUIRE(store_export(path, out));
  std::rewind(out);
  std::string text;
  for (int c = 0; (c = std::fgetc(out)) != EOF;) text += static_cast<char>(c);
  std::fclose(out);
  return text;
}

Imported imported(const std::string& path, const SharedClock& clock, const std::string& lines,
                  std::string& complaints) {
  FILE* const in = std::tmpfile();
  FILE* const told = std::tmpfile();
  std::fputs(lines.c_str(), in);
  std::rewind(in);
  const auto result = store_import(path, clock, in, told,
                                   [](std::string_view, const StoredResponse&) { return ""; });
  std::rewind(told);
  for (int c = 0; (c = std::fgetc(told)) != EOF;) complaints += static_cast<char>(c);
  std::fclose(in);
  std::fclose(told);
  REQUIRE(result);
  return *result;
}

TEST_CASE(
    "an export has the tags and nothing that was purged; an import brings back none of that") {
  Fixture f;
  f.open();
  f.put("a/1", "x\ntwo words");
  f.put("a/2", "\ny");
  f.put("a/3");
  f.store->flush();
  const std::string before = exported(f.settings.path);
  CHECK(before.find("\"tags\":[\"x\",\"two words\"]") != before.npos);
  CHECK(before.find("\"tags\":[\"y\"],\"more_tags\":true") != before.npos);
  f.clock.advance(1s);
  f.purge(Kind::Tag, "two words");
  f.store->flush();
  const std::string after = exported(f.settings.path);
  CHECK(after.find("a/1") == after.npos);
  CHECK(after.find("a/2") == after.npos);
  CHECK(after.find("a/3") != after.npos);
  std::string complaints;
  const Imported again = imported(f.settings.path, f.clock, before, complaints);
  CHECK(again.refused == 2);
  CHECK(complaints.find("line 1: was purged since") == 0);
  f.clock.advance(1s);
  f.put("a/1", "two words");
  f.store->flush();
  const std::string later = exported(f.settings.path);

  // Into another file, by another's numbers.
  Fixture other;
  other.open();
  other.purge(Kind::Tag, "two words");
  other.store.reset();
  complaints.clear();
  CHECK(imported(other.settings.path, other.clock, later, complaints).refused == 0);
  CHECK(complaints == "");
  other.restart();
  CHECK(other.stored_keys({"a/1", "a/2", "a/3"}) == "a/1 a/3");
}

TEST_CASE("tags that could not be kept are refused in an import, as is a changed tag") {
  Fixture f;
  f.open();
  f.put("a/1", "x");
  f.store->flush();
  const std::string line = exported(f.settings.path);
  const auto with = [&line](const std::string& tags) {
    const std::string from = "\"tags\":[\"x\"]";
    return std::string(line).replace(line.find(from), from.size(), "\"tags\":" + tags);
  };
  for (const std::string& tags :
       {std::string("[\"y\"]"), std::string("\"x\""), std::string("[1]"), std::string("[\"\"]"),
        std::string("[\"a\\nb\"]"), "[\"" + std::string(129, 'a') + "\"]"}) {
    CAPTURE(tags);
    std::string complaints;
    CHECK(imported(f.settings.path, f.clock, with(tags), complaints).refused == 1);
  }
}

}  // namespace
}  // namespace holdfast::cache
