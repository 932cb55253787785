#include "daemon/leases.h"

#include <doctest/doctest.h>

#include <vector>

#include "base/virtual_scheduler.h"

namespace holdfast::daemon {
namespace {

using namespace std::chrono_literals;

struct Ended {
  int parts = 0;
  bool may = true;
  int asked = 0;
};

struct Part {
  explicit Part(Ended& e) : ended(e) {}
  ~Part() { ++ended.parts; }
  Part(const Part&) = delete;
  Part& operator=(const Part&) = delete;
  bool wind_down() {
    ++ended.asked;
    return ended.may;
  }
  Ended& ended;
};

struct Lent {
  base::VirtualScheduler loop;
  Ended ended;
  Leases<Part> leases{loop};
};

}  // namespace

TEST_CASE_FIXTURE(Lent, "a part lives as long as anybody has a lease, and ends on the loop") {
  auto lease = leases.add(std::make_unique<Part>(ended));
  auto copy = lease;
  lease.reset();
  loop.advance(1min);
  CHECK(ended.parts == 0);
  CHECK(ended.asked == 0);
  copy.reset();
  // Not where the last one was dropped.
  CHECK(ended.parts == 0);
  loop.run_ready();
  CHECK(ended.parts == 1);
  CHECK(leases.size() == 0);
}

TEST_CASE_FIXTURE(Lent, "what is under way in a part ends before it does") {
  ended.may = false;
  leases.add(std::make_unique<Part>(ended)).reset();
  loop.advance(10s);
  CHECK(ended.parts == 0);
  CHECK(ended.asked > 50);
  CHECK(leases.size() == 1);
  ended.may = true;
  loop.advance(Leases<Part>::kAskedAgain);
  CHECK(ended.parts == 1);
  // Then nobody is asked any more.
  const int asked = ended.asked;
  loop.advance(1min);
  CHECK(ended.asked == asked);
}

TEST_CASE_FIXTURE(Lent, "of many that are unused one ends a turn, and soon all have") {
  std::vector<Leases<Part>::Lease> all;
  for (int i = 0; i < 20; ++i) all.push_back(leases.add(std::make_unique<Part>(ended)));
  const auto used = all.back();
  all.clear();
  for (int turns = 0, before = 0; loop.run_one(); ++turns) {
    CHECK(ended.parts <= before + 1);
    before = ended.parts;
  }
  CHECK(ended.parts == 19);
  CHECK(leases.size() == 1);
}

TEST_CASE("leases may outlive what gave them") {
  base::VirtualScheduler loop;
  Ended ended;
  auto leases = std::make_unique<Leases<Part>>(loop);
  auto kept = leases->add(std::make_unique<Part>(ended));
  leases->add(std::make_unique<Part>(ended)).reset();
  leases.reset();
  CHECK(ended.parts == 2);
  loop.advance(1s);
  kept.reset();
  loop.advance(1s);
  CHECK(ended.parts == 2);
}

}  // namespace holdfast::daemon
