#include "cache/restorer.h"

#include <doctest/doctest.h>

#include <atomic>
#include <future>
#include <string>
#include <vector>

namespace holdfast::cache {
namespace {

using RestorerKind = Restorer::Kind;

std::uint64_t nothing_queued() {
  return 0;
}

}  // namespace

TEST_CASE("write-backs do not pile up while a disk comes and goes") {
  std::promise<void> begun;
  std::promise<void> let_go;
  std::promise<void> over;
  std::atomic<int> write_backs{0};
  std::atomic<int> salvages{0};
  Restorer restorer([] {}, nothing_queued);
  const auto write_back = [&](const Restorer::Push&) { ++write_backs; };
  restorer.start(RestorerKind::WriteBack, [&](const Restorer::Push&) {
    begun.set_value();
    let_go.get_future().wait();
  });
  begun.get_future().wait();
  // The one that runs has looked into memory already: one more is needed, and no more.
  for (int i = 0; i < 1000; ++i) {
    restorer.start(RestorerKind::WriteBack, write_back);
    if (i % 500 == 0)
      restorer.start(RestorerKind::Salvage, [&](const Restorer::Push&) { ++salvages; });
  }
  SUBCASE("as they are") {}
  SUBCASE("and one that was voided by a purge does not stand for those that come after") {
    restorer.note_erase_all();
    restorer.start(RestorerKind::WriteBack, write_back);
    salvages = 2;
  }
  restorer.start(RestorerKind::Salvage, [&](const Restorer::Push&) { over.set_value(); });
  let_go.set_value();
  over.get_future().wait();
  CHECK(write_backs == 1);
  CHECK(salvages == 2);
}

TEST_CASE("what is stored anew after an erasure is written back, what was erased is not") {
  std::promise<void> begun;
  std::promise<void> let_go;
  std::promise<void> over;
  Restorer restorer([] {}, nothing_queued);
  const auto item = [](const char* body) { return make_stored({.body = body}); };
  restorer.start(RestorerKind::WriteBack, [&](const Restorer::Push& push) {
    begun.set_value();
    let_go.get_future().wait();
    push("key", item("erased"));
  });
  begun.get_future().wait();
  restorer.note_erase("key");
  // Memory has the key again, the queue had no room for it, and the disk came back.
  restorer.start(RestorerKind::WriteBack,
                 [&](const Restorer::Push& push) { push("key", item("stored anew")); });
  restorer.start(RestorerKind::Salvage, [&](const Restorer::Push& push) {
    push("key", item("from before"));
    push("other", item("from before"));
    over.set_value();
  });
  let_go.set_value();
  over.get_future().wait();
  std::vector<std::string> bodies;
  for (const Restorer::Item& back : restorer.next(10, 0)) bodies.push_back(back.stored->body);
  CHECK(bodies == std::vector<std::string>{"stored anew", "from before"});
}

TEST_CASE(
    "an erasure that is written while a salvage runs keeps its key out, and spares memory's") {
  std::promise<void> begun;
  std::promise<void> let_go;
  std::promise<void> over;
  bool all = false;
  SUBCASE("one") {}
  SUBCASE("all") {
    all = true;
  }
  const auto item = [](const char* body) { return make_stored({.body = body}); };
  Restorer restorer([] {}, nothing_queued);
  restorer.start(RestorerKind::Salvage, [&](const Restorer::Push& push) {
    CHECK(push("key", item("from before")));
    begun.set_value();
    let_go.get_future().wait();
    CHECK(push("other", item("from before")) == !all);
  });
  restorer.start(RestorerKind::WriteBack, [&](const Restorer::Push& push) {
    push("key", item("stored anew"));
    over.set_value();
  });
  begun.get_future().wait();
  all ? restorer.note_written_erase_all() : restorer.note_written_erase("key");
  let_go.set_value();
  over.get_future().wait();
  std::vector<std::string> bodies;
  for (const Restorer::Item& back : restorer.next(10, 0)) bodies.push_back(back.stored->body);
  std::vector<std::string> expected{"stored anew"};
  if (!all) expected.insert(expected.begin(), "from before");  // the other's
  CHECK(bodies == expected);
}

TEST_CASE("more erasures than are remembered: the write-back begins anew, without them") {
  constexpr int kErasures = 100'001;
  std::promise<void> begun;
  std::promise<void> let_go;
  std::promise<void> over;
  std::atomic<bool> erased{false};
  Restorer restorer([] {}, nothing_queued);
  CHECK_FALSE(restorer.writing_back());
  restorer.start(RestorerKind::WriteBack, [&](const Restorer::Push& push) {
    // As a look at memory does: it finds what is there when it begins.
    const bool all = !erased;
    if (all) {
      begun.set_value();
      let_go.get_future().wait();
      CHECK_FALSE(push("0", make_stored({.body = "erased"})));
      return;
    }
    CHECK(push("kept", make_stored({.body = "kept"})));
    over.set_value();
  });
  begun.get_future().wait();
  erased = true;
  for (int i = 0; i < kErasures; ++i) restorer.note_erase(std::to_string(i));
  let_go.set_value();
  over.get_future().wait();
  const auto items = restorer.next(10, 0);
  REQUIRE(items.size() == 1);
  CHECK(items[0].key == "kept");
  CHECK(restorer.writing_back());
  restorer.done(1);
}

TEST_CASE("what comes back waits for the writes that were queued before it") {
  std::promise<void> over;
  std::uint64_t queued = 3;
  Restorer restorer([] {}, [&] { return queued; });
  restorer.start(RestorerKind::WriteBack, [&](const Restorer::Push& push) {
    push("early", make_stored({}));
    queued = 5;
    push("late", make_stored({}));
    over.set_value();
  });
  over.get_future().wait();
  CHECK(restorer.next(10, 2).empty());
  CHECK(restorer.writing_back());
  CHECK(restorer.next(10, 3).size() == 1);
  CHECK(restorer.next(10, 4).size() == 1);
  CHECK(restorer.next(10, 5).size() == 2);
  CHECK(restorer.next(1, 5).size() == 1);
}

}  // namespace holdfast::cache
