#include "cache/restorer.h"

#include <doctest/doctest.h>

#include <atomic>
#include <future>

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

}  // namespace holdfast::cache
