// One daemon at a time has a store: the second one waits, says so, and has it when the
// first one is gone, however that went.
#include "cache/store_lock.h"

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <optional>
#include <thread>

#include "cache/store_admin.h"
#include "store_fixture.h"

namespace holdfast::cache {
namespace {

using State = StoreStatus::State;

// A second daemon's, on the file of the first.
struct Second : StoreFixture {
  explicit Second(const std::string& path) {
    settings.path = path;
    settings.lock_patience = 0ms;
    const auto opened = try_open();
    REQUIRE_FALSE(opened);
    kind = opened.error().kind;
    message = opened.error().message;
    store = store_without_file(settings, opened.error(), clock, log);
  }
  base::ErrorKind kind;
  std::string message;
};

TEST_CASE("a store has one daemon; the second has it once the first is gone, and loses nothing") {
  StoreFixture first;
  first.open();
  REQUIRE(first.store->put("old", first.make("1")));
  first.store->flush();

  Second second(first.settings.path);
  CHECK(second.kind == base::ErrorKind::Busy);
  CHECK(second.message.find(first.settings.path + " is in use by another holdfast (process " +
                            std::to_string(::getpid())) != std::string::npos);
  CHECK(second.store->status().state == State::Degraded);
  CHECK(second.store->status().reason == second.message);
  REQUIRE(second.store->put("new", second.make("2")));
  CHECK(second.body("new") == "2");
  CHECK_FALSE(
      second.store->find("old"));  // it does not know, rather than answer what may be purged
  first.store->erase("old");
  first.store.reset();

  CHECK(eventually([&] { return second.store->status().state == State::Ok; }));
  second.store->flush();
  CHECK(second.store->status().committed == 1);
  CHECK(second.body("new") == "2");
  CHECK(second.body("old").empty());
}

TEST_CASE("by whatever path, and whether or not there is a file already, it is the same store") {
  StoreFixture first;
  std::filesystem::create_directory(first.folder.file("real"));
  std::filesystem::create_directory_symlink("real", first.folder.file("other"));
  first.settings.path = first.folder.file("real/store.db");
  first.open();
  std::filesystem::create_symlink("real/store.db", first.folder.file("link.db"));
  CHECK(Second(first.folder.file("other/store.db")).kind == base::ErrorKind::Busy);
  CHECK(Second(first.folder.file("link.db")).kind == base::ErrorKind::Busy);
  CHECK(Second(first.folder.file("real/../real/./store.db")).kind == base::ErrorKind::Busy);
  StoreFixture beside;
  beside.settings.path = first.folder.file("real/beside.db");
  beside.open();
}

TEST_CASE("kill -9 leaves no lock behind") {
  StoreFixture f;
  int ready[2];
  REQUIRE(::pipe(ready) == 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const auto opened = open_store(f.settings, f.clock, f.log);
    if (opened) static_cast<void>(::write(ready[1], "x", 1) == 1);
    ::pause();
    ::_exit(0);
  }
  ::close(ready[1]);
  char byte = 0;
  REQUIRE(::read(ready[0], &byte, 1) == 1);
  ::close(ready[0]);
  f.settings.lock_patience = 0ms;
  CHECK(f.try_open().error().kind == base::ErrorKind::Busy);
  ::kill(child, SIGKILL);
  REQUIRE(::waitpid(child, nullptr, 0) == child);
  f.open();
}

TEST_CASE("a daemon that is about to be gone is waited for") {
  StoreFixture f;
  f.settings.lock_patience = 20s;
  std::optional<StoreLock> going(std::move(StoreLock::take(f.settings.path).value()));
  std::thread other([&] {
    std::this_thread::sleep_for(50ms);  // else the lock may be free before anybody asks
    going.reset();
  });
  f.open();
  other.join();
  CHECK(f.store->status().state == State::Ok);
}

TEST_CASE("a lock that somebody removed by hand is there again, or the store is let go") {
  StoreFixture first;
  first.open();
  const std::string file = first.settings.path + "-lock";
  REQUIRE(std::filesystem::remove(file));
  REQUIRE(eventually([&] { return std::filesystem::exists(file); }));
  CHECK(Second(first.settings.path).kind == base::ErrorKind::Busy);
  // The other one is faster.
  std::filesystem::rename(file, file + "-gone");
  auto other = StoreLock::take(first.settings.path);
  if (other) {
    CHECK(eventually([&] { return first.store->status().state == State::Degraded; }));
    CHECK(first.store->status().reason.find("another holdfast") != std::string::npos);
    other = tl::unexpected(base::Error{});
    CHECK(eventually([&] { return first.store->status().state == State::Ok; }));
  }
}

TEST_CASE("where no lock can be had the store is open all the same") {
  StoreFixture f;
  std::filesystem::create_directory(f.settings.path + "-lock");
  f.open();
  REQUIRE(f.store->put("key", f.make("body")));
  f.store->flush();
  CHECK(f.body("key") == "body");
}

TEST_CASE("another program's file gets no lock beside it") {
  StoreFixture f;
  std::ofstream(f.settings.path) << std::string(8192, 'x');
  CHECK(f.try_open().error().kind == base::ErrorKind::NotOurs);
  CHECK(f.folder.count("store.db") == 1);
}

TEST_CASE("holdfast store works beside the daemon that has the store") {
  StoreFixture f;
  f.open();
  REQUIRE(f.store->put("lookup/8.8.8.8", f.make("{}")));
  f.store->flush();
  FILE* const out = std::tmpfile();
  REQUIRE(out != nullptr);
  CHECK(store_stats(f.settings.path, f.clock, out));
  CHECK(store_check(f.settings.path, out).value());
  std::fclose(out);
  CHECK(f.store->status().state == State::Ok);
}

}  // namespace
}  // namespace holdfast::cache
