#include "watch.h"

#include <algorithm>

#include "blame.h"

namespace holdfast::simulation {
namespace {

constexpr int kMostAtOnce = 4;

}  // namespace

using upstream::Breaker;
using upstream::Priority;

void Watch::process(upstream::PolicyFetcher* fetcher) {
  fetcher_ = fetcher;
  last_probe_.clear();
  deposits_.clear();
  withdrawals_.clear();
  ordinary_ = 0;
  hedges_ = 0;
  if (fetcher) return;
  if (!attempts_.empty()) fail("a process went away and left an attempt");
  fetches_.clear();
  current_.clear();
}

std::string Watch::fetch_started(upstream::FetchRequest& request) {
  const std::string& target = request.request.target;
  const std::string name = target + " #" + std::to_string(++last_fetch_);
  request.request.fields.push_back({kNameField, name});
  if (!current_.emplace(target, name).second && !unshared_(target))
    fail("two fetches of " + target + " at a time");
  // One whose time was up before it came ends at once.
  fetches_[name] = {std::max(request.deadline, scheduler_.now()),
                    request.priority == Priority::Refresh};
  ++deposits_[slice()];
  trace_.line("fetch ", name, request.priority == Priority::Refresh ? " (refresh)" : "", " within ",
              text(request.deadline - scheduler_.now()));
  return name;
}

void Watch::fetch_extended(const std::string& name, base::SteadyTime deadline, Priority priority) {
  const auto found = fetches_.find(name);
  if (found == fetches_.end()) return fail("fetch " + name + " was extended after its end");
  found->second.deadline = std::max(found->second.deadline, deadline);
  if (priority == Priority::Miss) found->second.refresh = false;
}

void Watch::fetch_ended(const std::string& name, const upstream::FetchResult* result) {
  const auto found = fetches_.find(name);
  if (found == fetches_.end()) return fail("fetch " + name + " ended twice");
  const Fetch fetch = found->second;
  fetches_.erase(found);
  std::erase_if(current_, [&](const auto& current) { return current.second == name; });
  if (fetch.in_flight != 0) fail("fetch " + name + " ended with an attempt in flight");
  if (!result) return trace_.line("fetch ", name, " is cancelled");
  trace_.line("fetch ", name, " ends: ", static_cast<int>(result->end), " ",
              upstream::to_string(result->outcome), " after ", result->attempts_sent, " attempts");
  if (result->attempts_sent != fetch.attempts) {
    fail("fetch " + name + " says " + std::to_string(result->attempts_sent) +
         " attempts and made " + std::to_string(fetch.attempts));
  }
  const base::SteadyTime now = scheduler_.now();
  if (now > fetch.deadline && now - fetch.deadline > stalled_(fetch.deadline, now)) {
    fail("fetch " + name + " ended " + text(now - fetch.deadline) + " late");
  }
  if (result->end != upstream::FetchEnd::Answered && result->retry_after.count() < 1) {
    fail("failed fetch " + name + " has no Retry-After");
  }
}

void Watch::attempt_started(std::uint64_t number, const upstream::Sending& sending,
                            const upstream::Request& request) {
  Attempt attempt;
  attempt.origin = sending.origin;
  attempt.sent_at = scheduler_.now();
  const base::Duration timeout = sending.timeout;
  // A probe of the fetcher's own is nobody's, also if it asks for what somebody asked for.
  const std::string* name = upstream::find_field(request.fields, kNameField);
  attempt.bare = name == nullptr;
  if (name) attempt.fetch = *name;
  ++counts_.attempts;
  if (!fetcher_) return fail("an attempt was made by nobody");
  const upstream::Status status = fetcher_->status();
  const upstream::OriginStatus& origin = status.origins.at(sending.origin);
  attempt.probe = origin.breaker == Breaker::State::HalfOpen;
  trace_.line("attempt ", number, " ", request.target, " at ", origin.name, " ", sending.address,
              sending.new_connection ? " (new connection)" : "", attempt.probe ? " (probe)" : "",
              attempt.bare ? " (bare)" : "", " for ", text(timeout), ", with ", in_flight(),
              " in flight");

  if (!origin.has_address) fail("an attempt before the name was known");
  if (in_flight() >= settings_.concurrency) fail("more attempts in flight than allowed");
  if (timeout <= base::Duration::zero()) fail("an attempt without time");
  if (timeout > settings_.attempt_timeout) fail("an attempt longer than ATTEMPT_TIMEOUT");
  check_breaker(attempt, origin.breaker);
  if (attempt.bare) {
    ++counts_.bare_probes;
  } else {
    check_fetch(attempt, timeout);
  }
  attempts_[number] = attempt;
}

void Watch::attempt_ended(std::uint64_t number, const upstream::Reply* reply) {
  const auto found = attempts_.find(number);
  if (found == attempts_.end()) return fail("an attempt ended twice");
  if (reply) {
    trace_.line("attempt ", number, " ends: ", upstream::to_string(reply->transport), " ",
                reply->status);
    // A sign of life: the next probe need not wait for its time.
    if (reply->status > 0) last_probe_.erase(found->second.origin);
  } else {
    trace_.line("attempt ", number, " is cancelled");
  }
  if (!found->second.bare) {
    const auto fetch = fetches_.find(found->second.fetch);
    if (fetch != fetches_.end()) {
      --fetch->second.in_flight;
      fetch->second.lacks += reply && reply->transport == upstream::Outcome::Local;
    }
  }
  attempts_.erase(found);
}

void Watch::check_lack(const upstream::Status& before) {
  ++counts_.local;
  if (!fetcher_) return;
  const std::string blamed = blamed_since(before, fetcher_->status());
  if (!blamed.empty()) fail("for a lack of our own, " + blamed);
}

void Watch::check_breaker(const Attempt& attempt, Breaker::State state) {
  if (state == Breaker::State::Open) return fail("an attempt passed an open breaker");
  if (state == Breaker::State::Closed) return;
  ++counts_.probes;
  const base::SteadyTime now = scheduler_.now();
  const auto last = last_probe_.find(attempt.origin);
  // A nanosecond for what is lost in doubles.
  const auto least = std::chrono::duration_cast<base::Duration>(
                         settings_.breaker.probe_base * (1 - settings_.breaker.probe_jitter)) -
                     base::Duration(1);
  if (last != last_probe_.end() && now - last->second < least) {
    fail("a probe only " + text(now - last->second) + " after the last");
  }
  last_probe_[attempt.origin] = now;
}

void Watch::check_fetch(Attempt& attempt, base::Duration timeout) {
  const auto found = fetches_.find(attempt.fetch);
  if (found == fetches_.end()) return fail("an attempt for nobody: " + attempt.fetch);
  Fetch& fetch = found->second;
  const base::SteadyTime now = scheduler_.now();
  if (now >= fetch.deadline) fail("an attempt that cannot end in time");
  if (now + timeout > fetch.deadline) fail("an attempt that may outlast its fetch");
  if (fetch.in_flight >= kMostAtOnce) fail("too many attempts for one fetch at a time");
  // Beside one that cannot be late yet, by any measure, it is a hedge; else it may be a race.
  const bool beside = fetch.in_flight > 0;
  base::SteadyTime youngest{};
  for (const auto& [number, other] : attempts_) {
    if (other.fetch == attempt.fetch && !other.probe) youngest = std::max(youngest, other.sent_at);
  }
  const bool hedge =
      beside && now - youngest < settings_.answer_times.floor && youngest > name_moved_at_;
  if (fetch.refresh && hedge) fail("a refresh was hedged");
  if (!attempt.probe && fetch.attempts > fetch.lacks) {
    ++withdrawals_[slice()];
    ++counts_.retries;
    check_budget();
  }
  if (beside && attempt.probe && hedge) fail("a hedge sent to an origin that is being probed");
  counts_.beside += beside;
  if (hedge) {
    ++hedges_;
    ++counts_.hedges;
    check_hedges();
  } else {
    ++ordinary_;
  }
  ++fetch.attempts;
  ++fetch.in_flight;
}

void Watch::check_budget() {
  const auto& budget = settings_.retry_budget;
  const double allowed = budget.reserve_per_second * static_cast<double>(budget.window.count()) +
                         budget.per_fetch * in_window(deposits_);
  if (in_window(withdrawals_) > allowed + 1e-6) {
    fail("retries over the budget: " + std::to_string(in_window(withdrawals_)) + " of " +
         std::to_string(allowed));
  }
}

void Watch::check_hedges() {
  const double allowed = settings_.hedge.burst + settings_.hedge.share * ordinary_;
  if (hedges_ > allowed + 1e-6) {
    fail("hedges over their share: " + std::to_string(hedges_) + " of " + std::to_string(allowed));
  }
}

// Counts as RetryBudget does, in slices of a twentieth of the window, so that the
// bound is exact and not one slice off.
base::Duration::rep Watch::slice() const {
  return scheduler_.now().time_since_epoch() / (base::Duration(settings_.retry_budget.window) / 20);
}

int Watch::in_window(const Slices& slices) const {
  int sum = 0;
  for (auto it = slices.upper_bound(slice() - 20); it != slices.end(); ++it) sum += it->second;
  return sum;
}

}  // namespace holdfast::simulation
