// A fetch's life:
//
//   ready --a slot, the pace, the budget--> running --answer--> finished
//     ^                                        |
//     +---- backoff <---- the attempt failed --+
//     +---- parked, while no origin's breaker allows attempts
//
// Attempts that are late (suspects) go on wherever the fetch stands, and end it with their
// answer: a fetch may wait for its next attempt while others are out.
//
// A retry that the budget is too short for leaves `ready` for `starved`, and is sent
// from there.
//
// move() alone changes the place, finish() alone ends a fetch: it posts the
// callback, so that a caller may do as it likes in there, and no code here finds
// the ground moved. pump() alone sends first attempts and retries; races and
// probes have timers of their own. Everything scarce is handed out in the order
// of `ready_` and `starved_`: misses before refreshes, the earliest deadline first.
#include "upstream/policy_fetcher.h"

#include <algorithm>
#include <optional>

#include "upstream/policy_fetcher_fetch.h"

namespace holdfast::upstream {
namespace {

using observe::Level;

constexpr std::size_t kKeptRecords = 32;
constexpr std::chrono::seconds kLongestToldWait = std::chrono::hours(1);

Settings checked(Settings settings) {
  settings.concurrency = std::max(1, settings.concurrency);
  if (settings.origins.empty()) settings.origins.emplace_back("upstream");
  return settings;
}

}  // namespace

PolicyFetcher::PolicyFetcher(base::Scheduler& scheduler, base::Random& random, Transport& transport,
                             Settings settings, observe::Metrics& metrics, observe::Shard& shard,
                             observe::Log& log)
    : scheduler_(scheduler),
      random_(random),
      transport_(transport),
      settings_(checked(std::move(settings))),
      log_(log),
      metrics_(metrics, shard, settings_.name, settings_.origins,
               {.queued = settings_.max_waiting, .parked = settings_.max_parked}),
      budget_(settings_.retry_budget),
      hedge_(settings_.hedge),
      luck_(settings_.luck),
      refresh_rate_(settings_.refresh.per_second, settings_.refresh.burst) {
  for (std::size_t i = 0; i < settings_.origins.size(); ++i) {
    origins_.push_back(std::make_unique<Origin>(i, settings_, random_, now()));
    arm_idle_probe(*origins_.back());
    tend_addresses(*origins_.back());
  }
  update_gauges();
}

PolicyFetcher::~PolicyFetcher() {
  end_passes();
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
  fetch.key = std::hash<std::string>{}(fetch.request.request.target);
  fetch.deadline_timer.set_at(scheduler_, fetch.request.deadline,
                              [this, &fetch] { on_deadline(fetch); });
  for (auto& origin : origins_) {
    origin->probe.remember(fetch.request);
  }

  if (crowded(fetch)) {
    finish(fetch, fetch.refresh() ? FetchEnd::GaveUp : FetchEnd::Overloaded);
  } else {
    budget_.deposit(now());
    for (auto& origin : origins_) {
      if (!origin->has_address() && unreachable_) unreachable_(origin->index);
    }
    make_ready(fetch);
    pump();
  }
  return id;
}

bool PolicyFetcher::crowded(const Fetch& fetch) const {
  return fetch.refresh() ? waiting_refreshes_ >= settings_.refresh.max_waiting
                         : waiting() - waiting_refreshes_ >= settings_.max_waiting;
}

PolicyFetcher::Outlook PolicyFetcher::outlook(bool may_park, base::Duration deadline) {
  Fetch fetch;
  fetch.request.may_park = may_park;
  fetch.request.deadline = now() + deadline;
  fetch.started = fetch.ready_since = now();
  Outlook outlook;
  const auto ends = [&outlook](FetchEnd end, Outcome outcome) {
    outlook.way = Outlook::Way::Ends;
    outlook.end = end;
    outlook.outcome = outcome;
    return outlook;
  };
  if (crowded(fetch)) return ends(FetchEnd::Overloaded, Outcome::Local);
  Choice choice;
  switch (bar(fetch, now(), choice)) {
    case Bar::None:
      break;
    case Bar::Parks:
      if (const auto end = not_parked(fetch)) return ends(*end, Outcome::Ok);
      outlook.way = Outlook::Way::Parked;
      for (const auto& origin : origins_) {
        outlook.until = std::min(outlook.until, origin->breaker.probe_at());
      }
      return outlook;
    case Bar::NotTrusted:
      return ends(FetchEnd::Refused, Outcome::Certificate);
    case Bar::NotAdmitted:
      return ends(FetchEnd::Refused, Outcome::Unauthorized);
  }
  if (choice.origin == nullptr) {
    outlook.way = Outlook::Way::Waits;
    outlook.until = choice.until;
  }
  return outlook;
}

void PolicyFetcher::extend(FetchId id, base::SteadyTime deadline, Priority priority) {
  const auto found = fetches_.find(id);
  if (found == fetches_.end() || found->second->place == Place::Finished) return;
  Fetch& fetch = *found->second;
  const Place place = fetch.place;
  const bool queued = place == Place::Ready || place == Place::Starved || place == Place::Parked;
  if (queued) move(fetch, Place::New);  // out of the queue while its key changes
  const bool was_refresh = fetch.refresh();
  fetch.request.priority = std::min(fetch.request.priority, priority);
  if (was_refresh && !fetch.refresh()) {
    refreshes_in_flight_ -=
        static_cast<int>(std::count_if(fetch.attempts.begin(), fetch.attempts.end(),
                                       [](const Attempt& attempt) { return !attempt.suspect; }));
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
  result.last_refused = fetch.result.last_refused;
  result.last_invalid = fetch.result.last_invalid;
  result.attempts = fetch.result.attempts;
  result.attempts_sent = fetch.result.attempts_sent;
  result.retry_after = retry_after(fetch, result.end);
  tell_why_not_asked(result);
  return result;
}

void PolicyFetcher::token_changed() {
  for (auto& origin : origins_) origin->token.changed();
  ++tokens_;
  metrics_.gauges.token_accepted = 1;
  // Some may wait for another origin, since this one refused them.
  if (any_asks()) release_parked();
  pump();
}

void PolicyFetcher::name_trouble(std::size_t index, std::string trouble) {
  if (index < origins_.size()) origins_[index]->name_trouble = std::move(trouble);
}

void PolicyFetcher::addresses(std::size_t index, const std::vector<std::string>& list) {
  if (index >= origins_.size()) return;
  Origin& origin = *origins_[index];
  origin.addresses.set(list);
  tend_addresses(origin);
  // What is late at an address that the name has left, or is not even connected there,
  // waits in vain, maybe.
  for (auto& [id, fetch] : fetches_) {
    bool left = false;
    for (Attempt& attempt : fetch->attempts) {
      if (attempt.origin != &origin ||
          std::find(list.begin(), list.end(), attempt.address) != list.end()) {
        continue;
      }
      const auto progress = transport_.progress(attempt.transport_id);
      if (!attempt.suspect && progress && progress->phase != Phase::Answer) {
        suspect(*fetch, attempt);
      }
      left = left || attempt.suspect;
    }
    if (!left) continue;
    // Neither does a race that is still on its way there help.
    for (Attempt& attempt : fetch->attempts) {
      const auto progress = transport_.progress(attempt.transport_id);
      if (attempt.origin == &origin && !attempt.suspect && progress &&
          progress->phase != Phase::Answer &&
          std::find(list.begin(), list.end(), attempt.address) == list.end()) {
        suspect(*fetch, attempt);
      }
    }
    fetch->race_at_once = true;
    look_at(*fetch, now());
  }
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
  status.queued = waiting();
  status.parked = parked_.size();
  status.retry_budget = budget_.balance(now());
  const auto all = [&](TokenState::State state) {
    return std::all_of(origins_.begin(), origins_.end(),
                       [state](const auto& origin) { return origin->token.state() == state; });
  };
  const auto any = [&](TokenState::State state) {
    return std::any_of(origins_.begin(), origins_.end(),
                       [state](const auto& origin) { return origin->token.state() == state; });
  };
  status.token = all(TokenState::State::Refused)    ? TokenState::State::Refused
                 : any(TokenState::State::Accepted) ? TokenState::State::Accepted
                                                    : TokenState::State::Unknown;
  return status;
}

// ---- The life of a fetch ----

void PolicyFetcher::move(Fetch& fetch, Place place) {
  const auto weigh = [&](Place where, bool enters) {
    const std::size_t refresh = fetch.refresh() ? 1 : 0;
    if (where == Place::Ready) {
      enters ? (void)ready_.insert(fetch.key_in_queue()) : (void)ready_.erase(fetch.key_in_queue());
      waiting_refreshes_ = enters ? waiting_refreshes_ + refresh : waiting_refreshes_ - refresh;
    } else if (where == Place::Starved) {
      enters ? (void)starved_.insert(fetch.key_in_queue())
             : (void)starved_.erase(fetch.key_in_queue());
    } else if (where == Place::Parked) {
      enters ? (void)parked_.insert(fetch.key_in_queue())
             : (void)parked_.erase(fetch.key_in_queue());
    } else if (where == Place::Backoff) {
      in_backoff_ = enters ? in_backoff_ + 1 : in_backoff_ - 1;
    }
  };
  weigh(fetch.place, false);
  fetch.place = place;
  weigh(place, true);
  metrics_.gauges.queued.store(static_cast<double>(waiting()), std::memory_order_relaxed);
  metrics_.gauges.parked.store(static_cast<double>(parked_.size()), std::memory_order_relaxed);
}

void PolicyFetcher::make_ready(Fetch& fetch) {
  fetch.ready_since = now();
  all_patient_until_ = std::min(all_patient_until_, patient_until(fetch));
  move(fetch, Place::Ready);
}

std::optional<FetchEnd> PolicyFetcher::not_parked(const Fetch& fetch) const {
  const bool hope = std::any_of(origins_.begin(), origins_.end(), [](const auto& origin) {
    return origin->breaker.forced() == Breaker::Forced::No;
  });
  if (fetch.refresh() || fetch.held) return FetchEnd::GaveUp;
  if (!hope || !fetch.request.may_park) return FetchEnd::BreakerOpen;
  if (parked_.size() >= settings_.max_parked) return FetchEnd::CrowdedOut;
  return std::nullopt;
}

void PolicyFetcher::park(Fetch& fetch) {
  if (const auto end = not_parked(fetch)) return finish(fetch, *end);
  move(fetch, Place::Parked);
  // A probe may be overdue, if there was nothing to send it with.
  for (auto& origin : origins_) probe_if_due(*origin);
}

// What is still under way then has run out of its clients' time, not of its own: that
// counts against nobody.
void PolicyFetcher::on_deadline(Fetch& fetch) {
  const bool nameless = std::none_of(origins_.begin(), origins_.end(),
                                     [](const auto& origin) { return origin->has_address(); });
  if (fetch.result.attempts_sent == 0 && nameless) {
    fetch.result.outcome = Outcome::Dns;
    fetch.result.reply.detail = origins_.front()->name_trouble;
  }
  finish(fetch, fetch.refresh()                ? FetchEnd::GaveUp
                : fetch.place == Place::Parked ? FetchEnd::StayedDown
                                               : FetchEnd::Deadline);
  pump();
}

void PolicyFetcher::finish(Fetch& fetch, FetchEnd end) {
  stop_attempts(fetch);
  fetch.timer.cancel();
  fetch.watch.cancel();
  fetch.deadline_timer.cancel();
  if (end != FetchEnd::Answered && end != FetchEnd::TooLarge && fetch.held) {
    // No other origin had a better answer than this.
    fetch.result.cut_short = fetch.failures == fetch.held->failures;
    end = fetch.held->end;
    fetch.result.reply = std::move(fetch.held->reply);
    fetch.result.outcome = fetch.held->outcome;
  }
  fetch.result.end = end;
  fetch.result.token_refused = end == FetchEnd::Refused && any_token_refused();
  fetch.result.retry_after = retry_after(fetch, end);
  tell_why_not_asked(fetch.result);
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

void PolicyFetcher::tell_why_not_asked(FetchResult& result) const {
  if (result.end != FetchEnd::BreakerOpen && result.end != FetchEnd::CrowdedOut &&
      result.end != FetchEnd::StayedDown) {
    return;
  }
  // Of several, one that answers is the better news.
  for (const auto& origin : origins_) {
    if (result.last_error_status != 0) return;
    result.last_error = origin->last_error();
    result.last_error_status = origin->last_error_status();
  }
}

// A guess that a client can rely on: when something is going to happen that may
// change the answer.
std::chrono::seconds PolicyFetcher::retry_after(const Fetch& fetch, FetchEnd end) {
  if (end == FetchEnd::Answered || end == FetchEnd::TooLarge) return std::chrono::seconds(1);
  const base::SteadyTime at = now();
  base::SteadyTime next = base::SteadyTime::max();
  if (end == FetchEnd::Refused) {
    for (const auto& origin : origins_) next = std::min(next, origin->token.next_check());
  } else {
    for (const auto& origin : origins_) {
      next = std::min(next, origin->breaker.allows() ? std::max(at, origin->pacer.not_before())
                                                     : origin->breaker.probe_at());
    }
  }
  auto wait = std::chrono::ceil<std::chrono::seconds>(next - at);
  if (fetch.result.reply.retry_after) wait = std::max(wait, *fetch.result.reply.retry_after);
  return std::clamp(wait, std::chrono::seconds(1), kLongestToldWait);
}

// ---- An attempt's end, as far as it is the fetch's ----

void PolicyFetcher::stop_attempts(Fetch& fetch) {
  const auto attempts = std::exchange(fetch.attempts, {});
  for (const Attempt& attempt : attempts) {
    transport_.cancel(attempt.transport_id);
    forget(fetch, attempt);
    // A probe that a hedge elsewhere overtook has failed: too slow.
    const bool overtaken = is_answer(fetch.result.outcome);
    attempt.origin->attempt_cancelled(now(), attempt, overtaken);
    record(fetch, attempt, {Outcome::Cancelled, {}}, 0);
    announce(*attempt.origin);
  }
}

// It is not in flight any more.
void PolicyFetcher::forget(const Fetch& fetch, const Attempt& attempt) {
  --in_flight_;
  if (attempt.suspect) {
    suspects_.erase({attempt.sent_at, attempt.number, fetch.id});
  } else if (fetch.refresh()) {
    --refreshes_in_flight_;
  }
}

void PolicyFetcher::record(Fetch& fetch, const Attempt& attempt, const Verdict& verdict,
                           int status) {
  const base::Duration took = now() - attempt.sent_at;
  metrics_.attempt(attempt.origin->index, verdict.outcome, took);
  if (attempt.beside == Beside::Hedge) metrics_.hedge(is_answer(verdict.outcome));
  if (attempt.beside == Beside::Race) metrics_.race(is_answer(verdict.outcome));
  if (sign_of(verdict.outcome) == Sign::Good) {
    metrics_.succeeded(attempt.origin->index, scheduler_.clock().wall());
  }
  auto& records = fetch.result.attempts;
  if (records.size() == kKeptRecords) records.erase(records.begin());
  records.push_back({attempt.origin->index, verdict.outcome, status,
                     attempt.beside != Beside::Nothing, took, verdict.reason});
}

}  // namespace holdfast::upstream
