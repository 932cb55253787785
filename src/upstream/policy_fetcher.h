// PolicyFetcher is the Fetcher that puts the policies together: retries with
// backoff inside a deadline, races beside what is slow, retry budget, breaker and parking,
// pacing, adaptive concurrency, failover, and manners for refreshes. Loop's own thread
// only; it never blocks. README.md in this folder tells the order of decisions.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "observe/log.h"
#include "observe/repeat_limiter.h"
#include "upstream/fetch_metrics.h"
#include "upstream/fetcher.h"
#include "upstream/origin.h"
#include "upstream/passer.h"
#include "upstream/settings.h"
#include "upstream/status.h"
#include "upstream/token_bucket.h"

namespace holdfast::upstream {

class PolicyFetcher final : public Fetcher, public Passer {
 public:
  // Everything referred to must outlive this. `transport` has an origin for each
  // name in settings.origins. `shard` belongs to the scheduler's thread.
  PolicyFetcher(base::Scheduler& scheduler, base::Random& random, Transport& transport,
                Settings settings, observe::Metrics& metrics, observe::Shard& shard,
                observe::Log& log);
  // Cancels all attempts. Callbacks that have not run do not run.
  ~PolicyFetcher() override;

  FetchId start(FetchRequest request, Callback callback) override;
  void extend(FetchId id, base::SteadyTime deadline, Priority priority) override;
  void cancel(FetchId id) override;
  FetchResult so_far(FetchId id) override;
  void forget(const std::string& target) override;
  void forget_all() override;

  // What is passed through: policy_fetcher_passing.cpp.
  PassId pass(StreamRequest request, base::SteadyTime deadline, StreamPeer& peer,
              Ended ended) override;
  void go_on(PassId id) override;
  bool end_pass(PassId id) override;

  // What it has under way ends as it would; but it speaks for its upstream no longer, in gauges
  // that another may have now.
  void retire() { metrics_.retire(); }

  // Nobody asks it any more, or somebody does again: meanwhile there are no probes and no spare
  // connections, and a breaker that is open stays so.
  void set_idle(bool idle);

  // The transport has another token now: a refusal of the last one is forgotten, and
  // one that is still to come is retried.
  void token_changed();
  // What an origin's name stands for now, most preferred first, numeric; for origins that
  // Settings::named says have one. Empty: nothing yet.
  void addresses(std::size_t origin, const std::vector<std::string>& list);
  // Why there is none, or none that is new; empty: nothing is wrong. For people.
  void name_trouble(std::size_t origin, std::string trouble);
  // Called when an origin cannot be reached where its name led: look it up again. Set before
  // the first fetch.
  void on_unreachable(std::function<void(std::size_t origin)> callback) {
    unreachable_ = std::move(callback);
  }
  // For an operator. No: back to the breaker's own judgement.
  void force_breaker(std::size_t origin, Breaker::Forced forced);

  Status status();

  // How a fetch that a client starts now would begin, for people who ask. Changes nothing.
  struct Outlook {
    enum class Way {
      Sent,
      Waits,   // for a slot, the pace or a name: until `until`, if that is known
      Parked,  // until a probe of an open breaker is answered
      Ends,    // at once, with `end`: nobody is asked
    };
    Way way = Way::Sent;
    base::SteadyTime until = base::SteadyTime::max();
    FetchEnd end = FetchEnd::Answered;
    Outcome outcome = Outcome::Ok;  // of Refused: why
  };
  // `may_park` as in FetchRequest, `deadline` from now.
  Outlook outlook(bool may_park, base::Duration deadline);
  // The same of what is passed through: it never parks, but may itself be the probe.
  Outlook outlook_of_pass(base::Duration deadline);

