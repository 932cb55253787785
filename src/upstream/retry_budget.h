// RetryBudget keeps retries and hedges to a share of the fetches, so that an
// upstream in trouble does not also get a multiple of its load. A bucket over a
// rolling window: each fetch puts in, each retry takes out, and a reserve lets
// rare traffic retry at all (Finagle's RetryBudget, whose defaults are 20 % and
// 10/s over 10 s). Ours are far more generous, because the goal is a 200 for
// every client: nine of ten attempts may fail. The breaker bounds an outage.
// One thread.
#pragma once

#include "base/clock.h"
#include "upstream/rolling_count.h"

namespace holdfast::upstream {

class RetryBudget {
 public:
  struct Settings {
    double per_fetch = 10.0;  // retries each new fetch pays for
    double reserve_per_second = 10.0;
    std::chrono::seconds window{10};
  };

  explicit RetryBudget(Settings settings);

  void deposit(base::SteadyTime now) { fetches_.add(now); }
  // Takes one, when the retry is sent. False and nothing taken: there is none.
  bool withdraw(base::SteadyTime now);
  double balance(base::SteadyTime now);

 private:
  Settings settings_;
  RollingCount fetches_;
  RollingCount retries_;
};

}  // namespace holdfast::upstream
