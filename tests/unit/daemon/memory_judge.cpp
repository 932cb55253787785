// What is in memory when the rules for it change.
#include "daemon/memory_judge.h"

#include <doctest/doctest.h>

#include <optional>

#include "base/virtual_scheduler.h"
#include "lookup_route.h"

namespace holdfast::daemon {
namespace {

struct Judging {
  base::VirtualScheduler loop;
  cache::MemoryCache memory{{}};
  MemoryJudge judge{loop, memory};
  std::optional<MemoryJudge::Result> result;

  static cache::StoredPtr stored(std::string body) {
    cache::StoredParts parts;
    parts.body = std::move(body);
    parts.fields = "Content-Type: application/json\r\n";
    return cache::make_stored(std::move(parts));
  }
  static cache::StoredPtr right(const std::string& ip) {
    return stored(R"({"ip":")" + ip +
                  R"(","location":"","postal_code":"","network_name":"","domain":"",)"
                  R"("latitude":1,"longitude":2})");
  }
  void run() {
    judge.judge({proxy::test::lookup_plan()}, [this](auto done) { result = done; });
    loop.run_ready();
    REQUIRE(result.has_value());
  }
};

}  // namespace

TEST_CASE_FIXTURE(Judging, "what the rules of today refuse goes, and the rest stays") {
  memory.put("lookup/192.0.2.1", right("192.0.2.1"));
  memory.put("lookup/192.0.2.2", right("192.0.2.1"));
  memory.put("lookup/192.0.2.3", stored("<html>"));
  memory.put("another/192.0.2.3", stored("<html>"));
  run();
  CHECK(result->judged == 3);
  CHECK(result->dropped == 2);
  CHECK(memory.find("lookup/192.0.2.1") != nullptr);
  CHECK(memory.find("lookup/192.0.2.2") == nullptr);
  CHECK(memory.find("lookup/192.0.2.3") == nullptr);
  CHECK(memory.find("another/192.0.2.3") != nullptr);
}

TEST_CASE_FIXTURE(Judging, "many are judged a few a turn") {
  for (int i = 0; i < 3000; ++i) {
    const std::string ip = "198.51." + std::to_string(i / 250) + "." + std::to_string(i % 250);
    memory.put("lookup/" + ip, right(i % 3 == 0 ? "192.0.2.1" : ip));
  }
  judge.judge({proxy::test::lookup_plan()}, [this](auto done) { result = done; });
  int turns = 0;
  while (loop.run_one()) ++turns;
  CHECK(turns >= 5);
  CHECK(result->judged == 3000);
  CHECK(result->dropped == 1000);
  CHECK(memory.stats().entries == 2000);
}

TEST_CASE_FIXTURE(Judging, "what is still being loaded was judged by the old rules") {
  const cache::MemoryCache::Loading loading(memory);
  run();
  memory.put_if_absent("lookup/192.0.2.3", stored("<html>"));
  CHECK(memory.find("lookup/192.0.2.3") == nullptr);
}

TEST_CASE_FIXTURE(Judging, "without a route to judge for it is done at once") {
  judge.judge({}, [this](auto done) { result = done; });
  REQUIRE(result.has_value());
  CHECK(result->judged == 0);
}

}  // namespace holdfast::daemon