 private:
  struct Attempt;
  struct BareProbe;
  struct Fetch;
  struct Held;
  struct Pass;
  using BareEnded = std::function<void(const OriginAttempt&, const Verdict&, const Reply&)>;
  enum class Place { New, Ready, Starved, Backoff, Running, Parked, Finished };
  // Misses first, then by deadline: the order of everything that waits.
  using QueueKey = std::tuple<Priority, base::SteadyTime, FetchId>;
  using Queue = std::set<QueueKey>;
  enum class Sent { Yes, NotThis, Nobody };
  // A hedge beside an attempt that is not even late, or a race beside those that are.
  enum class Beside { Nothing, Hedge, Race };
  // Where the next attempt may go, or why nowhere and until when.
  struct Choice {
    Origin* origin = nullptr;
    bool all_open = true;
    bool none_trusted = true;  // of those whose breaker is closed, by their certificates
    bool none_admits = true;   // of those, our token
    bool paused = false;       // by a Retry-After, which binds each fetch differently
    base::SteadyTime until = base::SteadyTime::max();
  };

  // The life of a fetch.
  void move(Fetch& fetch, Place place);
  void make_ready(Fetch& fetch);
  void park(Fetch& fetch);
  void on_deadline(Fetch& fetch);
  void finish(Fetch& fetch, FetchEnd end);
  void deliver(FetchId id);
  std::chrono::seconds retry_after(const Fetch& fetch, FetchEnd end);
  void tell_why_not_asked(FetchResult& result) const;

  // Sending.
  void pump();
  bool none_can_go(base::SteadyTime& wake);
  bool starved_concerned();
  Sent try_send(Fetch& fetch, base::SteadyTime& wake);
  Choice choose(const Fetch& fetch, base::SteadyTime now);
  // Why a fetch may go nowhere, however long it waited for its turn.
  enum class Bar { None, Parks, NotTrusted, NotAdmitted };
  Bar bar(const Fetch& fetch, base::SteadyTime now, Choice& choice);
  // How a fetch ends that would have to be parked and may not; none: it is parked.
  std::optional<FetchEnd> not_parked(const Fetch& fetch) const;
  // Too many wait for their turn.
  bool crowded(const Fetch& fetch) const;
  // Until then a pause binds the fetch.
  base::SteadyTime patient_until(const Fetch& fetch) const;
  static bool worth_sending(const Fetch& fetch, const Origin& origin, base::Duration left);
  bool needs_company(const Fetch& fetch, Origin& origin) const;
  void send(Fetch& fetch, Origin& origin, Beside beside, bool probe);
  Sending aim(const Fetch& fetch, const Origin& origin) const;
  void tell_interim(FetchId id, int status, const Fields& fields);
  base::Duration first_look(const Origin& origin, const std::string& address, bool probe) const;
  void stop_attempts(Fetch& fetch);
  void forget(const Fetch& fetch, const Attempt& attempt);

  // What came of an attempt: policy_fetcher_answers.cpp.
  void on_reply(FetchId id, std::uint64_t number, Reply reply);
  void answered(Fetch& fetch, const Attempt& attempt);
  bool ask_elsewhere(Fetch& fetch, const Attempt& attempt, FetchEnd end);
  void refused(Fetch& fetch, const Attempt& attempt, const Verdict& verdict);
  void token_accepted(Origin& origin);
  void token_refused(Origin& origin, int status);
  bool any_token_refused() const;
  void fail_or_retry(Fetch& fetch, const Attempt& ended, const Verdict& verdict);
  bool ask_again(Fetch& fetch, const Origin& origin) const;
  void count_equal(Fetch& fetch, const Attempt& failed, const Verdict& verdict);
  bool key_fails(Fetch& fetch, const Attempt& failed);
  bool ask_witness(Origin& origin, std::size_t key, bool at_our_pace = false);

  // Passing: policy_fetcher_passing.cpp.
  void dress(Fetch& fetch, const Pass& pass) const;
  Sent try_pass(Pass& pass, base::SteadyTime& wake);
  Origin* probed_by_pass(base::SteadyTime at);
  void send_pass(Pass& pass, Origin& origin, bool probe);
  void leave_slot(Pass& pass);
  void pass_ended(PassId id, Reply reply);
  void record(Pass& pass, const Verdict& verdict, int status);
  void end_unsent(Pass& pass, FetchEnd end);
  void end_passes();

