// AnswerTimes knows how long answers take, from the request being sent to the last byte,
// and so when an attempt is slower than usual: a suspect, which is raced by another but
// never cut off for it. It also says when silence is long enough to mean that nobody is
// there. One origin, or one address of it; one thread.
//
// Set-up is no part of it: a time learned on kept connections would call every new one
// slow. And it learns what slow ones took in the end, so that an upstream that has become
// slower is suspected for one answer's time and not for good.
#pragma once

#include <algorithm>

#include "base/clock.h"
#include "upstream/latency_window.h"

namespace holdfast::upstream {

class AnswerTimes {
 public:
  struct Settings {
    // Never suspected earlier: a garbage collection, or a lost packet, which Linux sends
    // again after a round trip and 200 ms (RFC 6298 with its lower bound).
    base::Duration floor = std::chrono::milliseconds(200);
    double quantile = 0.95;
    double headroom = 2.0;
    std::size_t min_samples = 8;
    // With fewer: a larger multiple of the longest there is, but hardly more than without any.
    double headroom_few = 4.0;
    base::Duration unknown = std::chrono::seconds(2);
    // Between the second attempt and the third, and so on: so long, or four times as long
    // as to the second, or what the slowest lately took and a quarter more; then twice
    // that. A key that is slow for everybody is asked for twice and not more often. But
    // where suspects turn out to be lost, mostly, as long as 95 % of answers take; twice
    // that and so on only while nobody else is answered either.
    base::Duration spacing = std::chrono::milliseconds(1500);
    base::Duration spacing_cap = std::chrono::seconds(4);
    double lost_mostly = 0.5;
    double lost_weight = 0.125;  // of the latest, in the average
    int lost_share = 6;          // and then no more than 1/so many of the time left
    // Silence: four times what the slowest took, within these.
    base::Duration silence_least = std::chrono::seconds(2);
    base::Duration silence_most = std::chrono::seconds(4);
  };

  explicit AnswerTimes(Settings settings) : settings_(settings) {}

  void answered(base::Duration took);
  // We cut it off after so long, when connections were short: it takes longer than this, if it
  // is answered at all. Until something is, the next one is left for twice as long.
  void cut_off(base::Duration after);

  // How a suspect ended: with its answer, or overtaken by an attempt sent later.
  void suspect_answered() { lost_ -= lost_ * settings_.lost_weight; }
  void suspect_overtaken() { lost_ += (1.0 - lost_) * settings_.lost_weight; }

  bool known() const { return window_.count() >= settings_.min_samples; }
  // The median; zero while there is no history.
  base::Duration usual() const { return window_.percentile(0.5).value_or(base::Duration::zero()); }
  // However short the time is, no attempt is a suspect that has had no more than most took.
  base::Duration least() const {
    return std::max(settings_.floor,
                    window_.percentile(settings_.quantile).value_or(base::Duration::zero()));
  }
  const LatencyWindow& window() const { return window_; }

  // What may pass until the answer before the attempt is a suspect. `round_trip` of the
  // network in between, zero if unknown: a lost packet is waited for.
  base::Duration suspect_after(base::Duration round_trip) const;
  // After `races` races of a fetch, 1 or more, so much until the next, from the last one being
  // sent. `alive`: the origin has answered others since then.
  // With `left` until the deadline.
  base::Duration spacing(int races, bool alive, base::Duration left,
                         base::Duration round_trip) const;
  // A suspect may be cut then, if connections are short: the first of its fetch, and one that
  // was sent beside it.
  base::Duration hopeless_after() const { return std::max(superfluous_after(), cut_floor_); }
  base::Duration superfluous_after() const;
  // From the request being sent, without a sign of life from the whole origin since.
  base::Duration silence() const;

 private:
  bool lost_mostly() const { return lost_ > settings_.lost_mostly; }
  // But for a straggler or two.
  base::Duration longest() const { return window_.percentile(0.99).value_or(base::Duration()); }

  Settings settings_;
  LatencyWindow window_;
  base::Duration cut_floor_{};
  double lost_ = 0.25;  // of suspects, the share that was; at first few, to do no harm
};

// What a retransmission adds to an answer: Linux waits a round trip and 200 ms at least
// (tcp_rto_min goes to the deviation's share), and then the packet has its way to go.
base::Duration retransmission(base::Duration round_trip);

}  // namespace holdfast::upstream
