// Watch stands on both sides of the PolicyFetcher, between the flights and it and
// between it and the upstream, and holds every fetch and every attempt against
// what the policies promise. The first broken promise is kept; whoever drives the
// simulation asks for it after every step. One thread.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>

#include "trace.h"
#include "upstream/policy_fetcher.h"

namespace holdfast::simulation {

class Watch {
 public:
  // The request field with the name of the fetch that an attempt is made for.
  static constexpr const char* kNameField = "X-Fetch";

  // How long the loop stood still between two times: no timer is in time then.
  using Stalled = std::function<base::Duration(base::SteadyTime, base::SteadyTime)>;

  // Whether of the target something came that may not be stored: then each client may have
  // a fetch of its own.
  using Unshared = std::function<bool(const std::string& target)>;

  Watch(const base::VirtualScheduler& scheduler, Trace& trace, const upstream::Settings& settings,
        Stalled stalled, Unshared unshared)
      : scheduler_(scheduler),
        trace_(trace),
        settings_(settings),
        stalled_(std::move(stalled)),
        unshared_(std::move(unshared)) {}

  void fail(const std::string& what) {
    if (!violation_.empty()) return;
    violation_ = what;
    trace_.line("VIOLATED: ", what);
  }
  const std::string& violation() const { return violation_; }

  // The fetcher that makes the attempts from now on; null while there is none.
  void process(upstream::PolicyFetcher* fetcher);
  // An operator moved a breaker: probes are no longer spaced by its own rules.
  void breaker_moved() { last_probe_.clear(); }

  // Returns the fetch's name, and puts it into the request so that the attempts made
  // for it can be told: after a purge there may be two fetches of a target.
  std::string fetch_started(upstream::FetchRequest& request);
  void fetch_extended(const std::string& name, base::SteadyTime deadline,
                      upstream::Priority priority);
  void fetch_ended(const std::string& name, const upstream::FetchResult* result);
  // The next fetch of the target may start beside the one there is.
  void purged(const std::string& target) { current_.erase(target); }
  void purged_all() { current_.clear(); }

  void attempt_started(std::uint64_t number, const upstream::Sending& sending,
                       const upstream::Request& request);
  // `reply` is null if it was cancelled.
  void attempt_ended(std::uint64_t number, const upstream::Reply* reply);
  // What is held against the origins: a lack of our own must leave it as it is.
  upstream::Status held_against() const {
    return fetcher_ ? fetcher_->status() : upstream::Status();
  }
  void check_lack(const upstream::Status& before);
  // The origin's name stands for something else.
  void name_moved() { name_moved_at_ = scheduler_.now(); }

  std::size_t fetches() const { return fetches_.size(); }
  // How many of them are beside another of the same key, whose answers are not to be shared.
  std::size_t beside_others() const { return fetches_.size() - current_.size(); }
  int in_flight() const { return static_cast<int>(attempts_.size()); }
  // ... for somebody: no probes of the fetcher's own.
  int in_flight_for_fetches() const {
    return static_cast<int>(std::count_if(attempts_.begin(), attempts_.end(),
                                          [](const auto& one) { return !one.second.bare; }));
  }

  struct Counts {
    int attempts = 0, hedges = 0, beside = 0, retries = 0, probes = 0, bare_probes = 0, local = 0;
  };
  const Counts& counts() const { return counts_; }

 private:
  struct Fetch {
    base::SteadyTime deadline;
    bool refresh = false;
    int attempts = 0;
    int lacks = 0;  // of those, nothing was sent
    int in_flight = 0;
  };
  struct Attempt {
    std::string fetch;  // its name
    std::size_t origin = 0;
    base::SteadyTime sent_at{};
    bool bare = false;
    bool probe = false;
  };
  using Slices = std::map<base::Duration::rep, int>;

  void check_breaker(const Attempt& attempt, upstream::Breaker::State state);
  void check_fetch(Attempt& attempt, base::Duration timeout);
  void check_budget();
  void check_hedges();
  int in_window(const Slices& slices) const;
  base::Duration::rep slice() const;

