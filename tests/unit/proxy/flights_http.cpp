// Flights of a route of mode rfc9111: /{path:rest}, whose answers are the upstream's to describe.
#include "flights_http_fixture.h"
#include "rfc9111/fields.h"

using namespace holdfast;
using namespace holdfast::proxy;
using namespace holdfast::proxy::test;

namespace {

const upstream::Fields kFresh = fresh();

}  // namespace

TEST_CASE_FIXTURE(HttpFixture,
                  "an answer is kept with its fields as they came, and used while fresh") {
  const auto first = get("/a");
  REQUIRE(fetcher.fetches.size() == 1);
  CHECK(fetcher.fetches.at(1).request.any_status);
  CHECK(fetcher.fetches.at(1).request.request.verbatim);
  fetcher.end(1, says("one", fresh({{"X-Odd", "1"}, {"ETag", "\"e\""}})));
  CHECK(body(first) == "one");
  CHECK(answers[first]->stored);
  const auto again = get("/a");
  CHECK(answers[again]->rung == Rung::Fresh);
  CHECK(rfc9111::find_line(answers[again]->content->fields, "x-odd") == "1");
  CHECK(answers[again]->content->kind == cache::Kind::Verbatim);
  CHECK(fetcher.fetches.empty());
}

TEST_CASE_FIXTURE(HttpFixture,
                  "a stale one is asked about with both validators, and freshened by a 304") {
  get("/a");
  fetcher.end(
      1, says("one", fresh({{"ETag", "W/\"e\""}, {"Last-Modified", "yesterday"}, {"A", "1"}})));
  pass(61s);
  const auto second = get("/a");
  const auto& fields = fetcher.fetches.at(2).request.request.fields;
  CHECK(*upstream::find_field(fields, "If-None-Match") == "W/\"e\"");
  CHECK(*upstream::find_field(fields, "If-Modified-Since") == "yesterday");
  fetcher.end(2, says("", fresh({{"ETag", "W/\"e\""}, {"A", "2"}}), 304));
  CHECK(body(second) == "one");
  CHECK(answers[second]->upstream_status == 304);
  CHECK(rfc9111::find_line(answers[second]->content->fields, "a") == "2");
  CHECK(answers[get("/a")]->rung == Rung::Fresh);
}

TEST_CASE_FIXTURE(HttpFixture,
                  "variants are told apart by what Vary names, in memory and on disk") {
  get("/a", {{"Foo", "1"}, {"Bar", "x"}});
  fetcher.end(1, says("one", fresh({{"Vary", "Foo"}})));
  const auto other = get("/a", {{"Foo", "2"}});
  CHECK_FALSE(answers[other].has_value());
  fetcher.end(2, says("two", fresh({{"Vary", "foo"}})));
  CHECK(answers[other]->other_variant);
  const auto absent = get("/a");
  fetcher.end(3, says("none", fresh({{"Vary", "Foo"}})));
  for (const bool from_disk : {false, true}) {
    if (from_disk) memory.clear();
    CHECK(body(get("/a", {{"Foo", "1"}})) == "one");
    CHECK(body(get("/a", {{"foo", "2"}, {"Bar", "y"}})) == "two");
    CHECK(body(get("/a")) == "none");
  }
  CHECK(body(absent) == "none");
  CHECK(fetcher.fetches.empty());
}

TEST_CASE_FIXTURE(HttpFixture, "of stored responses that match the one that came last is used") {
  get("/a", {{"Foo", "1"}});
  fetcher.end(1, says("by foo", fresh({{"Vary", "Foo"}})));
  pass(1s);
  get("/a", {{"Foo", "2"}, {"Bar", "1"}});
  fetcher.end(2, says("by bar", fresh({{"Vary", "Bar"}})));
  CHECK(body(get("/a", {{"Foo", "1"}, {"Bar", "1"}})) == "by bar");
  CHECK(body(get("/a", {{"Foo", "1"}, {"Bar", "2"}})) == "by foo");
  // What does not vary answers everything.
  pass(1s);
  get("/a", {{"Foo", "9"}, {"Bar", "9"}});
  fetcher.end(3, says("for all", kFresh));
  CHECK(body(get("/a", {{"Foo", "1"}, {"Bar", "1"}})) == "for all");
}

