#include "upstream/refusal_trial.h"

#include <algorithm>
#include <cmath>

namespace holdfast::upstream {
namespace {

// The numbers were found by trying, with the upstream of tests/unit/upstream's ladder of
// faults: limits of 10 to 200 requests/s of several kinds, and 10 % to 70 % of chance.
constexpr int kPassed = 6;      // and nothing refused: the rate will do
constexpr int kReplies = 12;    // make a share
constexpr int kCompared = 8;    // replies at least, to compare
constexpr double kSure = 2.0;   // e^2: 7 times as likely
constexpr int kMixed = 3;       // changes from refused to let through and back, for chance
constexpr double kClimb = 3.0;  // times the rate of the measured share, until it is decided
constexpr double kNoise = 0.15;
constexpr double kLimitShare = 0.1;  // that a limit may refuse below itself
// A limiter may have saved up a burst for a shorter time than this.
constexpr base::Duration kLongEnough = std::chrono::milliseconds(250);

}  // namespace

void RefusalTrial::begin(bool climbing) {
  on_ = true;
  climbing_ = climbing;
  measured_ = false;
  share_ = 0;
  slowed_down();
}

void RefusalTrial::slowed_down() {
  dry_ = false;
  count_anew();
}

bool RefusalTrial::holds_rate(double rate) const {
  if (!on_ || !dry_) return false;
  return !climbing_ || (measured_ && rate >= kClimb * rate_);
}

RefusalTrial::Verdict RefusalTrial::replied(base::SteadyTime now, bool refused, double rate,
                                            double chance) {
  if (!on_) return Verdict::Open;
  if (replies() > 0 && refused != last_refused_) ++changes_;
  last_refused_ = refused;
  if (refused && !dry_) {
    dry_ = true;
    dry_since_ = now;
    count_anew();
    return Verdict::Open;
  }
  ++(refused ? refused_ : passed_);
  if (!dry_) {
    if (passed_ < kPassed) return Verdict::Open;
    share_ = 0;
    return ended(Verdict::Limit);
  }
  return climbing_ && measured_ ? compared(refused, rate, chance) : measured(now, rate, chance);
}

RefusalTrial::Verdict RefusalTrial::measured(base::SteadyTime now, double rate, double chance) {
  if (replies() < kReplies) return Verdict::Open;
  const double share = share_now();
  if (share > kMostChance && passed_ > 0 && replies() < 2 * kReplies) return Verdict::Open;
  if (share > kMostChance || share <= kNoise) {
    share_ = share;
    return ended(Verdict::Limit);
  }
  if (changes_ < kMixed) {
    count_anew();
    return Verdict::Open;
  }
  const bool fell = share < share_ / 2;
  if (measured_ && fell && replies() < 2 * kReplies) return Verdict::Open;
  if (measured_ && !fell && now - dry_since_ >= kLongEnough) {
    share_ = (share + share_) / 2;
    return ended(share_ > chance + kNoise ? Verdict::Chance : Verdict::Both);
  }
  measured_ = true;
  share_ = share;
  rate_ = rate;
  evidence_ = 0;
  count_anew();
  return climbing_ ? Verdict::Open : Verdict::SlowDown;
}

RefusalTrial::Verdict RefusalTrial::compared(bool refused, double rate, double chance) {
  const double limit =
      std::clamp(1 - (1 - share_) * rate_ / rate, std::max(kLimitShare, chance), 0.98);
  evidence_ += refused ? std::log(share_ / limit) : std::log((1 - share_) / (1 - limit));
  if (std::abs(evidence_) < kSure || replies() < kCompared) return Verdict::Open;
  if (evidence_ < 0) return ended(Verdict::TooFast);
  if (changes_ < kMixed) return Verdict::Open;
  share_ = std::min((share_now() + share_) / 2, kMostChance);
  return ended(Verdict::Chance);
}

RefusalTrial::Verdict RefusalTrial::ended(Verdict verdict) {
  on_ = false;
  return verdict;
}

void RefusalTrial::count_anew() {
  passed_ = 0;
  refused_ = 0;
  changes_ = 0;
}

double RefusalTrial::suspected() const {
  if (!on_) return 0;
  return std::max(share_, passed_ > 0 ? share_now() : 0.0);
}

}  // namespace holdfast::upstream
