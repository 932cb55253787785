#include "upstream/policy_fetcher.h"

#include <doctest/doctest.h>

#include <optional>
#include <set>

#include "simulated_upstream.h"

namespace holdfast::upstream {

using namespace std::chrono_literals;
using test::Fault;
using test::World;

TEST_CASE("a callback runs once, with the answer, and never inside start()") {
  World world;
  bool inside = true;
  world.fetch("/a", 10s, Priority::Miss, [&] { CHECK_FALSE(inside); });
  inside = false;
  world.settle();
  REQUIRE(world.results.size() == 1);
  const FetchResult& result = world.results[0];
  CHECK(result.end == FetchEnd::Answered);
  CHECK(result.reply.body == "answer to /a");
  CHECK(result.attempts_sent == 1);
  REQUIRE(result.attempts.size() == 1);
  CHECK(result.attempts[0].outcome == Outcome::Ok);
  CHECK(result.attempts[0].duration > 0ms);
}

TEST_CASE("between an answer and its callback, who asks is told that it is there") {
  World world;
  const Fetcher::FetchId id = world.fetch("/a");
  int there = 0;
  while (world.results.empty()) {
    const FetchResult so_far = world.fetcher.so_far(id);
    there += so_far.end == FetchEnd::Answered;
    CHECK(so_far.reply.body.empty());
    REQUIRE(world.scheduler.step());
  }
  CHECK(there >= 1);
  CHECK(world.results[0].reply.body == "answer to /a");
}

TEST_CASE("a 404 is an answer and is not retried, and the breaker takes it well") {
  World world;
  world.upstream.always[0] = Fault::NotFound;
  world.fetch_all(200, 5);
  CHECK(world.answered() == 200);
  CHECK(world.upstream.attempts == 200);
  CHECK(world.fetcher.status().origins[0].error_rate.value_or(0) == 0);
}

TEST_CASE("a failure ends at the deadline, with every attempt on record and in the metrics") {
  World world;
  world.upstream.always[0] = Fault::Error500;
  const base::SteadyTime begun = world.now();
  world.fetch("/a", 2s);
  world.settle();
  REQUIRE(world.results.size() == 1);
  const FetchResult& result = world.results[0];
  CHECK(result.end == FetchEnd::Deadline);
  CHECK(world.now() - begun <= 2s);
  CHECK(result.reply.status == 500);
  CHECK(result.outcome == Outcome::ServerError);
  CHECK(result.attempts_sent > 10);
  CHECK(result.attempts.size() <= 32);
  CHECK(result.retry_after >= 1s);
  CHECK(world.metrics.value(observe::Family::UpstreamAttempts,
                            {{"origin", "upstream"}, {"outcome", "5xx"}}) +
            world.upstream.cancelled ==
        world.upstream.attempts);
}

TEST_CASE("401 and 403 are not retried; many keys cost a handful of attempts; a new token heals") {
  World world;
  world.upstream.always[0] = Fault::Unauthorized;
  world.fetch_all(1000, 3);
  CHECK(world.outcomes.ends[FetchEnd::Refused] == 1000);
  CHECK(world.upstream.attempts <= 6);
  CHECK(world.fetcher.status().token == TokenState::State::Refused);
  CHECK(world.metrics.value(observe::Family::TokenState) == 0);
  CHECK(world.fetcher.status().origins[0].breaker == Breaker::State::Closed);
  world.upstream.always.clear();
  world.fetcher.token_changed();
  world.fetch_all(10, 1);
  CHECK(world.answered() == 10);
  CHECK(world.metrics.value(observe::Family::TokenState) == 1);
}

TEST_CASE("a token is refused in the metric when it is in the status, not at the first 403") {
  World world;
  world.upstream.always[0] = Fault::Unauthorized;
  for (int refusals = 1; refusals <= 3; ++refusals) {
    world.fetch_all(1, 1, 1s);
    const bool refused = world.fetcher.status().token == TokenState::State::Refused;
    CHECK(refused == (refusals == 3));
    CHECK(world.metrics.value(observe::Family::TokenState) == (refused ? 0 : 1));
  }
}

TEST_CASE("what is refused with the last token is asked again with the new one") {
  World world;
  world.upstream.always[0] = Fault::Unauthorized;
  for (int i = 0; i < 10; ++i) world.fetch("/" + std::to_string(i));
  CHECK(world.upstream.in_flight == 10);
  world.upstream.always.clear();
  world.fetcher.token_changed();  // rotated: the last one is refused from now on
  world.settle();
  CHECK(world.answered() == 10);
  CHECK(world.upstream.attempts == 20);
  CHECK(world.fetcher.status().token == TokenState::State::Accepted);

  // And an answer to the last token does not say that the new one is accepted.
  world.fetch("/late");
  world.upstream.always[0] = Fault::Unauthorized;
  world.fetcher.token_changed();
  world.settle();
  CHECK(world.answered() == 11);
  CHECK(world.fetcher.status().token == TokenState::State::Unknown);
}

TEST_CASE("a check whether the token is still refused is one request, however long it takes") {
  World world;
  world.upstream.always[0] = Fault::Unauthorized;
  world.fetch_all(3, 3);
  REQUIRE(world.fetcher.status().token == TokenState::State::Refused);
  world.upstream.always[0] = Fault::Hang;
  world.scheduler.advance(3s);
  world.upstream.attempts = 0;
  world.fetch("/check");
  world.scheduler.advance(1900ms);  // not yet a timeout, but long past the hedge's delay
  CHECK(world.upstream.attempts == 1);
}

TEST_CASE("a token that was accepted again is noticed without being told") {
  World world;
  world.upstream.always[0] = Fault::Unauthorized;
  world.fetch_all(10, 1);
  world.upstream.always.clear();
  world.scheduler.advance(3s);
  world.fetch_all(10, 1);
  CHECK(world.answered() == 10);
}

TEST_CASE("a cancelled fetch never calls back, wherever it stands, and frees its slot") {
  Settings settings;
  settings.concurrency = 1;
  World world(1, settings);
  const auto running = world.fetch("/running");
  const auto queued = world.fetch("/queued");
  world.fetcher.cancel(queued);
  world.fetcher.cancel(running);
  world.fetcher.cancel(running);
  world.fetcher.cancel(999);
  CHECK(world.upstream.cancelled == 1);
  world.fetch("/next");
  world.scheduler.advance(1s);
  CHECK(world.results.size() == 1);
  CHECK(world.answered() == 1);
  CHECK(world.fetcher.status().fetches == 0);
  CHECK(world.fetcher.status().in_flight == 0);
}

TEST_CASE("misses go before refreshes, and the earliest deadline first") {
  Settings settings;
  settings.concurrency = 1;
  settings.hedge.mode = HedgePolicy::Mode::Off;
  World world(1, settings);
  std::vector<std::string> order;
  const auto fetch = [&](const char* target, base::Duration deadline, Priority priority) {
    return world.fetch(target, deadline, priority, [&order, target] { order.push_back(target); });
  };
  fetch("/first", 10s, Priority::Miss);
  fetch("/refresh", 5s, Priority::Refresh);
  const auto raised = fetch("/raised", 20s, Priority::Refresh);
  fetch("/late", 9s, Priority::Miss);
  fetch("/soon", 8s, Priority::Miss);
  world.fetcher.extend(raised, world.now() + 1s, Priority::Miss);  // never shortens
  world.settle();
  CHECK(order == std::vector<std::string>{"/first", "/soon", "/late", "/raised", "/refresh"});
}

TEST_CASE("an extended fetch goes on past its first deadline") {
  World world;
  world.upstream.always[0] = Fault::Error500;
  const auto id = world.fetch("/a", 500ms);
  world.fetcher.extend(id, world.now() + 3s, Priority::Miss);
  world.scheduler.advance(1s);
  CHECK(world.results.empty());
  world.upstream.always.clear();
  world.settle();
  CHECK(world.answered() == 1);
}

TEST_CASE("a refresh gives up early and quietly, and asks nothing of an open breaker") {
  World world;
  world.upstream.always[0] = Fault::Error500;
  world.fetch("/a", 10s, Priority::Refresh);
  world.settle();
  CHECK(world.outcomes.ends[FetchEnd::GaveUp] == 1);
  CHECK(world.upstream.attempts == 3);
  world.fetcher.force_breaker(0, Breaker::Forced::Open);
  world.fetch("/b", 10s, Priority::Refresh);
  world.settle();
  CHECK(world.outcomes.ends[FetchEnd::GaveUp] == 2);
  CHECK(world.upstream.attempts == 3);
}

TEST_CASE("refreshes keep to their rate and their share of the slots") {
  World world;
  for (int i = 0; i < 500; ++i) world.fetch("/" + std::to_string(i), 30s, Priority::Refresh);
  world.scheduler.advance(2s);
  CHECK(world.upstream.most_in_flight <= 64 / 4);
  CHECK(world.upstream.attempts <= 10 + 50 * 2 + 1);
  world.settle();
  CHECK(world.answered() == 500);
}

TEST_CASE(
    "while the breaker is open a miss parks for the probe; over the bound it is told at once") {
  Settings settings;
  settings.max_parked = 5;
  World world(1, settings);
  world.upstream.always[0] = Fault::Refused;
  world.fetch_all(1, 1, 1s);
  REQUIRE(world.fetcher.status().origins[0].breaker != Breaker::State::Closed);
  const int before = world.upstream.attempts;
  for (int i = 0; i < 20; ++i) world.fetch("/p" + std::to_string(i), 10s);
  world.scheduler.run_ready();
  CHECK(world.fetcher.status().parked <= 5);
  CHECK(world.outcomes.ends[FetchEnd::CrowdedOut] >= 14);
  CHECK(world.outcomes.ends[FetchEnd::BreakerOpen] == 0);
  CHECK(world.metrics.value(observe::Family::UpstreamParkedLimit) == 5);
  CHECK(world.results.back().retry_after >= 1s);
  CHECK(world.results.back().retry_after <= 3s);
  CHECK(world.upstream.attempts <= before + 1);
  CHECK(world.metrics.value(observe::Family::BreakerState, {{"origin", "upstream"}}) >= 1);
  world.upstream.always.clear();
  world.settle();
  CHECK(world.answered() >= 5);
  CHECK(world.fetcher.status().origins[0].breaker == Breaker::State::Closed);
}

TEST_CASE("the outlook of a fetch is how one that starts then begins, and costs nothing") {
  using Way = PolicyFetcher::Outlook::Way;
  Settings settings;
  settings.concurrency = 1;
  settings.max_waiting = 2;
  World world(1, settings);
  const auto way = [&](bool may_park = true) { return world.fetcher.outlook(may_park, 10s).way; };
  CHECK(way() == Way::Sent);
  CHECK(world.upstream.attempts == 0);
  world.fetch("/a");
  CHECK(way() == Way::Waits);
  world.fetch("/b");
  world.fetch("/c");
  CHECK(world.fetcher.outlook(true, 10s).end == FetchEnd::Overloaded);
  world.settle();
  CHECK(way() == Way::Sent);

  world.upstream.always[0] = Fault::Refused;
  world.fetch_all(1, 1, 1s);
  REQUIRE(world.fetcher.status().origins[0].breaker != Breaker::State::Closed);
  CHECK(way() == Way::Parked);
  CHECK(world.fetcher.outlook(true, 10s).until < base::SteadyTime::max());
  CHECK(world.fetcher.outlook(false, 10s).end == FetchEnd::BreakerOpen);
  CHECK(world.fetcher.status().parked == 0);
  world.fetcher.force_breaker(0, Breaker::Forced::Open);
  CHECK(world.fetcher.outlook(true, 10s).end == FetchEnd::BreakerOpen);
  CHECK(way() == Way::Ends);
}

TEST_CASE("the outlook knows of a token that is refused") {
  World world;
  world.upstream.always[0] = Fault::Unauthorized;
  world.fetch_all(20, 3);
  const PolicyFetcher::Outlook outlook = world.fetcher.outlook(true, 10s);
  CHECK(outlook.way == PolicyFetcher::Outlook::Way::Ends);
  CHECK(outlook.end == FetchEnd::Refused);
  CHECK(outlook.outcome == Outcome::Unauthorized);
}

TEST_CASE("who waited for an upstream that stayed down is told so, and not that it was slow") {
  World world;
  world.upstream.always[0] = Fault::Refused;
  world.fetch_all(1, 1, 1s);
  REQUIRE(world.fetcher.status().origins[0].breaker != Breaker::State::Closed);
  world.outcomes = {};
  std::vector<Fetcher::FetchId> ids;
  for (int i = 0; i < 10; ++i) ids.push_back(world.fetch("/" + std::to_string(i)));
  world.scheduler.advance(5s);
  int parked = 0;
  for (const Fetcher::FetchId id : ids) {
    const FetchResult so_far = world.fetcher.so_far(id);
    parked += so_far.end == FetchEnd::StayedDown;
    CHECK(so_far.attempts.size() == static_cast<std::size_t>(so_far.attempts_sent));
    CHECK(so_far.retry_after >= 1s);
  }
  CHECK(parked >= 9);  // one may be out as the probe
  CHECK(world.pending == 10);
  world.settle();
  CHECK(world.outcomes.ends[FetchEnd::StayedDown] >= 9);
  CHECK(world.outcomes.ends[FetchEnd::StayedDown] + world.outcomes.ends[FetchEnd::Deadline] == 10);
  CHECK(world.fetcher.so_far(ids[0]).attempts_sent == 0);  // it has ended
}

TEST_CASE("too many waiting fetches are turned away at once") {
  Settings settings;
  settings.concurrency = 1;
  settings.max_waiting = 10;
  World world(1, settings);
  for (int i = 0; i < 50; ++i) world.fetch("/" + std::to_string(i));
  world.scheduler.run_ready();
  CHECK(world.outcomes.ends[FetchEnd::Overloaded] == 39);
  CHECK(world.metrics.value(observe::Family::UpstreamQueuedLimit) == 10);
  world.settle();
  CHECK(world.answered() == 11);
}

TEST_CASE("retries wait for the budget instead of failing, and are counted when sent") {
  Settings settings;
  settings.retry_budget = {.per_fetch = 0, .reserve_per_second = 1, .window = 10s};
  World world(1, settings);
  world.upstream.always[0] = Fault::Error500;
  world.fetch("/a", 30s);
  world.scheduler.advance(9s);
  CHECK(world.upstream.attempts == 1 + 10);
  CHECK(world.metrics.value(observe::Family::UpstreamRetries) == 10);
  CHECK(world.metrics.value(observe::Family::RetryBudgetExhausted) >= 1);
  world.upstream.always.clear();
  world.settle();
  CHECK(world.answered() == 1);
}

TEST_CASE("a retry that waited for the budget goes in its turn, the earliest deadline first") {
  Settings settings;
  settings.concurrency = 1;
  settings.retry_budget = {.per_fetch = 0.5, .reserve_per_second = 0, .window = 10s};
  World world(1, settings);
  std::vector<std::string> order;
  const auto fetch = [&](const char* target, base::Duration deadline) {
    return world.fetch(target, deadline, Priority::Miss,
                       [&order, target] { order.push_back(target); });
  };
  world.upstream.always[0] = Fault::Error500;
  const auto late = fetch("/late", 5s);
  world.scheduler.advance(1s);
  world.fetcher.extend(late, world.now() + 9s, Priority::Miss);
  world.upstream.always.clear();
  fetch("/soon", 8s);  // pays in: there is one now, but no slot
  fetch("/next", 8500ms);
  fetch("/last", 9500ms);
  world.settle();
  CHECK(order == std::vector<std::string>{"/soon", "/next", "/late", "/last"});
}

TEST_CASE("who waits for the budget is told of a refused token, and parks at an open breaker") {
  Settings settings;
  settings.retry_budget = {.per_fetch = 0, .reserve_per_second = 0, .window = 10s};
  World world(1, settings);
  const auto starve = [&] {
    world.upstream.always[0] = Fault::Error500;
    for (int i = 0; i < 10; ++i) world.fetch("/" + std::to_string(i));
    world.scheduler.advance(1s);
    REQUIRE(world.fetcher.status().queued == 10);
  };
  starve();
  world.upstream.always[0] = Fault::Unauthorized;
  for (int i = 0; i < 3; ++i) world.fetch("/refused/" + std::to_string(i));
  world.scheduler.advance(200ms);
  CHECK(world.outcomes.ends[FetchEnd::Refused] == 13);

  world.fetcher.token_changed();
  starve();
  world.upstream.always[0] = Fault::Refused;
  for (int i = 0; i < 5; ++i) world.fetch("/down/" + std::to_string(i));
  world.scheduler.advance(50ms);
  CHECK(world.fetcher.status().queued == 0);
  CHECK(world.fetcher.status().parked == 15);
  world.upstream.always.clear();
  world.scheduler.advance(2s);
  CHECK(world.fetcher.status().parked == 0);
  CHECK(world.answered() >= 1);  // the probe
  world.settle();
  CHECK(world.fetcher.status().queued == 0);
}

TEST_CASE("a fetch sends no more attempts than it may, those beside others among them") {
  World world;
  world.max_attempts = 3;
  world.upstream.always[0] = Fault::Error500;
  const base::SteadyTime begun = world.now();
  world.fetch("/a");
  world.settle();
  CHECK(world.upstream.attempts == 3);
  CHECK(world.results[0].end == FetchEnd::GaveUp);
  CHECK(world.results[0].attempts_sent == 3);
  CHECK(world.now() - begun < 5s);

  // A hedge is the second of two; then nothing more is sent, however slow they are.
  World slow;
  slow.fetch_all(50, 1);
  const int before = slow.upstream.attempts;
  slow.max_attempts = 2;
  slow.upstream.always[0] = Fault::Slow5s;
  slow.fetch("/b");
  slow.settle();
  CHECK(slow.upstream.attempts == before + 2);
  CHECK(slow.results.back().end == FetchEnd::Answered);

  World once;
  once.max_attempts = 1;
  once.upstream.always[0] = Fault::Error500;
  once.fetch_all(20, 4);
  CHECK(once.upstream.attempts == 20);
}

TEST_CASE("a slow attempt is hedged; the first answer wins, the other is cancelled") {
  World world;
  world.fetch_all(50, 1);
  world.outcomes = {};
  world.results.clear();
  world.upstream.always[0] = Fault::Slow5s;
  const base::SteadyTime begun = world.now();
  world.fetch("/a");
  world.scheduler.advance(10ms);
  world.upstream.always.clear();
  world.settle();
  REQUIRE(world.answered() == 1);
  CHECK(world.now() - begun < 200ms);
  CHECK(world.upstream.cancelled == 1);
  REQUIRE(world.results[0].attempts.size() == 2);
  CHECK(world.results[0].attempts[0].hedge);
  CHECK(world.results[0].attempts[1].outcome == Outcome::Cancelled);
  CHECK(world.metrics.value(observe::Family::UpstreamHedges, {{"result", "won"}}) == 1);
}

TEST_CASE("the second retry of a fetch has a hedge from its start, where some attempts fail") {
  World world(7);
  world.upstream.median = 120ms;
  world.upstream.sigma = 0.05;
  world.upstream.faults = {{Fault::Error500, 0.3}};
  world.arrive(20, 120s);
  world.settle();
  CHECK(world.answered() == world.started);
  // A hundredth fails four times in a row (0.3^4); with company the third failure is two's.
  CHECK(world.outcomes.percentile(0.99) < 4 * 120ms);
  // 1 / 0.7 each, and one more for the 0.3^2 that came to a second retry.
  CHECK(world.upstream.attempts <= world.started * 1.43 * 1.08);
}

TEST_CASE("who lost a connection by its first failure makes the next one") {
  // A set-up that failed has used none up.
  for (const auto& [fault, makes] :
       {std::pair{Fault::Reset, true}, {Fault::Error500, false}, {Fault::Refused, false}}) {
    World world;
    world.upstream.always[0] = fault;
    std::vector<bool> made;
    world.upstream.on_start = [&made](const Sending& sending) {
      made.push_back(sending.new_connection);
    };
    world.fetch("/a");
    world.settle();
    REQUIRE(made.size() >= 3);
    CHECK_FALSE(made[0]);
    CHECK(made[1] == makes);
    CHECK_FALSE(made[2]);
  }
}

TEST_CASE("a key that always fails has no more company than one attempt") {
  Settings settings;
  settings.hedge.min_samples = 1000;  // no other hedge
  World world(1, settings);
  world.fetch_all(50, 1);
  const int before = world.upstream.attempts;
  world.upstream.always_to["/bad"] = Fault::Error500;
  world.fetch("/bad");
  world.settle();
  CHECK(world.metrics.value(observe::Family::UpstreamHedges, {{"result", "won"}}) == 0);
  CHECK(world.metrics.value(observe::Family::UpstreamHedges, {{"result", "lost"}}) == 1);
  CHECK(world.upstream.attempts - before > 3);
}

TEST_CASE("a retry after 429 has no company") {
  Settings settings;
  settings.hedge.min_samples = 1000;  // no other hedge
  World world(1, settings);
  world.fetch_all(50, 1);
  world.upstream.always_to["/limited"] = Fault::TooMany;
  world.fetch("/limited", 5s);
  world.settle();
  CHECK(world.upstream.by_target["/limited"] > 3);
  for (const char* result : {"won", "lost"}) {
    CHECK(world.metrics.value(observe::Family::UpstreamHedges, {{"result", result}}) == 0);
  }
}

TEST_CASE("hedges stay within 5 % of attempts, and retries within the budget") {
  World world(3);
  world.upstream.faults = {{Fault::Slow5s, 0.3}};
  world.fetch_all(2000, 20);
  CHECK(world.answered() == 2000);
  const double hedges = world.metrics.value(observe::Family::UpstreamHedges, {{"result", "won"}}) +
                        world.metrics.value(observe::Family::UpstreamHedges, {{"result", "lost"}});
  const double races = world.metrics.value(observe::Family::UpstreamRaces, {{"result", "won"}}) +
                       world.metrics.value(observe::Family::UpstreamRaces, {{"result", "lost"}});
  CHECK(hedges > 0);
  CHECK(hedges + races > 300);
  CHECK(hedges <= 10 + 0.05 * world.upstream.attempts);
}

TEST_CASE("a hedge that waits for the budget is counted once a wait, as a retry is") {
  Settings settings;
  settings.retry_budget = {.per_fetch = 0, .reserve_per_second = 0, .window = 10s};
  World world(1, settings);
  world.fetch_all(50, 1);
  world.upstream.always[0] = Fault::Hang;
  world.fetch("/a");
  world.scheduler.advance(150ms);  // less than an attempt's timeout
  REQUIRE(world.upstream.by_target["/a"] == 1);
  CHECK(world.metrics.value(observe::Family::RetryBudgetExhausted) == 1);
  world.fetch("/b");
  world.scheduler.advance(150ms);
  CHECK(world.metrics.value(observe::Family::RetryBudgetExhausted) >= 2);
}

TEST_CASE("an attempt that cannot end in time is not sent, be it the first") {
  World world;
  world.fetch("/late", 0s);
  world.settle();
  CHECK(world.outcomes.ends[FetchEnd::Deadline] == 1);
  CHECK(world.upstream.attempts == 0);

  // One that had time when it came, and lost it in the queue.
  Settings settings;
  settings.concurrency = 1;
  settings.hedge.mode = HedgePolicy::Mode::Off;
  World busy(1, settings);
  busy.upstream.sigma = 0;
  busy.fetch_all(20, 1);
  busy.upstream.median = 15ms;
  busy.fetch("/before");
  busy.fetch("/queued", 25ms);
  busy.settle();
  CHECK(busy.upstream.by_target["/before"] == 1);
  CHECK(busy.upstream.by_target["/queued"] == 0);
  CHECK(busy.outcomes.ends[FetchEnd::Deadline] == 1);

  // One that never had: the upstream may be quicker than it used to be.
  busy.upstream.median = 1ms;
  busy.fetch("/short", 10ms);
  busy.settle();
  CHECK(busy.upstream.by_target["/short"] == 1);
  CHECK(busy.outcomes.ends[FetchEnd::Deadline] == 1);
}

TEST_CASE("a 304 about another content than ours is asked again without condition") {
  struct Odd final : Transport {
    explicit Odd(base::Scheduler& loop) : scheduler(loop) {}
    AttemptId start(const Sending&, const Request& request, Callback callback) override {
      const bool conditional = find_field(request.fields, "If-None-Match") != nullptr;
      Reply reply;
      reply.status = conditional ? 304 : 200;
      reply.fields.push_back({"ETag", "\"new\""});
      asked.push_back(conditional);
      scheduler.post([reply, callback = std::move(callback)] { callback(reply); });
      return asked.size();
    }
    void cancel(AttemptId) override {}
    std::optional<Progress> progress(AttemptId) const override { return std::nullopt; }
    void knock(std::size_t, const std::string&, base::Duration, Callback) override {}
    void distrust(std::size_t, const std::string&) override {}
    base::Scheduler& scheduler;
    std::vector<bool> asked;
  };
  base::VirtualScheduler scheduler;
  base::Random random(1);
  Odd upstream(scheduler);
  observe::Metrics metrics;
  observe::Log log;
  PolicyFetcher fetcher(scheduler, random, upstream, {}, metrics, metrics.shard(), log);
  FetchRequest request;
  request.request = {"/a", {{"Accept", "text/plain"}, {"If-None-Match", "\"old\""}}};
  request.deadline = scheduler.now() + 10s;
  std::optional<FetchResult> result;
  fetcher.start(request, [&](FetchResult r) { result = std::move(r); });
  scheduler.advance(10s);
  REQUIRE(result);
  CHECK(result->end == FetchEnd::Answered);
  CHECK(result->reply.status == 200);
  CHECK(upstream.asked == std::vector<bool>{true, false});
}

TEST_CASE("a retry prefers another origin") {
  Settings settings;
  settings.origins = {"a", "b"};
  World world(1, settings);
  world.upstream.always[0] = Fault::Error500;
  world.fetch("/a");
  world.settle();
  REQUIRE(world.answered() == 1);
  const auto& attempts = world.results[0].attempts;
  REQUIRE(attempts.size() == 2);
  CHECK(attempts[0].origin == 0);
  CHECK(attempts[1].origin == 1);
}

TEST_CASE("a caller may start and cancel fetches from a callback") {
  World world;
  Fetcher::FetchId other = 0;
  int told = 0;
  world.fetch("/a", 10s, Priority::Miss, [&] {
    world.fetcher.cancel(other);
    world.fetch("/c", 10s, Priority::Miss, [&] { ++told; });
  });
  world.upstream.median = 1s;
  other = world.fetch("/b", 10s, Priority::Miss, [&] { FAIL("cancelled"); });
  world.upstream.median = 20ms;
  world.scheduler.advance(5s);
  CHECK(told == 1);
}

TEST_CASE("a fetcher that goes away drops what it posted and its attempts") {
  base::VirtualScheduler scheduler;
  base::Random random(1);
  test::SimulatedUpstream upstream(scheduler, 1);
  observe::Metrics metrics;
  observe::Log log;
  {
    PolicyFetcher fetcher(scheduler, random, upstream, {}, metrics, metrics.shard(), log);
    FetchRequest request;
    request.request.target = "/a";
    request.deadline = scheduler.now() + 10s;
    fetcher.start(request, [](const FetchResult&) { FAIL("dropped"); });
    request.deadline = scheduler.now();
    fetcher.start(request, [](const FetchResult&) { FAIL("dropped"); });
  }
  scheduler.advance(1min);
  CHECK(upstream.in_flight == 0);
  CHECK_FALSE(metrics.scrape().empty());  // its gauges are not read any more
}

}  // namespace holdfast::upstream
