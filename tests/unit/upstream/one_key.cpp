// One key's trouble is told from the upstream's, and one origin's word from all of them.
#include <doctest/doctest.h>

#include "simulated_upstream.h"
#include "upstream/policy_fetcher.h"

namespace holdfast::upstream {

using namespace std::chrono_literals;
using test::Fault;
using test::World;

namespace {

const base::SteadyTime kFirst{1h};

// So many different keys, one after the other, all answered.
void good_keys(World& world, int count) {
  for (int i = 0; i < count; ++i) {
    world.fetch("/good/" + std::to_string(i));
    world.settle();
  }
  REQUIRE(world.answered() == count);
  world.results.clear();
  world.outcomes = {};
}

bool closed(World& world) {
  return world.fetcher.status().origins[0].breaker == Breaker::State::Closed;
}

}  // namespace

TEST_CASE("a row of equal answers is no chance where others are luckier, and only there") {
  const RecentLuck::Settings settings;
  RecentLuck luck(settings);
  const base::SteadyTime later = kFirst + 1min;
  CHECK(luck.needed(later, 1) >= 20);  // nothing is known
  CHECK_FALSE(luck.needed(later, 1, kFirst, later));
  for (std::size_t i = 0; i < 20; ++i) luck.answered(kFirst + 1s, 100 + i, 0);
  CHECK(luck.needed(later, 1) == 5);
  CHECK(luck.needed(later, 1, kFirst, later) == 5);
  // Nobody was answered meanwhile.
  CHECK_FALSE(luck.needed(later, 1, kFirst + 2s, later));
  for (std::size_t i = 0; i < 200; ++i) luck.answered(kFirst + 3s, 200 + i, 0);
  CHECK(luck.needed(later, 1) == 3);
  // Others were answered meanwhile, but with difficulty.
  luck.answered(kFirst + 5s, 2, 3);
  CHECK(luck.needed(later, 1, kFirst + 4s, later).value_or(0) > 20);
  CHECK_FALSE(luck.needed(later, 2, kFirst + 4s, later));  // its own luck is no other's
  // One that was answered at once may have been lucky where half fail: four were not.
  luck.answered(kFirst + 10s, 3, 0);
  CHECK(luck.needed(later, 1, kFirst + 9s, later).value_or(0) > 20);
  for (std::size_t key = 4; key < 7; ++key) luck.answered(kFirst + 10s, key, 0);
  CHECK(luck.needed(later, 1, kFirst + 9s, later) == 4);
  luck.failed(kFirst + 10s, 7);
  CHECK(luck.needed(later, 1, kFirst + 9s, later).value_or(0) > 5);
  // Half of all fail at random.
  RecentLuck half(settings);
  for (std::size_t i = 0; i < 100; ++i) half.answered(kFirst, i, 1);
  CHECK(half.needed(later, 1000) == 20);
  // What is long past says nothing of now.
  CHECK(luck.needed(later + 1h, 1) >= 20);
}

TEST_CASE("many more missing entries than usual are a fault, a list of unknown ones is none") {
  NegativeShare share({});
  for (std::size_t i = 0; i < 19; ++i) CHECK_FALSE(share.answered(i, true));
  CHECK(share.answered(19, true));  // from the start: a wrong path
  CHECK_FALSE(share.answered(20, true));
  CHECK(share.fault());
  for (std::size_t i = 30; i < 80; ++i) CHECK_FALSE(share.answered(i, false));
  CHECK_FALSE(share.fault());
  // One key again and again is one key.
  for (int i = 0; i < 1000; ++i) CHECK_FALSE(share.answered(1000, true));
  CHECK_FALSE(share.fault());
  bool told = false;
  for (std::size_t i = 2000; i < 2050; ++i) told = share.answered(i, true) || told;
  CHECK(told);
  // A third is unknown, always.
  NegativeShare usual({});
  for (std::size_t i = 0; i < 5000; ++i) CHECK_FALSE(usual.answered(i, i % 3 == 0));
}

TEST_CASE("a token is doubted for what several keys met, and a 403 is always about a key") {
  TokenState token{{}};
  for (int i = 0; i < 10; ++i) CHECK_FALSE(token.refused(403, 1));
  CHECK_FALSE(token.refused(403, 2));
  CHECK(token.refused(403, 3));
  TokenState known{{}};
  known.accepted(kFirst);
  for (int i = 0; i < 10; ++i) CHECK_FALSE(known.refused(401, 1));
  CHECK_FALSE(known.refused(401, 2));
  known.accepted(kFirst);
  CHECK_FALSE(known.refused(401, 3));
  CHECK_FALSE(known.refused(401, 1));
  CHECK(known.refused(401, 2));
  // Where none was ever accepted, a 401 is about us, whatever was asked for.
  TokenState unknown{{}};
  CHECK_FALSE(unknown.refused(401, 1));
  CHECK_FALSE(unknown.refused(401, 1));
  CHECK(unknown.refused(401, 1));
}

TEST_CASE(
    "after silence a whole answer closes a breaker, whatever it says; after such it does not") {
  base::Random random(1);
  for (const bool silent : {true, false}) {
    Breaker breaker({}, random);
    for (std::size_t key = 0; key < 40; ++key) {
      breaker.failed(kFirst, key, silent ? Breaker::Bad::Silence : Breaker::Bad::Answer);
    }
    REQUIRE(breaker.state() == Breaker::State::Open);
    breaker.probe_started(kFirst + 1s);
    breaker.probe_ended(kFirst + 1s, false, true);
    CHECK((breaker.state() == Breaker::State::Closed) == silent);
  }
}

TEST_CASE("whole answers bring a doubt where a witness is at hand, and open without one") {
  using Bad = Breaker::Bad;
  base::Random random(1);
  Breaker breaker({}, random);
  for (std::size_t key = 0; key < 100; ++key) breaker.failed(kFirst, key, Bad::Doubtful);
  CHECK(breaker.state() == Breaker::State::Closed);
  CHECK(breaker.in_doubt());
  breaker.succeeded(kFirst);  // the witness
  CHECK_FALSE(breaker.in_doubt());
  for (std::size_t key = 0; key < 100; ++key) breaker.failed(kFirst + 500ms, key, Bad::Doubtful);
  CHECK_FALSE(breaker.in_doubt());  // it has just been asked
  breaker.failed(kFirst + 2s, 1000, Bad::Doubtful);
  CHECK(breaker.in_doubt());
  breaker.failed(kFirst + 2s, 1001, Bad::Silence);
  CHECK(breaker.state() == Breaker::State::Open);
  CHECK_FALSE(breaker.in_doubt());
}

TEST_CASE("a probe asks for what was answered lately, and for another where that failed") {
  DependencyProbe probe({}, kFirst);
  probe.answered({.request = {"/good", {{"Accept", "a/b"}, {"If-None-Match", "x"}}}}, 1);
  probe.remember({.request = {"/bad", {}}});
  CHECK(probe.question().request.target == "/good");
  CHECK(probe.question().request.fields.size() == 1);
  CHECK(probe.witness(1) == nullptr);
  REQUIRE(probe.witness(2) != nullptr);
  probe.answered({.request = {"/other", {}}}, 2);
  CHECK(probe.question().request.target == "/other");
  probe.doubt(2);
  CHECK(probe.question().request.target == "/good");
  probe.doubt(1);
  CHECK(probe.question().request.target == "/other");
}

TEST_CASE("a key that the upstream cannot answer costs a handful of attempts, and nobody else") {
  for (const Fault fault :
       {Fault::Error500, Fault::NoContent, Fault::Html, Fault::Wrong, Fault::TooLarge}) {
    CAPTURE(static_cast<int>(fault));
    World world;
    good_keys(world, 20);
    world.upstream.always_to["/bad"] = fault;
    const int before = world.upstream.attempts;
    const base::SteadyTime begun = world.now();
    world.fetch("/bad");
    world.settle();
    // Nobody asked for anything else meanwhile, but for a witness.
    CHECK(world.upstream.by_target["/bad"] <= 7);
    CHECK(world.upstream.attempts - before <= 11);
    CHECK(world.now() - begun < 2s);
    CHECK(world.results.back().end == FetchEnd::KeyFails);
    CHECK(closed(world));
  }
}

TEST_CASE("who fails at random goes on, however often, as others do") {
  for (const double share : {0.5, 0.7}) {
    CAPTURE(share);
    World world(11);
    world.upstream.faults = {{Fault::Error500, share}};
    world.fetch_all(1000, 50);
    CHECK(world.outcomes.ends[FetchEnd::KeyFails] == 0);
    CHECK(world.answered() == 1000);
  }
}

TEST_CASE("who begins to fail at random, however good it was before, has no bad keys") {
  int told = 0;
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    World world(seed);
    good_keys(world, 250);
    world.upstream.faults = {{Fault::Error500, 0.5}};
    for (int i = 0; i < 5; ++i) {
      world.fetch("/after/" + std::to_string(i));
      world.settle();
    }
    told += world.outcomes.ends[FetchEnd::KeyFails];
  }
  // Of 200; one witness alone let 8 be taken for bad ones.
  CHECK(told <= 2);
}

