// One daemon at a time has a store: the second one waits, says so, and has it when the
// first one is gone, however that went.
#include "cache/store_lock.h"

#include <doctest/doctest.h>
#include <fcntl.h>
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

TEST_CASE("a hard link is the same store: whoever comes by it waits for the first to end") {
  StoreFixture first;
  first.open();
  REQUIRE(first.store->put("key", first.make("body")));
  first.store->flush();
  std::filesystem::create_directory(first.folder.file("other"));
  const std::string link = first.folder.file("other/link.db");
  std::filesystem::create_hard_link(first.settings.path, link);
  Second second(link);
  CHECK(second.kind == base::ErrorKind::Busy);
  CHECK(second.message.find(link + " is in use by another holdfast") != std::string::npos);
  CHECK(second.message.find("hard link") != std::string::npos);
  CHECK_FALSE(second.store->find("key"));
  first.store.reset();
  CHECK(eventually([&] { return second.store->status().state == State::Ok; }));
  CHECK(second.body("key") == "body");
}

TEST_CASE("a backup by hard link, made while the store is open, hurts nothing") {
  StoreFixture f;
  f.open();
  REQUIRE(f.store->put("1", f.make("one")));
  f.store->flush();
  std::filesystem::create_hard_link(f.settings.path, f.folder.file("backup.db"));
  REQUIRE(f.store->put("2", f.make("two")));
  f.store->flush();
  CHECK(f.store->status().state == State::Ok);
  f.open();
  CHECK(f.store->status().state == State::Ok);
  CHECK(f.body("1") == "one");
  CHECK(f.body("2") == "two");
}

TEST_CASE("a lock on the file itself leaves SQLite's own alone") {
  StoreFixture f;
  f.open();
  REQUIRE(f.store->put("key", f.make("body")));
  f.store->flush();
  CHECK(f.body("key") == "body");
  // Nor does a try that fails, and another one.
  auto another = FileLock::open(f.settings.path);
  REQUIRE(another);
  for (int i = 0; i < 2; ++i) {
    const auto locked = another->lock();
    REQUIRE_FALSE(locked);
    CHECK(locked.error().kind == base::ErrorKind::Busy);
  }
  // Another process asks the kernel what it would meet.
  const pid_t child = ::fork();
  if (child == 0) {
    struct flock lock = {};
    lock.l_type = F_WRLCK;
    lock.l_start = 0x40000000;  // PENDING_BYTE; RESERVED_BYTE and the shared ones follow
    lock.l_len = 512;
    const int fd = ::open(f.settings.path.c_str(), O_RDWR);
    const bool asked = fd >= 0 && ::fcntl(fd, F_GETLK, &lock) == 0;
    // SQLite's reading lock is there, and nothing that forbids writing.
    ::_exit(asked && lock.l_type == F_RDLCK ? 0 : 1);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(status == 0);
}

TEST_CASE("a lock that was not to be had is asked for again, and the status says which it is") {
  StoreFixture f;
  f.settings.lock_retry = 5ms;
  const std::string file = f.settings.path + "-lock";
  std::filesystem::create_directory(file);
  f.open();
  CHECK_FALSE(f.store->status().locked);
  CHECK(f.store->status().state == State::Ok);
  std::filesystem::remove(file);
  CHECK(eventually([&] { return f.store->status().locked; }));
  CHECK(Second(f.settings.path).message.find("(process ") != std::string::npos);
}

TEST_CASE("of two that had no lock, one has the store when there is one") {
  StoreFixture f;
  f.settings.lock_retry = 5ms;
  const std::string file = f.settings.path + "-lock";
  std::filesystem::create_directory(file);
  f.open();
  const std::string other = f.folder.file("other-lock");
  {
    auto taken = StoreLock::take(f.folder.file("other"));
    REQUIRE(taken);
    std::filesystem::remove(file);
    std::filesystem::rename(other, file);
    CHECK(eventually([&] { return f.store->status().state == State::Degraded; }));
    CHECK(f.store->status().reason.find("in use by another holdfast") != std::string::npos);
  }
  CHECK(eventually([&] { return f.store->status().state == State::Ok; }));
  CHECK(f.store->status().locked);
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
