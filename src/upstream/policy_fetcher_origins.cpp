// The part of PolicyFetcher that looks after the origins: what an attempt's end
// means for the breakers, who is told, and the probes.
#include <algorithm>
#include <limits>
#include <utility>

#include "upstream/policy_fetcher.h"
#include "upstream/policy_fetcher_fetch.h"

namespace holdfast::upstream {
namespace {

using observe::Level;

constexpr base::Duration kKnockTimeout = std::chrono::seconds(3);

}  // namespace

void PolicyFetcher::ended(Origin& origin, const OriginAttempt& attempt, const Verdict& verdict,
                          const Reply& reply) {
  const bool was_limited = origin.pacer.limited();
  const Sign sign = origin.attempt_ended(scheduler_.clock(), attempt, verdict, reply);
  if (!was_limited && origin.pacer.limited()) {
    log_.event(Level::Warn, "upstream_limits_rate",
               {{"origin", origin.name}, {"pace", origin.pacer.rate(now())}});
  }
  if (origin.all_end_at_timeout()) {
    log_.event(
        Level::Warn, "attempts_end_at_timeout",
        {{"origin", origin.name},
         {"setting", "ATTEMPT_TIMEOUT"},
         {"seconds", std::chrono::duration<double>(settings_.attempt_timeout).count()},
         {"detail", "if the upstream does answer, but later, raise it (and REQUEST_DEADLINE)"}});
  }
  judge_certificate(origin, verdict, reply);
  tell_oddities(origin, verdict, reply);
  if (reply.transport == Outcome::Timeout && reply.kept &&
      !origin.alive_since(attempt.sent_at, attempt.address)) {
    // The connection's, until one on a new connection has failed too.
    transport_.distrust(origin.index, attempt.address);
  }
  if (is_connect_failure(verdict.outcome)) {
    tend_addresses(origin);
    if (unreachable_) unreachable_(origin.index);
  }
  if (sign == Sign::Bad) {
    const bool may_be_keys = is_whole(reply) || reply.unreadable || is_broken_off(reply);
    eject_if_outlier(origin, may_be_keys ? std::optional(attempt.key) : std::nullopt);
  }
  // Nobody to ask whether it is like that for all: then it is taken to be.
  if (origin.breaker.in_doubt() && !ask_witness(origin, attempt.key)) {
    origin.breaker.trip(now(), settings_.breaker.probe_cap);
  }
  announce(origin);
}

// One address of several may be somebody else's. If all have a certificate that is not the
// origin's, asking again cannot help.
void PolicyFetcher::judge_certificate(Origin& origin, const Verdict& verdict, const Reply& reply) {
  const bool was_refused = origin.certificate.state() == TokenState::State::Refused;
  if (verdict.outcome == Outcome::Certificate) {
    if (!origin.addresses.all_failed()) return;
    (void)origin.certificate.refused(0);
    if (was_refused) return;
    origin.certificate.confirm(now());
    log_.event(Level::Error, "certificate_refused",
               {{"origin", origin.name}, {"detail", verdict.reason}});
  } else if (reply.phase == Phase::Answer && reply.status != 0) {
    origin.certificate.accepted();
    if (was_refused) log_.event(Level::Info, "certificate_accepted", {{"origin", origin.name}});
  }
}

// What works as far as it goes, and is not meant to be so.
void PolicyFetcher::tell_oddities(Origin& origin, const Verdict& verdict, const Reply& reply) {
  if (verdict.outcome == Outcome::Redirected) {
    if (const auto suppressed = redirects_told_.admit(now())) {
      log_.event(Level::Error, "upstream_redirects",
                 {{"origin", origin.name},
                  {"detail", verdict.reason},
                  {"setting", "API_URL"},
                  {"suppressed", *suppressed}});
    }
  }
  if (origin.answers_refused_changed()) {
    const std::string why = origin.answers_refused();
    log_.event(why.empty() ? Level::Info : Level::Warn,
               why.empty() ? "answers_accepted" : "answers_refused",
               {{"origin", origin.name}, {"detail", why}});
  }
  if (reply.clock_ahead && origin.clock_watch.heard(*reply.clock_ahead)) {
    const auto off = origin.clock_watch.off();
    log_.event(off ? Level::Warn : Level::Info, off ? "upstream_clock_off" : "upstream_clock_right",
               {{"origin", origin.name}, {"seconds_ahead_of_ours", off ? off->count() : 0}});
  }
}

// Whether an attempt that could not connect to the origin has somewhere else to go at once.
bool PolicyFetcher::other_way(const Origin& origin) const {
  if (!origin.addresses.all_failed()) return true;
  const base::SteadyTime at = now();
  return std::any_of(origins_.begin(), origins_.end(), [&](const auto& other) {
    return other.get() != &origin && other->breaker.allows() && other->has_address() &&
           !other->distrusted(at) && !other->addresses.all_failed();
  });
}

// Knocks at dark addresses when it is time, and tells the transport where most will go.
void PolicyFetcher::tend_addresses(Origin& origin) {
  if (idle_) {
    if (!origin.preferred.empty()) transport_.prefer(origin.index, {});
    origin.preferred.clear();
    return origin.knock_timer.cancel();
  }
  const std::string preferred = origin.has_address() ? origin.addresses.choose({}) : std::string();
  if (origin.has_address() && preferred != origin.preferred) {
    origin.preferred = preferred;
    transport_.prefer(origin.index, preferred);
  }
  const base::SteadyTime next = origin.addresses.next_knock();
  if (next == base::SteadyTime::max()) return origin.knock_timer.cancel();
  origin.knock_timer.set_at(scheduler_, std::max(next, now()), [this, &origin] {
    if (const std::string* due = origin.addresses.due(now())) {
      const std::string address = *due;
      origin.addresses.knocking(address);
      transport_.knock(origin.index, address, kKnockTimeout,
                       [this, &origin, address, alive = std::weak_ptr(alive_)](const Reply& reply) {
                         if (alive.expired()) return;
                         origin.addresses.knocked(now(), address, reply.transport);
                         tend_addresses(origin);
                       });
    }
    tend_addresses(origin);
  });
}

// What fails at one origin comes to the next: so keys that always fail may be most of what a
// second origin is asked for. Where they are whole answers, a witness has the last word.
void PolicyFetcher::eject_if_outlier(Origin& origin, std::optional<std::size_t> key) {
  const EjectionSettings& ejection = settings_.ejection;
  const base::SteadyTime at = now();
  if (!origin.breaker.allows() || origin.breaker.volume(at) < ejection.min_volume) return;
  const double rate = origin.breaker.error_rate(at);
  if (rate < ejection.error_rate) return;
  const bool better = std::any_of(origins_.begin(), origins_.end(), [&](const auto& other) {
    return other.get() != &origin && other->breaker.allows() && other->has_address() &&
           !other->addresses.all_failed() && !other->distrusted(at) &&
           other->token.state() != TokenState::State::Refused &&
           other->breaker.volume(at) >= ejection.others_volume &&
           other->breaker.error_rate(at) <= rate * ejection.better_by;
  });
  // The rate counts what the witness has explained, whatever failed now.
  if (!better || at < origin.acquitted_until || origin.set_aside_if_so) return;
  if (key && origin.probe.witness(*key) != nullptr && ask_witness(origin, *key)) {
    // One that is asked for this very key says no more than this failure.
    origin.set_aside_if_so = origin.witness_key != *key;
    return;
  }
  origin.breaker.trip(at, ejection.probe_cap);
}

// Makes the world follow the breaker's state: logs, metrics, probes, the parked.
void PolicyFetcher::announce(Origin& origin) {
  const Breaker::State state = origin.breaker.state();
  const base::SteadyTime at = now();
  arm_breaker_timer(origin);
  if (state == origin.announced) return;
  const Breaker::State before = std::exchange(origin.announced, state);
  metrics_.transition(origin.index, state);
  // Each probe makes two transitions: not worth a line.
  const bool probing = before != Breaker::State::Closed && state != Breaker::State::Closed;
  if (!probing) origin.note_breaker(scheduler_.clock().wall());
  log_.event(probing ? Level::Debug : Level::Warn, "breaker",
             {{"origin", origin.name},
              {"state", to_string(state)},
              {"last_error", origin.status(scheduler_.clock()).last_error}});
  if (state != Breaker::State::Closed) return hurry_if_alone();

  origin.pacer.ramp(at);
  origin.concurrency.restart();
  race_all_that_are_stuck();
  if (!origin.token.refuses(at)) release_parked();
  // Soon, not now: whoever called may be in the middle of a fetch's life.
  pump_timer_.set_at(scheduler_, at, [this] { pump(); });
}

// Ready, not sent: they go out as slots and the pace allow, each pump() in turn.
void PolicyFetcher::release_parked() {
  while (!parked_.empty()) make_ready(*fetches_.at(std::get<FetchId>(*parked_.begin())));
}

// Whether there is an origin that ordinary attempts may be sent to, as far as its breaker and
// our token go.
bool PolicyFetcher::any_asks() const {
  const base::SteadyTime at = now();
  return std::any_of(origins_.begin(), origins_.end(), [at](const auto& origin) {
    return origin->breaker.allows() && !origin->token.refuses(at);
  });
}

bool PolicyFetcher::all_refuse(base::SteadyTime at) const {
  return std::all_of(origins_.begin(), origins_.end(),
                     [at](const auto& origin) { return origin->token.refuses(at); });
}

void PolicyFetcher::arm_breaker_timer(Origin& origin) {
  const Breaker& breaker = origin.breaker;
  if (breaker.state() != Breaker::State::Open || breaker.forced() != Breaker::Forced::No) {
    return origin.breaker_timer.cancel();
  }
  // Set anew: a sign of life may have moved the time.
  origin.breaker_timer.set_at(scheduler_, breaker.probe_at(),
                              [this, &origin] { probe_if_due(origin); });
}

// Origins that were set aside while another did better are probed seldom. With
// the last one down, each of them is a hope.
void PolicyFetcher::hurry_if_alone() {
  if (origins_.size() == 1) return;
  if (any_asks()) return;
  for (auto& origin : origins_) {
    origin->breaker.hurry(now());
    origin->breaker_timer.cancel();
    arm_breaker_timer(*origin);
  }
}

void PolicyFetcher::probe_if_due(Origin& origin) {
  const base::SteadyTime at = now();
  if (!origin.breaker.probe_due(at)) return announce(origin);
  // The end of an attempt, and a name that is known, pump, and pump() comes here again.
  if (!origin.has_address()) return;
  base::SteadyTime wake = base::SteadyTime::max();
  make_room(wake);
  if (!has_slot()) {
    if (wake == base::SteadyTime::max()) return;
    return origin.breaker_timer.set_at(scheduler_, wake, [this, &origin] { probe_if_due(origin); });
  }
  if (parked_.empty()) {
    // While another origin serves, the next client's request is the probe. Only
    // if none comes is one of our own worth its cost.
    if (!any_asks() || at >= origin.probe.next()) return send_bare_probe(origin);
    origin.breaker_timer.set_after(scheduler_, settings_.probe.retry_interval,
                                   [this, &origin] { probe_if_due(origin); });
    return;
  }
  // Something that was answered lately says more of the upstream than what has not been yet,
  // and every other time it is somebody's request, should that be the only one not to work.
  if (origin.probe.has_witness() && origin.breaker.probes() % 2 == 0) {
    send_bare_probe(origin);
    if (!origin.breaker.probe_due(at)) return;
  }
  // Of those whose deadline leaves the probe its full time, also if the upstream is back but
  // slow, who failed least often: the fault may be with one key, which would keep the others
  // waiting as long as it waits itself. Then the earliest deadline. If there is none, the
  // latest.
  const auto failures = [this](const QueueKey& key) {
    return fetches_.at(std::get<FetchId>(key))->failures;
  };
  auto chosen = std::min_element(
      parked_.lower_bound(
          {Priority::Miss, at + std::max(origin.probe_patience(), origin.times().silence()), 0}),
      parked_.end(),
      [&](const QueueKey& a, const QueueKey& b) { return failures(a) < failures(b); });
  if (chosen == parked_.end()) chosen = std::prev(parked_.end());
  // After a stall of the loop, the time of all may be up.
  if (std::get<base::SteadyTime>(*chosen) <= at) return send_bare_probe(origin);
  send(*fetches_.at(std::get<FetchId>(*chosen)), origin, Beside::Nothing, true);
  update_gauges();
}

// A probe, or a question to a witness, that no client's request stands for. Where a probe is
// late, the breaker goes on without it, and its answer still counts should one come.
struct PolicyFetcher::BareProbe : OriginAttempt {
  Transport::AttemptId transport_id = 0;
  base::Timer late;
};

void PolicyFetcher::send_bare_probe(Origin& origin) {
  DependencyProbe::Question question = origin.probe.question();
  if (idle_ || origin.bare_probes > 0 || question.request.target.empty() || !has_slot() ||
      !origin.has_address()) {
    return;
  }
  ++origin.bare_probes;
  const bool with_token = static_cast<bool>(question.validate);
  send_bare(origin, std::move(question),
            [this, &origin, with_token, token = tokens_](const OriginAttempt& attempt,
                                                         const Verdict& verdict, const Reply&) {
              if (!attempt.suspect) --origin.bare_probes;
              if (with_token && token == tokens_ && is_answer(verdict.outcome)) {
                token_accepted(origin);
              }
              const bool good = sign_of(verdict.outcome) != Sign::Bad;
              if (!good) origin.probe.doubt(attempt.key);
              // Long given up for lost, a failure says nothing of now.
              if ((good || !attempt.suspect) && origin.probe.ended(now(), good)) {
                origin.breaker.trip(now(), settings_.breaker.probe_cap);
              }
              arm_idle_probe(origin);
            });
}

// As a probe of the origin's breaker, if one is due.
void PolicyFetcher::send_bare(Origin& origin, DependencyProbe::Question question,
                              BareEnded on_end) {
  const base::SteadyTime at = now();
  const auto attempt = std::make_shared<BareProbe>();
  attempt->probe = origin.breaker.probe_due(at);
  attempt->key = question.key;
  attempt->address = origin.addresses.choose({});
  // A client's last target, asked for want of one that was set, must answer as it has to
  // answer clients.
  attempt->typical = settings_.probe.target.empty() || question.validate;
  ++in_flight_;
  origin.attempt_sent(at, *attempt);
  if (attempt->probe) {
    const base::Duration patience = origin.probe_patience();
    origin.breaker.probe_started(at);
    announce(origin);
    attempt->late.set_at(scheduler_, at + patience, [this, &origin, &late = *attempt] {
      const auto progress = transport_.progress(late.transport_id);
      if (progress && progress->phase != Phase::Answer &&
          origin.addresses.has_other(late.address)) {
        // The next one goes elsewhere.
        origin.addresses.overtaken(now(), late.address);
        tend_addresses(origin);
      }
      origin.attempt_suspected(now(), late);
      --origin.bare_probes;
      announce(origin);
      pump();
    });
  }
  Sending sending{origin.index, attempt->address, attempt->probe, settings_.attempt_timeout};
  if (!attempt->probe) sending.timeout = std::min(sending.timeout, origin.times().silence());
  attempt->transport_id = transport_.start(
      sending, question.request,
      [this, &origin, question, attempt, on_end = std::move(on_end),
       alive = std::weak_ptr(alive_)](Reply reply) {
        if (alive.expired()) return;
        attempt->late.cancel();
        --in_flight_;
        const Verdict verdict =
            !attempt->typical ? judge_probe(question.request, reply)
            : question.any_status
                ? judge_any(question.request, reply, question.validate)
                : judge(question.request, reply, question.validate, question.validate_large);
        metrics_.attempt(origin.index, verdict.outcome, now() - attempt->sent_at);
        metrics_.phases(origin.index, reply);
        if (sign_of(verdict.outcome) == Sign::Good) {
          metrics_.succeeded(origin.index, scheduler_.clock().wall());
        }
        ended(origin, *attempt, verdict, reply);
        on_end(*attempt, verdict, reply);
        announce(origin);
        pump();
      });
  update_gauges();
}

void PolicyFetcher::arm_idle_probe(Origin& origin) {
  if (!origin.probe.probes_when_idle()) return;
  origin.idle_timer.set_at(scheduler_, std::max(origin.probe.next(), now()), [this, &origin] {
    // Traffic moves the time on, so it is looked at when it has come. An open
    // breaker has its own probes.
    if (now() >= origin.probe.next() && origin.breaker.allows()) {
      send_bare_probe(origin);
      if (origin.bare_probes > 0) return;
    }
    origin.idle_timer.set_at(scheduler_,
                             std::max(origin.probe.next(), now() + settings_.probe.retry_interval),
                             [this, &origin] { arm_idle_probe(origin); });
  });
}

void PolicyFetcher::set_idle(bool idle) {
  if (std::exchange(idle_, idle) == idle) return;
  for (auto& origin : origins_) tend_addresses(*origin);
  if (idle) return;
  for (auto& origin : origins_) arm_breaker_timer(*origin);
  pump();
}

void PolicyFetcher::forget(const std::string& target) {
  for (auto& origin : origins_) origin->probe.forget(target);
}

void PolicyFetcher::forget_all() {
  for (auto& origin : origins_) origin->probe.forget_all();
}

void PolicyFetcher::update_gauges() {
  const base::SteadyTime at = now();
  double pace = 0;
  int limit = 0;
  for (auto& origin : origins_) {
    pace += origin->pacer.rate(at);
    limit += origin->concurrency.limit();
  }
  constexpr auto relaxed = std::memory_order_relaxed;
  metrics_.gauges.in_flight.store(in_flight_, relaxed);
  metrics_.gauges.pace.store(pace, relaxed);
  metrics_.gauges.concurrency_limit.store(std::min(limit, settings_.concurrency), relaxed);
  metrics_.gauges.retry_budget.store(budget_.balance(at), relaxed);
}

}  // namespace holdfast::upstream