TEST_CASE_FIXTURE(HttpFixture,
                  "what does not vary stays beside what does, unless that is its successor") {
  get("/a", {{"Foo", "9"}});
  fetcher.end(1, says("for all", kFresh));
  pass(1s);
  flights->keep_passed(*route, *asked("/a", {{"Foo", "3"}}), {},
                       says("three", fresh({{"Vary", "Foo"}})).reply, flights->mark(0));
  CHECK(body(get("/a", {{"Foo", "3"}})) == "three");
  CHECK(body(get("/a", {{"Foo", "7"}})) == "for all");
  // The upstream was asked about it, and says something else.
  pass(1s);
  get("/a", {{"Foo", "7"}, {"Cache-Control", "no-cache"}});
  fetcher.end(2, says("seven", fresh({{"Vary", "Foo"}})));
  CHECK(body(get("/a", {{"Foo", "7"}})) == "seven");
  get("/b");
  fetcher.end(3, says("for all", kFresh));
  get("/b", {{"Foo", "7"}, {"Cache-Control", "no-cache"}});
  fetcher.end(4, says("seven", fresh({{"Vary", "Foo"}})));
  CHECK(body(get("/b", {{"Foo", "7"}})) == "seven");
  CHECK_FALSE(answers[get("/b", {{"Foo", "8"}})].has_value());
}

TEST_CASE_FIXTURE(HttpFixture, "so many variants of a URL are kept, and the oldest goes") {
  StoringPolicy few;
  few.http.max_variants = 3;
  route = std::make_unique<Route>(http_plan(few));
  for (const char* foo : {"1", "2", "3", "4"}) {
    get("/a", {{"Foo", foo}});
    fetcher.end(fetcher.last, says(foo, fresh({{"Vary", "Foo"}})));
  }
  for (const char* foo : {"2", "3", "4"}) CHECK(body(get("/a", {{"Foo", foo}})) == foo);
  CHECK_FALSE(answers[get("/a", {{"Foo", "1"}})].has_value());
  fetcher.end(fetcher.last, says("1", fresh({{"Vary", "Foo"}})));
}

TEST_CASE_FIXTURE(HttpFixture,
                  "a purge of the URL takes all variants, and what is on its way to one") {
  get("/a", {{"Foo", "1"}});
  fetcher.end(1, says("one", fresh({{"Vary", "Foo"}})));
  get("/a", {{"Foo", "2"}});
  REQUIRE(fetcher.fetches.size() == 1);
  CHECK(flights->purge("all/a"));
  fetcher.end(2, says("two", fresh({{"Vary", "Foo"}})));
  memory.clear();
  CHECK_FALSE(answers[get("/a", {{"Foo", "1"}})].has_value());
  CHECK_FALSE(answers[get("/a", {{"Foo", "2"}})].has_value());
  CHECK(fetcher.fetches.size() == 1);  // of the URL, as nothing is known of its variants
  fetcher.end(3, says("new", kFresh));
  CHECK(body(get("/a", {{"Foo", "2"}})) == "new");
}

TEST_CASE_FIXTURE(HttpFixture, "who waits along and selects another variant is sent on") {
  const auto one = get("/a", {{"Foo", "1"}});
  const auto same = get("/a", {{"Foo", "1"}});
  const auto two = get("/a", {{"Foo", "2"}});
  const auto too = get("/a", {{"Foo", "2"}});
  REQUIRE(fetcher.fetches.size() == 1);
  fetcher.end(1, says("one", fresh({{"Vary", "Foo"}})));
  CHECK(body(one) == "one");
  CHECK(body(same) == "one");
  CHECK(answers[same]->collapsed);
  REQUIRE(fetcher.fetches.size() == 1);
  CHECK(*upstream::find_field(fetcher.fetches.at(2).request.request.fields, "Foo") == "2");
  fetcher.end(2, says("two", fresh({{"Vary", "Foo"}})));
  CHECK(body(two) == "two");
  CHECK(body(too) == "two");
}

TEST_CASE_FIXTURE(HttpFixture,
                  "who waits alone for another client's answer is sent on by its Vary") {
  SUBCASE("the first one waits no longer") {
    get("/a", {{"Foo", "1"}});
    loop.advance(9s);
    get("/a", {{"Foo", "2"}});
    loop.advance(2s);
    REQUIRE(answers[0].has_value());
  }
  SUBCASE("nobody waited before: it is a refresh") {
    answers.emplace_back();
    flights->refresh_http(*route, asked("/a", {{"Foo", "1"}}));
    get("/a", {{"Foo", "2"}});
  }
  REQUIRE(fetcher.fetches.size() == 1);
  fetcher.end(1, says("one", fresh({{"Vary", "Foo"}})));
  CHECK_FALSE(answers[1].has_value());
  REQUIRE(fetcher.fetches.size() == 1);
  fetcher.end(2, says("two", fresh({{"Vary", "Foo"}})));
  CHECK(body(1) == "two");
}

