// Flights of mode rfc9111 where a part of a content is stored, where what is stored changes its
// form meanwhile, and where something is purged on the way.
#include "flights_http_fixture.h"
#include "proxy/fetch_words.h"
#include "rfc9111/fields.h"

using namespace holdfast;
using namespace holdfast::proxy;
using namespace holdfast::proxy::test;

namespace {

struct PartFixture : HttpFixture {
  // Bytes of "0123456789", as they came to a request that was passed through.
  void have_part(const std::string& path, std::size_t first, std::size_t count,
                 upstream::Fields fields = {{"ETag", "\"e\""}}) {
    FetchResult part = says(std::string("0123456789").substr(first, count), std::move(fields), 206);
    part.reply.fields.push_back({"Cache-Control", "max-age=60"});
    part.reply.fields.push_back({"Content-Range", range_text(first, count)});
    flights->keep_passed(*route, *asked(path, {{"Range", "bytes=0-"}}), {}, part.reply,
                         flights->mark(0));
  }
  FetchResult part(std::size_t first, const std::string& text, const std::string& etag) {
    return says(text, fresh({{"ETag", etag}, {"Content-Range", range_text(first, text.size())}}),
                206);
  }
  static std::string range_text(std::size_t first, std::size_t count) {
    return "bytes " + std::to_string(first) + "-" + std::to_string(first + count - 1) + "/10";
  }
  std::string sent(const char* field) {
    const std::string* value =
        upstream::find_field(fetcher.fetches.at(fetcher.last).request.request.fields, field);
    return value ? *value : "(none)";
  }
  bool rung_is(std::size_t number, Rung rung) {
    return answers[number].has_value() && answers[number]->rung == rung;
  }
};

}  // namespace

TEST_CASE_FIXTURE(PartFixture, "a part answers who asks for what it has, and else only helps") {
  have_part("/a", 0, 5);
  const auto inside = get("/a", {{"Range", "bytes=1-2"}});
  CHECK(rung_is(inside, Rung::Fresh));
  CHECK(answers[inside]->content->status == 206);
  const auto outside = get("/a", {{"Range", "bytes=4-5"}});
  CHECK(rung_is(outside, Rung::Pass));
  CHECK(answers[outside]->pass.reason == "partial");
  CHECK(rung_is(get("/a", {{"Range", "bytes=1-2"}, {"If-Range", "\"f\""}}), Rung::Pass));
  CHECK(fetcher.fetches.empty());
}

TEST_CASE_FIXTURE(PartFixture, "who asks for all gets the part and the rest, of one content") {
  have_part("/a", 0, 5);
  const auto all = get("/a");
  const auto along = get("/a");
  REQUIRE(fetcher.fetches.size() == 1);
  CHECK(sent("Range") == "bytes=5-");
  CHECK(sent("If-Range") == "\"e\"");
  fetcher.end(1, part(5, "56789", "\"e\""));
  CHECK(body(all) == "0123456789");
  CHECK(answers[all]->content->status == 200);
  CHECK_FALSE(rfc9111::find_line(answers[all]->content->fields, "content-range"));
  CHECK(body(along) == "0123456789");
  CHECK(body(get("/a")) == "0123456789");

  have_part("/end", 5, 5);
  const auto end = get("/end");
  CHECK(sent("Range") == "bytes=0-4");
  fetcher.end(2, part(0, "01234", "\"e\""));
  CHECK(body(end) == "0123456789");
}

TEST_CASE_FIXTURE(PartFixture, "what the parts come to is judged as any whole answer is") {
  RoutePlan plan = http_plan(storing);
  plan.body.json = true;
  route = std::make_unique<Route>(std::move(plan));
  have_part("/number", 1, 9);
  const auto number = get("/number");
  fetcher.end(fetcher.last, part(0, "1", "\"e\""));
  CHECK(body(number) == "1123456789");
  have_part("/none", 1, 9);
  const auto none = get("/none");
  fetcher.end(fetcher.last, part(0, "x", "\"e\""));
  // It is asked for anew, as a whole, and that is judged by the fetch.
  CHECK_FALSE(answers[none].has_value());
  REQUIRE(fetcher.fetches.size() == 1);
  CHECK(sent("Range") == "(none)");
}

