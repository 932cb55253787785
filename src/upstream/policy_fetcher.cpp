// A fetch's life:
//
//   ready --a slot, the pace, the budget--> running --answer--> finished
//     ^                                        |
//     +---- backoff <---- the attempt failed --+
//     +---- parked, while no origin's breaker allows attempts
//
// move() alone changes the place, finish() alone ends a fetch: it posts the
// callback, so that a caller may do as it likes in there, and no code here finds
// the ground moved. pump() alone sends first attempts and retries; hedges and
// probes have timers of their own. Everything scarce is handed out in the order
// of `ready_`: misses before refreshes, the earliest deadline first.
#include "upstream/policy_fetcher.h"

#include <algorithm>
#include <optional>

namespace holdfast::upstream {
namespace {

using observe::Level;

constexpr std::size_t kKeptRecords = 32;
constexpr std::size_t kMostAtOnce = 2;  // attempts of one fetch: the first and a hedge
constexpr base::Duration kHedgeAgain = std::chrono::milliseconds(20);
constexpr base::Duration kRefusedPause = std::chrono::milliseconds(100);
constexpr std::chrono::seconds kLongestRetryAfter = std::chrono::hours(1);

Settings checked(Settings settings) {
  settings.concurrency = std::max(1, settings.concurrency);
  if (settings.origins.empty()) settings.origins.emplace_back("upstream");
  return settings;
}

}  // namespace

struct PolicyFetcher::Attempt {
  std::uint64_t number = 0;
  Transport::AttemptId transport_id = 0;
  Origin* origin = nullptr;
  base::SteadyTime sent_at;
  base::Duration timeout{};
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
  bool budget_short = false;  // the present wait for the budget is counted
  base::Timer deadline_timer;
  base::Timer timer;  // backoff, or when to hedge
  FetchResult result;