TEST_CASE("an outage is nobody's own trouble, however good it was before") {
  World world(3);
  good_keys(world, 300);
  world.upstream.always[0] = Fault::Error500;
  for (int i = 0; i < 5; ++i) world.fetch("/out/" + std::to_string(i));
  world.scheduler.advance(4s);
  CHECK(world.results.empty());
  world.upstream.always.clear();
  world.settle();
  CHECK(world.answered() == 5);
}

TEST_CASE("keys that always fail, five a second and each another, cost the good ones nothing") {
  for (const Fault fault : {Fault::Error500, Fault::NoContent, Fault::Malformed}) {
    CAPTURE(static_cast<int>(fault));
    World world(5);
    good_keys(world, 5);
    int bad = 0;
    for (int second = 0; second < 60; ++second) {
      for (int i = 0; i < 5; ++i) {
        const std::string target = "/bad/" + std::to_string(bad++);
        world.upstream.always_to[target] = fault;
        world.fetch(target);
        world.scheduler.advance(200ms);
      }
      // Long enough without a good one that a breaker could think nothing works.
      if (second % 6 == 5) {
        const base::SteadyTime begun = world.now();
        bool there = false;
        world.fetch("/late/" + std::to_string(second), 10s, Priority::Miss, [&] { there = true; });
        while (!there) world.scheduler.step();
        CHECK(world.results.back().end == FetchEnd::Answered);
        CHECK(world.now() - begun < 500ms);
      }
    }
    world.settle();
    CHECK(world.breaker_opened() == 0);
    CHECK(world.upstream.attempts <= 300 * 8);
  }
}

