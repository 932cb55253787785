// Plan decides what to ask next, and when. For each item of the list (an address, a path):
//
//   probe ("only if stored") --fresh enough--> there already
//     | no
//   fetch --stored--> fetched          --failed--> again after a backoff, so many times
//     | a hit: what is there, as the refresh failed or takes long
//   probe again after a backoff
//
// Probes never cost the upstream anything, so only fetches are held to the rate.
// When the daemon says that it cannot take more (429, 503), or cannot be reached,
// everything rests for a while that grows, one request tries, and from then on
// twice as many at a time with every success. So it does when many items in a row
// got errors and none an answer: then the upstream is gone, rather than those items
// bad, and trying costs none an attempt of its own, as one after another is tried.
//
// Time and chance are arguments; one thread.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <queue>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "reply.h"

namespace holdfast::warm {

struct PlanSettings {
  unsigned concurrency = 16;
  double fetches_per_second = 0;  // 0: no limit
  unsigned attempts = 8;          // fetches of one item
  bool check_only = false;        // probes only
  base::Duration backoff_first = std::chrono::milliseconds(250);
  base::Duration backoff_most = std::chrono::seconds(15);
  base::Duration pause_first = std::chrono::milliseconds(500);
  base::Duration pause_most = std::chrono::seconds(15);
  // Without any success for so long, while the daemon cannot take more: it is over.
  base::Duration give_up_after = std::chrono::minutes(2);
  // So many different items without an answer, and none with one, are an upstream that is
  // gone: it is waited for as long as that.
  std::uint32_t gone_after = 50;
  bool keep_going = false;  // each item has its attempts, whatever became of the others
};

struct Step {
  enum class Ask { Probe, Fetch };
  std::uint32_t item = 0;  // its place in the list
  Ask ask = Ask::Probe;
};

struct Counts {
  std::size_t there = 0;      // stored already, fresh enough
  std::size_t fetched = 0;    // stored or refreshed by this run
  std::size_t kept = 0;       // stored, but due, and could not be refreshed
  std::size_t not_found = 0;  // the upstream says there is nothing, and that is stored
  std::size_t failed = 0;     // not stored
  std::size_t missing = 0;    // when only checking: not stored, or due
  std::size_t requests = 0;
  std::size_t retries = 0;

  std::size_t stored() const { return there + fetched + kept + not_found; }
  std::size_t settled() const { return stored() + failed + missing; }
  // Most of what the upstream was asked for is unknown to it: rather a wrong path, or data that
  // it lost, than a list of so many wrong items.
  bool mostly_unknown() const { return not_found >= 20 && not_found > fetched; }
};

// An item that is not stored, and why.
struct Failure {
  std::uint32_t item = 0;
  int status = 0;
  std::string reason;
};

class Plan {
 public:
  Plan(std::size_t items, PlanSettings settings, base::Random& random, base::SteadyTime now);

  // A step to take now, or none. Each must come back through end().
  std::optional<Step> next(base::SteadyTime now);
  void end(const Step& step, const Verdict& verdict, base::SteadyTime now);

  // When next() may have something though no step ended; max() if never.
  base::SteadyTime wake() const;

  bool finished() const { return counts_.settled() == total_; }
  bool gave_up(base::SteadyTime now) const;

  std::size_t total() const { return total_; }
  const Counts& counts() const { return counts_; }
  // Why everything rests at `now`; empty if it does not.
  std::string pause_reason(base::SteadyTime now) const;
  // For people, once gave_up().
  std::string last_trouble() const;
  // The first thousand.
  const std::vector<Failure>& failures() const { return failures_; }

 private:
  struct Later {
    base::SteadyTime at;
    Step step;
    bool operator>(const Later& other) const { return at > other.at; }
  };
  struct State {
    std::uint8_t attempts = 0;  // answers that did not settle it
    bool due = false;           // a probe said no
    bool failed = false;        // a fetch of it, at any time
  };

  void settle(std::size_t& count, base::SteadyTime now);
  void fail(std::size_t& count, const Step& step, const Verdict& verdict, base::SteadyTime now);
  // After a fetch that did not settle it. `kept`: something is stored all the same.
  void again(const Step& step, Step::Ask ask, const Verdict& verdict, bool kept,
             base::SteadyTime now);
  void pause(const Step& step, const Verdict& verdict, base::SteadyTime now);
  void calm(bool fetched);
  void note_failure(const Step& step, base::SteadyTime now);
  void note_success();
  bool upstream_is_gone() const;

  const std::size_t total_;
  const PlanSettings settings_;
  base::Random& random_;
  std::vector<State> states_;
  std::size_t next_new_ = 0;
  std::deque<Step> ready_;  // asked as soon as there is room, before the new ones
  std::deque<Step> fetches_;
  std::priority_queue<Later, std::vector<Later>, std::greater<>> later_;
  base::SteadyTime next_fetch_at_;

  unsigned in_flight_ = 0;
  unsigned window_;  // most in flight; shrinks when told to
  bool troubled_ = false;
  bool fetch_trouble_ = false;  // it was a fetch that could not be taken
  base::SteadyTime paused_until_;
  base::Duration pause_length_;
  std::string pause_reason_;
  base::SteadyTime last_progress_;
  // Since the last success. What fails once more does not count: at the end of a list that may
  // be all that is left.
  std::uint32_t failed_in_a_row_ = 0;
  base::SteadyTime gone_since_;  // if they are enough

  Counts counts_;
  std::vector<Failure> failures_;
};

}  // namespace holdfast::warm
