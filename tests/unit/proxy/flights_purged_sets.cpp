// What a purge by route, path or tag makes of what is stored and of flights under way.
#include "flights_fixture.h"

using namespace holdfast;
using namespace holdfast::proxy;
using namespace holdfast::proxy::test;

using Kind = cache::Purge::Kind;

namespace {

struct Sets : Fixture {
  void purge(Kind kind, std::string_view what, bool soft = false) {
    memory.purges().add(kind, soft, what, loop.clock().wall());
  }
  FetchResult tagged(std::string_view ip, const std::string& tags) {
    return answered(ip, {{"Cache-Tag", tags}});
  }
};

}  // namespace

TEST_CASE_FIXTURE(Sets, "what bears a purged tag is asked for anew, and all else answers") {
  have("8.8.8.8", {{"Surrogate-Key", "one two"}, {"ETag", "\"a\""}});
  have("9.9.9.9", {{"Cache-Groups", "\"three\""}});
  purge(Kind::Tag, "two");
  const auto other = ask("9.9.9.9");
  REQUIRE(answers[other].has_value());
  CHECK(answers[other]->rung == Rung::Fresh);
  const auto purged = ask("8.8.8.8");
  CHECK_FALSE(answers[purged].has_value());
  // Neither is it asked whether what was purged is right still, nor does that answer a failure.
  CHECK(fetcher.fetches.at(fetcher.last).request.request.fields.size() == 1);
  fetcher.end(fetcher.last, failed(FetchEnd::GaveUp, Outcome::ServerError, 503));
  CHECK(answers[purged]->rung == Rung::Error);
  const auto again = ask("8.8.8.8");
  fetcher.end(fetcher.last, tagged("8.8.8.8", "two"));
  CHECK(answers[again]->stored);
  const auto hit = ask("8.8.8.8");
  CHECK(answers[hit]->rung == Rung::Fresh);
  // Also where the memory has it no more.
  purge(Kind::Tag, "two");
  memory.clear();
  const auto from_store = ask("8.8.8.8");
  CHECK_FALSE(answers[from_store].has_value());
}

TEST_CASE_FIXTURE(Sets,
                  "an answer on its way when its tag is purged is for those who came before") {
  const auto before = ask("8.8.8.8");
  purge(Kind::Tag, "other");
  const auto between = ask("8.8.8.8");
  purge(Kind::Tag, "one");
  const auto after = ask("8.8.8.8");
  REQUIRE(fetcher.fetches.size() == 1);
  fetcher.end(1, tagged("8.8.8.8", "one"));
  REQUIRE(answers[before].has_value());
  CHECK(answers[before]->rung == Rung::Fetched);
  CHECK_FALSE(answers[before]->stored);
  CHECK_FALSE(answers[before]->may_store);
  // It came after some purge: which one of them is not known any more.
  CHECK_FALSE(answers[between].has_value());
  CHECK_FALSE(answers[after].has_value());
  CHECK(memory.find("lookup/8.8.8.8") == nullptr);
  CHECK(store.rows.empty());
  REQUIRE(fetcher.fetches.size() == 1);
  CHECK(flights->stats().waiters == 2);
  FetchResult later = tagged("8.8.8.8", "one");
  later.reply.body += ' ';
  fetcher.end(2, later);
  for (const auto waiter : {between, after}) {
    REQUIRE(answers[waiter].has_value());
    CHECK(answers[waiter]->content->body == later.reply.body);
    CHECK(answers[waiter]->stored);
  }
  CHECK(flights->stats().waiters == 0);
}

TEST_CASE_FIXTURE(Sets, "a purge of another tag costs a flight under way nothing") {
  const auto before = ask("8.8.8.8");
  purge(Kind::Tag, "other");
  purge(Kind::Route, "elsewhere");
  const auto after = ask("8.8.8.8");
  fetcher.end(1, tagged("8.8.8.8", "one"));
  CHECK(answers[before]->stored);
  CHECK(answers[after]->stored);
  CHECK(answers[after]->collapsed);
  CHECK(fetcher.fetches.empty());
  CHECK(memory.find("lookup/8.8.8.8") != nullptr);
}

TEST_CASE_FIXTURE(Sets, "who asks after a purge of the route gets a fetch of their own at once") {
  const auto before = ask("8.8.8.8");
  purge(Kind::Route, "lookup");
  flights->purge_fetches([](std::string_view key) { return cache::route_of(key) == "lookup"; });
  const auto after = ask("8.8.8.8");
  REQUIRE(fetcher.fetches.size() == 2);
  fetcher.end(2, answered("8.8.8.8"));
  CHECK(answers[after]->stored);
  fetcher.end(1, answered("8.8.8.8"));
  CHECK(answers[before].has_value());
  CHECK_FALSE(answers[before]->stored);
}