TEST_CASE_FIXTURE(HttpFixture, "what is not fresh, or may not be stored, is for who asked alone") {
  for (const char* said : {"private, max-age=60", "no-store", "no-cache", "max-age=0", ""}) {
    CAPTURE(said);
    const std::string path = "/" + std::to_string(answers.size());
    const auto first = get(path);
    const auto second = get(path);
    const auto third = get(path);
    const auto fetch = fetcher.last;
    fetcher.end(fetch, says("mine", {{"Cache-Control", said}, {"ETag", "\"e\""}}));
    CHECK(body(first) == "mine");
    const std::string directives = said;
    const Flights::Remembered unshared = flights->unshared("all" + path);
    CHECK(unshared.word == (directives.starts_with("private") ? "private"
                            : directives == "no-store"        ? "no-store"
                                                              : "not-fresh"));
    CHECK(unshared.left > 0s);
    CHECK_FALSE(answers[second].has_value());
    CHECK_FALSE(answers[third].has_value());
    REQUIRE(fetcher.fetches.size() == 2);
    const auto later = get(path);
    REQUIRE(fetcher.fetches.size() == 3);  // nobody waits for anybody any more
    fetcher.end(fetch + 3, says("later", {{"Cache-Control", said}}));
    CHECK(body(later) == "later");
    fetcher.end(fetch + 2, says("third", {{"Cache-Control", said}}));
    fetcher.end(fetch + 1, says("second", {{"Cache-Control", said}}));
    CHECK(body(second) == "second");
    CHECK(body(third) == "third");
  }
}

TEST_CASE_FIXTURE(HttpFixture, "an answer to an Authorization is shared only where it says so") {
  const Lines mine{{"Authorization", "me"}};
  get("/a", mine);
  fetcher.end(1, says("mine", kFresh));
  CHECK(answers[0]->not_stored == "authorization");
  const auto other = get("/a");
  CHECK_FALSE(answers[other].has_value());
  fetcher.end(2, says("other", kFresh));
  get("/b", mine);
  fetcher.end(3, says("all", {{"Cache-Control", "public, max-age=60"}}));
  CHECK(body(get("/b")) == "all");
}

TEST_CASE_FIXTURE(HttpFixture, "a client's directives are obeyed, and collapsed all the same") {
  get("/a");
  fetcher.end(1, says("one", kFresh));
  pass(10s);
  for (const char* wanted : {"no-cache", "max-age=5", "min-fresh=55", "max-age=0"}) {
    CAPTURE(wanted);
    const Lines fields{{"Cache-Control", wanted}};
    const auto first = get("/a", fields);
    const auto second = get("/a", fields);
    REQUIRE(fetcher.fetches.size() == 1);
    CHECK_FALSE(answers[first].has_value());
    fetcher.end(fetcher.last, says("new", kFresh));
    CHECK(body(first) == "new");
    CHECK(body(second) == "new");
    CHECK(answers[first]->was_fresh);
    pass(10s);
  }
  for (const char* wanted : {"max-age=15", "min-fresh=50", "max-stale"}) {
    CHECK(answers[get("/a", {{"Cache-Control", wanted}})]->rung == Rung::Fresh);
  }
  const auto request = asked("/none", {});
  CHECK(flights->stored_http(*route, *request).rung == Rung::NotStored);
}

TEST_CASE_FIXTURE(HttpFixture,
                  "an error's answer is for who asked, and others are told what it comes to") {
  const auto first = get("/a");
  const auto second = get("/a");
  FetchResult result = failed(FetchEnd::Deadline, Outcome::ServerError, 503);
  upstream::Reply refused;
  refused.status = 503;
  refused.body = "for you, Anna";
  result.last_refused = std::make_shared<const upstream::Reply>(refused);
  fetcher.end(1, result);
  CHECK(body(first) == "for you, Anna");
  CHECK(answers[first]->content->status == 503);
  CHECK(answers[second]->rung == Rung::Error);
  CHECK(answers[second]->status >= 500);
}

TEST_CASE_FIXTURE(HttpFixture, "what one client's request failed by, nobody else is told later") {
  const auto evil = get("/a", {{"X-Evil", "1"}});
  fetcher.end(1, failed(FetchEnd::KeyFails, Outcome::ServerError, 500));
  CHECK(answers[evil]->rung == Rung::Error);
  const auto other = get("/a");
  CHECK_FALSE(answers[other].has_value());
  fetcher.end(2, says("good", fresh({{"ETag", "\"e\""}})));
  CHECK(body(other) == "good");

  // Nor where something is stored that may not be used for it.
  get("/b");
  fetcher.end(3,
              says("one", {{"Cache-Control", "max-age=60, must-revalidate"}, {"ETag", "\"e\""}}));
  pass(100s);
  get("/b", {{"X-Evil", "1"}});
  fetcher.end(4, failed(FetchEnd::KeyFails, Outcome::ServerError, 500));
  const auto later = get("/b");
  CHECK_FALSE(answers[later].has_value());
  fetcher.end(5, says("two", kFresh));
  CHECK(body(later) == "two");
}

