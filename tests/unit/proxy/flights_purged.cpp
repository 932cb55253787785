// What a purge, or the end of the service, makes of flights under way.
#include "flights_fixture.h"

using namespace holdfast;
using namespace holdfast::proxy;
using namespace holdfast::proxy::test;

TEST_CASE_FIXTURE(Fixture, "a flight under way when its key is purged leaves nothing behind") {
  have("8.8.8.8", {{"Cache-Control", "max-age=1, stale-while-revalidate=0, stale-if-error=1000"},
                   {"ETag", "\"a\""}});
  pass(10s);
  const auto waiter = ask("8.8.8.8");
  CHECK(flights->purge("lookup/8.8.8.8"));
  // Neither the patience nor a failure brings the old one back, nor does a 304.
  pass(300ms);
  CHECK_FALSE(answers[waiter].has_value());
  FetchResult not_modified;
  not_modified.end = FetchEnd::Answered;
  not_modified.outcome = Outcome::NotModified;
  not_modified.reply.status = 304;
  fetcher.end(fetcher.last, not_modified);
  REQUIRE(answers[waiter].has_value());
  CHECK(answers[waiter]->rung == Rung::Fetched);
  CHECK_FALSE(answers[waiter]->stored);
  CHECK(memory.find("lookup/8.8.8.8") == nullptr);
  CHECK(store.rows.empty());

  const auto failing = ask("8.8.8.8");
  flights->purge_all();
  fetcher.end(fetcher.last, failed(FetchEnd::GaveUp, Outcome::ServerError, 503));
  CHECK(answers[failing]->rung == Rung::Error);
}

TEST_CASE_FIXTURE(Fixture, "who asks after a purge gets a fetch of their own") {
  const auto before = ask("8.8.8.8");
  flights->purge("lookup/8.8.8.8");
  const auto after = ask("8.8.8.8");
  REQUIRE(fetcher.fetches.size() == 2);
  CHECK(flights->stats().flights == 2);
  CHECK(flights->stats().waiters == 2);

  // The later one first: what the earlier one brings must not take its place.
  FetchResult fresh = answered("8.8.8.8");
  fresh.reply.body += ' ';
  fetcher.end(2, fresh);
  CHECK_FALSE(answers[before].has_value());
  REQUIRE(answers[after].has_value());
  CHECK(answers[after]->stored);
  CHECK_FALSE(answers[after]->collapsed);
  fetcher.end(1, answered("8.8.8.8"));
  REQUIRE(answers[before].has_value());
  CHECK(answers[before]->content->body == body_for("8.8.8.8"));
  CHECK_FALSE(answers[before]->stored);
  CHECK(memory.find("lookup/8.8.8.8")->body == fresh.reply.body);
  CHECK(store.rows.at("lookup/8.8.8.8")->body == fresh.reply.body);
  CHECK(flights->stats().flights == 0);
}

TEST_CASE_FIXTURE(Fixture, "a fetch from before a purge removes nothing that came after it") {
  have("8.8.8.8");
  pass(24h * 9);
  ask("8.8.8.8");
  memory.clear();
  store.rows.clear();
  flights->purge_all();
  ask("8.8.8.8");
  REQUIRE(fetcher.fetches.size() == 2);
  fetcher.end(fetcher.last, answered("8.8.8.8"));
  fetcher.end(fetcher.last - 1, answered("8.8.8.8", {{"Cache-Control", "no-store"}}));
  CHECK(memory.find("lookup/8.8.8.8") != nullptr);
  CHECK(store.rows.contains("lookup/8.8.8.8"));
  CHECK_FALSE(flights->resting("lookup/8.8.8.8"));
}

TEST_CASE_FIXTURE(Fixture, "a purge counts for fetches that are for one client alone, too") {
  for (const bool all : {false, true}) {
    CAPTURE(all);
    ask("8.8.8.8");
    ask("8.8.8.8");
    fetcher.end(fetcher.fetches.begin()->first,
                answered("8.8.8.8", {{"Cache-Control", "no-store"}}));
    ask("8.8.8.8");
    if (all) {
      flights->purge_all();
    } else {
      flights->purge("lookup/8.8.8.8");
    }
    while (!fetcher.fetches.empty()) {
      fetcher.end(fetcher.fetches.begin()->first, answered("8.8.8.8"));
    }
    CHECK(memory.find("lookup/8.8.8.8") == nullptr);
    CHECK(store.rows.empty());
    CHECK(flights->stats().waiters == 0);
  }
}

TEST_CASE_FIXTURE(Fixture, "a purge ends the refresh that nobody waits for") {
  have("8.8.8.8");
  pass(25h);
  flights->refresh(*route, "lookup/8.8.8.8");
  REQUIRE(fetcher.fetches.size() == 1);
  flights->purge("lookup/8.8.8.8");
  CHECK(fetcher.fetches.empty());
  CHECK(flights->stats().flights == 0);
}

TEST_CASE_FIXTURE(Fixture,
                  "once abandoned, whoever still comes is told so, and nothing is fetched") {
  ask("1.1.1.1");
  flights->purge_all();
  ask("1.1.1.1");
  flights->abandon_all();
  CHECK(answers[0]->status == 503);
  CHECK(answers[1]->status == 503);
  const auto late = ask("8.8.8.8");
  flights->refresh(*route, "lookup/8.8.8.8");
  CHECK(fetcher.fetches.empty());
  CHECK(flights->stats().flights == 0);
  REQUIRE(answers[late].has_value());
  CHECK(answers[late]->status == 503);
  CHECK(answers[late]->detail == "the service is stopping");
}

// A write-back that begins between the two finds nothing to bring back; one that began
// before is told by the store.
TEST_CASE_FIXTURE(Fixture, "a purge takes a response from memory before it does from the store") {
  have("8.8.8.8");
  have("1.1.1.1");
  int told = 0;
  store.on_erase = [&](std::string_view key) {
    ++told;
    if (key.empty()) {
      CHECK(memory.stats().entries == 0);
    } else {
      CHECK(memory.find(key) == nullptr);
    }
  };
  CHECK(flights->purge("lookup/8.8.8.8"));
  CHECK_FALSE(flights->purge("lookup/8.8.8.8"));
  CHECK(told == 2);
  memory.clear();
  CHECK(flights->purge("lookup/1.1.1.1"));  // the store alone had it
  have("1.1.1.1");
  store.broken = true;
  flights->purge("lookup/1.1.1.1");
  store.broken = false;
  CHECK(store.rows.empty());
  have("1.1.1.1");
  flights->purge_all();
  CHECK(store.rows.empty());
  CHECK(told == 5);
}

TEST_CASE_FIXTURE(Fixture,
                  "what a fetch brings that was under way when its key was marked is stale") {
  const auto first = ask("8.8.8.8");
  flights->mark_stale("lookup/8.8.8.8");
  fetcher.end(fetcher.last, answered("8.8.8.8", {{"ETag", "\"e\""}}));
  REQUIRE(answers[first].has_value());
  CHECK(answers[first]->rung == Rung::Fetched);
  const auto stored = memory.find("lookup/8.8.8.8");
  REQUIRE(stored != nullptr);
  CHECK(cache::freshness(*stored, loop.clock().wall()).use == cache::Use::StaleWhileRevalidate);
  CHECK(stored->upstream_etag.empty());
  CHECK(store.rows.at("lookup/8.8.8.8") == stored);
}