TEST_CASE("whole answers to all open the breaker as before, once the witness says the same") {
  World world(5);
  good_keys(world, 20);
  world.upstream.always[0] = Fault::Error500;
  for (int i = 0; i < 60; ++i) world.fetch("/out/" + std::to_string(i));
  world.scheduler.advance(2s);
  CHECK_FALSE(closed(world));
  CHECK(world.breaker_opened() >= 1);
  world.upstream.always.clear();
  world.settle();
  CHECK(world.answered() == 60);
}

TEST_CASE("an open breaker is probed with a key that was answered, not with the one that fails") {
  World world;
  good_keys(world, 3);
  world.upstream.always_to["/bad"] = Fault::Error500;
  world.upstream.always[0] = Fault::Refused;
  world.fetch("/bad", 2s);
  world.settle();
  for (int i = 0; i < 6; ++i) world.fetch("/out/" + std::to_string(i), 1s);
  world.settle();
  world.fetch("/bad", 1s);  // the last that was asked for
  world.settle();
  REQUIRE_FALSE(closed(world));
  world.upstream.always.clear();
  world.scheduler.advance(3s);
  CHECK(closed(world));
}

TEST_CASE("an upstream that nobody asks is not probed, and the next to ask finds it well again") {
  World world;
  world.fetcher.addresses(0, {"192.0.2.1"});
  good_keys(world, 3);
  world.upstream.always[0] = Fault::Refused;
  for (int i = 0; i < 6; ++i) world.fetch("/out/" + std::to_string(i), 1s);
  world.settle();
  REQUIRE_FALSE(closed(world));
  world.upstream.always.clear();
  world.fetcher.set_idle(true);
  world.fetcher.forget_all();
  const int sent = world.upstream.attempts;
  world.scheduler.advance(1h);
  CHECK(world.upstream.attempts == sent);
  CHECK_FALSE(closed(world));
  CHECK(world.upstream.preferred.at(0).empty());

  // Nothing is known that could be asked for, so it is what somebody asks for.
  world.fetcher.set_idle(false);
  CHECK_FALSE(world.upstream.preferred.at(0).empty());
  world.scheduler.advance(1min);
  CHECK(world.upstream.attempts == sent);
  world.fetch("/new", 10s);
  world.settle();
  CHECK(world.results.back().end == FetchEnd::Answered);
  CHECK(closed(world));
}

