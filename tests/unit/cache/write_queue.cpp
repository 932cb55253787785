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
  REQUIRE(queue.erase_all());
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
  REQUIRE(queue.erase_all());
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

TEST_CASE("what does not fit is refused whole and counted, if it was a put") {
  WriteQueue queue({.entries = 2, .bytes = 10'000});
  CHECK_FALSE(queue.put("big", response(std::string(20'000, 'b'))));
  CHECK(queue.put("a", response("x")));
  CHECK(queue.erase("b"));
  CHECK_FALSE(queue.put("c", response("x")));
  CHECK_FALSE(queue.erase("d"));
  CHECK_FALSE(queue.erase_all());
  CHECK(queue.dropped() == 2);
  StoredPtr found;
  CHECK(queue.find("c", found) == WriteQueue::Pending::No);
}

}  // namespace
}  // namespace holdfast::cache
