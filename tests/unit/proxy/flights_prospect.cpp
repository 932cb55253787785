// What people are told would become of a request is what becomes of it.
#include "flights_fixture.h"

namespace holdfast::proxy::test {
namespace {

using Way = Flights::Prospect::Way;
constexpr const char* kKey = "lookup/8.8.8.8";

struct Prospects : Fixture {
  Flights::Prospect prospect(std::chrono::seconds min_fresh = 0s) {
    const std::size_t rows = store.rows.size();
    const bool in_memory = memory.find(kKey) != nullptr;
    const std::size_t begun = fetcher.last;
    Flights::Prospect prospect = flights->prospect(kKey, min_fresh);
    CHECK(store.rows.size() == rows);
    CHECK((memory.find(kKey) != nullptr) == in_memory);
    CHECK(fetcher.last == begun);
    CHECK(flights->stats().waiters == waiters);
    return prospect;
  }
  std::size_t waiters = 0;
};

}  // namespace

TEST_CASE_FIXTURE(Prospects, "nothing stored: a fetch, which the next one joins") {
  CHECK(prospect().way == Way::Fetch);
  CHECK_FALSE(flights->without_upstream(*route, kKey, nullptr).has_value());
  ask("8.8.8.8");
  waiters = 1;
  CHECK(prospect().way == Way::Join);
  CHECK(flights->waiting_for(kKey) == 1);
  ask("8.8.8.8");
  CHECK(fetcher.fetches.size() == 1);
  CHECK(flights->waiting_for(kKey) == 2);
}

TEST_CASE_FIXTURE(Prospects, "the rungs of what is stored, from memory or disk, as it ages") {
  have("8.8.8.8");
  CHECK(prospect().answer.rung == Rung::Fresh);
  memory.clear();
  CHECK(prospect().answer.rung == Rung::Fresh);
  CHECK(prospect(23h).way == Way::Answer);  // more than half of it is left
  pass(13h);
  CHECK(prospect(23h).way == Way::Fetch);
  pass(12h);
  CHECK(prospect().answer.rung == Rung::StaleWhileRevalidate);
  CHECK(prospect().refresh);
  pass(24h * 8);
  const Flights::Prospect late = prospect();
  CHECK(late.way == Way::Fetch);
  CHECK(flights->without_upstream(*route, kKey, late.stored)->rung == Rung::StaleIfError);
  pass(24h * 60);
  CHECK_FALSE(flights->without_upstream(*route, kKey, prospect().stored).has_value());
}

TEST_CASE_FIXTURE(Prospects,
                  "a key that rests answers from what is stored, or with what was said") {
  have("8.8.8.8");
  pass(24h * 9);
  ask("8.8.8.8");
  fetcher.end(fetcher.last, failed(FetchEnd::Deadline, Outcome::Timeout));
  const Flights::Prospect resting = prospect();
  CHECK(resting.way == Way::Answer);
  CHECK(resting.resting);
  CHECK(resting.answer.rung == Rung::StaleIfError);
  CHECK(flights->rests(kKey).left > 0s);
  CHECK(flights->rests(kKey).left <= 2s);
  pass(flights->rests(kKey).left);
  CHECK(flights->rests(kKey).left == 0s);
  CHECK(prospect().way == Way::Fetch);

  flights->purge(kKey);
  ask("8.8.8.8");
  fetcher.end(fetcher.last, failed(FetchEnd::KeyFails, Outcome::ServerError, 500));
  const Flights::Prospect told = prospect();
  CHECK(told.way == Way::Answer);
  CHECK(told.resting);
  CHECK(told.answer.rung == Rung::Error);
  CHECK(flights->rests(kKey).word == "failed");
  CHECK(flights->told(kKey)->detail == told.answer.detail);
}

TEST_CASE_FIXTURE(Prospects, "what is remembered of a key is known by its word, while it lasts") {
  have("8.8.8.8");
  pass(24h * 9);
  ask("8.8.8.8");
  fetcher.end(fetcher.last, failed(FetchEnd::Deadline, Outcome::WrongContent, 200));
  CHECK(flights->rests(kKey).word == "invalid-body");
  pass(flights->rests(kKey).left);
  CHECK(flights->rests(kKey).word == "");
  ask("8.8.8.8");
  fetcher.end(fetcher.last, answered("8.8.8.8", {{"Cache-Control", "private"}}));
  CHECK(answers.back()->not_stored == "private");
  CHECK(flights->unshared(kKey).word == "private");
  CHECK(flights->unshared(kKey).left > 1min);
  pass(2min);
  CHECK(flights->unshared(kKey).left == 0s);
  CHECK(flights->passes(kKey).left == 0s);
}

TEST_CASE_FIXTURE(Prospects, "with too many waiting, a refusal, or what is stored") {
  make({.max_waiters = 1});
  ask("1.1.1.1");
  waiters = 1;
  const Flights::Prospect full = prospect();
  CHECK(full.way == Way::Answer);
  CHECK(full.full);
  CHECK(full.answer.status == 503);
  CHECK(limited("waiters") == 0);
  ask("8.8.8.8");
  CHECK(limited("waiters") == 1);
}

}  // namespace holdfast::proxy::test
