// FetchMetrics is what the fetcher counts, with every handle resolved at the
// start. Counting is for the fetcher's thread; the gauges are atomics, read by
// whoever scrapes.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "observe/metrics.h"
#include "upstream/breaker.h"
#include "upstream/message.h"

namespace holdfast::upstream {

class FetchMetrics {
 public:
  // How many fetches may wait, where.
  struct Limits {
    std::size_t queued = 0;
    std::size_t parked = 0;
  };
  // `upstream` is the label of all that is counted, beside the origin's; see
  // observe::metric_table. `metrics` and `shard` must live as long as this.
  FetchMetrics(observe::Metrics& metrics, observe::Shard& shard, const std::string& upstream,
               const std::vector<std::string>& origins, Limits limits);
  ~FetchMetrics();
  FetchMetrics(const FetchMetrics&) = delete;
  FetchMetrics& operator=(const FetchMetrics&) = delete;

  // No gauge speaks of it any more; what it counts goes on.
  void retire();

  void attempt(std::size_t origin, Outcome outcome, base::Duration took);
  // What an attempt that was answered took, phase by phase; set-up where there was one.
  void phases(std::size_t origin, const Reply& reply);
  void retry() { shard_.add(retries_); }
  void hedge(bool won) { shard_.add(won ? hedges_won_ : hedges_lost_); }
  void race(bool won) { shard_.add(won ? races_won_ : races_lost_); }
  void budget_exhausted() { shard_.add(budget_exhausted_); }
  void transition(std::size_t origin, Breaker::State to);
  void succeeded(std::size_t origin, base::WallTime at);

  struct Gauges {
    std::atomic<double> in_flight{0};
    std::atomic<double> queued{0};
    std::atomic<double> parked{0};
    std::atomic<double> retry_budget{0};
    std::atomic<double> pace{0};
    std::atomic<double> concurrency_limit{0};
    std::atomic<double> token_accepted{1};
  };
  Gauges gauges;

 private:
  struct PerOrigin {
    std::array<observe::Counter, kOutcomes> attempts;
    observe::Histogram duration;
    std::array<observe::Histogram, kPhases> phases;
    std::array<observe::Counter, 3> transitions;
    std::atomic<double> state{0};
    std::atomic<double> last_success{0};
  };

  void expose(observe::Family family, observe::Labels labels, const std::atomic<double>& value);

  observe::Metrics& metrics_;
  observe::Shard& shard_;
  std::vector<std::unique_ptr<PerOrigin>> origins_;
  observe::Counter retries_;
  observe::Counter hedges_won_;
  observe::Counter hedges_lost_;
  observe::Counter races_won_;
  observe::Counter races_lost_;
  observe::Counter budget_exhausted_;
  std::vector<observe::Metrics::CallbackId> callbacks_;
};

}  // namespace holdfast::upstream
