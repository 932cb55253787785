// What PolicyFetcher knows of a fetch and of an attempt under way. Internal to its files.
#pragma once

#include <algorithm>
#include <optional>
#include <vector>

#include "base/scheduler.h"
#include "upstream/policy_fetcher.h"

namespace holdfast::upstream {

// Attempts of one fetch, those that are late and all.
inline constexpr std::size_t kMostAtOnce = 4;
// Of a row of answers that cannot be read, or broken connections, at least so many on connections
// that nothing else had been sent on.
inline constexpr int kOnNewConnections = 2;
// How soon a race that could not start is thought of again.
inline constexpr base::Duration kRaceAgain = std::chrono::milliseconds(20);

struct PolicyFetcher::Attempt : OriginAttempt {
  std::uint64_t number = 0;
  Transport::AttemptId transport_id = 0;
  Origin* origin = nullptr;
  base::Duration patience{};  // of a probe
  bool first = false;         // of its fetch
  std::uint64_t token = 0;    // which of the tokens we have had, by number
  Beside beside = Beside::Nothing;
  // However little is known: if the time that its clients had left was enough for two, there
  // are two. Who joins later and has more does not move it.
  base::SteadyTime suspect_by{};
};

// What one origin said, and how often the fetch had failed by then.
struct PolicyFetcher::Held {
  FetchEnd end = FetchEnd::Answered;
  Reply reply;
  Outcome outcome = Outcome::ClientError;
  int failures = 0;
};

struct PolicyFetcher::Fetch {
  FetchId id = 0;
  FetchRequest request;
  Callback callback;
  Place place = Place::New;
  base::SteadyTime started;
  base::SteadyTime ready_since;
  std::size_t key = 0;            // a hash of the target
  std::vector<Attempt> attempts;  // in flight, in the order they were sent
  int failures = 0;
  int lacks = 0;  // attempts that nothing came of for want of something here
  int races = 0;  // and hedges
  Origin* failed_at = nullptr;
  // Where it could not connect, though for want of time that may count against nobody.
  std::vector<std::string> no_way_at;
  // The same whole answer in a row, or one that cannot be read, or a connection that broke: how
  // often, which, and since when; and how many on a connection of their own.
  int equal = 0;
  int equal_on_new = 0;
  int equal_status = 0;
  Verdict equal_to;
  base::SteadyTime equal_since{};
  bool rests = false;              // until the time that a refusal told, since it is about this key
  bool came_back_as_told = false;  // its last attempt was sent after such a rest
  int redirects = 0;
  int refusals = 0;               // 401 and 403
  std::vector<Origin*> final_at;  // whose word on it is final
  std::optional<Held> held;       // ... and what it was, while others are asked
  base::Timer deadline_timer;
  base::Timer timer;                // backoff
  base::Timer watch;                // when an attempt in flight is looked at next
  bool used_up_connection = false;  // by its last failure
  // When the last was sent that stayed without answer on a kept connection and was cut.
  base::SteadyTime kept_in_vain = base::SteadyTime::min();
  bool race_at_once = false;   // whatever the spacing: something has changed
  bool hedge_starved = false;  // the budget was too short for the present attempts' race
  FetchResult result;

  bool is_final_at(const Origin& origin) const {
    return std::find(final_at.begin(), final_at.end(), &origin) != final_at.end();
  }
  QueueKey key_in_queue() const { return {request.priority, request.deadline, id}; }
  bool refresh() const { return request.priority == Priority::Refresh; }
  // Nothing more may be sent for it. What it lacked here was no attempt.
  bool spent() const {
    return request.max_attempts > 0 && result.attempts_sent - lacks >= request.max_attempts;
  }
  bool only_suspects() const {
    return std::all_of(attempts.begin(), attempts.end(),
                       [](const Attempt& attempt) { return attempt.suspect; });
  }
};

}  // namespace holdfast::upstream
