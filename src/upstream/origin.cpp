#include "upstream/origin.h"

#include <algorithm>

namespace holdfast::upstream {
namespace {

constexpr std::size_t kKeptChanges = 32;
constexpr std::size_t kKeptPlaces = 64;
constexpr int kTimeoutsThatTell = 8;
// Of an origin that has answered before: three fetches, each of which asks so often.
constexpr int kRedirectsThatTell = 9;
// Answers that are not what they must be, one after another: where there were others before; where
// nothing else ever came, one may be chance.
constexpr int kRefusedThatTell = 9;
constexpr int kFirstRefusedThatTell = 2;

ConcurrencyLimit::Settings bounded(ConcurrencyLimit::Settings limit, int concurrency) {
  limit.max = std::max(1, concurrency);
  return limit;
}

}  // namespace

Origin::Origin(std::size_t number, const Settings& settings, base::Random& random,
               base::SteadyTime now)
    : index(number),
      name(settings.origins[number]),
      breaker(settings.breaker, random),
      pacer(settings.pace),
      refused_keys(settings.refused_keys),
      concurrency(bounded(settings.concurrency_limit, settings.concurrency)),
      probe(settings.probe, now),
      addresses(settings.addresses),
      certificate(settings.certificate),
      token(settings.token),
      negative(settings.negative),
      settings_(settings),
      made_(now),
      times_(settings.answer_times) {
  // Its URL says it all: there is one address, whose text the transport knows.
  if (number >= settings.named.size() || !settings.named[number]) addresses.set({std::string()});
}

void Origin::attempt_sent(base::SteadyTime now, OriginAttempt& attempt) {
  attempt.sent_at = now;
  attempt.in_flight = ++in_flight;
  concurrency.sent(now, in_flight);
  pacer.sent(now);
}

void Origin::attempt_suspected(base::SteadyTime now, OriginAttempt& attempt) {
  if (attempt.suspect) return;
  attempt.suspect = true;
  --in_flight;
  if (attempt.probe) breaker.probe_ended(now, false);
}

void Origin::attempt_stuck(base::SteadyTime now, OriginAttempt& attempt, Phase phase) {
  if (attempt.counted_silent || attempt.probe) return;
  attempt.counted_silent = true;
  addresses.failed(now, attempt.address,
                   phase == Phase::Connect ? Outcome::ConnectTimeout : Outcome::TlsTimeout);
  // Whom others were answered by since then is there: what is stuck met with bad luck, or with
  // something that is past.
  if (addresses.all_failed() && !alive_since(attempt.sent_at)) breaker.nobody_there(now);
}

void Origin::attempt_silent(base::SteadyTime now, OriginAttempt& attempt) {
  if (attempt.counted_silent || attempt.probe) return;
  attempt.counted_silent = true;
  concurrency.timed_out();
  breaker.failed(now, attempt.key);
}

bool Origin::alive_since(base::SteadyTime sent_at, const std::string& address) const {
  const auto found = places_.find(address);
  return found != places_.end() && found->second.answered > sent_at;
}

Origin::Place& Origin::place(const std::string& address) {
  // Addresses of a name that moves all day long.
  if (places_.size() >= kKeptPlaces && !places_.contains(address)) places_.clear();
  return places_.try_emplace(address, Place{AnswerTimes(settings_.answer_times), {}}).first->second;
}

const AnswerTimes& Origin::times(const std::string& address) const {
  const auto found = places_.find(address);
  return found != places_.end() && found->second.times.known() ? found->second.times : times_;
}

Sign Origin::attempt_ended(const base::Clock& clock, const OriginAttempt& attempt,
                           const Verdict& verdict, const Reply& reply) {
  const base::SteadyTime now = clock.now();
  const Outcome outcome = verdict.outcome;
  if (!attempt.suspect) --in_flight;
  // Nothing was sent: for want of a descriptor, say. That is ours, and says nothing of the
  // origin, its address or the key.
  if (outcome == Outcome::Local) {
    if (attempt.probe && !attempt.suspect) breaker.probe_abandoned(now);
    return Sign::None;
  }

  // 503 with Retry-After is a limit and a failure: nobody can tell which.
  const bool is_limited = is_refusal(outcome, reply);
  if (is_limited) {
    limited(attempt, reply, now);
  } else if (reply.status != 0) {
    pacer.let_through(attempt.sent_at, now);  // what did not arrive was not
    refused_keys.let_through(attempt.sent_at, now, attempt.key);
  }

  const bool timed_out = outcome == Outcome::Timeout || outcome == Outcome::ConnectTimeout ||
                         outcome == Outcome::TlsTimeout;
  // Its clients' time was up and not its own; or what it stood for has been counted.
  const bool says_nothing =
      timed_out && !attempt.probe &&
      (attempt.bounded || (is_connect_failure(outcome) && attempt.counted_silent));
  if (says_nothing) {
    note_error(clock, verdict, reply.status);
    return Sign::None;
  }

  Sign sign = sign_of(outcome);
  // A quota that is used up for hours is an outage to us.
  if (is_limited &&
      reply.retry_after.value_or(std::chrono::seconds(0)) > settings_.pace.longest_pause)
    sign = Sign::Bad;
  const bool nobody = is_connect_failure(outcome) && !reply.own_lack;
  if (reply.own_lack) sign = Sign::None;  // of authorities to check it with: not the upstream's
  if (nobody) {
    addresses.failed(now, attempt.address, outcome);
    // One dark address is that address's trouble.
    if (!addresses.all_failed()) sign = Sign::None;
  }
  probe.traffic(now, sign != Sign::Bad);
  learn(attempt, reply, now, sign);
  if (outcome == Outcome::Redirected) {
    ++redirects_in_a_row_;
    redirect_ = verdict.reason;
  }
  const bool by_rules = outcome == Outcome::InvalidBody || outcome == Outcome::WrongContent;
  if (by_rules && reply.transport == Outcome::Ok) {
    ++refused_in_a_row_;
    refused_why_ = verdict.reason;
  } else if (sign != Sign::None) {
    refused_in_a_row_ = 0;
  }
  if (sign == Sign::Good) {
    last_success_ = clock.wall();
    redirects_in_a_row_ = 0;
  } else {
    note_error(clock, verdict, reply.status);
  }

  if (attempt.probe) {
    // Somebody is there and answers, if only to say "not so fast" or "not you".
    if (!attempt.suspect) {
      reply.own_lack ? breaker.probe_abandoned(now)
                     : breaker.probe_ended(now, sign != Sign::Bad && !nobody, is_whole(reply));
    } else if (sign == Sign::Good || is_whole(reply)) {
      breaker.probe_was_late(now, sign == Sign::Good);
    }
  } else if (sign == Sign::Good) {
    breaker.sign_of_life(now);
    breaker.succeeded(now);
  } else if (sign == Sign::Bad) {
    if (nobody) {
      breaker.nobody_there(now);
    } else if (!attempt.counted_silent) {
      using Bad = Breaker::Bad;
      const bool witness = probe.witness(attempt.key) != nullptr;
      breaker.failed(now, attempt.key,
                     is_whole(reply) ? (witness ? Bad::Doubtful : Bad::Answer)
                     : witness && (reply.unreadable || is_broken_off(reply)) ? Bad::DoubtfulSilence
                                                                             : Bad::Silence);
    }
  }
  return sign;
}

// Whether it is a limit of ours, the pacer finds out; what sticks to a key is none.
void Origin::limited(const OriginAttempt& attempt, const Reply& reply, base::SteadyTime now) {
  const bool stuck = refused_keys.sticks();
  refused_keys.refused(attempt.sent_at, now, attempt.key);
  if (refused_keys.sticks() && !stuck) {
    pacer.sticks_to_keys(now, refused_keys.share(), refused_keys.since());
  }
  if (refused_keys.is_keys_own(attempt.key)) return;
  const bool was_limited = pacer.limited();
  pacer.refused(attempt.sent_at, now, reply.retry_after);
  pacer.limited() && !was_limited ? concurrency.restart() : concurrency.refused();
}

// What it said was counted as a success, and was none; so each counts as half of one.
void Origin::contradicted(const base::Clock& clock, std::size_t key, int status) {
  const Verdict verdict{Outcome::ClientError,
                        "status " + std::to_string(status) + ", of what another origin answers"};
  note_error(clock, verdict, status);
  breaker.failed(clock.now(), key, Breaker::Bad::Answer);
}

void Origin::learn(const OriginAttempt& attempt, const Reply& reply, base::SteadyTime now,
                   Sign sign) {
  if (reply.phase == Phase::Answer && !reply.kept) {
    addresses.connected(attempt.address, reply.took(Phase::Connect), reply.took(Phase::Tls));
  }
  if (reply.status != 0) {
    last_life_ = now;
    place(attempt.address).answered = now;
  }
  // A health check takes a millisecond where a lookup takes a second.
  if (!attempt.typical) return;
  if (sign == Sign::Good) {
    if (attempt.suspect) times_.suspect_answered();
    const base::Duration took = reply.took(Phase::Answer);
    times_.answered(took);
    place(attempt.address).times.answered(took);
    concurrency.answered(took, attempt.in_flight);
  } else if (reply.transport == Outcome::Timeout && !attempt.counted_silent) {
    concurrency.timed_out();
  }
  if (reply.transport == Outcome::Timeout) {
    ++timeouts_in_a_row_;
  } else if (reply.status != 0) {
    timeouts_in_a_row_ = 0;
    timeouts_told_ = false;
  }
}

bool Origin::all_end_at_timeout() {
  return timeouts_in_a_row_ >= kTimeoutsThatTell && !std::exchange(timeouts_told_, true);
}

void Origin::note_error(const base::Clock& clock, const Verdict& verdict, int status) {
  last_error_at_ = clock.wall();
  last_error_status_ = status;
  last_error_ = to_string(verdict.outcome);
  if (!verdict.reason.empty()) last_error_ += ": " + verdict.reason;
}

std::string Origin::redirect() const {
  const int that_tell = last_success_ ? kRedirectsThatTell : 1;
  return redirects_in_a_row_ >= that_tell ? redirect_ : std::string();
}

std::string Origin::answers_refused() const {
  const int that_tell = last_success_ ? kRefusedThatTell : kFirstRefusedThatTell;
  return refused_in_a_row_ >= that_tell ? refused_why_ : std::string();
}

bool Origin::answers_refused_changed() {
  const bool refused = !answers_refused().empty();
  return std::exchange(refused_told_, refused) != refused;
}

void Origin::attempt_overtaken(base::SteadyTime now, OriginAttempt& attempt, bool elsewhere) {
  times_.suspect_overtaken();
  // Another origin has answered meanwhile, and this one nobody: as good as silence.
  if (elsewhere && !alive_since(attempt.sent_at)) attempt_silent(now, attempt);
}

void Origin::attempt_cancelled(base::SteadyTime now, const OriginAttempt& attempt, bool overtaken) {
  if (attempt.suspect) return;
  --in_flight;
  if (!attempt.probe) return;
  if (overtaken && !alive_since(attempt.sent_at)) {
    breaker.probe_ended(now, false);
  } else {
    breaker.probe_abandoned(now);
    // The one that overtook it was ours, and had been sent before.
    if (overtaken) breaker.sign_of_life(now);
  }
}

void Origin::attempt_cut(base::SteadyTime now, const OriginAttempt& attempt, bool first) {
  if (!attempt.suspect) --in_flight;
  if (first) times_.cut_off(now - attempt.sent_at);
}

void Origin::note_breaker(base::WallTime at) {
  if (breaker_history_.size() == kKeptChanges) breaker_history_.erase(breaker_history_.begin());
  breaker_history_.push_back({at, breaker.state(), last_error_});
}

// A hang must not keep the next probe waiting, or as long the recovery would go unnoticed.
base::Duration Origin::probe_patience() const {
  const base::Duration usual =
      times_.known() ? times_.suspect_after({}) : settings_.answer_times.floor;
  return std::min(settings_.attempt_timeout, std::max(usual, breaker.probe_interval() / 2));
}

OriginStatus Origin::status(const base::Clock& clock) {
  const base::SteadyTime now = clock.now();
  OriginStatus status;
  status.name = name;
  status.breaker = breaker.state();
  status.forced = breaker.forced() != Breaker::Forced::No;
  const base::SteadyTime since = std::max(made_, breaker.since());
  status.breaker_since =
      clock.wall() - std::chrono::duration_cast<std::chrono::milliseconds>(now - since);
  if (breaker.state() == Breaker::State::Open && !status.forced) {
    status.next_probe = std::max(base::Duration::zero(), breaker.probe_at() - now);
  }
  status.last_success = last_success_;
  status.last_error_at = last_error_at_;
  status.last_error = last_error_;
  status.last_error_status = last_error_status_;
  status.redirect = redirect();
  status.answers_refused = answers_refused();
  status.clock_ahead = clock_watch.off();
  status.volume = breaker.volume(now);
  if (status.volume > 0) status.error_rate = breaker.error_rate(now);
  status.in_flight = in_flight;
  status.concurrency_limit = concurrency.limit();
  status.pace = pacer.rate(now);
  status.suspect_after = times_.suspect_after({});
  status.median = times_.usual();
  status.certificate_refused = certificate.state() == TokenState::State::Refused;
  status.token = token.state();
  if (negative.fault()) status.missing_share = negative.share();
  status.addresses = addresses.view();
  status.has_address = has_address();
  status.name_trouble = name_trouble;
  status.breaker_history = breaker_history_;
  return status;
}

}  // namespace holdfast::upstream