TEST_CASE_FIXTURE(HttpFixture, "a stale one answers an error, where nothing forbids it") {
  get("/a");
  fetcher.end(1, says("one", kFresh));
  get("/b");
  fetcher.end(2,
              says("two", {{"Cache-Control", "max-age=60, must-revalidate"}, {"ETag", "\"e\""}}));
  pass(100s);
  const auto stale = get("/a");
  CHECK_FALSE(answers[stale].has_value());  // slow is no error: nobody gets it before
  pass(1s);
  CHECK_FALSE(answers[stale].has_value());
  fetcher.end(fetcher.last, failed(FetchEnd::Deadline, Outcome::Timeout));
  CHECK(body(stale) == "one");
  CHECK(answers[stale]->rung == Rung::StaleIfError);
  const auto strict = get("/b");
  fetcher.end(fetcher.last, failed(FetchEnd::Deadline, Outcome::Timeout));
  CHECK(answers[strict]->rung == Rung::Error);
}

TEST_CASE_FIXTURE(HttpFixture, "what is too large is passed through, and known to be for a while") {
  const auto first = get("/large");
  const auto second = get("/large");
  FetchResult result;
  result.end = FetchEnd::TooLarge;
  fetcher.end(1, result);
  CHECK(answers[first]->rung == Rung::Pass);
  CHECK(answers[second]->rung == Rung::Pass);
  CHECK(answers[get("/large")]->rung == Rung::Pass);
  CHECK(answers[first]->pass.word == "too-large");
  CHECK(flights->passes("all/large").word == "too-large");
  CHECK(fetcher.fetches.empty());
  pass(3min);
  CHECK(flights->passes("all/large").word == "");
  CHECK(flights->passes("all/large").left == 0s);
  CHECK_FALSE(answers[get("/large")].has_value());
  fetcher.end(fetcher.last, says("small by now", kFresh));
}

TEST_CASE_FIXTURE(HttpFixture, "what was too large before a purge may be small behind it") {
  const auto waits = get("/large");
  flights->purge("all/large");
  FetchResult result;
  result.end = FetchEnd::TooLarge;
  fetcher.end(1, result);
  CHECK(answers[waits]->rung == Rung::Pass);
  CHECK(flights->passes("all/large").word == "");
}

TEST_CASE_FIXTURE(HttpFixture,
                  "stale-while-revalidate answers at once, exactly as long as stated") {
  get("/a", {{"Foo", "1"}});
  fetcher.end(
      1, says("one", {{"Vary", "Foo"}, {"Cache-Control", "max-age=10, stale-while-revalidate=5"}}));
  pass(14s);
  CHECK(answers[get("/a", {{"Foo", "1"}})]->rung == Rung::StaleWhileRevalidate);
  REQUIRE(fetcher.fetches.size() == 1);
  CHECK(*upstream::find_field(fetcher.fetches.at(2).request.request.fields, "Foo") == "1");
  fetcher.end(2, failed(FetchEnd::GaveUp, Outcome::Timeout));
  pass(2s);
  CHECK_FALSE(answers[get("/a", {{"Foo", "1"}, {"X", "y"}})].has_value());
}

TEST_CASE_FIXTURE(HttpFixture,
                  "who asks with other fields does not wait for one whose request fails") {
  const auto evil = get("/a", {{"X-Evil", "1"}});
  const auto same = get("/a", {{"X-Evil", "1"}, {"X-Forwarded-For", "192.0.2.1"}});
  const auto good = get("/a");
  const auto too = get("/a");
  REQUIRE(fetcher.fetches.size() == 1);
  upstream::Reply refused;
  refused.status = 500;
  CHECK(fetcher.fetches.at(1).request.validate(refused).outcome == Outcome::ServerError);
  pass(1ms);
  REQUIRE(fetcher.fetches.size() == 2);  // one for both
  CHECK(upstream::find_field(fetcher.fetches.at(2).request.request.fields, "X-Evil") == nullptr);
  fetcher.fetches.at(2).request.validate(refused);
  pass(1ms);
  CHECK(fetcher.fetches.size() == 2);  // and only once
  fetcher.end(2, says("good", kFresh));
  CHECK(body(good) == "good");
  CHECK(body(too) == "good");
  CHECK_FALSE(answers[evil].has_value());
  const auto validate = fetcher.fetches.at(1).request.validate;
  fetcher.end(1, failed(FetchEnd::Deadline, Outcome::ServerError, 500));
  CHECK(answers[evil]->rung == Rung::Error);
  CHECK(answers[same]->rung == Rung::Error);
  validate(refused);  // a probe asks it again
  pass(1ms);
  CHECK(fetcher.fetches.empty());
}
