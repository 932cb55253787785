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

TEST_CASE("a 404 is an answer and is not retried, and the breaker takes it well") {
  World world;
  world.upstream.always[0] = Fault::NotFound;
  world.fetch_all(200, 5);
  CHECK(world.answered() == 200);
  CHECK(world.upstream.attempts == 200);
  CHECK(world.fetcher.status().origins[0].error_rate == 0);
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
  CHECK(world.upstream.most_in_flight <= 3);
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

TEST_CASE("while the breaker is open, who has something to fall back on does not wait") {
  World world;
  world.upstream.always[0] = Fault::Refused;
  world.fetch_all(1, 1, 1s);
  REQUIRE(world.fetcher.status().origins[0].breaker != Breaker::State::Closed);
  FetchRequest request;
  request.request.target = "/stored";
  request.deadline = world.now() + 10s;
  request.may_park = false;
  std::optional<FetchEnd> end;
  world.fetcher.start(std::move(request), [&](FetchResult result) { end = result.end; });
  world.scheduler.run_ready();
  CHECK(end == FetchEnd::BreakerOpen);
  CHECK(world.upstream.by_target["/stored"] == 0);
}

TEST_CASE("an open breaker finds out that its upstream is back without any traffic") {
  World world;
  world.upstream.always[0] = Fault::Refused;
  world.fetch_all(1, 1, 1s);
  world.upstream.always.clear();
  const base::WallTime back = world.scheduler.clock().wall();
  world.scheduler.advance(3s);
  const OriginStatus origin = world.fetcher.status().origins[0];
  CHECK(origin.breaker == Breaker::State::Closed);
  // What is told of it later: when it opened and why, and when it closed.
  REQUIRE(origin.breaker_history.size() == 2);
  CHECK(origin.breaker_history[0].to == Breaker::State::Open);
  CHECK(origin.breaker_history[0].last_error.starts_with("connect"));
  CHECK(origin.breaker_history[0].at < back);
  CHECK(origin.breaker_history[1].to == Breaker::State::Closed);
  CHECK(origin.breaker_history[1].at > back);
}

TEST_CASE("of a breaker that keeps opening the latest changes are kept, and no more") {
  World world;
  for (int i = 0; i < 20; ++i) {
    world.fetcher.force_breaker(0, Breaker::Forced::Open);
    world.scheduler.advance(1s);
    world.fetcher.force_breaker(0, Breaker::Forced::No);
    world.scheduler.advance(1s);
  }
  const auto history = world.fetcher.status().origins[0].breaker_history;
  REQUIRE(history.size() == 32);
  CHECK(history.back().to == Breaker::State::Closed);
  CHECK(history.back().at - history.front().at == 31s);
}

TEST_CASE("an idle upstream is probed if a target is set, and an outage is known beforehand") {
  Settings settings;
  settings.probe.target = "/health";
  World world(1, settings);
  world.scheduler.advance(95s);
  CHECK(world.upstream.by_target["/health"] == 3);
  world.upstream.always[0] = Fault::Error500;
  world.scheduler.advance(60s);
  CHECK(world.fetcher.status().origins[0].breaker != Breaker::State::Closed);
  world.upstream.always.clear();
  world.scheduler.advance(5s);
  CHECK(world.fetcher.status().origins[0].breaker == Breaker::State::Closed);
  World quiet;
  quiet.scheduler.advance(10min);
  CHECK(quiet.upstream.attempts == 0);
}

TEST_CASE("a health check that answers without content is no outage") {
  Settings settings;
  settings.probe.target = "/health";
  World world(1, settings);
  world.upstream.always[0] = Fault::NoContent;
  world.scheduler.advance(10min);
  CHECK(world.fetcher.status().origins[0].breaker == Breaker::State::Closed);
  CHECK(world.fetcher.status().origins[0].last_success.has_value());

  // But it is no answer to a client's question, nor does it end an outage.
  World other;
  other.upstream.always[0] = Fault::NoContent;
  for (int i = 0; i < 50; ++i) other.fetch("/" + std::to_string(i));
  other.settle();
  CHECK(other.answered() == 0);
  CHECK(other.fetcher.status().origins[0].breaker != Breaker::State::Closed);
  other.scheduler.advance(1min);
  CHECK(other.fetcher.status().origins[0].breaker != Breaker::State::Closed);
}

TEST_CASE("how fast a health check answers says nothing of what clients ask for") {
  Settings settings;
  settings.probe.target = "/health";
  World world(1, settings);
  world.upstream.median = 1ms;
  world.scheduler.advance(30min);
  CHECK(world.upstream.by_target["/health"] > 50);
  CHECK(world.fetcher.status().origins[0].attempt_timeout == settings.attempt_timeout.ceiling);
  // So a lookup that takes long is waited for, and answered by the first attempt.
  world.upstream.median = 1s;
  world.upstream.sigma = 0;
  world.fetch("/a");
  world.settle();
  CHECK(world.answered() == 1);
  CHECK(world.upstream.by_target["/a"] <= 2);  // with a hedge
}

TEST_CASE("a breaker forced open answers at once, and forced closed never refuses") {
  World world;
  world.fetcher.force_breaker(0, Breaker::Forced::Open);
  world.fetch("/a");
  world.scheduler.run_ready();
  CHECK(world.outcomes.ends[FetchEnd::BreakerOpen] == 1);
  CHECK(world.fetcher.status().origins[0].forced);
  world.fetcher.force_breaker(0, Breaker::Forced::No);
  world.fetch("/b");
  world.settle();
  CHECK(world.answered() == 1);
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

TEST_CASE("hedges stay within 5 % of attempts, and retries within the budget") {
  World world(3);
  world.upstream.faults = {{Fault::Slow5s, 0.3}};
  world.fetch_all(2000, 20);
  CHECK(world.answered() == 2000);
  const double hedges = world.metrics.value(observe::Family::UpstreamHedges, {{"result", "won"}}) +
                        world.metrics.value(observe::Family::UpstreamHedges, {{"result", "lost"}});
  CHECK(hedges > 50);
  CHECK(hedges <= 10 + 0.05 * world.upstream.attempts);
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

TEST_CASE("probes, too, wait for a slot, and none is forgotten for it") {
  Settings settings;
  settings.origins = {"a", "b"};
  settings.concurrency = 1;
  settings.probe.target = "/health";
  settings.probe.interval = 1s;
  settings.hedge.mode = HedgePolicy::Mode::Off;
  World world(1, settings);
  world.upstream.always[0] = Fault::Refused;
  world.upstream.always[1] = Fault::Hang;
  for (int i = 0; i < 20; ++i) world.fetch("/" + std::to_string(i), 20s);
  world.scheduler.advance(20s);
  CHECK(world.upstream.most_in_flight == 1);
  world.upstream.always.clear();
  world.scheduler.advance(30s);
  CHECK(world.upstream.most_in_flight == 1);
  for (const auto& origin : world.fetcher.status().origins) {
    CHECK(origin.breaker == Breaker::State::Closed);
    CHECK(origin.last_success.has_value());
  }
}

TEST_CASE("after a stall of the loop no probe is sent for a client whose time is up") {
  World world;
  world.upstream.always[0] = Fault::Refused;
  world.fetch("/a", 5s);
  world.scheduler.advance(900ms);
  REQUIRE(world.fetcher.status().parked == 1);
  const int before = world.upstream.by_target["/a"];
  world.scheduler.manual_clock().advance(10s);
  std::vector<base::Duration> timeouts;
  world.upstream.on_start = [&](base::Duration timeout) { timeouts.push_back(timeout); };
  world.settle();
  world.scheduler.advance(5s);
  CHECK(world.upstream.by_target["/a"] > before);  // probes with nobody behind
  for (const base::Duration timeout : timeouts) CHECK(timeout > 100ms);
}

TEST_CASE("a 304 about another content than ours is asked again without condition") {
  struct Odd final : Transport {
    explicit Odd(base::Scheduler& loop) : scheduler(loop) {}
    AttemptId start(std::size_t, const Request& request, base::Duration,
                    Callback callback) override {
      const bool conditional = find_field(request.fields, "If-None-Match") != nullptr;
      Reply reply;
      reply.status = conditional ? 304 : 200;
      reply.fields.push_back({"ETag", "\"new\""});
      asked.push_back(conditional);
      scheduler.post([reply, callback = std::move(callback)] { callback(reply); });
      return asked.size();
    }
    void cancel(AttemptId) override {}
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

namespace {

// Counts how often it is asked for the time: once at least for each fetch looked at.
class AskedScheduler final : public base::Scheduler, private base::Clock {
 public:
  explicit AskedScheduler(base::VirtualScheduler& inner) : inner_(inner) {}
  const base::Clock& clock() const override { return *this; }
  TimerId call_at(base::SteadyTime when, Callback callback) override {
    return inner_.call_at(when, std::move(callback));
  }
  void cancel(TimerId id) override { inner_.cancel(id); }
  void post(Callback callback) override { inner_.post(std::move(callback)); }

  mutable int asked = 0;

 private:
  base::SteadyTime now() const override {
    ++asked;
    return inner_.now();
  }
  base::WallTime wall() const override { return inner_.clock().wall(); }

  base::VirtualScheduler& inner_;
};

}  // namespace

TEST_CASE("in a pause that Retry-After asked for, those who wait cost nobody else anything") {
  base::VirtualScheduler scheduler;
  AskedScheduler asked(scheduler);
  base::Random random(1);
  test::SimulatedUpstream upstream(scheduler, 1);
  observe::Metrics metrics;
  observe::Log log;
  Settings settings;
  settings.max_waiting = 20'000;
  PolicyFetcher fetcher(asked, random, upstream, settings, metrics, metrics.shard(), log);
  int ended = 0;
  int answered = 0;
  const auto fetch = [&](int number) {
    FetchRequest request;
    request.request.target = "/" + std::to_string(number);
    request.validate = [](const Reply&) { return Verdict{}; };
    request.deadline = scheduler.now() + 10s;
    fetcher.start(std::move(request), [&](const FetchResult& result) {
      ++ended;
      answered += result.end == FetchEnd::Answered;
    });
  };
  upstream.always[0] = Fault::TooMany;
  const int first = 40;
  for (int i = 0; i < first; ++i) fetch(i);
  scheduler.advance(300ms);
  const int attempts = upstream.attempts;
  REQUIRE(fetcher.status().origins[0].pace < 1000);

  const int many = 2000;
  asked.asked = 0;
  for (int i = 0; i < many; ++i) {
    scheduler.advance(50us);
    fetch(first + i);
  }
  CHECK(asked.asked < many * 40);
  CHECK(upstream.attempts <= attempts + 2);  // scouts
  upstream.always.clear();
  scheduler.advance(20s);
  CHECK(ended == first + many);
  CHECK(answered > many / 2);
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