  // Races: policy_fetcher_races.cpp.
  void look_at(Fetch& fetch, base::SteadyTime when);
  void look(Fetch& fetch);
  base::SteadyTime look(Fetch& fetch, Attempt& attempt);
  base::Duration patience(const Attempt& attempt, const Progress& progress) const;
  base::SteadyTime consider_race(Fetch& fetch);
  bool try_race(Fetch& fetch, Beside beside);
  void suspect(Fetch& fetch, Attempt& attempt);
  void cut(Fetch& fetch, std::size_t position);
  void make_room(base::SteadyTime& wake);
  void learn_from_race(Fetch& fetch, const Attempt& winner, bool answered);
  void race_all_that_are_stuck();
  void record(Fetch& fetch, const Attempt& attempt, const Verdict& verdict, int status);

  // Origins.
  void ended(Origin& origin, const OriginAttempt& attempt, const Verdict& verdict,
             const Reply& reply);
  // `key`: it failed just now with a whole answer, which may be its own trouble.
  void eject_if_outlier(Origin& origin, std::optional<std::size_t> key = std::nullopt);
  void announce(Origin& origin);
  bool has_slot() const { return in_flight_ < settings_.concurrency; }
  std::size_t waiting() const {
    return ready_.size() + starved_.size() + in_backoff_ + waiting_passes_.size();
  }
  void arm_breaker_timer(Origin& origin);
  void hurry_if_alone();
  void judge_certificate(Origin& origin, const Verdict& verdict, const Reply& reply);
  void tend_addresses(Origin& origin);
  bool other_way(const Origin& origin) const;
  void tell_oddities(Origin& origin, const Verdict& verdict, const Reply& reply);
  void probe_if_due(Origin& origin);
  void send_bare_probe(Origin& origin);
  void send_bare(Origin& origin, DependencyProbe::Question question, BareEnded ended);
  void release_parked();
  bool any_asks() const;
  bool all_refuse(base::SteadyTime at) const;
  void arm_idle_probe(Origin& origin);
  void update_gauges();

  base::SteadyTime now() const { return scheduler_.now(); }

  base::Scheduler& scheduler_;
  base::Random& random_;
  Transport& transport_;
  const Settings settings_;
  observe::Log& log_;
  FetchMetrics metrics_;

  std::vector<std::unique_ptr<Origin>> origins_;
  RetryBudget budget_;
  HedgePolicy hedge_;
  RecentLuck luck_;
  std::uint64_t tokens_ = 0;  // how often it changed
  TokenBucket refresh_rate_;
  int in_flight_ = 0;            // suspects and all: connections
  int refreshes_in_flight_ = 0;  // without suspects
  std::size_t waiting_refreshes_ = 0;
  std::size_t in_backoff_ = 0;

  std::unordered_map<FetchId, std::unique_ptr<Fetch>> fetches_;
  Queue ready_;
  // Not later than the patient_until() of any of them that is still to come.
  base::SteadyTime all_patient_until_{};
  observe::RepeatLimiter redirects_told_{{.interval = std::chrono::minutes(1), .burst = 1}};
  Queue starved_;  // retries that the budget was too short for
  Queue parked_;
  std::unordered_map<PassId, std::shared_ptr<Pass>> passes_;
  Queue waiting_passes_;  // those not sent yet
  // Attempts slower than usual, oldest first: (sent at, number, fetch).
  using Suspect = std::tuple<base::SteadyTime, std::uint64_t, FetchId>;
  std::set<Suspect> suspects_;
  FetchId last_id_ = 0;
  std::uint64_t last_attempt_ = 0;
  base::Timer pump_timer_;
  bool idle_ = false;
  std::function<void(std::size_t)> unreachable_;
  // Posted work and bare probes outlive us on the loop; they ask this first.
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace holdfast::upstream
