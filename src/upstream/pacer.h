// Pacer finds and keeps the rate of requests an origin puts up with, which nobody
// told us: it listens for 429, and for 503 with Retry-After. One origin; one
// thread; time is an argument.
//
//   free     no limit known
//   climbing a limit exists, its height is unknown: the rate doubles every second,
//            after an outage four times a second
//   keeping  a limit was met: a little below it, rising slowly to see whether it moved
//
// A refusal proves nothing: an upstream that throws 429 at random answers the
// next request, and slowing down would only cost answers. Two things count:
//   - refusals in a row, so many that it can hardly be chance, or everything refused
//     although we waited for the last refusal before we asked again (unless it is on
//     trial, see below). Then there comes a pause of what Retry-After says;
//   - a large share of recent replies.
// Either way the rate is cut to a share of what was let through in the last second: the
// limit, measured. A RefusalTrial then sees whether that helps. If it does not, it was
// chance: the rate is free again, and from then on it takes more to be called a limit, by
// the share of refusals that chance accounts for.
//
// Multiplicative decrease and additive increase as in TCP (Chiu and Jain 1989);
// growing only while the rate is used, as in RFC 7661.
#pragma once

#include <array>
#include <cstddef>
#include <limits>
#include <optional>

#include "base/clock.h"
#include "upstream/refusal_trial.h"
#include "upstream/rolling_count.h"
#include "upstream/token_bucket.h"

namespace holdfast::upstream {

class Pacer {
 public:
  struct Settings {
    bool enabled = true;
    double min_rate = 2.0;  // requests/s
    double decrease = 0.85;
    int sure_streak = 6;  // refusals in a row
    // Share of the last 20 to 40 replies, none older than 10 s, that are refusals.
    double free_share = 0.30;
    double limited_share = 0.20;
    // Retry-After is obeyed as a pause up to this. What says "come back in an
    // hour" is an outage, and the breaker's business.
    std::chrono::seconds longest_pause{5};
    double additive_increase = 0.5;         // requests/s, every second
    double multiplicative_increase = 0.02;  // share of the rate, every second
    double reclaim_increase = 0.25;         // below what was let through before, or long after
    std::chrono::seconds forget_after{60};  // without a refusal
    double free_rate = 1000.0;              // past this it is no limit worth keeping
    // After an outage: what to start with at least, and how often it doubles in a
    // second. Those who waited have seconds left, not a minute.
    double ramp_rate = 50.0;
    double ramp_doublings = 4.0;
  };

  explicit Pacer(Settings settings);

  // May a request be sent, by the rate alone? If not: when to ask again.
  bool allows(base::SteadyTime now);
  base::SteadyTime next(base::SteadyTime now);
  void sent(base::SteadyTime now);

  // Nothing should be sent before this, if it can wait that long. Who cannot may
  // ask as a scout: allows() then lets one pass now and then, and the first that
  // is let through ends the silence.
  base::SteadyTime not_before() const { return not_before_; }

  // A request sent at `sent_at` was let through, or refused with that Retry-After.
  void let_through(base::SteadyTime sent_at, base::SteadyTime now);
  void refused(base::SteadyTime sent_at, base::SteadyTime now,
               std::optional<std::chrono::seconds> retry_after);

  // That share of what is asked for is refused whatever the rate, for all that was sent since
  // then: what was found of a limit by those refusals is not true.
  void sticks_to_keys(base::SteadyTime now, double share, base::SteadyTime since);

  // The origin is back after an outage: start low and climb, so that those who
  // waited do not knock it over again.
  void ramp(base::SteadyTime now);

  bool limited() const { return mode_ != Mode::Free; }
  // ... because it refused us, and not only by our own care after an outage.
  bool refused_lately() const { return limited() && !ramping_; }
  // Infinite while free.
  double rate(base::SteadyTime now);

 private:
  enum class Mode { Free, Climbing, Keeping };
  struct Seen {
    base::SteadyTime sent_at;
    base::SteadyTime at;
    bool refused = false;
  };
  static constexpr std::size_t kSeen = 40;

  struct Share {
    std::size_t replies = 0;
    std::size_t refusals = 0;
    bool causal = false;  // the last was sent after the first of them had been refused
    double value() const {
      return replies == 0 ? 0 : static_cast<double>(refusals) / static_cast<double>(replies);
    }
  };

  // The latest is 1.
  const Seen& seen(std::size_t back) const { return seen_[(seen_count_ - back) % kSeen]; }
  Share recent(base::SteadyTime now) const;
  void note(base::SteadyTime sent_at, base::SteadyTime now, bool refused);
  void know_chance(double share);
  int in_a_row(int refusals) const;
  double much() const;
  void be_silent(base::SteadyTime now, base::Duration pause);
  double measured_limit(base::SteadyTime now);
  bool may_be_chance(base::SteadyTime now) const;
  void cut(base::SteadyTime now);
  void slow_down(base::SteadyTime now, double rate);
  void try_refusals(base::SteadyTime now, bool refused);
  void be_free();
  void grow(base::SteadyTime now);
  void set_rate(base::SteadyTime now, double rate);

  Settings settings_;
  Mode mode_ = Mode::Free;
  bool ramping_ = false;  // climbing after an outage, and not refused since
  double rate_ = std::numeric_limits<double>::infinity();
  double met_at_ = 0;  // what was let through per second when the limit was last met
  TokenBucket bucket_{0, 1};
  RollingCount let_through_{std::chrono::milliseconds(50), 20};  // the last second
  RollingCount replies_{std::chrono::milliseconds(50), 20};      // of all kinds
  RollingCount seconds_{std::chrono::seconds(1), 30};            // for the peak
  std::array<Seen, kSeen> seen_{};
  std::size_t seen_count_ = 0;  // since the last cut
  int streak_ = 0;              // refusals in a row
  RefusalTrial trial_;
  double cut_to_ = 0;  // the rate when it began
  double chance_ = 0;  // the share of refusals that slowing down does not spare us
  base::SteadyTime grown_{};
  base::SteadyTime cut_{};
  base::SteadyTime limited_since_{};  // while it is
  base::SteadyTime busy_since_{};     // without a second of rest
  base::SteadyTime last_sent_{};
  base::SteadyTime last_refusal_{};
  base::SteadyTime not_before_{};
  base::SteadyTime silent_since_{};  // when the silence up to not_before_ began
  base::SteadyTime scout_at_{};      // when the next scout may go
  bool in_doubt_ = false;            // is it a limit?
  int doubtful_ = 0;                 // sent in doubt since the last silence
};

}  // namespace holdfast::upstream
