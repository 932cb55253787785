// Everything about the asking of the upstream that can be set, with its default.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "upstream/addresses.h"
#include "upstream/answer_times.h"
#include "upstream/backoff.h"
#include "upstream/breaker.h"
#include "upstream/concurrency_limit.h"
#include "upstream/dependency_probe.h"
#include "upstream/hedge_policy.h"
#include "upstream/negative_share.h"
#include "upstream/pacer.h"
#include "upstream/recent_luck.h"
#include "upstream/refused_keys.h"
#include "upstream/retry_budget.h"
#include "upstream/token_state.h"

namespace holdfast::upstream {

// Refreshes have somebody else's answer to fall back on, so they keep back.
struct RefreshSettings {
  double per_second = 50.0;
  double burst = 10.0;
  double share_of_slots = 0.25;  // of the limit on attempts in flight; at least one
  int max_attempts = 3;
  std::size_t max_waiting = 1024;
};

// With another origin at hand, one that fails often is set aside long before its
// breaker would open (outlier ejection, as Envoy has it).
struct EjectionSettings {
  std::uint64_t min_volume = 10;
  std::uint64_t others_volume = 5;  // of an origin of which less is known none says it is better
  double error_rate = 0.5;
  double better_by = 0.5;  // the other's error rate is at most this share of ours
  base::Duration probe_cap = std::chrono::seconds(30);
};

struct Settings {
  // In metrics; empty where there is but one, which goes without saying.
  std::string name;
  // Names for metrics and logs, in order of preference; the transport has the URLs.
  std::vector<std::string> origins{"upstream"};
  // Those whose URLs have a name for a host, by index: nothing is sent to them before
  // PolicyFetcher::addresses() says where. Missing: not so.
  std::vector<bool> named;
  int concurrency = 64;            // UPSTREAM_CONCURRENCY: attempts in flight, over all origins
  std::size_t max_waiting = 4096;  // fetches that wait for a slot, the pace or a backoff
  std::size_t max_parked = 4096;   // fetches that wait for an open breaker

  BackoffSettings backoff;
  // ATTEMPT_TIMEOUT: no attempt lasts longer. A bound, not a cure: what is slow is raced
  // long before.
  base::Duration attempt_timeout = std::chrono::seconds(9);
  AnswerTimes::Settings answer_times;
  Addresses::Settings addresses;
  RetryBudget::Settings retry_budget;
  HedgePolicy::Settings hedge;
  Breaker::Settings breaker;
  EjectionSettings ejection;
  Pacer::Settings pace;
  RefusedKeys::Settings refused_keys;
  ConcurrencyLimit::Settings concurrency_limit;  // its max is `concurrency`
  TokenState::Settings token;                    // of each origin
  RecentLuck::Settings luck;
  NegativeShare::Settings negative;
  // What a certificate says does not change from one attempt to the next.
  // And a handshake costs its origin little, so it is looked at often.
  TokenState::Settings certificate{.refusals_in_a_row = 1, .check_cap = std::chrono::seconds(5)};
  RefreshSettings refresh;
  DependencyProbe::Settings probe;
};

}  // namespace holdfast::upstream
