// What becomes of flights whose route, or whose upstream, goes out of service.
#include "flights_fixture.h"

using namespace holdfast;
using namespace holdfast::proxy;
using namespace holdfast::proxy::test;

namespace {

const std::string kKey = "lookup/8.8.8.8";

// Two routes with the same keys, one of which takes the place of the other.
struct Reloaded : Fixture {
  std::shared_ptr<Route> old = std::make_shared<Route>(lookup_plan(storing));
  std::shared_ptr<Route> now = std::make_shared<Route>(lookup_plan(storing));

  std::size_t ask_by(Route& by, base::Duration deadline = 10s) {
    const std::size_t number = answers.size();
    answers.emplace_back();
    flights->join(by, kKey, loop.now() + deadline, 0s, [this, number](Answer answer) {
      CHECK_FALSE(answers[number].has_value());
      answers[number] = std::move(answer);
    });
    return number;
  }
  void reload() {
    old->retire();
    flights->leave({old});
  }
  // What the flights have is all that is left of it.
  bool forgotten() {
    const std::weak_ptr<Route> left = old;
    old.reset();
    return left.expired();
  }
};

}  // namespace

TEST_CASE_FIXTURE(Reloaded, "who waits when a route goes is answered; nothing is kept of that") {
  const auto before = ask_by(*old);
  reload();
  const auto after = ask_by(*now);
  REQUIRE(fetcher.fetches.size() == 2);
  CHECK_FALSE(forgotten());

  fetcher.end(1, answered("8.8.8.8"));
  REQUIRE(answers[before].has_value());
  CHECK(answers[before]->content->body == body_for("8.8.8.8"));
  CHECK_FALSE(answers[before]->stored);
  CHECK_FALSE(answers[after].has_value());
  CHECK(memory.find(kKey) == nullptr);
  CHECK(store.rows.empty());
  CHECK(forgotten());

  fetcher.end(2, answered("8.8.8.8"));
  CHECK(answers[after]->stored);
  CHECK(memory.find(kKey) != nullptr);
  CHECK(flights->stats().flights == 0);
}

TEST_CASE_FIXTURE(Reloaded, "what they wait with may fall back on what is stored") {
  have("8.8.8.8");
  pass(24h * 9);
  const auto patient = ask_by(*old);
  reload();
  pass(300ms);
  REQUIRE(answers[patient].has_value());
  CHECK(answers[patient]->rung == Rung::StaleIfError);
  fetcher.end(fetcher.last, failed(FetchEnd::GaveUp, Outcome::ServerError, 503));
  // It failed by rules that hold no more.
  CHECK_FALSE(flights->resting(kKey));
}

TEST_CASE_FIXTURE(Reloaded,
                  "a request by a route that is gone flies alone, and refreshes nothing") {
  reload();
  const auto one = ask_by(*old);
  const auto other = ask_by(*old);
  const auto third = ask_by(*now);
  CHECK(fetcher.fetches.size() == 3);
  for (const auto id : {1, 2, 3})
    fetcher.end(static_cast<upstream::Fetcher::FetchId>(id), answered("8.8.8.8"));
  for (const auto number : {one, other, third}) REQUIRE(answers[number].has_value());
  CHECK_FALSE(answers[other]->collapsed);
  CHECK(answers[third]->stored);
  memory.clear();
  store.rows.clear();
  flights->refresh(*old, kKey);
  CHECK(fetcher.fetches.empty());
}

TEST_CASE_FIXTURE(Reloaded, "a refresh that nobody waits for ends with its route") {
  have("8.8.8.8");
  pass(25h);
  flights->refresh(*old, kKey);
  REQUIRE(fetcher.fetches.size() == 1);
  reload();
  CHECK(fetcher.fetches.empty());
  CHECK(flights->stats().flights == 0);
  CHECK(metrics.value(Family::Flights) == 0);
  CHECK(forgotten());
  // The others' flights are nobody's business.
  flights->refresh(*now, kKey);
  flights->leave({std::make_shared<Route>(lookup_plan(storing))});
  CHECK(fetcher.fetches.size() == 1);
}

TEST_CASE_FIXTURE(Reloaded, "a key that rests by rules that are gone may be asked for at once") {
  for (const std::string ip : {"8.8.8.8", "8.8.4.4"}) {
    ask(ip);
    fetcher.end(fetcher.last, failed(FetchEnd::KeyFails, Outcome::InvalidBody, 200));
    REQUIRE(flights->resting("lookup/" + ip));
  }
  RoutePlan other = lookup_plan(storing);
  other.key_prefix = "other/";
  flights->leave({std::make_shared<Route>(other)});
  CHECK(flights->resting(kKey));
  reload();
  CHECK_FALSE(flights->resting(kKey));
  CHECK_FALSE(flights->resting("lookup/8.8.4.4"));
  ask_by(*now);
  CHECK(fetcher.fetches.size() == 1);
}

TEST_CASE_FIXTURE(Reloaded, "a fetch that judges after its flight's end has the rules still") {
  ask_by(*old, 1s);
  reload();
  const auto validate = fetcher.fetches.begin()->second.request.validate;
  pass(2s);
  fetcher.end(fetcher.last, failed(FetchEnd::GaveUp, Outcome::ServerError, 503));
  old.reset();
  CHECK(validate(answered("8.8.8.8").reply).outcome == Outcome::Ok);
}

TEST_CASE_FIXTURE(Reloaded, "flights of an upstream that is gone keep nothing, by whatever route") {
  CHECK(metrics.value(Family::FlightWaitersLimit) > 0);
  const auto waits = ask_by(*now);
  flights->retire();
  CHECK(metrics.value(Family::FlightWaitersLimit) == 0);
  const auto late = ask_by(*now);
  CHECK(fetcher.fetches.size() == 2);
  fetcher.end(1, answered("8.8.8.8"));
  fetcher.end(2, answered("8.8.8.8"));
  for (const auto number : {waits, late}) {
    REQUIRE(answers[number].has_value());
    CHECK(answers[number]->content->body == body_for("8.8.8.8"));
    CHECK_FALSE(answers[number]->stored);
  }
  CHECK(memory.find(kKey) == nullptr);
  CHECK(flights->stats().flights == 0);
}