TEST_CASE_FIXTURE(PartFixture, "a part and the rest are as old as the rest says that it is") {
  have_part("/a", 0, 5);
  const auto all = get("/a");
  FetchResult rest = part(5, "56789", "\"e\"");
  rest.reply.fields.push_back({"Age", "40"});
  fetcher.end(1, rest);
  CHECK(body(all) == "0123456789");
  CHECK(answers[all]->content->initial_age == 40s);
  loop.advance(30s);
  get("/a");
  CHECK(fetcher.fetches.size() == 1);
}

TEST_CASE_FIXTURE(PartFixture, "parts of different contents are never put together") {
  int fetch = 0;
  const auto whole_is_asked_for = [&](std::size_t all, const FetchResult& rest) {
    fetcher.end(static_cast<upstream::Fetcher::FetchId>(++fetch), rest);
    CHECK_FALSE(answers[all].has_value());
    REQUIRE(fetcher.fetches.size() == 1);
    CHECK(sent("Range") == "(none)");
    fetcher.end(static_cast<upstream::Fetcher::FetchId>(++fetch), says("whole", fresh()));
    CHECK(body(all) == "whole");
    CHECK(answers[all]->content->status == 200);
  };
  have_part("/other", 0, 5);
  whole_is_asked_for(get("/other"), part(5, "56789", "\"f\""));
  have_part("/weak", 0, 5);
  whole_is_asked_for(get("/weak"), part(5, "56789", "W/\"e\""));
  have_part("/none", 0, 5);
  FetchResult without = part(5, "56789", "\"e\"");
  std::erase_if(without.reply.fields, [](const auto& field) { return field.name == "ETag"; });
  whole_is_asked_for(get("/none"), without);
  have_part("/gap", 0, 5);
  whole_is_asked_for(get("/gap"), part(6, "6789", "\"e\""));
  have_part("/less", 0, 5);
  whole_is_asked_for(get("/less"), part(5, "567", "\"e\""));
  have_part("/short", 0, 5);
  FetchResult short_one = part(5, "56789", "\"e\"");
  short_one.reply.body = "5678";
  whole_is_asked_for(get("/short"), short_one);
  // It is another one, and shorter.
  have_part("/none-left", 0, 5);
  whole_is_asked_for(get("/none-left"),
                     says("no such range", {{"Content-Range", "bytes */3"}}, 416));
  // One that may not be put to anything is not kept.
  have_part("/weak-part", 0, 5, {{"ETag", "W/\"e\""}});
  have_part("/no-tag", 0, 5, {});
  CHECK(rung_is(get("/weak-part", {{"Range", "bytes=1-2"}}), Rung::Pass));
  CHECK(rung_is(get("/no-tag", {{"Range", "bytes=1-2"}}), Rung::Pass));
}

TEST_CASE_FIXTURE(PartFixture, "a part takes no whole's place, and a whole a part's") {
  get("/a");
  fetcher.end(1, says("0123456789", fresh({{"ETag", "\"e\""}})));
  have_part("/a", 0, 5);
  CHECK(body(get("/a")) == "0123456789");
  have_part("/b", 0, 5);
  flights->keep_passed(*route, *asked("/b", {{"Range", "bytes=0-"}}), {},
                       says("whole", fresh()).reply, flights->mark(0));
  CHECK(body(get("/b")) == "whole");
}

TEST_CASE_FIXTURE(PartFixture, "who asks for all never gets a part, however its flight began") {
  have_part("/a", 0, 5);
  pass(100s);  // stale, and of use if the upstream fails
  const auto ranged = get("/a", {{"Range", "bytes=1-2"}});
  const auto all = get("/a");
  const auto other = get("/a", {{"Range", "bytes=4-6"}});
  REQUIRE_FALSE(answers[ranged].has_value());
  SUBCASE("and the part is confirmed") {
    fetcher.end(1, says("", fresh({{"ETag", "\"e\""}}), 304));
    CHECK(body(ranged) == "01234");
    CHECK(answers[ranged]->content->status == 206);
    CHECK_FALSE(answers[all].has_value());
    CHECK(rung_is(other, Rung::Pass));
    REQUIRE(fetcher.fetches.size() == 1);
    CHECK(sent("Range") == "bytes=5-");
    fetcher.end(fetcher.last, part(5, "56789", "\"e\""));
    CHECK(body(all) == "0123456789");
  }
  SUBCASE("and the upstream fails") {
    fetcher.end(1, failed(FetchEnd::Deadline, Outcome::Timeout));
    CHECK(rung_is(ranged, Rung::StaleIfError));
    while (!fetcher.fetches.empty()) {
      fetcher.end(fetcher.fetches.begin()->first, failed(FetchEnd::Deadline, Outcome::Timeout));
    }
    CHECK(rung_is(all, Rung::Error));
    CHECK(rung_is(other, Rung::Pass));
  }
  SUBCASE("and its deadline comes first") {
    pass(10s);
    CHECK(rung_is(ranged, Rung::StaleIfError));
    CHECK(rung_is(all, Rung::Error));
    CHECK(rung_is(other, Rung::Pass));
  }
}