TEST_CASE("what is forgotten is no witness, and no probe asks for it") {
  DependencyProbe probe({}, base::SteadyTime{});
  FetchRequest a;
  a.request.target = "/a";
  FetchRequest b;
  b.request.target = "/b";
  probe.remember(a);
  probe.answered(a, 1);
  probe.answered(b, 2);
  probe.forget("/b");
  CHECK(probe.witness(1) == nullptr);
  CHECK(probe.question().request.target == "/a");
  probe.forget("/a");
  CHECK(probe.question().request.target.empty());
}

TEST_CASE("403 for a kind of key refuses that kind, and nobody else") {
  World world;
  good_keys(world, 1);
  for (int i = 0; i < 10; ++i) {
    const std::string target = "/private/" + std::to_string(i);
    world.upstream.always_to[target] = Fault::Forbidden;
    world.fetch(target);
    world.settle();
    CHECK(world.results.back().end == FetchEnd::Refused);
    CHECK(world.upstream.by_target[target] <= 5);
  }
  CHECK(world.fetcher.status().token == TokenState::State::Accepted);
  CHECK(world.metrics.value(observe::Family::TokenState) == 1);
  world.fetch("/good");
  world.settle();
  CHECK(world.answered() == 1);
}

TEST_CASE("403 for a kind of key refuses that kind, also right after an outage") {
  World world;
  world.upstream.always[0] = Fault::Refused;
  world.fetch("/good");
  world.scheduler.advance(1s);
  REQUIRE_FALSE(closed(world));
  world.upstream.always.clear();
  world.settle();
  REQUIRE(world.answered() == 1);
  // The pacer lets the rate grow from little, and nobody limits it.
  for (int i = 0; i < 5; ++i) {
    const std::string target = "/private/" + std::to_string(i);
    world.upstream.always_to[target] = Fault::Forbidden;
    world.fetch(target);
    world.settle();
  }
  CHECK(world.fetcher.status().token == TokenState::State::Accepted);
  world.fetch("/good/2");
  world.settle();
  CHECK(world.answered() == 2);
}

TEST_CASE("a 403 in twenty, at random, costs next to nobody the answer") {
  World world(9);
  world.upstream.faults = {{Fault::Forbidden, 0.05}};
  world.fetch_all(1000, 20);
  CHECK(world.answered() == 1000);
}

TEST_CASE("a token that is withdrawn is noticed, though a witness was answered with it") {
  for (const Fault fault : {Fault::Unauthorized, Fault::Forbidden}) {
    World world;
    good_keys(world, 20);
    world.upstream.always[0] = fault;
    const int before = world.upstream.attempts;
    for (int i = 0; i < 50; ++i) {
      world.fetch("/" + std::to_string(i), 1s);
      world.settle();
    }
    CHECK(world.fetcher.status().token == TokenState::State::Refused);
    CHECK(world.results.back().token_refused);
    CHECK(world.upstream.attempts - before <= 20);
    world.upstream.always.clear();
    world.scheduler.advance(3s);
    world.fetch("/again");
    world.settle();
    CHECK(world.answered() == 1);
  }
}

TEST_CASE("a token is found good again by a witness, where only a forbidden key is asked for") {
  World world;
  good_keys(world, 20);
  world.upstream.always[0] = Fault::Forbidden;
  for (int i = 0; i < 10; ++i) {
    world.fetch("/" + std::to_string(i), 1s);
    world.settle();
  }
  REQUIRE(world.fetcher.status().token == TokenState::State::Refused);
  world.upstream.always.clear();
  world.upstream.always_to["/private"] = Fault::Forbidden;
  world.scheduler.advance(3s);
  world.fetch("/private", 1s);
  world.settle();
  world.scheduler.advance(1s);
  CHECK(world.fetcher.status().token == TokenState::State::Accepted);
}

TEST_CASE("what the first of two origins says for good is not the last word") {
  for (const Fault fault :
       {Fault::Unauthorized, Fault::Forbidden, Fault::NotFound, Fault::Gone, Fault::BadRequest}) {
    CAPTURE(static_cast<int>(fault));
    Settings settings;
    settings.origins = {"first", "second"};
    World world(1, settings);
    world.upstream.always[0] = fault;
    for (int i = 0; i < 100; ++i) {
      world.fetch("/" + std::to_string(i));
      world.settle();
      CHECK(world.results.back().reply.status == 200);
    }
    CHECK(world.answered() == 100);
    // It is not asked for ever.
    CHECK(world.upstream.by_origin[0] <= 50);
  }
}