  QueueKey key() const { return {request.priority, request.deadline, id}; }
  bool refresh() const { return request.priority == Priority::Refresh; }
};

PolicyFetcher::PolicyFetcher(base::Scheduler& scheduler, base::Random& random, Transport& transport,
                             Settings settings, observe::Metrics& metrics, observe::Shard& shard,
                             observe::Log& log)
    : scheduler_(scheduler),
      random_(random),
      transport_(transport),
      settings_(checked(std::move(settings))),
      log_(log),
      metrics_(metrics, shard, settings_.origins,
               {.queued = settings_.max_waiting, .parked = settings_.max_parked}),
      budget_(settings_.retry_budget),
      hedge_(settings_.hedge),
      token_(settings_.token),
      refresh_rate_(settings_.refresh.per_second, settings_.refresh.burst) {
  for (std::size_t i = 0; i < settings_.origins.size(); ++i) {
    origins_.push_back(std::make_unique<Origin>(i, settings_, random_, now()));
    arm_idle_probe(*origins_.back());
  }
  update_gauges();
}

PolicyFetcher::~PolicyFetcher() {
  for (auto& [id, fetch] : fetches_) {
    for (const Attempt& attempt : fetch->attempts) transport_.cancel(attempt.transport_id);
  }
}

Fetcher::FetchId PolicyFetcher::start(FetchRequest request, Callback callback) {
  const FetchId id = ++last_id_;
  Fetch& fetch = *fetches_.emplace(id, std::make_unique<Fetch>()).first->second;
  fetch.id = id;
  fetch.request = std::move(request);
  fetch.callback = std::move(callback);
  fetch.started = now();
  fetch.deadline_timer.set_at(scheduler_, fetch.request.deadline,
                              [this, &fetch] { on_deadline(fetch); });
  for (auto& origin : origins_) origin->probe.remember(fetch.request.request.target);

  if (fetch.refresh() && waiting_refreshes_ >= settings_.refresh.max_waiting) {
    finish(fetch, FetchEnd::GaveUp);
  } else if (!fetch.refresh() &&
             ready_.size() - waiting_refreshes_ + in_backoff_ >= settings_.max_waiting) {
    finish(fetch, FetchEnd::Overloaded);
  } else {
    budget_.deposit(now());
    make_ready(fetch);
    pump();
  }
  return id;
}

void PolicyFetcher::extend(FetchId id, base::SteadyTime deadline, Priority priority) {
  const auto found = fetches_.find(id);
  if (found == fetches_.end() || found->second->place == Place::Finished) return;
  Fetch& fetch = *found->second;
  const Place place = fetch.place;
  const bool queued = place == Place::Ready || place == Place::Parked;
  if (queued) move(fetch, Place::New);  // out of the queue while its key changes
  const bool was_refresh = fetch.refresh();
  fetch.request.priority = std::min(fetch.request.priority, priority);
  if (was_refresh && !fetch.refresh()) {
    refreshes_in_flight_ -= static_cast<int>(fetch.attempts.size());
  }
  if (deadline > fetch.request.deadline) {
    fetch.request.deadline = deadline;
    fetch.deadline_timer.set_at(scheduler_, deadline, [this, &fetch] { on_deadline(fetch); });
  }
  if (queued) {
    move(fetch, place);
    pump();
  }
}

void PolicyFetcher::cancel(FetchId id) {
  const auto found = fetches_.find(id);
  if (found == fetches_.end()) return;
  Fetch& fetch = *found->second;
  if (fetch.place != Place::Finished) {
    stop_attempts(fetch);
    move(fetch, Place::Finished);
  }
  fetches_.erase(found);
  pump();
}

FetchResult PolicyFetcher::so_far(FetchId id) {
  FetchResult result;
  const auto found = fetches_.find(id);
  if (found == fetches_.end()) return result;
  const Fetch& fetch = *found->second;
  if (fetch.place == Place::Parked) {
    result.end = FetchEnd::StayedDown;
  } else if (fetch.place == Place::Finished) {
    result.end = fetch.result.end;
  }
  result.reply.status = fetch.result.reply.status;
  result.outcome = fetch.result.outcome;
  if (result.end == FetchEnd::Answered) {  // its callback is on its way, and comes too late
    result.end = FetchEnd::Deadline;
    result.outcome = Outcome::Timeout;
  }
  result.attempts = fetch.result.attempts;
  result.attempts_sent = fetch.result.attempts_sent;
  result.retry_after = retry_after(fetch, result.end);
  return result;
}

void PolicyFetcher::token_changed() {
  token_.changed();
  metrics_.gauges.token_accepted = 1;
  pump();
}

void PolicyFetcher::force_breaker(std::size_t index, Breaker::Forced forced) {
  if (index >= origins_.size()) return;
  origins_[index]->breaker.force(now(), forced);
  announce(*origins_[index]);
  pump();
}

Status PolicyFetcher::status() {
  Status status;
  for (auto& origin : origins_) status.origins.push_back(origin->status(scheduler_.clock()));
  status.in_flight = in_flight_;
  status.fetches = fetches_.size();
  status.queued = ready_.size() + in_backoff_;
  status.parked = parked_.size();
  status.retry_budget = budget_.balance(now());
  status.token = token_.state();
  return status;
}

// ---- The life of a fetch ----

void PolicyFetcher::move(Fetch& fetch, Place place) {
  const auto weigh = [&](Place where, bool enters) {
    const std::size_t refresh = fetch.refresh() ? 1 : 0;
    if (where == Place::Ready) {
      enters ? (void)ready_.insert(fetch.key()) : (void)ready_.erase(fetch.key());
      waiting_refreshes_ = enters ? waiting_refreshes_ + refresh : waiting_refreshes_ - refresh;
    } else if (where == Place::Parked) {
      enters ? (void)parked_.insert(fetch.key()) : (void)parked_.erase(fetch.key());
    } else if (where == Place::Backoff) {
      in_backoff_ = enters ? in_backoff_ + 1 : in_backoff_ - 1;
    }
  };
  weigh(fetch.place, false);
  fetch.place = place;
  weigh(place, true);
  metrics_.gauges.queued.store(static_cast<double>(ready_.size() + in_backoff_),
                               std::memory_order_relaxed);
  metrics_.gauges.parked.store(static_cast<double>(parked_.size()), std::memory_order_relaxed);
}

void PolicyFetcher::make_ready(Fetch& fetch) {
  fetch.ready_since = now();
  fetch.budget_short = false;
  all_patient_until_ = std::min(all_patient_until_, patient_until(fetch));
  move(fetch, Place::Ready);
}

void PolicyFetcher::park(Fetch& fetch) {
  const bool hope = std::any_of(origins_.begin(), origins_.end(), [](const auto& origin) {
    return origin->breaker.forced() == Breaker::Forced::No;
  });
  if (fetch.refresh()) return finish(fetch, FetchEnd::GaveUp);
  if (!hope || !fetch.request.may_park) return finish(fetch, FetchEnd::BreakerOpen);
  if (parked_.size() >= settings_.max_parked) return finish(fetch, FetchEnd::CrowdedOut);
  move(fetch, Place::Parked);
  // A probe may be overdue, if there was nothing to send it with.
  for (auto& origin : origins_) probe_if_due(*origin);
}

void PolicyFetcher::on_deadline(Fetch& fetch) {
  // An attempt that had its full time was a timeout, whichever timer ran first.
  for (std::size_t i = fetch.attempts.size(); i-- > 0;) {
    const Attempt attempt = fetch.attempts[i];
    if (now() - attempt.sent_at < attempt.timeout) continue;
    if (attempt.timeout < attempt.origin->timeout.usual() * 2) continue;  // had no fair chance
    transport_.cancel(attempt.transport_id);
    fetch.attempts.erase(fetch.attempts.begin() + static_cast<std::ptrdiff_t>(i));
    --in_flight_;
    if (fetch.refresh()) --refreshes_in_flight_;
    const Verdict verdict{Outcome::Timeout, "deadline"};
    record(fetch, attempt, verdict, 0);
    ended(*attempt.origin, attempt.sent_at, verdict, Reply{.transport = Outcome::Timeout},
          attempt.probe, true);
  }
  finish(fetch, fetch.refresh()                ? FetchEnd::GaveUp
                : fetch.place == Place::Parked ? FetchEnd::StayedDown
                                               : FetchEnd::Deadline);
  pump();
}

void PolicyFetcher::finish(Fetch& fetch, FetchEnd end) {
  stop_attempts(fetch);
  fetch.timer.cancel();
  fetch.deadline_timer.cancel();
  fetch.result.end = end;
  fetch.result.retry_after = retry_after(fetch, end);
  move(fetch, Place::Finished);
  scheduler_.post([this, id = fetch.id, alive = std::weak_ptr(alive_)] {
    if (!alive.expired()) deliver(id);
  });
}

void PolicyFetcher::deliver(FetchId id) {
  const auto found = fetches_.find(id);
  if (found == fetches_.end()) return;  // cancelled meanwhile
  const auto fetch = std::move(found->second);
  fetches_.erase(found);
  fetch->callback(std::move(fetch->result));
}

// A guess that a client can rely on: when something is going to happen that may
// change the answer.
std::chrono::seconds PolicyFetcher::retry_after(const Fetch& fetch, FetchEnd end) {
  if (end == FetchEnd::Answered) return std::chrono::seconds(1);
  const base::SteadyTime at = now();
  base::SteadyTime next = base::SteadyTime::max();
  if (end == FetchEnd::Refused) {
    next = token_.next_check();
  } else {
    for (const auto& origin : origins_) {
      next = std::min(next, origin->breaker.allows() ? std::max(at, origin->pacer.not_before())
                                                     : origin->breaker.probe_at());
    }
  }
  auto wait = std::chrono::ceil<std::chrono::seconds>(next - at);
  if (fetch.result.reply.retry_after) wait = std::max(wait, *fetch.result.reply.retry_after);
  return std::clamp(wait, std::chrono::seconds(1), kLongestRetryAfter);
}

// ---- Sending ----

void PolicyFetcher::pump() {
  // A probe that was due while all slots were taken.
  for (auto& origin : origins_) {
    if (origin->breaker.probe_due(now()) && !origin->breaker_timer.pending()) probe_if_due(*origin);
  }
  base::SteadyTime wake = base::SteadyTime::max();
  bool over = none_can_go(wake);
  for (auto it = ready_.begin(); it != ready_.end() && !over;) {
    Fetch& fetch = *fetches_.at(std::get<FetchId>(*it));
    ++it;  // before the fetch leaves the queue; nothing else leaves or enters meanwhile
    const Sent sent = try_send(fetch, wake);
    over = sent == Sent::Nobody || (sent == Sent::Yes && none_can_go(wake));
  }
  if (!over) all_patient_until_ = wake;
  if (wake == base::SteadyTime::max()) {
    pump_timer_.cancel();
  } else {
    pump_timer_.set_at(scheduler_, wake, [this] { pump(); });
  }
  update_gauges();
}

// Whether no waiting fetch can be sent, whatever it is: in a pause thousands wait, and
// each start or end of a fetch would look at all of them. If so, `wake` is when one can.
bool PolicyFetcher::none_can_go(base::SteadyTime& wake) {
  const base::SteadyTime at = now();
  // Then all that wait are told, or parked.
  if (token_.state() == TokenState::State::Refused && at < token_.next_check()) return false;
  bool all_open = true;
  base::SteadyTime next = base::SteadyTime::max();
  for (auto& origin : origins_) {
    if (!origin->breaker.allows()) continue;
    all_open = false;
    if (!has_slot() || origin->in_flight >= origin->concurrency.limit()) continue;
    const base::SteadyTime pause = origin->pacer.not_before();
    if (pause > at && all_patient_until_ > at) {
      next = std::min({next, pause, all_patient_until_});
    } else if (origin->pacer.allows(at)) {
      return false;
    } else {
      next = std::min(next, origin->pacer.next(at));
    }
  }
  if (all_open) return false;
  if (!ready_.empty()) wake = std::min(wake, std::max(next, at + base::Duration(1)));
  return true;
}

PolicyFetcher::Sent PolicyFetcher::try_send(Fetch& fetch, base::SteadyTime& wake) {
  const base::SteadyTime at = now();
  const auto wait_until = [&](base::SteadyTime when) {
    wake = std::min(wake, std::max(when, at + base::Duration(1)));
  };

  if (token_.state() == TokenState::State::Refused && at < token_.next_check()) {
    fetch.result.outcome = Outcome::Unauthorized;
    finish(fetch, FetchEnd::Refused);
    return Sent::NotThis;
  }
  const Choice choice = choose(fetch, at);
  if (choice.all_open) {
    park(fetch);
    return Sent::NotThis;
  }
  if (fetch.refresh()) {
    const int slots = std::max(1, static_cast<int>(settings_.refresh.share_of_slots *
                                                   origins_.front()->concurrency.limit()));
    // What comes after this one in the queue are refreshes too.
    if (refreshes_in_flight_ >= slots) return Sent::Nobody;
    if (!refresh_rate_.has(at)) {
      wait_until(refresh_rate_.next(at));
      return Sent::Nobody;
    }
  }
  if (choice.origin == nullptr) {
    if (choice.until != base::SteadyTime::max()) wait_until(choice.until);
    return choice.paused ? Sent::NotThis : Sent::Nobody;
  }
  const base::Duration left = fetch.request.deadline - at;
  if (!worth_sending(fetch, *choice.origin, left)) {
    finish(fetch, fetch.refresh() ? FetchEnd::GaveUp : FetchEnd::Deadline);
    return Sent::NotThis;
  }
  if (fetch.result.attempts_sent > 0) {
    if (!budget_.withdraw(at)) {
      if (!std::exchange(fetch.budget_short, true)) metrics_.budget_exhausted();
      if (fetch.refresh()) {
        finish(fetch, FetchEnd::GaveUp);
      } else {
        // The window slides on; somebody's first attempt may also pay in.
        wait_until(at + base::Duration(settings_.retry_budget.window) / 20);
      }
      return Sent::NotThis;
    }
    metrics_.retry();
  }
  Origin* target = choice.origin;
  bool probe = false;
  if (fetch.result.attempts_sent == 0 && !fetch.refresh()) {
    // An origin set aside is tried with a client's own request, since only that
    // has a validator. If it fails, the fetch goes on where it would have begun.
    for (auto& origin : origins_) {
      if (!origin->breaker.probe_due(at) || left < origin->probe_timeout() * 2) continue;
      target = origin.get();
      probe = true;
      break;
    }
  }
  // Takes the one check that a refused token is allowed now and then.
  (void)token_.admit(at);
  if (fetch.refresh()) refresh_rate_.take(at);
  hedge_.attempt_sent();
  send(fetch, *target, false, probe);
  return Sent::Yes;
}

// Not if it cannot end in time. Only a fetch that never had as long as answers
// used to take is given a try: they may come sooner now, and how else to learn it.
bool PolicyFetcher::worth_sending(const Fetch& fetch, const Origin& origin, base::Duration left) {
  if (left <= base::Duration::zero()) return false;
  const base::Duration usual = origin.timeout.usual();
  if (left >= usual) return true;
  return fetch.result.attempts_sent == 0 && fetch.request.deadline - fetch.started < usual;
}

// In the order the origins are listed, but not where this fetch failed last if
// there is another.
PolicyFetcher::Choice PolicyFetcher::choose(const Fetch& fetch, base::SteadyTime at) {
  Choice choice;
  for (const bool second_best : {false, true}) {
    for (auto& origin : origins_) {
      if ((origin.get() == fetch.failed_at) != second_best) continue;
      if (!origin->breaker.allows()) continue;
      choice.all_open = false;
      if (in_flight_ >= settings_.concurrency || origin->in_flight >= origin->concurrency.limit()) {
        continue;  // the end of an attempt pumps again
      }
      // Retry-After binds a fetch for a share of its time only: an upstream that
      // refuses at random must not use up the whole of it.
      const base::SteadyTime pause = std::min(origin->pacer.not_before(), patient_until(fetch));
      if (pause > at) {
        choice.paused = true;
        choice.until = std::min(choice.until, pause);
      } else if (!origin->pacer.allows(at)) {
        choice.until = std::min(choice.until, origin->pacer.next(at));
      } else {
        choice.origin = origin.get();
        return choice;
      }
    }
  }
  return choice;
}

base::SteadyTime PolicyFetcher::patient_until(const Fetch& fetch) const {
  return fetch.ready_since +
         std::max(base::Duration::zero(), fetch.request.deadline - fetch.ready_since) /
             settings_.backoff.share;
}

void PolicyFetcher::send(Fetch& fetch, Origin& origin, bool hedge, bool probe) {
  const base::SteadyTime at = now();
  Attempt attempt;
  attempt.number = ++last_attempt_;
  attempt.origin = &origin;
  attempt.sent_at = at;
  attempt.hedge = hedge;
  attempt.probe = probe;
  const base::Duration left = fetch.request.deadline - at;
  attempt.timeout = std::min(probe ? origin.probe_timeout() : origin.timeout.next(left),
                             std::max(base::Duration(1), left));
  move(fetch, Place::Running);
  ++in_flight_;
  if (fetch.refresh()) ++refreshes_in_flight_;
  ++fetch.result.attempts_sent;
  origin.attempt_sent(at);
  if (probe) {
    origin.breaker.probe_started(at);
    announce(origin);
  }
  attempt.transport_id =
      transport_.start(origin.index, fetch.request.request, attempt.timeout,
                       [this, id = fetch.id, number = attempt.number](Reply reply) {
                         on_reply(id, number, std::move(reply));
                       });
  fetch.attempts.push_back(attempt);
  if (!hedge && !fetch.refresh() && hedge_.enabled()) {
    arm_hedge(fetch, hedge_.delay(origin.timeout.window()));
  }
}

void PolicyFetcher::arm_hedge(Fetch& fetch, base::Duration delay) {
  fetch.timer.set_after(scheduler_, delay, [this, &fetch] { try_hedge(fetch); });
}

void PolicyFetcher::try_hedge(Fetch& fetch) {
  if (fetch.attempts.empty() || fetch.attempts.size() >= kMostAtOnce) return;
  const base::SteadyTime at = now();
  Origin* target = nullptr;
  for (auto& origin : origins_) {
    // Off while anything says that more requests would do harm.
    // The adaptive limit leaves hedges a little room of their own: the slots are
    // full because attempts are stuck in them.
    const int limit = origin->concurrency.limit();
    const bool fit = origin->breaker.allows() && !origin->pacer.limited() &&
                     in_flight_ < settings_.concurrency &&
                     origin->in_flight < limit + std::max(1, limit / 8);
    if (!fit) continue;
    if (origin.get() != fetch.attempts.front().origin) {
      target = origin.get();
      break;
    }
    if (target == nullptr) target = origin.get();
  }
  const bool in_time = target != nullptr && fetch.request.deadline - at >= target->timeout.usual();
  if (in_time && hedge_.has_token()) {
    if (budget_.withdraw(at)) {
      hedge_.hedge_sent();
      send(fetch, *target, true, false);
      update_gauges();
      return;
    }
    metrics_.budget_exhausted();
  }
  arm_hedge(fetch, kHedgeAgain);
}

void PolicyFetcher::on_reply(FetchId id, std::uint64_t number, Reply reply) {
  const auto found = fetches_.find(id);
  if (found == fetches_.end()) return;
  Fetch& fetch = *found->second;
  const auto position = std::find_if(fetch.attempts.begin(), fetch.attempts.end(),
                                     [&](const Attempt& a) { return a.number == number; });
  if (position == fetch.attempts.end()) return;
  const Attempt attempt = *position;
  fetch.attempts.erase(position);
  --in_flight_;
  if (fetch.refresh()) --refreshes_in_flight_;

  const Verdict verdict = judge(fetch.request.request, reply, fetch.request.validate);
  record(fetch, attempt, verdict, reply.status);
  ended(*attempt.origin, attempt.sent_at, verdict, reply, attempt.probe, true);
  fetch.result.outcome = verdict.outcome;
  fetch.result.reply = std::move(reply);

  const bool token_was_refused = token_.state() == TokenState::State::Refused;
  if (is_answer(verdict.outcome)) {
    token_.accepted();
    if (token_was_refused) {
      log_.event(Level::Info, "token_accepted", {{"origin", attempt.origin->name}});
    }
    metrics_.gauges.token_accepted = 1;
    finish(fetch, FetchEnd::Answered);
  } else if (verdict.outcome == Outcome::Unauthorized) {
    token_.refused(now(), fetch.result.reply.status);
    const bool token_is_refused = token_.state() == TokenState::State::Refused;
    // Metric, log and health say the same at the same time: one 403 may be about one
    // request. And once: those that were under way and the checks say nothing new.
    metrics_.gauges.token_accepted = token_is_refused ? 0 : 1;
    if (token_is_refused && !token_was_refused) {
      log_.event(Level::Error, "token_refused",
                 {{"origin", attempt.origin->name}, {"status", fetch.result.reply.status}});
    }
    finish(fetch, FetchEnd::Refused);
  } else {
    fail_or_retry(fetch, attempt, verdict);
  }
  pump();
}

void PolicyFetcher::fail_or_retry(Fetch& fetch, const Attempt& failed, const Verdict& verdict) {
  ++fetch.failures;
  fetch.failed_at = failed.origin;
  if (fetch.result.reply.status == 304) {
    // It confirms something else than what is named: ask for the whole.
    std::erase_if(fetch.request.request.fields, [](const Field& field) {
      return is_field(field, "If-None-Match") || is_field(field, "If-Modified-Since");
    });
  }
  log_.event(Level::Debug, "attempt_failed",
             {{"origin", failed.origin->name},
              {"target", fetch.request.request.target},
              {"outcome", to_string(verdict.outcome)},
              {"status", fetch.result.reply.status},
              {"detail", verdict.reason}});
  const base::Duration left = fetch.request.deadline - now();
  base::Duration wait = backoff(settings_.backoff, fetch.failures, left, random_);
  // What a timeout took has spaced the attempts already.
  if (verdict.outcome == Outcome::Timeout) {
    wait = std::max(base::Duration::zero(), wait - (now() - failed.sent_at));
  }
  // Told to come back later, and nothing else to do: not at once, while the pacer
  // makes up its mind whether this is a limit.
  if (fetch.result.reply.retry_after) {
    wait = std::max(wait, std::min<base::Duration>({*fetch.result.reply.retry_after, kRefusedPause,
                                                    left / settings_.backoff.share}));
  }
  if (!fetch.attempts.empty()) {
    // The other one is still out. It may be stuck, so hedge it in its turn.
    if (!fetch.refresh() && hedge_.enabled()) arm_hedge(fetch, std::max(wait, kHedgeAgain));
    return;
  }
  if (fetch.refresh() && fetch.failures >= settings_.refresh.max_attempts) {
    return finish(fetch, FetchEnd::GaveUp);
  }
  if (failed.probe) return make_ready(fetch);  // parks again, or goes on if another breaker closed
  move(fetch, Place::Backoff);
  fetch.timer.set_after(scheduler_, wait, [this, &fetch] {
    make_ready(fetch);
    pump();
  });
}

void PolicyFetcher::stop_attempts(Fetch& fetch) {
  const auto attempts = std::exchange(fetch.attempts, {});
  for (const Attempt& attempt : attempts) {
    transport_.cancel(attempt.transport_id);
    --in_flight_;
    if (fetch.refresh()) --refreshes_in_flight_;
    // A probe that a hedge elsewhere overtook has failed: too slow.
    const bool overtaken = is_answer(fetch.result.outcome);
    attempt.origin->attempt_cancelled(now(), attempt.probe, overtaken);
    record(fetch, attempt, {Outcome::Cancelled, {}}, 0);
    announce(*attempt.origin);
  }
}

void PolicyFetcher::record(Fetch& fetch, const Attempt& attempt, const Verdict& verdict,
                           int status) {
  const base::Duration took = now() - attempt.sent_at;
  metrics_.attempt(attempt.origin->index, verdict.outcome, took);
  if (attempt.hedge) metrics_.hedge(is_answer(verdict.outcome));
  if (sign_of(verdict.outcome) == Sign::Good) {
    metrics_.succeeded(attempt.origin->index, scheduler_.clock().wall());
  }
  auto& records = fetch.result.attempts;
  if (records.size() == kKeptRecords) records.erase(records.begin());
  records.push_back(
      {attempt.origin->index, verdict.outcome, status, attempt.hedge, took, verdict.reason});
}

}  // namespace holdfast::upstream