TEST_CASE_FIXTURE(PartFixture, "a flight that fails answers with nothing that came meanwhile") {
  SUBCASE("a part of it") {
    const auto all = get("/a");
    have_part("/a", 0, 5);
    fetcher.end(1, failed(FetchEnd::Deadline, Outcome::Timeout));
    CHECK(rung_is(all, Rung::Error));
  }
  SUBCASE("an index of variants") {
    const auto all = get("/a");
    flights->keep_passed(*route, *asked("/a", {{"Foo", "1"}}), {},
                         says("one", fresh({{"Vary", "Foo"}})).reply, flights->mark(0));
    fetcher.end(1, failed(FetchEnd::Deadline, Outcome::Timeout));
    CHECK(rung_is(all, Rung::Error));
  }
}

TEST_CASE_FIXTURE(PartFixture, "what a validator refuses is not even for who asked") {
  for (const int status : {206, 200, 502}) {
    CAPTURE(status);
    const auto first = get("/" + std::to_string(status));
    FetchResult result = failed(FetchEnd::Deadline, Outcome::Unexpected, status);
    result.last_refused = std::make_shared<const upstream::Reply>(
        says("part", fresh({{"Content-Range", "bytes 0-3/10"}}), status).reply);
    fetcher.end(fetcher.last, result);
    CHECK(rung_is(first, status == 502 ? Rung::Fetched : Rung::Error));
  }
}

TEST_CASE_FIXTURE(PartFixture, "what was purged under a flight is not confirmed by those sent on") {
  get("/a");
  fetcher.end(1, says("old", fresh({{"ETag", "\"e\""}})));
  pass(100s);
  const auto first = get("/a");
  const auto second = get("/a");
  const auto fetch = fetcher.last;
  CHECK(sent("If-None-Match") == "\"e\"");
  flights->purge("all/a");
  fetcher.end(fetch, says("", fresh({{"ETag", "\"e\""}}), 304));
  CHECK(body(first) == "old");  // who asked before has what was on its way
  REQUIRE(fetcher.fetches.size() == 1);
  CHECK(sent("If-None-Match") == "(none)");
  fetcher.end(fetcher.last, says("new", fresh()));
  CHECK(body(second) == "new");
}

TEST_CASE_FIXTURE(PartFixture,
                  "a variant stays one when it is confirmed, though clients see no Vary") {
  StoringPolicy hidden;
  hidden.fields_removed = {"vary"};
  route = std::make_unique<Route>(http_plan(hidden));
  get("/a", {{"Foo", "1"}});
  fetcher.end(1, says("one", fresh({{"Vary", "Foo"}, {"ETag", "\"1\""}})));
  CHECK_FALSE(rfc9111::find_line(answers[0]->content->fields, "vary"));
  pass(100s);
  get("/a", {{"Foo", "1"}});
  fetcher.end(2, says("", fresh({{"ETag", "\"1\""}}), 304));
  CHECK(body(get("/a", {{"Foo", "1"}})) == "one");
  CHECK_FALSE(answers[get("/a", {{"Foo", "2"}})].has_value());
  fetcher.end(3, says("two", fresh({{"Vary", "Foo"}})));
  // By what a HEAD says, too.
  flights->head_passed(*route, *asked("/a", {{"Foo", "1"}}),
                       says("", fresh({{"ETag", "\"1\""}})).reply, flights->mark(0));
  CHECK_FALSE(answers[get("/a", {{"Foo", "3"}})].has_value());
  fetcher.end(4, says("three", fresh({{"Vary", "Foo"}})));
  CHECK(body(get("/a", {{"Foo", "2"}})) == "two");
}

