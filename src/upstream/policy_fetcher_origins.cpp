// The part of PolicyFetcher that looks after the origins: what an attempt's end
// means for the breakers, who is told, and the probes.
#include <algorithm>
#include <limits>

#include "upstream/policy_fetcher.h"
#include "upstream/policy_fetcher_fetch.h"

namespace holdfast::upstream {
namespace {

using observe::Level;

}  // namespace

void PolicyFetcher::ended(Origin& origin, base::SteadyTime sent_at, const Verdict& verdict,
                          const Reply& reply, bool probe, bool typical) {
  const bool was_limited = origin.pacer.limited();
  origin.attempt_ended(scheduler_.clock(), sent_at, verdict, reply, probe, typical);
  if (!was_limited && origin.pacer.limited()) {
    log_.event(Level::Warn, "upstream_limits_rate",
               {{"origin", origin.name}, {"pace", origin.pacer.rate(now())}});
  }
  if (sign_of(verdict.outcome) == Sign::Bad) eject_if_outlier(origin);
  announce(origin);
}

void PolicyFetcher::eject_if_outlier(Origin& origin) {
  const EjectionSettings& ejection = settings_.ejection;
  const base::SteadyTime at = now();
  if (!origin.breaker.allows() || origin.breaker.volume(at) < ejection.min_volume) return;
  const double rate = origin.breaker.error_rate(at);
  if (rate < ejection.error_rate) return;
  const bool better = std::any_of(origins_.begin(), origins_.end(), [&](const auto& other) {
    return other.get() != &origin && other->breaker.allows() &&
           other->breaker.error_rate(at) <= rate * ejection.better_by;
  });
  if (better) origin.breaker.trip(at, ejection.probe_cap);
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
  // Ready, not sent: they go out as slots and the pace allow, each pump() in turn.
  while (!parked_.empty()) make_ready(*fetches_.at(std::get<FetchId>(*parked_.begin())));
  // Soon, not now: whoever called may be in the middle of a fetch's life.
  pump_timer_.set_at(scheduler_, at, [this] { pump(); });
}

void PolicyFetcher::arm_breaker_timer(Origin& origin) {
  const Breaker& breaker = origin.breaker;
  if (breaker.state() != Breaker::State::Open || breaker.forced() != Breaker::Forced::No) {
    return origin.breaker_timer.cancel();
  }
  if (origin.breaker_timer.pending()) return;
  origin.breaker_timer.set_at(scheduler_, breaker.probe_at(),
                              [this, &origin] { probe_if_due(origin); });
}

// Origins that were set aside while another did better are probed seldom. With
// the last one down, each of them is a hope.
void PolicyFetcher::hurry_if_alone() {
  if (origins_.size() == 1) return;
  const bool served = std::any_of(origins_.begin(), origins_.end(),
                                  [](const auto& other) { return other->breaker.allows(); });
  if (served) return;
  for (auto& origin : origins_) {
    origin->breaker.hurry(now());
    origin->breaker_timer.cancel();
    arm_breaker_timer(*origin);
  }
}

void PolicyFetcher::probe_if_due(Origin& origin) {
  const base::SteadyTime at = now();
  if (!origin.breaker.probe_due(at)) return announce(origin);
  if (!has_slot()) return;  // the end of an attempt pumps, and pump() comes here again
  if (parked_.empty()) {
    // While another origin serves, the next client's request is the probe. Only
    // if none comes is one of our own worth its cost.
    const bool others_serve = std::any_of(origins_.begin(), origins_.end(), [](const auto& other) {
      return other->breaker.allows();
    });
    if (!others_serve || at >= origin.probe.next()) return send_bare_probe(origin);
    origin.breaker_timer.set_after(scheduler_, settings_.probe.retry_interval,
                                   [this, &origin] { probe_if_due(origin); });
    return;
  }
  // Of those whose deadline leaves the probe its full time, who failed least often: the
  // fault may be with one key, which would keep the others waiting as long as it waits
  // itself. Then the earliest deadline. If there is none, the latest.
  const auto failures = [this](const QueueKey& key) {
    return fetches_.at(std::get<FetchId>(key))->failures;
  };
  auto chosen = std::min_element(
      parked_.lower_bound({Priority::Miss, at + origin.probe_timeout(), 0}), parked_.end(),
      [&](const QueueKey& a, const QueueKey& b) { return failures(a) < failures(b); });
  if (chosen == parked_.end()) chosen = std::prev(parked_.end());
  // After a stall of the loop, the time of all may be up.
  if (std::get<base::SteadyTime>(*chosen) <= at) return send_bare_probe(origin);
  send(*fetches_.at(std::get<FetchId>(*chosen)), origin, false, true);
  update_gauges();
}

void PolicyFetcher::send_bare_probe(Origin& origin) {
  const std::string& target = origin.probe.target();
  if (origin.bare_probe_in_flight || target.empty() || !has_slot()) return;
  const base::SteadyTime at = now();
  const bool half_open = origin.breaker.probe_due(at);
  const Request request{target, {}};
  const base::Duration timeout = origin.probe_timeout();
  origin.bare_probe_in_flight = true;
  ++in_flight_;
  origin.attempt_sent(at);
  if (half_open) {
    origin.breaker.probe_started(at);
    announce(origin);
  }
  transport_.start(
      origin.index, request, timeout,
      [this, &origin, request, at, half_open, alive = std::weak_ptr(alive_)](Reply reply) {
        if (alive.expired()) return;
        origin.bare_probe_in_flight = false;
        --in_flight_;
        // A client's last target, asked for want of one that was set, must answer as
        // it has to answer clients.
        const bool typical = settings_.probe.target.empty();
        const Verdict verdict = typical ? judge(request, reply, {}) : judge_probe(request, reply);
        metrics_.attempt(origin.index, verdict.outcome, now() - at);
        if (sign_of(verdict.outcome) == Sign::Good) {
          metrics_.succeeded(origin.index, scheduler_.clock().wall());
        }
        ended(origin, at, verdict, reply, half_open, typical);
        if (origin.probe.ended(now(), sign_of(verdict.outcome) != Sign::Bad)) {
          origin.breaker.trip(now(), settings_.breaker.probe_cap);
        }
        announce(origin);
        arm_idle_probe(origin);
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
      if (origin.bare_probe_in_flight) return;
    }
    origin.idle_timer.set_at(scheduler_,
                             std::max(origin.probe.next(), now() + settings_.probe.retry_interval),
                             [this, &origin] { arm_idle_probe(origin); });
  });
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