  const base::VirtualScheduler& scheduler_;
  Trace& trace_;
  const upstream::Settings& settings_;
  const Stalled stalled_;
  const Unshared unshared_;
  upstream::PolicyFetcher* fetcher_ = nullptr;
  std::string violation_;
  std::unordered_map<std::string, Fetch> fetches_;        // by name
  std::unordered_map<std::string, std::string> current_;  // name by target: one at a time
  std::uint64_t last_fetch_ = 0;
  std::map<std::uint64_t, Attempt> attempts_;  // in flight
  std::map<std::size_t, base::SteadyTime> last_probe_;
  base::SteadyTime name_moved_at_{};
  // Of the present process:
  Slices deposits_;
  Slices withdrawals_;
  int ordinary_ = 0;
  int hedges_ = 0;
  Counts counts_;
};

class WatchedFetcher final : public upstream::Fetcher {
 public:
  WatchedFetcher(upstream::Fetcher& inner, Watch& watch) : inner_(inner), watch_(watch) {}

  FetchId start(upstream::FetchRequest request, Callback callback) override {
    const std::string name = watch_.fetch_started(request);
    const FetchId id =
        inner_.start(std::move(request),
                     [this, name, callback = std::move(callback)](upstream::FetchResult result) {
                       watch_.fetch_ended(name, &result);
                       callback(std::move(result));
                     });
    names_[id] = name;
    return id;
  }
  void extend(FetchId id, base::SteadyTime deadline, upstream::Priority priority) override {
    watch_.fetch_extended(names_[id], deadline, priority);
    inner_.extend(id, deadline, priority);
  }
  void cancel(FetchId id) override {
    inner_.cancel(id);
    watch_.fetch_ended(names_[id], nullptr);
  }
  upstream::FetchResult so_far(FetchId id) override { return inner_.so_far(id); }

 private:
  upstream::Fetcher& inner_;
  Watch& watch_;
  std::unordered_map<FetchId, std::string> names_;
};

class WatchedTransport final : public upstream::Transport {
 public:
  WatchedTransport(upstream::Transport& inner, Watch& watch) : inner_(inner), watch_(watch) {}

  AttemptId start(const upstream::Sending& sending, const upstream::Request& request,
                  Callback callback) override {
    const AttemptId number = ++last_;
    watch_.attempt_started(number, sending, request);
    inner_ids_[number] = inner_.start(
        sending, request, [this, number, callback = std::move(callback)](upstream::Reply reply) {
          inner_ids_.erase(number);
          watch_.attempt_ended(number, &reply);
          if (reply.transport != upstream::Outcome::Local) return callback(std::move(reply));
          const upstream::Status before = watch_.held_against();
          callback(std::move(reply));
          watch_.check_lack(before);
        });
    return number;
  }
  void cancel(AttemptId number) override {
    const auto found = inner_ids_.find(number);
    if (found == inner_ids_.end()) return watch_.fail("an attempt was cancelled that had ended");
    inner_.cancel(found->second);
    inner_ids_.erase(found);
    watch_.attempt_ended(number, nullptr);
  }
  std::optional<upstream::Progress> progress(AttemptId number) const override {
    const auto found = inner_ids_.find(number);
    return found == inner_ids_.end() ? std::nullopt : inner_.progress(found->second);
  }
  void knock(std::size_t origin, const std::string& address, base::Duration timeout,
             Callback callback) override {
    inner_.knock(origin, address, timeout, std::move(callback));
  }
  void distrust(std::size_t origin, const std::string& address) override {
    inner_.distrust(origin, address);
  }
  // The process died, and its connections with it.
  void cancel_all() {
    while (!inner_ids_.empty()) cancel(inner_ids_.begin()->first);
  }

 private:
  upstream::Transport& inner_;
  Watch& watch_;
  AttemptId last_ = 0;
  std::map<AttemptId, AttemptId> inner_ids_;
};

}  // namespace holdfast::simulation
