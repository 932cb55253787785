#include "cache/restorer.h"

#include <doctest/doctest.h>

#include <atomic>
#include <future>
#include <string>
#include <vector>

namespace holdfast::cache {
namespace {

using Kind = Restorer::Kind;

}  // namespace

TEST_CASE("write-backs do not pile up while a disk comes and goes") {
  std::promise<void> begun;
  std::promise<void> let_go;
  std::promise<void> over;
  std::atomic<int> write_backs{0};
  std::atomic<int> salvages{0};
  Restorer restorer([] {});
  const auto write_back = [&](const Restorer::Push&) { ++write_backs; };
  restorer.start(Kind::WriteBack, [&](const Restorer::Push&) {
    begun.set_value();
    let_go.get_future().wait();
  });
  begun.get_future().wait();
  // The one that runs has looked into memory already: one more is needed, and no more.
  for (int i = 0; i < 1000; ++i) {
    restorer.start(Kind::WriteBack, write_back);
    if (i % 500 == 0) restorer.start(Kind::Salvage, [&](const Restorer::Push&) { ++salvages; });
  }
  SUBCASE("as they are") {}
  SUBCASE("and one that was voided by a purge does not stand for those that come after") {
    restorer.note_erase_all();
    restorer.start(Kind::WriteBack, write_back);
    salvages = 2;
  }
  restorer.start(Kind::Salvage, [&](const Restorer::Push&) { over.set_value(); });
  let_go.set_value();
  over.get_future().wait();
  CHECK(write_backs == 1);
  CHECK(salvages == 2);
}

TEST_CASE("what is stored anew after an erasure is written back, what was erased is not") {
  std::promise<void> begun;
  std::promise<void> let_go;
  std::promise<void> over;
  Restorer restorer([] {});
  const auto item = [](const char* body) { return make_stored({.body = body}); };
  restorer.start(Kind::WriteBack, [&](const Restorer::Push& push) {
    begun.set_value();
    let_go.get_future().wait();
    push("key", item("erased"));
  });
  begun.get_future().wait();
  restorer.note_erase("key");
  // Memory has the key again, the queue had no room for it, and the disk came back.
  restorer.start(Kind::WriteBack,
                 [&](const Restorer::Push& push) { push("key", item("stored anew")); });
  restorer.start(Kind::Salvage, [&](const Restorer::Push& push) {
    push("key", item("from before"));
    push("other", item("from before"));
    over.set_value();
  });
  let_go.set_value();
  over.get_future().wait();
  std::vector<std::string> bodies;
  for (const Restorer::Item& back : restorer.next(10)) bodies.push_back(back.stored->body);
  CHECK(bodies == std::vector<std::string>{"stored anew", "from before"});
}

}  // namespace holdfast::cache
