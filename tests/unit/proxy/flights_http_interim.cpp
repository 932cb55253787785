// Who hears of what the upstream says before its answer (102, 103): the client whose request went
// there, and of those who wait along whom it says nothing that is another's.
#include <doctest/doctest.h>

#include "flights_http_fixture.h"

using namespace holdfast;
using namespace holdfast::proxy;
using namespace holdfast::proxy::test;
using namespace std::chrono_literals;

namespace {

struct InterimFixture : HttpFixture {
  // `told` has what each of these hears, in order.
  std::size_t asks(const std::string& who, const Lines& fields = {}) {
    const std::size_t number = answers.size();
    answers.emplace_back();
    flights->join_http(
        *route, asked("/a", fields), loop.now() + 10s,
        [this, number](Answer answer) { answers[number] = std::move(answer); },
        [this, who](int status, const std::shared_ptr<const std::string>& lines) {
          told.push_back(who + " " + std::to_string(status) + " " + *lines);
        });
    return number;
  }
  std::vector<std::string> says_before(std::size_t fetch, int status, upstream::Fields fields) {
    fetcher.fetches.at(fetch).request.on_interim(status, fields);
    return std::exchange(told, {});
  }

  std::vector<std::string> told;
};
using Told = std::vector<std::string>;

const upstream::Fields kHint{{"Link", "</s>"}};
const std::string kHinted = " 103 Link: </s>\r\nVia: 1.1 holdfast\r\n";
const std::string kAtWork = " 102 Via: 1.1 holdfast\r\n";

}  // namespace

TEST_CASE_FIXTURE(InterimFixture, "who waits along with the very same request hears of hints") {
  const Lines same{{"Accept", "text/html"}, {"traceparent", "one"}};
  asks("first", same);
  const auto second = asks("second", {{"Accept", "text/html"}, {"traceparent", "two"}});
  CHECK(says_before(1, 103, kHint) == Told{"first" + kHinted, "second" + kHinted});
  // Of what comes from then on.
  asks("late", same);
  CHECK(says_before(1, 103, kHint) ==
        Told{"first" + kHinted, "second" + kHinted, "late" + kHinted});
  REQUIRE(fetcher.fetches.size() == 1);
  fetcher.end(1, says("all", fresh()));
  CHECK(body(second) == "all");
  CHECK(answers[second]->content->fields.find("Link") == std::string::npos);
}

TEST_CASE_FIXTURE(InterimFixture,
                  "who waits along hears of links, and of nothing else a hint has") {
  asks("first");
  asks("second");
  const upstream::Fields more{{"Authentication-Info", "nextnonce=\"1\""}, {"Link", "</s>"}};
  CHECK(
      says_before(1, 103, more) ==
      Told{"first 103 Authentication-Info: nextnonce=\"1\"\r\nLink: </s>\r\nVia: 1.1 holdfast\r\n",
           "second" + kHinted});
}

TEST_CASE_FIXTURE(InterimFixture, "who asks with other fields or credentials hears of no hints") {
  asks("first", {{"Authorization", "first"}});
  asks("second", {{"Authorization", "second"}});
  asks("third");
  asks("fourth", {{"Authorization", "first"}, {"Cookie", "mine"}});
  REQUIRE(fetcher.fetches.size() == 1);
  CHECK(says_before(1, 103, kHint) == Told{"first" + kHinted});
  fetcher.end(1, says("mine", fresh()));
  // Each has a flight of its own now, and hears of that.
  REQUIRE(fetcher.fetches.size() == 3);
  CHECK(says_before(2, 103, kHint) == Told{"second" + kHinted});
}

TEST_CASE_FIXTURE(InterimFixture, "another address hears of hints to what is known to be for all") {
  const auto from = [](const char* address) { return Lines{{"X-Forwarded-For", address}}; };
  asks("first", from("192.0.2.1"));
  asks("second", from("192.0.2.2"));
  asks("third", from("192.0.2.1"));
  CHECK(says_before(1, 103, kHint) == Told{"first" + kHinted, "third" + kHinted});
  fetcher.end(1, says("all", fresh()));
  pass(61s);
  asks("first", from("192.0.2.1"));
  asks("second", from("192.0.2.2"));
  REQUIRE(fetcher.fetches.size() == 1);
  CHECK(says_before(fetcher.last, 103, kHint) == Told{"first" + kHinted, "second" + kHinted});
}

TEST_CASE_FIXTURE(InterimFixture, "that the upstream is at work everybody hears, and no more") {
  asks("first", {{"Authorization", "first"}});
  asks("second");
  CHECK(says_before(1, 102, {{"X-Of", "first"}}) ==
        Told{"first 102 X-Of: first\r\nVia: 1.1 holdfast\r\n", "second" + kAtWork});
}

TEST_CASE_FIXTURE(InterimFixture, "what may be one client's alone nobody else hears") {
  asks("first");
  asks("second");
  for (const upstream::Fields& of_one :
       {upstream::Fields{{"Link", "</s>"}, {"Set-Cookie", "a=b"}},
        upstream::Fields{{"Link", "</s>"}, {"Cache-Control", "private"}},
        upstream::Fields{{"Link", "</s>"}, {"Cache-Control", "private=\"link\""}},
        upstream::Fields{{"Link", "</s>"}, {"Cache-Control", "no-store"}}}) {
    CAPTURE(of_one.back().value);
    const Told heard = says_before(1, 103, of_one);
    REQUIRE(heard.size() == 1);
    CHECK(heard[0].starts_with("first 103 Link: </s>\r\n"));
  }
  CHECK(says_before(1, 104, kHint).size() == 1);  // a status that is not known here
}
