// Origin is one upstream base URL with everything we have learned of it. It
// passes each attempt's start and end on to the policies. One thread.
//
// What an attempt's end means: an answer is a sign of life; a failure in its answer is a
// sign of illness, counted by key; a failure to connect is one if no address of the origin
// takes connections. An attempt that we ended ourselves is no sign. A failure that stood for
// silence was counted when the silence was long enough, and is not counted again.
#pragma once

#include <map>
#include <string>

#include "base/scheduler.h"
#include "upstream/clock_watch.h"
#include "upstream/judge.h"
#include "upstream/refused_keys.h"
#include "upstream/settings.h"
#include "upstream/status.h"

namespace holdfast::upstream {

// An attempt, as far as its origin is concerned.
struct OriginAttempt {
  std::string address;
  base::SteadyTime sent_at{};
  std::size_t key = 0;          // a hash of what it asks for
  int in_flight = 0;            // with it, when it was sent; suspects do not count
  bool probe = false;           // of a half-open breaker
  bool suspect = false;         // slower than usual; takes no slot
  bool counted_silent = false;  // as a sign of illness, or that nobody is there
  bool bounded = false;         // it may last as long as its clients wait, and no longer
  // It asks for what clients ask for, so that how long it takes says something of them.
  bool typical = true;
};

class Origin {
 public:
  Origin(std::size_t index, const Settings& settings, base::Random& random, base::SteadyTime now);

  const std::size_t index;
  const std::string name;
  Breaker breaker;
  Pacer pacer;
  RefusedKeys refused_keys;
  ConcurrencyLimit concurrency;
  DependencyProbe probe;
  Addresses addresses;
  TokenState certificate;
  ClockWatch clock_watch;
  TokenState token;
  NegativeShare negative;
  int in_flight = 0;  // attempts that are no suspects: what the limit is for
  Breaker::State announced = Breaker::State::Closed;  // last state told to logs and metrics
  base::Timer breaker_timer;
  base::Timer idle_timer;
  base::Timer knock_timer;
  int bare_probes = 0;               // of our own, under way and not late
  bool witness_asked = false;        // on suspicion, and not answered yet
  std::size_t witness_key = 0;       // of that one
  base::SteadyTime witness_again{};  // not before
  bool set_aside_if_so = false;      // the witness is asked whether it is like that for all
  base::SteadyTime acquitted_until{};
  std::string preferred;     // the address that the transport was told of last
  std::string name_trouble;  // why there is no address, or none that is new

  // Something can be sent, as far as names go.
  bool has_address() const { return addresses.known(); }

  // Its certificate was not accepted, and is not looked at again yet.
  bool distrusted(base::SteadyTime now) const {
    return certificate.state() == TokenState::State::Refused && now < certificate.next_check();
  }

  void attempt_sent(base::SteadyTime now, OriginAttempt& attempt);
  // From now on it takes no slot. A probe's breaker goes on without it.
  void attempt_suspected(base::SteadyTime now, OriginAttempt& attempt);
  // Nothing came of it for so long, and of no other sent since, that nobody seems to be there.
  void attempt_silent(base::SteadyTime now, OriginAttempt& attempt);
  // It has been connecting, or in the handshake, for so long that nobody seems to be there.
  void attempt_stuck(base::SteadyTime now, OriginAttempt& attempt, Phase phase);
  // A suspect whose race another one has won; `elsewhere`: at another origin.
  void attempt_overtaken(base::SteadyTime now, OriginAttempt& attempt, bool elsewhere);
  // Whether the origin has answered anything that was sent with or after the attempt; at the
  // attempt's address.
  bool alive_since(base::SteadyTime sent_at) const { return last_life_ > sent_at; }
  bool alive_since(base::SteadyTime sent_at, const std::string& address) const;

  // Another origin has answered what this one said a final 4xx to.
  void contradicted(const base::Clock& clock, std::size_t key, int status);

  // An attempt ended. A probe's word goes to the breaker as a probe's. What it is a sign of, of
  // what is held for or against the origin.
  Sign attempt_ended(const base::Clock& clock, const OriginAttempt& attempt, const Verdict& verdict,
                     const Reply& reply);
  // ... by our doing: it says nothing, but its slot is free. `overtaken`: its fetch has been
  // answered, by this origin or another.
  void attempt_cancelled(base::SteadyTime now, const OriginAttempt& attempt, bool overtaken);
  // ... because connections were short. `first`: of its fetch; then it tells how long an answer
  // takes at least.
  void attempt_cut(base::SteadyTime now, const OriginAttempt& attempt, bool first);

  // How long answers take at that address, or of the whole origin while too few came
  // from there.
  const AnswerTimes& times(const std::string& address) const;
  const AnswerTimes& times() const { return times_; }

  // It redirects us, and nothing else since: where to, and with which status. Empty: no.
  std::string redirect() const;

  // All that came of late, or ever, was refused by its callers' validators: why, of the latest.
  // Empty: no.
  std::string answers_refused() const;
  // That has begun, or ended, since it was asked last.
  bool answers_refused_changed();

  const std::string& last_error() const { return last_error_; }
  int last_error_status() const { return last_error_status_; }  // 0: there was no answer

  // All that ended lately ended at ATTEMPT_TIMEOUT, and it has not been said yet.
  bool all_end_at_timeout();

  // The breaker opened or closed.
  void note_breaker(base::WallTime at);

  // What a probe may take until the breaker goes on without it. It may still be answered.
  base::Duration probe_patience() const;

  OriginStatus status(const base::Clock& clock);

 private:
  struct Place {  // what is known of the answers from one address
    AnswerTimes times;
    base::SteadyTime answered{};  // last
  };
  Place& place(const std::string& address);
  void learn(const OriginAttempt& attempt, const Reply& reply, base::SteadyTime now, Sign sign);
  void limited(const OriginAttempt& attempt, const Reply& reply, base::SteadyTime now);
  void note_error(const base::Clock& clock, const Verdict& verdict, int status);

  const Settings& settings_;
  const base::SteadyTime made_;
  AnswerTimes times_;
  std::map<std::string, Place> places_;
  base::SteadyTime last_life_{};
  int timeouts_in_a_row_ = 0;
  bool timeouts_told_ = false;
  std::optional<base::WallTime> last_success_;
  std::optional<base::WallTime> last_error_at_;
  std::string last_error_;
  int last_error_status_ = 0;
  int redirects_in_a_row_ = 0;
  std::string redirect_;  // the latest one's grounds
  int refused_in_a_row_ = 0;
  bool refused_told_ = false;
  std::string refused_why_;  // of the latest
  std::vector<BreakerChange> breaker_history_;
};

}  // namespace holdfast::upstream
