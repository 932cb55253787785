#include "upstream/breaker.h"

#include <algorithm>
#include <utility>

namespace holdfast::upstream {
namespace {

constexpr std::size_t kBreakerSlices = 20;

}  // namespace

Breaker::Breaker(Settings settings, base::Random& random)
    : settings_(settings),
      random_(random),
      good_(base::Duration(settings.window) / static_cast<int>(kBreakerSlices), kBreakerSlices),
      bad_(base::Duration(settings.window) / static_cast<int>(kBreakerSlices), kBreakerSlices),
      probe_cap_(settings.probe_cap),
      interval_(settings.probe_base) {}

// What comes in while it is not closed belongs to attempts sent before it
// opened: only a probe may close it, so their word does not count.
void Breaker::succeeded(base::SteadyTime now) {
  if (std::exchange(in_doubt_, false)) acquitted_until_ = now + settings_.acquittal;
  end_row();
  if (state_ != State::Closed) return;
  good_.add(now);
  if (++successes_ == settings_.successes_that_settle) {
    interval_ = settings_.probe_base;
    probe_cap_ = settings_.probe_cap;
  }
}

void Breaker::end_row() {
  connect_failures_ = 0;
  failures_ = 0;
  failures_by_key_.clear();
  answers_in_row_ = false;
}

void Breaker::failed(base::SteadyTime now, std::size_t key, Bad bad) {
  if (state_ != State::Closed) return;
  connect_failures_ = 0;  // somebody was there
  answers_in_row_ = answers_in_row_ || bad == Bad::Answer || bad == Bad::Doubtful;
  if (++failures_by_key_[key] > settings_.most_per_key) return;
  open_if_hopeless(now, bad);
}

void Breaker::nobody_there(base::SteadyTime now) {
  if (state_ != State::Closed) return;
  ++connect_failures_;
  open_if_hopeless(now, Bad::Silence);
}

void Breaker::open_if_hopeless(base::SteadyTime now, Bad bad) {
  bad_.add(now);
  // In a row: what succeeded before an outage must not hide it for a whole window.
  const bool hopeless =
      ++failures_ >= settings_.min_volume ||
      (volume(now) >= settings_.min_volume && error_rate(now) >= settings_.error_rate);
  if (hopeless && (bad == Bad::Doubtful || bad == Bad::DoubtfulSilence)) {
    in_doubt_ = in_doubt_ || now >= acquitted_until_;
  } else if (hopeless || connect_failures_ >= settings_.connect_failures_in_a_row) {
    open(now);
    // Five times nobody there: what it answered before that is past.
    opened_by_silence_ = !answers_in_row_ || !hopeless;
  }
}

void Breaker::trip(base::SteadyTime now, base::Duration probe_cap) {
  if (state_ != State::Closed) return;
  probe_cap_ = std::max(probe_cap, settings_.probe_cap);
  const bool silent = in_doubt_ && !answers_in_row_;
  open(now);
  opened_by_silence_ = silent;
}

void Breaker::hurry(base::SteadyTime now) {
  probe_cap_ = settings_.probe_cap;
  interval_ = std::min(interval_, probe_cap_);
  if (state_ == State::Open && probe_at_ > now + interval_) schedule_probe(now, now);
}

bool Breaker::probe_due(base::SteadyTime now) const {
  return forced_ == Forced::No && state_ == State::Open && now >= probe_at_;
}

void Breaker::probe_started(base::SteadyTime now) {
  state_ = State::HalfOpen;
  probe_started_ = now;
  ++probes_;
}

void Breaker::probe_ended(base::SteadyTime now, bool success, bool whole) {
  if (state_ != State::HalfOpen) return;
  if (success || (whole && opened_by_silence_)) return close(now);
  state_ = State::Open;
  interval_ = std::min(probe_cap_, base::scaled(interval_, settings_.probe_growth));
  schedule_probe(probe_started_, now);
}

void Breaker::probe_abandoned(base::SteadyTime now) {
  if (state_ != State::HalfOpen) return;
  state_ = State::Open;
  schedule_probe(now, now);
}

void Breaker::probe_was_late(base::SteadyTime now, bool success) {
  if (state_ != State::Closed && (success || opened_by_silence_)) close(now);
}

void Breaker::sign_of_life(base::SteadyTime now) {
  if (state_ == State::Open) probe_at_ = std::min(probe_at_, now);
}

void Breaker::force(base::SteadyTime now, Forced forced) {
  if (forced_ == forced) return;
  forced_ = forced;
  since_ = now;
  if (forced == Forced::Closed && state_ != State::Closed) close(now);
}

Breaker::State Breaker::state() const {
  if (forced_ == Forced::Open) return State::Open;
  if (forced_ == Forced::Closed) return State::Closed;
  return state_;
}

double Breaker::error_rate(base::SteadyTime now) {
  const auto bad = static_cast<double>(bad_.sum(now));
  const auto all = static_cast<double>(volume(now));
  return all == 0 ? 0 : bad / all;
}

std::uint64_t Breaker::volume(base::SteadyTime now) {
  return good_.sum(now) + bad_.sum(now);
}

void Breaker::open(base::SteadyTime now) {
  state_ = State::Open;
  in_doubt_ = opened_by_silence_ = false;
  since_ = now;
  ++openings_;
  probes_ = 0;
  schedule_probe(now, now);
}

void Breaker::close(base::SteadyTime now) {
  state_ = State::Closed;
  since_ = now;
  end_row();
  successes_ = 0;
  good_.clear();
  bad_.clear();
}

void Breaker::schedule_probe(base::SteadyTime from, base::SteadyTime now) {
  const double jitter = 1.0 + settings_.probe_jitter * (2.0 * random_.uniform() - 1.0);
  probe_at_ = std::max(now, from + base::scaled(interval_, jitter));
}

}  // namespace holdfast::upstream
