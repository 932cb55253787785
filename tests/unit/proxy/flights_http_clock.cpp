// Mode rfc9111 where the wall clock steps, where a daemon starts again, and where a 304 forbids
// what it confirms.
#include "flights_http_fixture.h"
#include "rfc9111/fields.h"

using namespace holdfast;
using namespace holdfast::proxy;
using namespace holdfast::proxy::test;

namespace {

struct ClockFixture : HttpFixture {
  void jump(std::chrono::milliseconds by) { loop.manual_clock().jump_wall(by); }
  cache::Freshness freshness_of(std::size_t number) {
    REQUIRE(answers[number].has_value());
    REQUIRE(answers[number]->content);
    return cache::freshness(*answers[number]->content, loop.clock().wall());
  }
  // Stored now, with a minute to live.
  void have(const std::string& path, upstream::Fields more = {{"ETag", "\"e\""}}) {
    get(path);
    fetcher.end(fetcher.last, says("one", fresh(std::move(more))));
  }
};

}  // namespace

TEST_CASE_FIXTURE(ClockFixture, "a clock that steps back by hours leaves nothing fresh till then") {
  have("/a");
  pass(5s);
  jump(-5h);
  const auto second = get("/a");
  CHECK_FALSE(answers[second].has_value());  // its age is anybody's guess
  REQUIRE(fetcher.fetches.size() == 1);
  const auto& fields = fetcher.fetches.at(2).request.request.fields;
  CHECK(*upstream::find_field(fields, "If-None-Match") == "\"e\"");
  // The upstream's clock goes on as it did, so that its Date is ahead of ours.
  FetchResult confirmed = says("", fresh({{"ETag", "\"e\""}}), 304);
  confirmed.reply.fields.back().value = base::format_http_date(loop.clock().wall() + 5h);
  fetcher.end(2, std::move(confirmed));
  CHECK(body(second) == "one");
  CHECK(freshness_of(second).age == 0s);
  pass(59s);
  CHECK(answers[get("/a")]->rung == Rung::Fresh);
  pass(1s);
  CHECK_FALSE(answers[get("/a")].has_value());
}

TEST_CASE_FIXTURE(ClockFixture,
                  "a small step back gives the age at first, and never a negative one") {
  have("/a", {{"Age", "7"}});
  pass(5s);
  jump(-10min);
  const auto second = get("/a");
  CHECK(answers[second]->rung == Rung::Fresh);
  CHECK(freshness_of(second).age == 7s);
}

TEST_CASE_FIXTURE(ClockFixture,
                  "a clock that steps forward, and back again, ages what came between") {
  have("/a");
  jump(5h);
  const auto second = get("/a");
  CHECK_FALSE(answers[second].has_value());
  fetcher.end(2, says("two", fresh({{"ETag", "\"f\""}})));
  CHECK(freshness_of(second).age == 0s);
  CHECK(answers[get("/a")]->rung == Rung::Fresh);
  jump(-5h);
  const auto third = get("/a");
  CHECK_FALSE(answers[third].has_value());
  fetcher.end(3, says("three", fresh()));
  CHECK(body(third) == "three");
  CHECK(freshness_of(get("/a")).age == 0s);
}

TEST_CASE_FIXTURE(ClockFixture, "steps of the clock are no time to who waits, or rests") {
  have("/a");
  pass(61s);
  const auto waiting = get("/a");
  jump(48h);
  loop.advance(1s);
  CHECK_FALSE(answers[waiting].has_value());
  jump(-72h);
  loop.advance(1s);
  CHECK_FALSE(answers[waiting].has_value());
  fetcher.end(2, says("two", fresh()));
  CHECK(body(waiting) == "two");
}

TEST_CASE_FIXTURE(ClockFixture, "a daemon that starts again goes on counting an answer's age") {
  have("/a", {{"Age", "7"}, {"Vary", "Foo"}});
  pass(5s);
  memory.clear();
  make({});
  const auto again = get("/a");
  CHECK(answers[again]->rung == Rung::Fresh);
  CHECK(freshness_of(again).age == 12s);
  CHECK(freshness_of(again).ttl == 48s);
  pass(48s);
  CHECK_FALSE(answers[get("/a")].has_value());
}

TEST_CASE_FIXTURE(ClockFixture,
                  "what a 304 forbids to store is its client's, and not fresh any more") {
  for (const char* said : {"no-store", "private, max-age=60"}) {
    for (const bool fresh_still : {false, true}) {
      CAPTURE(said);
      CAPTURE(fresh_still);
      const std::string path = "/" + std::to_string(answers.size());
      have(path, {{"ETag", "\"e\""}, {"A", "1"}});
      pass(fresh_still ? 1s : 61s);
      const auto asking = get(path, {{"Cache-Control", "no-cache"}});
      const auto waiting = get(path, {{"Cache-Control", "no-cache"}});
      const auto fetch = fetcher.last;
      fetcher.end(fetch, says("", {{"ETag", "\"e\""}, {"Cache-Control", said}, {"A", "2"}}, 304));
      CHECK(body(asking) == "one");
      CHECK_FALSE(answers[asking]->stored);
      CHECK(rfc9111::find_line(answers[asking]->content->fields, "a") == "2");
      // Nobody else gets what that one was told, nor what was stored without asking.
      CHECK_FALSE(answers[waiting].has_value());
      REQUIRE(fetcher.fetches.size() == 1);
      fetcher.end(fetcher.last, says("mine", {{"Cache-Control", "no-store"}}));
      CHECK(body(waiting) == "mine");
      const auto later = get(path);
      CHECK_FALSE(answers[later].has_value());
      fetcher.end(fetcher.last, says("later", {{"Cache-Control", "no-store"}}));
      CHECK(body(later) == "later");
    }
  }
}

TEST_CASE_FIXTURE(ClockFixture, "one client's private answer to an Authorization ages nobody's") {
  have("/a");
  get("/a", {{"Cache-Control", "no-cache"}, {"Authorization", "me"}});
  fetcher.end(fetcher.last, says("mine", fresh()));
  CHECK(body(get("/a")) == "one");
  CHECK(fetcher.fetches.empty());
}