TEST_CASE_FIXTURE(Sets,
                  "what is purged while a refresh of it runs is no fallback for the refresh") {
  have("8.8.8.8", {{"Cache-Control", "max-age=1, stale-while-revalidate=0, stale-if-error=1000"},
                   {"Cache-Tag", "one"},
                   {"ETag", "\"a\""}});
  pass(10s);
  const auto before = ask("8.8.8.8");
  purge(Kind::Tag, "one");
  const auto after = ask("8.8.8.8");
  pass(300ms);
  CHECK_FALSE(answers[before].has_value());
  CHECK_FALSE(answers[after].has_value());
  // It is still what the upstream has; but that was asked before the purge.
  FetchResult not_modified;
  not_modified.end = FetchEnd::Answered;
  not_modified.outcome = Outcome::NotModified;
  not_modified.reply.status = 304;
  fetcher.end(2, not_modified);
  CHECK(answers[before]->rung == Rung::Fetched);
  CHECK_FALSE(answers[after].has_value());
  CHECK(memory.find("lookup/8.8.8.8") == nullptr);
  fetcher.end(3, failed(FetchEnd::GaveUp, Outcome::ServerError, 503));
  CHECK(answers[after]->rung == Rung::Error);
}

TEST_CASE_FIXTURE(Sets,
                  "what was marked stale answers at once, is asked for whole, and is fresh then") {
  have("8.8.8.8", {{"Cache-Tag", "one"}, {"ETag", "\"a\""}});
  purge(Kind::Tag, "one", true);
  const auto stale = ask("8.8.8.8");
  REQUIRE(answers[stale].has_value());
  CHECK(answers[stale]->rung == Rung::StaleWhileRevalidate);
  REQUIRE(fetcher.fetches.size() == 1);
  for (const auto& field : fetcher.fetches.at(fetcher.last).request.request.fields) {
    CHECK(field.name != "If-None-Match");
  }
  fetcher.end(fetcher.last, tagged("8.8.8.8", "one"));
  const auto fresh = ask("8.8.8.8");
  CHECK(answers[fresh]->rung == Rung::Fresh);
  // One that fails leaves it, stale.
  purge(Kind::Route, "lookup", true);
  CHECK(answers[ask("8.8.8.8")]->rung == Rung::StaleWhileRevalidate);
  fetcher.end(fetcher.last, failed(FetchEnd::GaveUp, Outcome::ServerError, 503));
  CHECK(answers[ask("8.8.8.8")]->rung == Rung::StaleWhileRevalidate);
  // An answer that was on its way is stored, and stale.
  pass(24h * 9);
  const auto on_its_way = ask("8.8.8.8");
  purge(Kind::Tag, "one", true);
  fetcher.end(fetcher.last, tagged("8.8.8.8", "one"));
  CHECK(answers[on_its_way].has_value());
  CHECK(answers[ask("8.8.8.8")]->rung == Rung::StaleWhileRevalidate);
}

TEST_CASE_FIXTURE(Sets,
                  "a 304 that names tags replaces those that were, one that does not keeps them") {
  for (const bool names : {false, true}) {
    have("8.8.8.8", {{"Cache-Control", "max-age=1"}, {"Cache-Tag", "one"}, {"ETag", "\"a\""}});
    pass(2s);
    ask("8.8.8.8");
    FetchResult not_modified;
    not_modified.end = FetchEnd::Answered;
    not_modified.outcome = Outcome::NotModified;
    not_modified.reply.status = 304;
    not_modified.reply.fields = {{"Cache-Control", "max-age=100"}};
    if (names) not_modified.reply.fields.push_back({"Cache-Tag", "two"});
    fetcher.end(fetcher.last, not_modified);
    CHECK(memory.find("lookup/8.8.8.8")->tags == (names ? "two" : "one"));
    purge(Kind::Tag, names ? "two" : "one");
    CHECK(memory.find("lookup/8.8.8.8") == nullptr);
    answers.clear();
  }
}

TEST_CASE("a route's own tags are those of each of its answers, and left out ones are told") {
  Sets f;
  f.storing.tags = {"geo"};
  f.route = holdfast::proxy::test::lookup_route(f.storing);
  f.have("8.8.8.8", {{"Cache-Tag", std::string(200, 'x')}});
  CHECK(f.memory.find("lookup/8.8.8.8")->tags == "\ngeo");
  CHECK(f.metrics.value(Family::TagsLeftOut, {}) == 1);
  CHECK(f.memory.find("lookup/8.8.8.8")->fields.find("Cache-Tag") == std::string::npos);
  f.purge(Kind::Tag, "any");
  CHECK(f.memory.find("lookup/8.8.8.8") == nullptr);
}
