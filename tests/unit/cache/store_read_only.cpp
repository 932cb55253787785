// A store's file that can be read and not written: what is in it answers, nothing is written,
// and writing begins when it may.
#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <map>

#include "cache/store_lock.h"
#include "fault_vfs.h"
#include "store_fixture.h"

namespace holdfast::cache {
namespace {

using State = StoreStatus::State;

// Root may write anywhere: as nobody, then, all threads of the process.
struct AsNobody {
  AsNobody() {
    if (root) REQUIRE(::seteuid(65534) == 0);
  }
  ~AsNobody() {
    if (root) static_cast<void>(::seteuid(0) == 0);
  }
  const bool root = ::geteuid() == 0;
};

struct ReadOnly : StoreFixture {
  ReadOnly() {
    settings.lock_patience = 0ms;
    open();
    for (const char* key : {"1", "2", "3"}) REQUIRE(store->put(key, make(key)));
    store->flush();
    store.reset();
  }
  // So that anybody may read, and nobody but root write. The files become nobody's, who may
  // so allow it again.
  void forbid() {
    change(0444, 0555);
    if (::geteuid() != 0) return;
    REQUIRE(::chown(folder.path().c_str(), 65534, 65534) == 0);
    for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
      REQUIRE(::chown(entry.path().c_str(), 65534, 65534) == 0);
    }
  }
  void allow() { change(0666, 0777); }
  void change(mode_t files, mode_t of_folder) {
    for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
      REQUIRE(::chmod(entry.path().c_str(), files) == 0);
    }
    REQUIRE(::chmod(folder.path().c_str(), of_folder) == 0);
  }
  std::map<std::string, std::string> contents() const {
    std::map<std::string, std::string> files;
    for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
      std::ifstream in(entry.path(), std::ios::binary);
      files[entry.path().filename()] = {std::istreambuf_iterator<char>(in), {}};
    }
    return files;
  }
  void start() {
    const auto opened = try_open();
    REQUIRE_FALSE(opened);
    store = store_without_file(settings, opened.error(), clock, log);
  }
};

void answers_until_it_may_be_written(ReadOnly& f) {
  const auto before = f.contents();
  f.forbid();
  {
    const AsNobody nobody;
    f.start();
    // At once: the first request may be the one that needs it.
    CHECK(f.body("2") == "2");
    CHECK(f.body("absent").empty());
    CHECK(f.store->status().state == State::Degraded);
    CHECK(f.store->status().reason.find(f.settings.path + " can be read, not written: ") == 0);
    CHECK(f.store->status().entries == 3);
    std::atomic<int> loaded{0};
    f.store->load_recent([&](std::string_view, const StoredPtr&) { return ++loaded > 0; });
    CHECK(eventually([&] { return loaded == 3; }));
    REQUIRE(f.store->put("new", f.make("new")));
    f.store->erase("1");
    f.store->flush();
    CHECK(f.body("new") == "new");
    CHECK(f.body("1").empty());
    CHECK(f.contents() == before);
    f.allow();
    CHECK(eventually([&] { return f.store->status().state == State::Ok; }));
    f.store->flush();
    CHECK(f.body("1").empty());
    CHECK(f.body("3") == "3");
    CHECK(f.body("new") == "new");
    CHECK(f.store->status().committed == 1);
    f.store.reset();
  }
  f.open();
  CHECK(f.body("1").empty());
  CHECK(f.body("2") == "2");
  CHECK(f.body("new") == "new");
}

TEST_CASE("a file that may only be read answers, and is written when it may be") {
  ReadOnly f;
  answers_until_it_may_be_written(f);
}

TEST_CASE("so it is without a write-ahead log beside it, as after a copy") {
  ReadOnly f;
  for (const char* end : {"-wal", "-shm", "-lock"}) std::filesystem::remove(f.settings.path + end);
  answers_until_it_may_be_written(f);
}

TEST_CASE("what is in the write-ahead log answers too") {
  ReadOnly f;
  // As after kill -9: copied while it is open.
  f.open();
  REQUIRE(f.store->put("4", f.make("4")));
  f.store->flush();
  ReadOnly copy;
  for (const char* end : {"", "-wal", "-shm"}) {
    std::filesystem::copy_file(f.settings.path + end, copy.settings.path + end,
                               std::filesystem::copy_options::overwrite_existing);
  }
  copy.forbid();
  const AsNobody nobody;
  copy.start();
  CHECK(copy.body("4") == "4");
  copy.store.reset();
}

TEST_CASE("a name with marks of a URI is a name") {
  ReadOnly f;
  const std::string odd = f.folder.file("100% mine?#.db");
  std::filesystem::rename(f.settings.path, odd);
  f.settings.path = odd;
  f.forbid();
  const AsNobody nobody;
  f.start();
  CHECK(f.body("2") == "2");
  f.store.reset();
}

TEST_CASE("another daemon's store is not read either where it can only be read") {
  ReadOnly f;
  auto first = FileLock::open(f.settings.path);
  REQUIRE((first && first->lock()));
  std::filesystem::remove(f.settings.path + "-lock");
  f.forbid();
  const AsNobody nobody;
  f.start();
  CHECK_FALSE(f.store->find("2"));
  CHECK(f.store->status().reason.find("in use by another holdfast") != std::string::npos);
  f.store.reset();
}

TEST_CASE("a disk that was full before the start: what is stored answers") {
  FaultVfs disk(true);
  ReadOnly f;
  f.settings.vfs = FaultVfs::name();
  disk.plan(
      {.call = FaultVfs::Call::Write, .nth = 1, .code = 13 /* SQLITE_FULL */, .lasting = true});
  f.start();
  CHECK(f.body("2") == "2");
  CHECK(f.store->status().state == State::Degraded);
  disk.heal();
  CHECK(eventually([&] { return f.store->status().state == State::Ok; }));
  CHECK(f.body("2") == "2");
  f.store.reset();
}

}  // namespace
}  // namespace holdfast::cache