TEST_CASE_FIXTURE(PartFixture, "what a HEAD says of another content drops what is stored") {
  const auto have = [&](const std::string& path) {
    get(path);
    fetcher.end(fetcher.last, says("0123456789", fresh({{"ETag", "\"e\""}})));
  };
  const auto head = [&](const std::string& path, upstream::Fields fields, int status = 200) {
    flights->head_passed(*route, *asked(path, {}), says("", std::move(fields), status).reply,
                         flights->mark(0));
  };
  have("/tag");
  head("/tag", {{"ETag", "\"f\""}});
  CHECK_FALSE(answers[get("/tag")].has_value());
  fetcher.end(fetcher.last, says("new", fresh()));
  have("/length");
  head("/length", {{"ETag", "\"e\""}, {"Content-Length", "11"}});
  CHECK_FALSE(answers[get("/length")].has_value());
  fetcher.end(fetcher.last, says("new", fresh()));
  have("/same");
  pass(50s);
  head("/same", fresh({{"ETag", "\"e\""}, {"Content-Length", "10"}, {"X-New", "1"}}));
  pass(50s);
  const auto fresher = get("/same");
  CHECK(body(fresher) == "0123456789");
  CHECK(rfc9111::find_line(answers[fresher]->content->fields, "x-new") == "1");
  // An error says nothing of it, and one from before a purge neither.
  head("/same", {{"ETag", "\"f\""}}, 500);
  CHECK(body(get("/same")) == "0123456789");
  const Flights::Mark before = flights->mark(0);
  flights->purge("all/same");
  have("/same");
  flights->head_passed(*route, *asked("/same", {}), says("", {{"ETag", "\"f\""}}).reply, before);
  CHECK(body(get("/same")) == "0123456789");
}

TEST_CASE_FIXTURE(PartFixture, "what is gone is gone in its language too") {
  StoringPolicy languages;
  languages.http.vary_normalise = {"accept-language"};
  route = std::make_unique<Route>(http_plan(languages));
  const Lines german{{"Accept-Language", "de, en;q=0.5"}};
  const Lines mostly{{"Accept-Language", "de, fr;q=0.1"}};
  get("/a", german);
  fetcher.end(
      1, says("deutsch",
              fresh({{"Vary", "Accept-Language"}, {"Content-Language", "de"}, {"ETag", "\"e\""}})));
  CHECK(body(get("/a", mostly)) == "deutsch");
  SUBCASE("by a HEAD") {
    flights->head_passed(*route, *asked("/a", german), says("", {{"ETag", "\"f\""}}).reply,
                         flights->mark(0));
  }
  SUBCASE("by a 404") {
    get("/a", {german[0], {"Cache-Control", "no-cache"}});
    fetcher.end(2, says("gone", {{"Cache-Control", "no-store"}}, 404));
  }
  CHECK_FALSE(answers[get("/a", german)].has_value());
  CHECK_FALSE(answers[get("/a", mostly)].has_value());
}

TEST_CASE_FIXTURE(PartFixture,
                  "where there is room for one variant, it is not its language that stays") {
  StoringPolicy one;
  one.http.vary_normalise = {"accept-language"};
  one.http.max_variants = 1;
  route = std::make_unique<Route>(http_plan(one));
  const Lines austrian{{"Accept-Language", "de-AT, de;q=0.9"}};
  for (const char* wanted : {"max-age=60", "no-cache"}) {
    CAPTURE(wanted);
    get("/a", {austrian[0], {"Cache-Control", wanted}});
    fetcher.end(fetcher.last,
                says("deutsch", fresh({{"Vary", "Accept-Language"}, {"Content-Language", "de"}})));
    CHECK(body(get("/a", austrian)) == "deutsch");
  }
}

TEST_CASE_FIXTURE(PartFixture, "what was passed through from before a purge is not kept") {
  const Flights::Mark before = flights->mark(0);
  flights->purge("all/a");
  flights->keep_passed(*route, *asked("/a", {}), {}, says("old", fresh()).reply, before);
  CHECK_FALSE(answers[get("/a")].has_value());
  fetcher.end(1, says("new", fresh()));
  flights->keep_passed(*route, *asked("/b", {}), {}, says("b", fresh()).reply, flights->mark(0));
  CHECK(body(get("/b")) == "b");
  // What one client alone may have is nobody else's by this way either.
  for (const char* said : {"private, max-age=60", "no-store", "max-age=0"}) {
    flights->keep_passed(*route, *asked("/c", {}), {},
                         says("mine", {{"Cache-Control", said}}).reply, flights->mark(0));
  }
  flights->keep_passed(*route, *asked("/c", {{"Authorization", "me"}}), {},
                       says("mine", fresh()).reply, flights->mark(0));
  CHECK_FALSE(answers[get("/c")].has_value());
}
