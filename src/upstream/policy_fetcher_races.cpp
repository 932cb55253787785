// The part of PolicyFetcher that looks after attempts under way. A learned time says when
// to start another one beside it, never when to kill it:
//
//   attempt --slower than usual--> suspect: it takes no slot any more, and is raced
//           --long silence, and none from the origin either--> a sign of illness
//           --connections short, and the silence long--> cut: it taught "longer than this"
//
// What usual is, each phase has to itself: set-up by address, the answer from the request
// being sent. A race out of a stuck set-up goes to another address, one beside a kept
// connection that says nothing goes on a new one; if it wins, connections as old are not
// trusted any more.
#include <algorithm>
#include <utility>

#include "upstream/policy_fetcher.h"
#include "upstream/policy_fetcher_fetch.h"

namespace holdfast::upstream {
namespace {

// The next phase may have less patience than the present one, so that is not waited for.
constexpr base::Duration kLookAgain = std::chrono::milliseconds(100);
// A lost SYN is sent again after a second, and the second one after two more.
constexpr base::Duration kNobodyThereLeast = std::chrono::seconds(2);
constexpr base::Duration kNobodyThere = std::chrono::milliseconds(3500);

base::SteadyTime after(base::SteadyTime from, base::Duration delay) {
  return delay >= base::SteadyTime::max() - from ? base::SteadyTime::max() : from + delay;
}

}  // namespace

void PolicyFetcher::look_at(Fetch& fetch, base::SteadyTime when) {
  if (when == base::SteadyTime::max()) return fetch.watch.cancel();
  fetch.watch.set_at(scheduler_, when, [this, &fetch] { look(fetch); });
}

void PolicyFetcher::look(Fetch& fetch) {
  if (fetch.place == Place::Finished) return;
  const int before = in_flight_ - static_cast<int>(suspects_.size());
  base::SteadyTime next = base::SteadyTime::max();
  for (Attempt& attempt : fetch.attempts) next = std::min(next, look(fetch, attempt));
  if (fetch.place == Place::Running) {
    const bool probe_given_up = std::any_of(fetch.attempts.begin(), fetch.attempts.end(),
                                            [](const Attempt& a) { return a.probe && a.suspect; });
    if (probe_given_up && fetch.only_suspects() &&
        !fetch.attempts.back().origin->breaker.allows()) {
      make_ready(fetch);  // parks again, or goes on if another breaker closed
    } else {
      next = std::min(next, consider_race(fetch));
    }
  }
  look_at(fetch, next);
  if (in_flight_ - static_cast<int>(suspects_.size()) != before || fetch.place == Place::Ready)
    pump();
}

// When to look at it again.
base::SteadyTime PolicyFetcher::look(Fetch& fetch, Attempt& attempt) {
  const auto progress = transport_.progress(attempt.transport_id);
  if (!progress) return base::SteadyTime::max();  // its end is on its way to us
  const base::SteadyTime at = now();
  Origin& origin = *attempt.origin;
  base::SteadyTime next = base::SteadyTime::max();
  if (!attempt.suspect) {
    const base::SteadyTime due =
        std::min(after(progress->since, patience(attempt, *progress)), attempt.suspect_by);
    if (at < due) {
      next = progress->phase == Phase::Answer ? due : std::min(due, at + kLookAgain);
    } else {
      suspect(fetch, attempt);
      if (progress->phase != Phase::Answer && unreachable_) unreachable_(origin.index);
    }
  }
  if (progress->phase != Phase::Answer) {
    // What began while nobody was there says nothing of later, so it is not waited for its end.
    const base::Duration silence =
        std::clamp((fetch.request.deadline - fetch.started) / 2, kNobodyThereLeast, kNobodyThere);
    if (!attempt.counted_silent && at >= progress->since + silence) {
      origin.attempt_stuck(at, attempt, progress->phase);
      tend_addresses(origin);
      announce(origin);
    }
    return std::min(next, at + kLookAgain);
  }
  if (!attempt.counted_silent) {
    // Nor longer than half of what its clients have, or no silence could ever be seen.
    const base::Duration silence =
        std::min(origin.times().silence(), (fetch.request.deadline - fetch.started) / 2);
    if (at < progress->since + silence) {
      next = std::min(next, progress->since + silence);
    } else if (!origin.alive_since(progress->since)) {
      origin.attempt_silent(at, attempt);
      announce(origin);
    }
  }
  return next;
}

base::Duration PolicyFetcher::patience(const Attempt& attempt, const Progress& progress) const {
  const Origin& origin = *attempt.origin;
  if (attempt.probe) return attempt.patience - (progress.since - attempt.sent_at);
  if (progress.phase != Phase::Answer) {
    return origin.addresses.patience(attempt.address, progress.phase);
  }
  return origin.times(attempt.address).suspect_after(origin.addresses.round_trip(attempt.address));
}

void PolicyFetcher::suspect(Fetch& fetch, Attempt& attempt) {
  attempt.origin->attempt_suspected(now(), attempt);
  suspects_.emplace(attempt.sent_at, attempt.number, fetch.id);
  if (fetch.refresh()) --refreshes_in_flight_;
  announce(*attempt.origin);
}

// Starts another attempt beside those under way, if it is time; when to think of it again.
base::SteadyTime PolicyFetcher::consider_race(Fetch& fetch) {
  if (fetch.attempts.empty()) return base::SteadyTime::max();
  const base::SteadyTime at = now();
  const Attempt& youngest = fetch.attempts.back();
  const Origin& origin = *youngest.origin;
  const auto progress = transport_.progress(youngest.transport_id);
  if (!progress) return base::SteadyTime::max();
  const base::Duration round_trip = origin.addresses.round_trip(youngest.address);
  const AnswerTimes& times = origin.times(youngest.address);
  const bool silent = !origin.alive_since(youngest.sent_at, youngest.address);
  // A hedge is no help where nobody is: elsewhere, then, and at once.
  const bool same_fate =
      youngest.beside == Beside::Hedge && silent && origin.addresses.has_other(youngest.address);
  Beside beside = Beside::Race;
  base::SteadyTime due = at;
  if (!fetch.only_suspects()) {
    if (fetch.attempts.size() > 1 || fetch.refresh() || !hedge_.enabled() || youngest.probe ||
        progress->phase != Phase::Answer) {
      return base::SteadyTime::max();
    }
    beside = Beside::Hedge;
    due = after(progress->since, hedge_.delay(times, round_trip));
  } else if (fetch.attempts.size() > 1 && progress->phase == Phase::Answer && !fetch.race_at_once &&
             !same_fate) {
    due =
        youngest.sent_at + origin.times().spacing(fetch.races, origin.alive_since(youngest.sent_at),
                                                  fetch.request.deadline - at, round_trip);
    if (silent || progress->kept) due = std::min(due, youngest.suspect_by);
  }
  // What nobody has got there may be sent elsewhere: it is one request still.
  if (progress->phase == Phase::Answer && !progress->unacknowledged) {
    const base::SteadyTime earliest = after(progress->since, hedge_.race_not_before());
    if (at < earliest) return progress->kept ? std::min(earliest, at + kLookAgain) : earliest;
  }
  if (at < due) return due;
  if (!try_race(fetch, beside)) return at + kRaceAgain;
  return fetch.attempts.empty() ? base::SteadyTime::max() : at + kRaceAgain;
}

bool PolicyFetcher::try_race(Fetch& fetch, Beside beside) {
  const base::SteadyTime at = now();
  // Where the fewest of its attempts are out, and the last one is not.
  const auto tried = [&fetch](const Origin& origin) {
    const auto out = std::count_if(fetch.attempts.begin(), fetch.attempts.end(),
                                   [&](const Attempt& a) { return a.origin == &origin; });
    return std::pair(out, fetch.attempts.back().origin == &origin);
  };
  Origin* target = nullptr;
  for (auto& origin : origins_) {
    if (!origin->breaker.allows() || !origin->has_address() || fetch.is_final_at(*origin) ||
        origin->token.state() == TokenState::State::Refused ||
        origin->certificate.state() == TokenState::State::Refused) {
      continue;
    }
    // A hedge is off while anything says that more requests would do harm; a race keeps to
    // the pace.
    if (beside == Beside::Hedge ? origin->pacer.limited()
                                : !origin->pacer.allows(at) || origin->pacer.not_before() > at) {
      continue;
    }
    // Both have a little room of their own: the slots are full because attempts are
    // stuck in them.
    const int limit = origin->concurrency.limit();
    if (origin->in_flight >= limit + std::max(1, limit / 8)) continue;
    if (target == nullptr || tried(*origin) < tried(*target)) target = origin.get();
  }
  const bool in_time = target != nullptr && fetch.request.deadline - at >= target->times().usual();
  if (fetch.spent()) return false;
  if (!in_time || (beside == Beside::Hedge && !hedge_.has_token())) return false;
  // With all connections taken, or enough out, it gives up one of its own, if it has several;
  // but each has the time that a set-up and an answer may take, or none would ever come.
  const bool replaces = !has_slot() || fetch.attempts.size() >= kMostAtOnce;
  if (replaces && (fetch.attempts.size() < 2 ||
                   at - fetch.attempts[1].sent_at < target->times().superfluous_after())) {
    return false;
  }
  if (!budget_.withdraw(at)) {
    // Once, however often it is tried again.
    if (!std::exchange(fetch.hedge_starved, true)) metrics_.budget_exhausted();
    return false;
  }
  if (beside == Beside::Hedge) hedge_.hedge_sent();
  if (replaces) cut(fetch, 1);
  ++fetch.races;
  send(fetch, *target, beside, false);
  update_gauges();
  return true;
}

// The fetch's attempt at that position ends by our hand, as nobody's failure.
void PolicyFetcher::cut(Fetch& fetch, std::size_t position) {
  const Attempt attempt = fetch.attempts[position];
  const auto progress = transport_.progress(attempt.transport_id);
  if (attempt.suspect && progress && progress->phase != Phase::Answer &&
      attempt.origin->addresses.has_other(attempt.address)) {
    // Or each race would begin there anew.
    attempt.origin->addresses.overtaken(now(), attempt.address);
    tend_addresses(*attempt.origin);
  }
  // Its connection may have been dead, and others like it.
  if (progress && progress->kept) {
    fetch.kept_in_vain = std::max(fetch.kept_in_vain, attempt.sent_at);
  }
  fetch.attempts.erase(fetch.attempts.begin() + static_cast<std::ptrdiff_t>(position));
  transport_.cancel(attempt.transport_id);
  forget(fetch, attempt);
  attempt.origin->attempt_cut(now(), attempt, position == 0);
  record(fetch, attempt, {Outcome::Cancelled, "cut off: connections were short"}, 0);
}

// Where connections are short, a suspect gives way to those who have none, but not before
// there is little hope for it: of fetches with several the youngest, since the oldest is the
// nearest to its answer if there will be one; else the oldest of all. There is little hope for
// any while its origin's breaker is open: probes must not wait behind what hangs. `wake`: when
// one will have to.
void PolicyFetcher::make_room(base::SteadyTime& wake) {
  const base::SteadyTime at = now();
  while (!has_slot()) {
    Fetch* chosen = nullptr;
    std::size_t position = 0;
    const auto consider = [&](const Suspect& suspect, bool alone) {
      const auto& [sent_at, number, id] = suspect;
      Fetch& fetch = *fetches_.at(id);
      std::size_t i = 0;
      while (fetch.attempts[i].number != number) ++i;
      if (alone != (i == 0)) return false;
      const Origin& origin = *fetch.attempts[i].origin;
      const AnswerTimes& times = origin.times();
      const base::SteadyTime due =
          !origin.breaker.allows()
              ? at
              : sent_at + (alone ? times.hopeless_after() : times.superfluous_after());
      if (at < due) {
        wake = std::min(wake, due);
        return false;
      }
      chosen = &fetch;
      position = i;
      return true;
    };
    const auto other = [&](const Suspect& suspect) { return consider(suspect, false); };
    const auto first = [&](const Suspect& suspect) { return consider(suspect, true); };
    (void)(std::any_of(suspects_.rbegin(), suspects_.rend(), other) ||
           std::any_of(suspects_.begin(), suspects_.end(), first));
    if (chosen == nullptr) return;
    (void)look(*chosen, chosen->attempts[position]);  // its silence is due just now, maybe
    cut(*chosen, position);
    if (chosen->place != Place::Running || !chosen->attempts.empty()) continue;
    Fetch& fetch = *chosen;
    ++fetch.failures;
    move(fetch, Place::Backoff);
    fetch.timer.set_after(
        scheduler_,
        backoff(settings_.backoff, fetch.failures, fetch.request.deadline - at, random_),
        [this, &fetch] {
          make_ready(fetch);
          pump();
        });
  }
}

// `winner` has been answered, by whomever and with whatever. What does that say of those
// that were sent before it and are still out?
void PolicyFetcher::learn_from_race(Fetch& fetch, const Attempt& winner, bool answered) {
  for (Attempt& other : fetch.attempts) {
    if (other.sent_at >= winner.sent_at || !other.suspect) continue;
    const auto progress = transport_.progress(other.transport_id);
    if (!progress) continue;
    Origin& origin = *other.origin;
    if (answered && progress->phase == Phase::Answer) {
      origin.attempt_overtaken(now(), other, &origin != winner.origin);
      eject_if_outlier(origin);
      announce(origin);
    }
    // If others have had their answers from there meanwhile, it is this one's bad luck.
    if (origin.alive_since(other.sent_at, other.address)) continue;
    const bool elsewhere = &origin != winner.origin || other.address != winner.address;
    if (progress->phase == Phase::Answer && progress->kept) {
      transport_.distrust(origin.index, other.address);
    }
    if (elsewhere && &origin == winner.origin) {
      origin.addresses.overtaken(now(), other.address);
      tend_addresses(origin);
    }
  }
}

// Something is as it was not when they were sent: a breaker closed, an address is gone.
void PolicyFetcher::race_all_that_are_stuck() {
  for (auto& [id, fetch] : fetches_) {
    if (fetch->place != Place::Running || fetch->attempts.empty() || !fetch->only_suspects())
      continue;
    fetch->race_at_once = true;
    look_at(*fetch, now());
  }
}

}  // namespace holdfast::upstream
