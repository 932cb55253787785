// Breaker stops the asking of an origin that does not answer, and finds out when
// it does again. One origin; one thread; time and chance are arguments.
//
//   closed --nearly everything fails, or nobody is there--> open
//   open --probe_at()--> half-open --the probe succeeds--> closed
//                                  --it fails--> open, for longer
//
// It opens late on purpose. An upstream that answers three attempts of ten gives
// every client its 200 after a few retries; a breaker that opens at half the
// attempts failing would take those 200s away. So: (nearly) no success among
// many attempts (in a row, or in the window), or nobody there several times in a row, which is
// unmistakable and cheap to be sure of.
//
// What is counted are signs of illness, by distinct keys: one key that always fails speaks
// for itself, so it counts a few times in a row and no more. What we have cut off, what
// ended at a client's deadline, a slow set-up or a dark address of several is no sign.
// Whole answers, however bad, are as many keys' own trouble as there are keys, and so may be
// connections that are closed before there is one: where something is at hand that was answered
// lately, they only bring a doubt, and that is asked.
//
// The pattern: Nygard, "Release It!"; probes on a timer rather than on clients'
// requests, since behind a cache there may be few of those.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <unordered_map>

#include "base/random.h"
#include "upstream/rolling_count.h"

namespace holdfast::upstream {

class Breaker {
 public:
  enum class State { Closed = 0, HalfOpen = 1, Open = 2 };  // as the metric has it
  enum class Forced { No, Open, Closed };

  struct Settings {
    std::chrono::seconds window{10};
    // Of an upstream with 30 % good answers, forty in a row are bad once in
    // 1.5 million times (0.7^40).
    std::uint64_t min_volume = 40;
    double error_rate = 0.98;
    // Of one key, between two good answers.
    int most_per_key = 4;
    // At none of its addresses is anybody to talk to.
    int connect_failures_in_a_row = 5;
    // Between the starts of probes. The cap is also how long after its recovery
    // an upstream may still go unnoticed.
    base::Duration probe_base = std::chrono::milliseconds(250);
    base::Duration probe_cap = std::chrono::seconds(1);
    double probe_growth = 1.6;
    double probe_jitter = 0.2;  // +- this share
    // After so many good answers the next outage is a new one: short probes again.
    int successes_that_settle = 10;
    // A doubt that proved wrong does not come back for so long.
    base::Duration acquittal = std::chrono::seconds(1);
  };

  Breaker(Settings settings, base::Random& random);

  // An ordinary attempt ended. Attempts that ended without saying anything about
  // the origin's health (cancelled, 401, 429) are not reported.
  void succeeded(base::SteadyTime now);
  // What kind of failure: no answer; a whole one; or a whole one, or a connection that was broken
  // off, where somebody can be asked whether it is like that for all: that brings a doubt instead
  // of opening.
  enum class Bad { Silence, Answer, Doubtful, DoubtfulSilence };
  // `key`: a hash of what was asked for.
  void failed(base::SteadyTime now, std::size_t key, Bad bad = Bad::Silence);
  // Between a doubt and what comes of it: succeeded(), or trip().
  bool in_doubt() const { return in_doubt_; }
  // None of its addresses takes connections.
  void nobody_there(base::SteadyTime now);

  // Opens it at once: its owner knows better (a better origin is at hand, say).
  // Probes then grow up to `probe_cap`.
  void trip(base::SteadyTime now, base::Duration probe_cap);
  // There is nobody better any more: probes keep to the settings' cap again, the
  // next one included.
  void hurry(base::SteadyTime now);

  // Ordinary attempts may be sent.
  bool allows() const { return state() == State::Closed; }
  // A probe may be sent: open, due, and none under way.
  bool probe_due(base::SteadyTime now) const;
  // When the next is due; for Retry-After too. Meaningless while closed.
  base::SteadyTime probe_at() const { return probe_at_; }
  base::Duration probe_interval() const { return interval_; }
  int probes() const { return probes_; }  // started since it opened
  void probe_started(base::SteadyTime now);
  // `whole`: by a whole answer, good or bad. Where it was silence that opened it, that will do.
  void probe_ended(base::SteadyTime now, bool success, bool whole = false);
  // The probe ended without a finding: cancelled with its fetch, say.
  void probe_abandoned(base::SteadyTime now);
  // A probe that had been given up for lost was answered after all, with whatever.
  void probe_was_late(base::SteadyTime now, bool success = true);
  // Something sent before it opened was answered just now: probe at once.
  void sign_of_life(base::SteadyTime now);

  // By an operator's hand, until taken back. A breaker forced open sends no probes.
  void force(base::SteadyTime now, Forced forced);
  Forced forced() const { return forced_; }

  State state() const;
  // When it opened, if it is not closed; else when it closed. The probes of an outage
  // do not count: who asks wants to know how long it has lasted.
  base::SteadyTime since() const { return since_; }
  double error_rate(base::SteadyTime now);  // 0 without attempts
  std::uint64_t volume(base::SteadyTime now);
  std::uint64_t openings() const { return openings_; }

 private:
  void open_if_hopeless(base::SteadyTime now, Bad bad);
  void open(base::SteadyTime now);
  void close(base::SteadyTime now);
  void end_row();
  void schedule_probe(base::SteadyTime from, base::SteadyTime now);

  Settings settings_;
  base::Random& random_;
  State state_ = State::Closed;
  Forced forced_ = Forced::No;
  base::SteadyTime since_{};
  RollingCount good_;
  RollingCount bad_;
  int connect_failures_ = 0;
  std::uint64_t failures_ = 0;                            // in a row
  std::unordered_map<std::size_t, int> failures_by_key_;  // of that row
  int successes_ = 0;                                     // since it closed
  bool answers_in_row_ = false;                           // among the failures of that row
  bool opened_by_silence_ = false;
  bool in_doubt_ = false;
  base::SteadyTime acquitted_until_{};
  base::Duration probe_cap_;
  base::Duration interval_;
  base::SteadyTime probe_at_{};
  base::SteadyTime probe_started_{};
  int probes_ = 0;
  std::uint64_t openings_ = 0;
};

// As metrics, logs and the status page have it.
constexpr std::string_view to_string(Breaker::State state) {
  switch (state) {
    case Breaker::State::Closed:
      return "closed";
    case Breaker::State::HalfOpen:
      return "half_open";
    case Breaker::State::Open:
      return "open";
  }
  return "unknown";
}

}  // namespace holdfast::upstream
