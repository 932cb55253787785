#include "upstream/fetch_metrics.h"

namespace holdfast::upstream {
namespace {

using observe::Family;

// Indexed by Breaker::State.
constexpr std::array<const char*, 3> kStates = {"closed", "half_open", "open"};

}  // namespace

FetchMetrics::FetchMetrics(observe::Metrics& metrics, observe::Shard& shard,
                           const std::string& upstream, const std::vector<std::string>& origins,
                           Limits limits)
    : metrics_(metrics), shard_(shard) {
  const auto labels = [&](observe::Labels more = {}) {
    more.emplace_back("upstream", upstream);
    return more;
  };
  for (const std::string& name : origins) {
    auto& origin = *origins_.emplace_back(std::make_unique<PerOrigin>());
    for (int i = 0; i < kOutcomes; ++i) {
      origin.attempts[static_cast<std::size_t>(i)] = metrics.counter(
          Family::UpstreamAttempts,
          labels({{"origin", name}, {"outcome", std::string(to_string(static_cast<Outcome>(i)))}}));
    }
    origin.duration =
        metrics.histogram(Family::UpstreamAttemptDuration, labels({{"origin", name}}));
    for (std::size_t i = 0; i < origin.phases.size(); ++i) {
      origin.phases[i] = metrics.histogram(
          Family::UpstreamPhaseDuration,
          labels({{"origin", name}, {"phase", std::string(to_string(static_cast<Phase>(i)))}}));
    }
    for (std::size_t i = 0; i < kStates.size(); ++i) {
      origin.transitions[i] = metrics.counter(Family::BreakerTransitions,
                                              labels({{"origin", name}, {"to", kStates[i]}}));
    }
    expose(Family::BreakerState, labels({{"origin", name}}), origin.state);
    expose(Family::UpstreamLastSuccess, labels({{"origin", name}}), origin.last_success);
  }
  retries_ = metrics.counter(Family::UpstreamRetries, labels());
  hedges_won_ = metrics.counter(Family::UpstreamHedges, labels({{"result", "won"}}));
  hedges_lost_ = metrics.counter(Family::UpstreamHedges, labels({{"result", "lost"}}));
  races_won_ = metrics.counter(Family::UpstreamRaces, labels({{"result", "won"}}));
  races_lost_ = metrics.counter(Family::UpstreamRaces, labels({{"result", "lost"}}));
  budget_exhausted_ = metrics.counter(Family::RetryBudgetExhausted, labels());
  expose(Family::UpstreamAttemptsInFlight, labels(), gauges.in_flight);
  expose(Family::UpstreamQueued, labels(), gauges.queued);
  expose(Family::UpstreamParked, labels(), gauges.parked);
  expose(Family::RetryBudget, labels(), gauges.retry_budget);
  expose(Family::UpstreamPaceLimit, labels(), gauges.pace);
  expose(Family::UpstreamConcurrencyLimit, labels(), gauges.concurrency_limit);
  expose(Family::TokenState, labels(), gauges.token_accepted);
  const auto fixed = [&](Family family, std::size_t value) {
    callbacks_.push_back(
        metrics_.callback(family, labels(), [value] { return static_cast<double>(value); }));
  };
  fixed(Family::UpstreamQueuedLimit, limits.queued);
  fixed(Family::UpstreamParkedLimit, limits.parked);
}

FetchMetrics::~FetchMetrics() {
  retire();
}

void FetchMetrics::retire() {
  for (const auto id : callbacks_) metrics_.remove_callback(id);
  callbacks_.clear();
}

void FetchMetrics::attempt(std::size_t origin, Outcome outcome, base::Duration took) {
  PerOrigin& counts = *origins_[origin];
  shard_.add(counts.attempts[static_cast<std::size_t>(outcome)]);
  shard_.observe(counts.duration, std::chrono::duration<double>(took).count());
}

void FetchMetrics::phases(std::size_t origin, const Reply& reply) {
  if (reply.phase != Phase::Answer || reply.status == 0) return;
  for (std::size_t i = 0; i < static_cast<std::size_t>(kPhases); ++i) {
    const base::Duration took = reply.phases[i];
    if (took == base::Duration::zero()) continue;  // a kept connection, or no TLS
    shard_.observe(origins_[origin]->phases[i], std::chrono::duration<double>(took).count());
  }
}

void FetchMetrics::transition(std::size_t origin, Breaker::State to) {
  PerOrigin& counts = *origins_[origin];
  shard_.add(counts.transitions[static_cast<std::size_t>(to)]);
  counts.state.store(static_cast<double>(to), std::memory_order_relaxed);
}

void FetchMetrics::succeeded(std::size_t origin, base::WallTime at) {
  origins_[origin]->last_success.store(static_cast<double>(at.time_since_epoch().count()) / 1000.0,
                                       std::memory_order_relaxed);
}

void FetchMetrics::expose(observe::Family family, observe::Labels labels,
                          const std::atomic<double>& value) {
  callbacks_.push_back(metrics_.callback(
      family, std::move(labels), [&value] { return value.load(std::memory_order_relaxed); }));
}

}  // namespace holdfast::upstream
