// RefusalTrial tells a rate limit from refusals thrown at random. One by one they look
// alike, but a limit refuses less when it is asked for less, and chance does not. So it
// watches the replies after the rate was cut:
//
//   - Nothing refused: it was a limit, and this rate is below it.
//   - Else the share of refusals is measured, from the first one on: by then a limiter
//     has nothing saved up. Then the rate is cut to what was let through. A limit would
//     refuse next to nothing now; if more than half of the share stays, it is chance.
//   - A rate that is too low already is not cut again, which would take many seconds, but
//     doubles every second, up to three times as much. From a limit that let 1 - s through
//     at rate r, a share of 1 - (1 - s) r / r' is due at rate r'; from chance, s as before.
//     Which of them the replies fit is decided as in Wald's sequential probability ratio
//     test (1945).
//
// A limiter that counts in long windows refuses all and then nothing. So only refusals
// that come mixed with what is let through are taken for chance.
//
// One origin; one thread; time is an argument.
#pragma once

#include "base/clock.h"

namespace holdfast::upstream {

class RefusalTrial {
 public:
  enum class Verdict {
    Open,
    Limit,     // this rate is below it; share() is refused all the same
    TooFast,   // it is a limit, and the climb has come above it
    SlowDown,  // to what is let through at this rate: 1 - share()
    Chance,    // no rate would spare us share()
    Both,      // it was a limit, and the rate before the slowing down was below it; share()
               // is the chance that was known
  };

  // What refuses more is an outage, or its limit far away.
  static constexpr double kMostChance = 0.9;

  // The rate was just cut; `climbing` if it doubles from now on. It is to be held while
  // holds_rate().
  void begin(bool climbing);
  // The rate was cut as SlowDown asked for.
  void slowed_down();
  void end() { on_ = false; }
  bool on() const { return on_; }
  bool holds_rate(double rate) const;

  // Of a request sent since the rate changed. `chance` is the share known to be chance.
  // Every verdict but Open and SlowDown ends the trial.
  Verdict replied(base::SteadyTime now, bool refused, double rate, double chance);

  double share() const { return share_; }
  // The largest share of refusals that it may turn out to be chance.
  double suspected() const;

 private:
  Verdict measured(base::SteadyTime now, double rate, double chance);
  Verdict compared(bool refused, double rate, double chance);
  Verdict ended(Verdict verdict);
  void count_anew();
  int replies() const { return passed_ + refused_; }
  double share_now() const { return static_cast<double>(refused_) / replies(); }

  bool on_ = false;
  bool climbing_ = false;
  bool dry_ = false;       // something was refused since the rate changed
  bool measured_ = false;  // share_ is known
  double share_ = 0;
  double rate_ = 0;      // at which share_ was measured
  double evidence_ = 0;  // logarithm of how much likelier chance is than a limit
  int passed_ = 0;       // since it is dry, or compared; before: since the rate changed
  int refused_ = 0;
  int changes_ = 0;  // from one of them to the other
  bool last_refused_ = false;
  base::SteadyTime dry_since_{};
};

}  // namespace holdfast::upstream
