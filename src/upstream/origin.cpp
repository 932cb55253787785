#include "upstream/origin.h"

#include <algorithm>

namespace holdfast::upstream {
namespace {

constexpr std::size_t kKeptChanges = 32;
constexpr int kPatientProbe = 4;  // of so many probes, one is patient

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
      concurrency(bounded(settings.concurrency_limit, settings.concurrency)),
      timeout(settings.attempt_timeout),
      probe(settings.probe, now),
      settings_(settings),
      made_(now) {}

void Origin::attempt_sent(base::SteadyTime now) {
  ++in_flight;
  concurrency.sent(now, in_flight);
  pacer.sent(now);
}

void Origin::attempt_ended(const base::Clock& clock, base::SteadyTime sent_at,
                           const Verdict& verdict, const Reply& reply, bool was_probe,
                           bool typical) {
  const base::SteadyTime now = clock.now();
  const base::Duration took = now - sent_at;
  const Outcome outcome = verdict.outcome;
  --in_flight;

  // 503 with Retry-After is a limit and a failure: nobody can tell which.
  const bool limited =
      outcome == Outcome::RateLimited || (reply.status == 503 && reply.retry_after.has_value());
  if (limited) {
    pacer.refused(sent_at, now, reply.retry_after);
  } else if (reply.status != 0) {
    pacer.let_through(sent_at, now);  // what did not arrive was not
  }

  Sign sign = sign_of(outcome);
  // A quota that is used up for hours is an outage to us.
  if (limited && reply.retry_after.value_or(std::chrono::seconds(0)) > settings_.pace.longest_pause)
    sign = Sign::Bad;
  probe.traffic(now, sign != Sign::Bad);

  if (!typical) {
    // A health check takes a millisecond where a lookup takes a second.
  } else if (sign == Sign::Good) {
    timeout.succeeded(took);
    concurrency.answered(took);
  } else if (outcome == Outcome::Timeout) {
    timeout.timed_out();
    concurrency.timed_out();
  } else if (!is_connect_failure(outcome)) {
    timeout.failed_in_time();
  }
  if (sign == Sign::Good) {
    last_success_ = clock.wall();
  } else {
    last_error_at_ = clock.wall();
    last_error_ = to_string(outcome);
    if (outcome == Outcome::ServerError || outcome == Outcome::Unexpected ||
        outcome == Outcome::Unauthorized) {
      last_error_ += " (" + std::to_string(reply.status) + ")";
    }
    if (!verdict.reason.empty()) last_error_ += ": " + verdict.reason;
  }

  if (was_probe) {
    // Somebody is there and answers, if only to say "not so fast" or "not you".
    breaker.probe_ended(now, sign != Sign::Bad);
  } else if (sign == Sign::Good) {
    breaker.succeeded(now);
  } else if (sign == Sign::Bad) {
    breaker.failed(now, is_connect_failure(outcome));
  }
}

void Origin::attempt_cancelled(base::SteadyTime now, bool was_probe, bool overtaken) {
  --in_flight;
  if (!was_probe) return;
  if (overtaken) {
    breaker.probe_ended(now, false);
  } else {
    breaker.probe_abandoned(now);
  }
}

void Origin::note_breaker(base::WallTime at) {
  if (breaker_history_.size() == kKeptChanges) breaker_history_.erase(breaker_history_.begin());
  breaker_history_.push_back({at, breaker.state(), last_error_});
}

// An origin that hangs costs each probe its whole timeout, and as long its
// recovery goes unnoticed. One that is back but slow needs a long one.
base::Duration Origin::probe_timeout() const {
  const base::Duration longest = settings_.attempt_timeout.ceiling;
  if (breaker.probes() % kPatientProbe == kPatientProbe - 1) return longest;
  const base::Duration usual = timeout.learned().value_or(settings_.attempt_timeout.floor);
  return std::min(longest, std::max(usual, breaker.probe_interval() / 2));
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
  status.error_rate = breaker.error_rate(now);
  status.volume = breaker.volume(now);
  status.in_flight = in_flight;
  status.concurrency_limit = concurrency.limit();
  status.pace = pacer.rate(now);
  status.attempt_timeout = timeout.typical();
  status.median = timeout.usual();
  status.breaker_history = breaker_history_;
  return status;
}

}  // namespace holdfast::upstream