TEST_CASE("a witness is asked also while an upstream ramps up after an outage") {
  World world;
  world.fetch_all(20, 5);
  world.upstream.always[0] = Fault::Refused;
  world.fetch_all(5, 5, 1s);
  REQUIRE(world.fetcher.status().origins[0].breaker != Breaker::State::Closed);
  world.upstream.always.clear();
  while (world.fetcher.status().origins[0].breaker != Breaker::State::Closed) {
    world.scheduler.advance(10ms);
  }
  for (int i = 0; i < 3; ++i) {
    const std::string forbidden = "/forbidden/" + std::to_string(i);
    world.upstream.always_to[forbidden] = Fault::Forbidden;
    world.fetch(forbidden);
  }
  world.settle();
  CHECK(world.fetcher.status().token == TokenState::State::Accepted);
}

TEST_CASE("a final word is not the last one while the other origin is back but just now") {
  Settings settings;
  settings.origins = {"first", "second"};
  World world(1, settings);
  world.upstream.always[0] = Fault::BadRequest;
  world.upstream.always[1] = Fault::Refused;
  world.fetch_all(20, 20);
  REQUIRE(world.fetcher.status().origins[1].breaker != Breaker::State::Closed);
  world.upstream.always.erase(1);
  while (world.fetcher.status().origins[1].breaker != Breaker::State::Closed) {
    world.scheduler.advance(10ms);
  }
  const int before = world.answered();
  world.fetch("/asked at once");
  world.settle();
  CHECK(world.answered() == before + 1);
  CHECK(world.results.back().reply.status == 200);
}

TEST_CASE("what both origins say, or the only one that answers, is the answer") {
  Settings settings;
  settings.origins = {"first", "second"};
  for (const Fault second :
       {Fault::NotFound, Fault::BadRequest, Fault::Unauthorized, Fault::Error500, Fault::Refused}) {
    CAPTURE(static_cast<int>(second));
    World world(1, settings);
    world.upstream.always[0] = Fault::NotFound;
    world.upstream.always[1] = second;
    world.fetch("/a");
    world.settle();
    CHECK(world.results.back().end == FetchEnd::Answered);
    CHECK(world.results.back().reply.status == 404);
    CHECK(world.results.back().attempts_sent <= 4);
  }
  World world(1, settings);
  world.upstream.always[0] = Fault::Unauthorized;
  world.upstream.always[1] = Fault::Unauthorized;
  for (int i = 0; i < 50; ++i) world.fetch("/" + std::to_string(i));
  world.settle();
  CHECK(world.outcomes.ends[FetchEnd::Refused] == 50);
  CHECK(world.fetcher.status().token == TokenState::State::Refused);
  // With a wrong token at the first, half of the second's answers may well be bad.
  World half(1, settings);
  half.upstream.always[0] = Fault::Unauthorized;
  half.upstream.faults_of[1] = {{Fault::Error500, 0.5}};
  for (int i = 0; i < 50; ++i) half.fetch("/" + std::to_string(i));
  half.settle();
  CHECK(half.answered() == 50);
}

TEST_CASE("a 404 that is not proved is a failed attempt") {
  const auto unproved = [](const Reply&) -> Verdict { return {Outcome::InvalidBody, "HTML"}; };
  const auto proved = [](const Reply&) -> Verdict { return {}; };
  Reply reply;
  for (const int status : {404, 410}) {
    reply.status = status;
    CHECK(judge({"/", {}}, reply, unproved).outcome == Outcome::InvalidBody);
    CHECK(judge({"/", {}}, reply, proved).outcome == Outcome::ClientError);
    CHECK(judge({"/", {}}, reply, {}).outcome == Outcome::ClientError);
  }
  reply.status = 400;
  CHECK(judge({"/", {}}, reply, unproved).outcome == Outcome::ClientError);
}

TEST_CASE("far more missing entries than usual are in the status") {
  World world;
  world.upstream.always[0] = Fault::NotFound;
  world.fetch_all(19, 1);
  CHECK_FALSE(world.fetcher.status().origins[0].missing_share);
  world.fetch("/one/more");
  world.settle();
  CHECK(world.fetcher.status().origins[0].missing_share == 1.0);
}

}  // namespace holdfast::upstream
