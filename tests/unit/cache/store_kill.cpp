// kill -9 at random moments of a write load: what had been committed is there,
// nothing is wrong, and the file is sound. HOLDFAST_KILL_ROUNDS says how often
// (5 by default); with HOLDFAST_KILL_WINDOW_MS also every put that was accepted
// longer ago than that must be there. That depends on the machine's speed, so
// tools/test.sh leaves it out; no more is put then than any disk keeps up with.
#include <doctest/doctest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "base/random.h"
#include "cache/store_admin.h"
#include "store_fixture.h"

namespace holdfast::cache {
namespace {

constexpr int kKeys = 3000;
// More than any machine gets through; the ledger's pages are made as they are used.
constexpr int kPuts = 100'000'000;

// Shared with the child, which may die at any instruction.
struct Ledger {
  std::atomic<int> accepted;                     // puts, in order
  std::atomic<int> committed;                    // of these, at least so many from the start
  std::atomic<std::int64_t> accepted_at[kPuts];  // on the steady clock
};

std::string key_of(int put) {
  return "key-" + std::to_string(put % kKeys);
}
std::string body_of_put(int put) {
  return std::to_string(put) + std::string(200, 'b');
}

// `pause`: between puts, as an upstream makes them.
[[noreturn]] void write_until_killed(StoreFixture& f, Ledger& ledger, int first,
                                     std::chrono::microseconds pause) {
  auto opened = open_store(f.settings, f.clock, f.log);
  if (!opened) ::_exit(1);
  const std::unique_ptr<Store> store = std::move(*opened);
  for (int i = first; i < kPuts; ++i) {
    if (pause > 0us) std::this_thread::sleep_for(pause);
    while (!store->put(key_of(i), answer(body_of_put(i), f.clock.wall()))) {
      std::this_thread::sleep_for(1ms);
    }
    ledger.accepted_at[i] = std::chrono::steady_clock::now().time_since_epoch().count();
    ledger.accepted = i + 1;
    if (i % 16 != 0) continue;
    // A put that a later one in the same transaction replaced is not counted, so
    // this is never too many.
    ledger.committed = first + static_cast<int>(store->status().committed);
    // A pause now and then: the writer must also be caught with a small batch.
    if (i % 512 == 0) std::this_thread::sleep_for(3ms);
  }
  ::_exit(2);
}

TEST_CASE("kill -9 at any moment loses nothing that was committed and damages nothing") {
  const char* rounds_text = std::getenv("HOLDFAST_KILL_ROUNDS");
  const int rounds = rounds_text ? std::atoi(rounds_text) : 5;
  const char* window_text = std::getenv("HOLDFAST_KILL_WINDOW_MS");
  const std::chrono::milliseconds window(window_text ? std::atoi(window_text) : 0);
  StoreFixture f;
  if (window_text) {
    // As in the daemon: the WAL is started anew, which takes a sync, when idle.
    f.settings.tick = StoreSettings().tick;
  } else {
    f.settings.limit_bytes = 64 << 20;
  }
  void* shared = ::mmap(nullptr, sizeof(Ledger), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  REQUIRE(shared != MAP_FAILED);
  auto& ledger = *static_cast<Ledger*>(shared);
  base::Random random(20260501);
  int next = 0;    // the first put of this round
  int newest = 0;  // of any round; the one being put when the child died counts
  for (int round = 1; round <= rounds; ++round) {
    CAPTURE(round);
    ledger.accepted = next;
    ledger.committed = next;
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) write_until_killed(f, ledger, next, window_text ? 200us : 0us);
    // At least something must have happened; after that, any moment.
    REQUIRE(eventually([&] { return ledger.committed > next; }));
    std::this_thread::sleep_for(window + std::chrono::microseconds(random.below(200'000)));
    const auto killed_at = std::chrono::steady_clock::now();
    ::kill(child, SIGKILL);
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    // Anything else is an exit of its own: 1 if the file could not be opened.
    CAPTURE(WEXITSTATUS(status));
    REQUIRE(WIFSIGNALED(status));

    newest = std::max<int>(newest, ledger.accepted);
    int sure = ledger.committed;
    if (window_text) {
      const auto limit = killed_at - window;
      while (sure < ledger.accepted &&
             ledger.accepted_at[sure] < limit.time_since_epoch().count()) {
        ++sure;
      }
    }
    FILE* out = std::tmpfile();
    const auto checked = store_check(f.settings.path, out);
    std::fclose(out);
    REQUIRE_MESSAGE(checked, (checked ? "" : checked.error().message));
    REQUIRE(*checked);

    f.open();
    for (int i = std::max(0, sure - kKeys); i < sure; ++i) {
      // This put, or a later one of its key.
      const std::string body = f.body(key_of(i));
      const int found = std::atoi(body.c_str());
      const std::chrono::nanoseconds accepted(ledger.accepted_at[i]);
      CAPTURE((killed_at.time_since_epoch() - accepted) / 1ms);
      REQUIRE(found >= i);
      REQUIRE(found <= newest);
      REQUIRE(found % kKeys == i % kKeys);
      REQUIRE(body == body_of_put(found));
    }
    REQUIRE(f.store->status().corrupt_rows == 0);
    f.store.reset();
    REQUIRE(f.folder.count("store.db.damaged") == 0);
    REQUIRE(f.folder.count("store.db.salvaged") == 0);
    // What may have been lost is put again, the same.
    next = sure;
  }
  ::munmap(shared, sizeof(Ledger));
}

}  // namespace
}  // namespace holdfast::cache
