// What PolicyFetcher knows of a fetch and of an attempt under way. Internal to its files.
#pragma once

#include <vector>

#include "base/scheduler.h"
#include "upstream/policy_fetcher.h"

namespace holdfast::upstream {

// How soon a hedge that could not go is thought of again.
inline constexpr base::Duration kHedgeAgain = std::chrono::milliseconds(20);

struct PolicyFetcher::Attempt {
  std::uint64_t number = 0;
  Transport::AttemptId transport_id = 0;
  Origin* origin = nullptr;
  base::SteadyTime sent_at;
  base::Duration timeout{};
  std::uint64_t token = 0;  // which of the tokens we have had, by number
  bool hedge = false;
  bool probe = false;
};

struct PolicyFetcher::Fetch {
  FetchId id = 0;
  FetchRequest request;
  Callback callback;
  Place place = Place::New;
  base::SteadyTime started;
  base::SteadyTime ready_since;
  std::vector<Attempt> attempts;  // in flight
  int failures = 0;
  Origin* failed_at = nullptr;
  base::Timer deadline_timer;
  base::Timer timer;           // backoff, or when to hedge
  bool hedge_starved = false;  // the budget was too short for the present attempts' hedge
  FetchResult result;

  QueueKey key() const { return {request.priority, request.deadline, id}; }
  bool refresh() const { return request.priority == Priority::Refresh; }
};

}  // namespace holdfast::upstream
