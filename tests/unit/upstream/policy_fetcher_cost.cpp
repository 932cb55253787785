// What waits must cost those who do not wait nothing.
#include <doctest/doctest.h>

#include "simulated_upstream.h"
#include "upstream/policy_fetcher.h"

namespace holdfast::upstream {

using namespace std::chrono_literals;
using test::Fault;

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

// A fetcher whose looks at the clock are counted, and the fetches it was given.
struct CostBench {
  base::VirtualScheduler scheduler;
  AskedScheduler asked{scheduler};
  base::Random random{1};
  test::SimulatedUpstream upstream{scheduler, 1};
  observe::Metrics metrics;
  observe::Log log;
  Settings settings;
  PolicyFetcher fetcher{asked, random, upstream, settings, metrics, metrics.shard(), log};
  int started = 0;
  int ended = 0;
  int answered = 0;

  explicit CostBench(Settings wanted) : settings(std::move(wanted)) {}

  void fetch() {
    FetchRequest request;
    request.request.target = "/" + std::to_string(started++);
    request.deadline = scheduler.now() + 10s;
    fetcher.start(std::move(request), [&](const FetchResult& result) {
      ++ended;
      answered += result.end == FetchEnd::Answered;
    });
  }
};

}  // namespace

TEST_CASE("retries that wait for the budget cost nobody else anything") {
  Settings settings;
  settings.retry_budget = {.per_fetch = 0, .reserve_per_second = 1, .window = 10s};
  CostBench bench(settings);
  const auto fetch_many = [&] {
    for (int i = 0; i < 2000; ++i) {
      bench.fetch();
      bench.scheduler.advance(500us);
    }
  };
  bench.upstream.faults = {{Fault::Error500, 0.5}};
  fetch_many();
  bench.upstream.faults.clear();
  bench.scheduler.advance(2s);
  const std::size_t starved = bench.fetcher.status().queued;
  REQUIRE(starved > 900);

  bench.answered = 0;
  bench.asked.asked = 0;
  fetch_many();
  bench.scheduler.advance(100ms);
  CHECK(bench.asked.asked < 2000 * 50);
  CHECK(bench.answered >= 2000);
  CHECK(bench.fetcher.status().queued + 10 >= starved);
  bench.scheduler.advance(10s);
  CHECK(bench.fetcher.status().fetches == 0);
}

TEST_CASE("in a pause that Retry-After asked for, those who wait cost nobody else anything") {
  Settings settings;
  settings.max_waiting = 20'000;
  CostBench bench(settings);
  bench.upstream.always[0] = Fault::TooMany;
  for (int i = 0; i < 40; ++i) bench.fetch();
  bench.scheduler.advance(300ms);
  const int attempts = bench.upstream.attempts;
  REQUIRE(bench.fetcher.status().origins[0].pace < 1000);

  const int many = 2000;
  bench.asked.asked = 0;
  for (int i = 0; i < many; ++i) {
    bench.scheduler.advance(50us);
    bench.fetch();
  }
  CHECK(bench.asked.asked < many * 40);
  CHECK(bench.upstream.attempts <= attempts + 2);  // scouts
  bench.upstream.always.clear();
  bench.scheduler.advance(20s);
  CHECK(bench.ended == bench.started);
  CHECK(bench.answered > many / 2);
}

}  // namespace holdfast::upstream
