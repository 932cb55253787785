// The part of PolicyFetcher that decides whose attempt goes out next, and where to. pump() hands
// out what is scarce in the order of `ready_`.
#include <algorithm>
#include <cstdint>
#include <utility>

#include "upstream/policy_fetcher.h"
#include "upstream/policy_fetcher_fetch.h"

namespace holdfast::upstream {
namespace {

// What is bad luck: at most this share of attempts fails, of so many at least.
constexpr double kBadLuck = 0.5;
constexpr std::uint64_t kKnownShare = 10;

}  // namespace

void PolicyFetcher::pump() {
  // A probe that was due while all slots were taken.
  for (auto& origin : origins_) {
    if (origin->breaker.probe_due(now()) && !origin->breaker_timer.pending()) probe_if_due(*origin);
  }
  base::SteadyTime wake = base::SteadyTime::max();
  if (!ready_.empty() || !starved_.empty() || !waiting_passes_.empty()) make_room(wake);
  bool over = none_can_go(wake);
  auto ready = ready_.begin();
  auto starved = starved_.begin();
  auto passing = waiting_passes_.begin();
  while (!over) {
    const bool look = starved != starved_.end() && starved_concerned();
    if (passing != waiting_passes_.end() && (ready == ready_.end() || *passing < *ready)) {
      Pass& pass = *passes_.at(std::get<PassId>(*passing));
      ++passing;
      const Sent sent = try_pass(pass, wake);
      over = sent == Sent::Nobody || (sent == Sent::Yes && none_can_go(wake));
      continue;
    }
    if (ready == ready_.end() && !look) break;
    auto& it = ready == ready_.end() || (look && *starved < *ready) ? starved : ready;
    Fetch& fetch = *fetches_.at(std::get<FetchId>(*it));
    ++it;  // before the fetch leaves the queue; nothing else leaves meanwhile
    const Sent sent = try_send(fetch, wake);
    over = sent == Sent::Nobody || (sent == Sent::Yes && none_can_go(wake));
  }
  // The budget's window slides on, though nobody may start or end a fetch.
  if (!starved_.empty()) {
    wake = std::min(wake, now() + base::Duration(settings_.retry_budget.window) / 20);
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
  if (std::any_of(origins_.begin(), origins_.end(), [at](const auto& origin) {
        return origin->distrusted(at) || origin->token.refuses(at);
      })) {
    return false;
  }
  bool all_open = true;
  base::SteadyTime next = base::SteadyTime::max();
  for (auto& origin : origins_) {
    if (!origin->breaker.allows()) continue;
    all_open = false;
    if (!origin->has_address()) continue;  // names come with a pump()
    const base::SteadyTime slot = origin->concurrency.free_at(origin->in_flight);
    if (!has_slot() || slot == base::SteadyTime::max()) continue;
    if (slot > at) {
      next = std::min(next, slot);
      continue;
    }
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
  if (!ready_.empty() || !starved_.empty() || !waiting_passes_.empty())
    wake = std::min(wake, std::max(next, at + base::Duration(1)));
  return true;
}

// Whether it is worth while to look at retries that wait for the budget: thousands may,
// and each start or end of a fetch would look at all of them. Not only if it has room:
// without a token, or with nobody to ask, they are told or parked.
bool PolicyFetcher::starved_concerned() {
  const base::SteadyTime at = now();
  return budget_.balance(at) >= 1.0 ||
         std::none_of(origins_.begin(), origins_.end(), [at](const auto& origin) {
           return origin->breaker.allows() && !origin->distrusted(at) && !origin->token.refuses(at);
         });
}

PolicyFetcher::Sent PolicyFetcher::try_send(Fetch& fetch, base::SteadyTime& wake) {
  const base::SteadyTime at = now();
  const auto wait_until = [&](base::SteadyTime when) {
    wake = std::min(wake, std::max(when, at + base::Duration(1)));
  };

  Choice choice;
  const Bar bar = this->bar(fetch, at, choice);
  if (bar == Bar::Parks) {
    park(fetch);
    return Sent::NotThis;
  }
  if (bar != Bar::None) {
    fetch.result.outcome = bar == Bar::NotTrusted ? Outcome::Certificate : Outcome::Unauthorized;
    finish(fetch, FetchEnd::Refused);
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
    // Who waits for one origin's second word must not hold up those whom the others may serve.
    return choice.paused || !fetch.final_at.empty() ? Sent::NotThis : Sent::Nobody;
  }
  const base::Duration left = fetch.request.deadline - at;
  if (fetch.spent() || !worth_sending(fetch, *choice.origin, left)) {
    // What is out may still be answered.
    if (!fetch.attempts.empty()) {
      move(fetch, Place::Running);
    } else {
      finish(fetch, fetch.refresh() || fetch.spent() ? FetchEnd::GaveUp : FetchEnd::Deadline);
    }
    return Sent::NotThis;
  }
  if (fetch.result.attempts_sent > fetch.lacks) {  // else nothing has been sent yet
    if (!budget_.withdraw(at)) {
      if (fetch.place != Place::Starved) metrics_.budget_exhausted();
      if (fetch.refresh()) {
        fetch.attempts.empty() ? finish(fetch, FetchEnd::GaveUp) : move(fetch, Place::Running);
      } else {
        move(fetch, Place::Starved);
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
      if (!origin->breaker.probe_due(at) || left < origin->probe_patience() * 2 ||
          !origin->has_address() || origin->token.refuses(at)) {
        continue;
      }
      target = origin.get();
      probe = true;
      break;
    }
  }
  // Takes the one check that a refused token is allowed now and then.
  (void)target->token.admit(at);
  if (fetch.refresh()) refresh_rate_.take(at);
  hedge_.attempt_sent();
  send(fetch, *target, Beside::Nothing, probe);
  if (needs_company(fetch, *target)) (void)try_race(fetch, Beside::Hedge);
  return Sent::Yes;
}

PolicyFetcher::Bar PolicyFetcher::bar(const Fetch& fetch, base::SteadyTime at, Choice& choice) {
  if (all_refuse(at)) return Bar::NotAdmitted;
  choice = choose(fetch, at);
  if (choice.all_open) return Bar::Parks;
  if (choice.none_trusted) return Bar::NotTrusted;
  if (!choice.none_admits) return Bar::None;
  // One that would is known to be down, maybe, but not for ever.
  const bool hope = std::any_of(origins_.begin(), origins_.end(), [&](const auto& origin) {
    return !origin->breaker.allows() && !origin->token.refuses(at) && !fetch.is_final_at(*origin);
  });
  return hope ? Bar::Parks : Bar::NotAdmitted;
}

// Where some of what is asked goes wrong, a third failure in a row is what clients wait longest
// for: the second retry has a hedge with it from its start. Once for each fetch, so that a key
// that always fails costs no more; and not where most goes wrong, for that is no bad luck, nor
// where it was told to come back later.
bool PolicyFetcher::needs_company(const Fetch& fetch, Origin& origin) const {
  return fetch.failures == 2 && fetch.attempts.size() == 1 && !fetch.refresh() &&
         !fetch.attempts.back().probe && hedge_.by_itself() && !fetch.result.reply.retry_after &&
         fetch.result.outcome != Outcome::RateLimited &&
         origin.breaker.volume(now()) >= kKnownShare &&
         origin.breaker.error_rate(now()) <= kBadLuck;
}

// Not if it cannot end in time. Only a fetch that never had as long as answers
// used to take is given a try: they may come sooner now, and how else to learn it.
bool PolicyFetcher::worth_sending(const Fetch& fetch, const Origin& origin, base::Duration left) {
  if (left <= base::Duration::zero()) return false;
  const base::Duration usual = origin.times().usual();
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
      if (fetch.is_final_at(*origin)) continue;
      if (!origin->breaker.allows()) continue;
      choice.all_open = false;
      if (origin->distrusted(at)) continue;
      choice.none_trusted = false;
      if (origin->token.refuses(at)) continue;
      choice.none_admits = false;
      if (!origin->has_address()) continue;
      const base::SteadyTime slot = origin->concurrency.free_at(origin->in_flight);
      if (!has_slot() || slot == base::SteadyTime::max()) continue;  // an attempt's end pumps again
      if (slot > at) {
        choice.until = std::min(choice.until, slot);
        continue;
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

void PolicyFetcher::send(Fetch& fetch, Origin& origin, Beside beside, bool probe) {
  const base::SteadyTime at = now();
  // The first is the nearest to its answer, if there will be one; the next has had its chance.
  if (fetch.attempts.size() >= kMostAtOnce) cut(fetch, 1);
  Sending sending = aim(fetch, origin);
  // Whose certificate it is now, a connection from before does not tell; nor whether anybody
  // is there, if it died with those that opened the breaker.
  if (probe || origin.certificate.state() == TokenState::State::Refused) {
    sending.new_connection = true;
  }
  // Whose failure cost a connection makes the next one: over a distance those that are there
  // answer in a third of the time, and are for who has not failed yet, or has so again.
  if (fetch.used_up_connection && fetch.failures == 1 && beside == Beside::Nothing) {
    sending.new_connection = true;
  }
  // What a kept connection met is the connection's, maybe; this is about to decide.
  if (fetch.equal > 0 && !is_whole(fetch.result.reply) &&
      fetch.equal + kOnNewConnections >= luck_.needed(at, fetch.key)) {
    sending.new_connection = true;
  }
  Attempt attempt;
  attempt.number = ++last_attempt_;
  attempt.origin = &origin;
  attempt.address = sending.address;
  attempt.key = fetch.key;
  attempt.token = tokens_;
  attempt.beside = beside;
  attempt.probe = probe;
  attempt.first = fetch.result.attempts_sent == 0;
  attempt.patience = origin.probe_patience();
  const base::Duration left = std::max(base::Duration(1), fetch.request.deadline - at);
  sending.timeout = std::min(settings_.attempt_timeout, left);
  attempt.bounded = left < settings_.attempt_timeout;
  attempt.suspect_by = at + std::max(left / 2, origin.times(sending.address).least());
  move(fetch, Place::Running);
  ++in_flight_;
  if (fetch.refresh()) ++refreshes_in_flight_;
  ++fetch.result.attempts_sent;
  origin.attempt_sent(at, attempt);
  (void)origin.certificate.admit(at);
  if (probe) {
    origin.breaker.probe_started(at);
    announce(origin);
  }
  if (fetch.request.on_interim) {
    sending.on_interim = [this, id = fetch.id](int status, const Fields& fields) {
      tell_interim(id, status, fields);
    };
  }
  attempt.transport_id = transport_.start(
      sending, fetch.request.request, [this, id = fetch.id, number = attempt.number](Reply reply) {
        on_reply(id, number, std::move(reply));
      });
  fetch.attempts.push_back(std::move(attempt));
  fetch.hedge_starved = false;
  fetch.race_at_once = false;
  look_at(fetch, std::min(at + first_look(origin, sending.address, probe),
                          fetch.attempts.back().suspect_by));
}

// From the middle of a transfer; whoever is told may do as it likes.
void PolicyFetcher::tell_interim(FetchId id, int status, const Fields& fields) {
  scheduler_.post([this, id, status, fields, alive = std::weak_ptr(alive_)] {
    if (alive.expired()) return;
    const auto found = fetches_.find(id);
    if (found == fetches_.end()) return;
    const auto tell = found->second->request.on_interim;  // which may end the fetch
    tell(status, fields);
  });
}

// The shortest patience that any phase of the attempt could have.
base::Duration PolicyFetcher::first_look(const Origin& origin, const std::string& address,
                                         bool probe) const {
  const base::Duration round_trip = origin.addresses.round_trip(address);
  const AnswerTimes& times = origin.times(address);
  base::Duration shortest =
      std::min(times.suspect_after(round_trip), origin.addresses.patience(address, Phase::Connect));
  if (hedge_.enabled()) shortest = std::min(shortest, hedge_.delay(times, round_trip));
  return probe ? std::min(shortest, origin.probe_patience()) : shortest;
}

// To which of the origin's addresses, and whether on a new connection.
Sending PolicyFetcher::aim(const Fetch& fetch, const Origin& origin) const {
  Sending sending;
  sending.origin = origin.index;
  sending.new_connection =
      fetch.kept_in_vain > base::SteadyTime::min() && !origin.alive_since(fetch.kept_in_vain);
  std::vector<std::string> avoided = fetch.no_way_at;
  for (const Attempt& attempt : fetch.attempts) {
    const auto progress = transport_.progress(attempt.transport_id);
    if (!progress) continue;
    if (!attempt.suspect) {
      // A hedge shares its fate, unless others show that kept connections work.
      if (progress->kept && !attempt.origin->alive_since(attempt.sent_at, attempt.address)) {
        sending.new_connection = true;
      }
      continue;
    }
    if (attempt.origin != &origin) {
      // All that were kept may be dead together, whose ever they are.
      if (progress->kept && !origin.alive_since(attempt.sent_at)) sending.new_connection = true;
      continue;
    }
    // Stuck on the way there, or where nobody else has had an answer from either.
    if (progress->phase != Phase::Answer || !origin.alive_since(attempt.sent_at, attempt.address)) {
      avoided.push_back(attempt.address);
    }
    if (progress->kept) sending.new_connection = true;
  }
  sending.address = origin.addresses.choose(avoided);
  return sending;
}

}  // namespace holdfast::upstream
