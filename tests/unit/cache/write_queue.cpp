#include "cache/write_queue.h"

#include <doctest/doctest.h>

#include "store_fixture.h"

namespace holdfast::cache {
namespace {

constexpr std::size_t kPlenty = 1 << 20;

StoredPtr response(const std::string& body) {
  return make_stored({.body = body});
}

TEST_CASE("a read sees the latest write that is queued, and only those") {
  WriteQueue queue({});
  StoredPtr found;
  CHECK(queue.find("k", found) == WriteQueue::Pending::No);
  REQUIRE(queue.put("k", response("1")));
  REQUIRE(queue.put("k", response("2")));
  CHECK(queue.find("k", found) == WriteQueue::Pending::Put);
  CHECK(found->body == "2");
  REQUIRE(queue.erase("k"));
  CHECK(queue.find("k", found) == WriteQueue::Pending::Erased);
  queue.erase_all();
  CHECK(queue.find("other", found) == WriteQueue::Pending::Erased);
  REQUIRE(queue.put("k", response("3")));
  CHECK(queue.find("k", found) == WriteQueue::Pending::Put);
  queue.done(queue.peek(kPlenty));
  CHECK(queue.find("k", found) == WriteQueue::Pending::No);
  CHECK(queue.find("other", found) == WriteQueue::Pending::No);
  CHECK(queue.size() == 0);
}

TEST_CASE("a write is left out only for a later one of the same transaction") {
  WriteQueue queue({.batch_entries = 2});
  REQUIRE(queue.put("k", response("1")));
  REQUIRE(queue.put("k", response("2")));
  REQUIRE(queue.put("k", response("3")));
  queue.erase_all();
  auto batch = queue.peek(kPlenty);
  CHECK(batch.taken == 2);
  // Both are written though 3 and the erasure are waiting: a crash may come
  // before these are committed.
  REQUIRE(batch.writes.size() == 2);
  CHECK(batch.writes[1]->stored->body == "2");
  queue.done(batch);
  batch = queue.peek(kPlenty);
  CHECK(batch.taken == 2);
  REQUIRE(batch.writes.size() == 1);
  CHECK(batch.writes[0]->kind == Write::Kind::EraseAll);
  queue.done(batch);
  REQUIRE(queue.put("j", response("1")));
  REQUIRE(queue.put("j", response("2")));
  batch = queue.peek(kPlenty);
  REQUIRE(batch.writes.size() == 1);
  CHECK(batch.writes[0]->stored->body == "2");
}

TEST_CASE("a batch is bounded by entries and by bytes, and never empty while something waits") {
  WriteQueue queue({.batch_entries = 10});
  for (int i = 0; i < 25; ++i) REQUIRE(queue.put(std::to_string(i), response("x")));
  CHECK(queue.peek(kPlenty).taken == 10);
  CHECK(queue.peek(1).taken == 1);
}

TEST_CASE("waiting ends with a full batch, with the window, with time and with a wake") {
  using Steady = std::chrono::steady_clock;
  WriteQueue queue({.batch_entries = 3});
  queue.wait(Steady::now() - 1s, 1h);  // time
  queue.wake();
  queue.wait(Steady::now() + 1h, 1h);
  REQUIRE(queue.put("a", response("x")));
  queue.wait(Steady::now() + 1h, 1ms);  // window
  std::thread other([&] {
    REQUIRE(queue.put("b", response("x")));
    REQUIRE(queue.put("c", response("x")));
  });
  queue.wait(Steady::now() + 1h, 1h);  // full
  CHECK(queue.size() == 3);
  other.join();
  std::thread waker([&] { queue.wake(); });
  queue.pause(Steady::now() + 1h);
  waker.join();
}

TEST_CASE("a put that does not fit is refused whole and counted; an erasure finds room") {
  WriteQueue queue({.entries = 2, .bytes = 10'000});
  CHECK_FALSE(queue.put("big", response(std::string(20'000, 'b'))));
  CHECK(queue.put("a", response("x")));
  CHECK(queue.erase("b"));
  CHECK_FALSE(queue.put("c", response("x")));
  CHECK_FALSE(queue.drop_damaged(1));
  CHECK(queue.dropped() == 2);
  StoredPtr found;
  CHECK(queue.find("c", found) == WriteQueue::Pending::No);
  CHECK(queue.erase("d"));
  CHECK(queue.find("d", found) == WriteQueue::Pending::Erased);
  queue.erase_all();
  CHECK(queue.find("e", found) == WriteQueue::Pending::Erased);
  CHECK(queue.peek(kPlenty).writes.back()->kind == Write::Kind::EraseAll);
}

TEST_CASE("what is erased already is not queued again, what was put since is") {
  WriteQueue queue({});
  for (int i = 0; i < 3; ++i) CHECK(queue.erase("k"));
  CHECK(queue.size() == 1);
  REQUIRE(queue.put("k", response("1")));
  CHECK(queue.erase("k"));
  CHECK(queue.size() == 3);
  queue.erase_all();
  CHECK(queue.erase("k"));
  CHECK(queue.size() == 4);
  REQUIRE(queue.put("k", response("2")));
  CHECK(queue.erase("k"));
  CHECK(queue.size() == 6);
}

TEST_CASE("more erasures than are kept one by one: all is erased, and the queue is bounded") {
  constexpr std::size_t kMost = 13;  // of puts and erasures
  WriteQueue queue({.entries = 5, .erasures = 8, .batch_entries = 3});
  REQUIRE(queue.put("put", response("x")));
  // What the writer may be reading stays as it is.
  const auto being_written = queue.peek(kPlenty);
  int i = 0;
  while (queue.erase(std::to_string(i))) {
    REQUIRE(++i < 20);
    CHECK(queue.put("put " + std::to_string(i), response("x")) == (i < 3));
  }
  CHECK(queue.size() == 2);
  CHECK(being_written.writes[0]->stored->body == "x");
  CHECK(queue.dropped() == 2 + static_cast<std::uint64_t>(i - 2));
  StoredPtr found;
  for (const char* key : {"put", "put 1", "0", "never seen"}) {
    CHECK(queue.find(key, found) == WriteQueue::Pending::Erased);
  }
  // From here on each erasure is of something put since.
  for (int n = 0; n < 100; ++n) {
    queue.put("again", response("y"));
    queue.erase("again");
    REQUIRE(queue.size() <= kMost);
  }
  queue.done(being_written);
  for (auto batch = queue.peek(kPlenty); batch.taken > 0; batch = queue.peek(kPlenty)) {
    queue.done(batch);
  }
  CHECK(queue.find("put", found) == WriteQueue::Pending::No);
  CHECK(queue.put("put", response(std::string(1000, 'x'))));
}

}  // namespace
}  // namespace holdfast::cache
