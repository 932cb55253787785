#include "upstream/pacer.h"

#include <algorithm>
#include <cmath>

namespace holdfast::upstream {
namespace {

constexpr std::size_t kEnoughReplies = 20;  // to speak of a share
// Two refusals in a row: hold back until those in flight have said whether there
// are more. Otherwise every slot that a refusal frees sends the next one. After
// that go as many as are missing to be sure, and again a wait for their word: all
// that waited would be refused together.
constexpr int kSuspicious = 2;
constexpr base::Duration kHold = std::chrono::milliseconds(50);
constexpr base::Duration kScoutEvery = std::chrono::milliseconds(100);
constexpr std::chrono::seconds kSeenFor{10};
constexpr int kAllRefused = 2;  // replies that are everything
// So many refusals in a row count as are, by chance, as unlikely as the settings' numbers
// are where one in ten is refused.
constexpr double kUsualChance = 0.1;
constexpr double kMostInARow = 40.0;  // all that is seen
// A share this many standard deviations above that of chance is more than chance.
constexpr double kDeviations = 3.5;
constexpr double kNearlyAll = 0.97;    // is always much
constexpr double kChanceNoise = 0.15;  // of a share of 40
// A limiter lets all through and then little. Chance has refused this share of the older
// half of the replies, too.
constexpr double kSpreadShare = 0.2;
constexpr base::Duration kShortestMeasure = std::chrono::milliseconds(250);  // of a limit
constexpr std::chrono::seconds kReclaimAfter{10};
// What was let through in a second is a measure of the limit only if it is more
// than a handful.
constexpr double kMeasurable = 10.0;
// However hard random refusals push, the rate stays within reach of what worked
// in the last half minute.
constexpr double kPeakShare = 0.25;

}  // namespace

Pacer::Pacer(Settings settings) : settings_(settings) {}

bool Pacer::allows(base::SteadyTime now) {
  if (now < not_before_ && now < scout_at_) return false;
  if (mode_ == Mode::Free) return true;
  grow(now);
  return mode_ == Mode::Free || bucket_.has(now);
}

base::SteadyTime Pacer::next(base::SteadyTime now) {
  if (allows(now)) return now;
  const base::SteadyTime rest = now < not_before_ ? std::min(not_before_, scout_at_) : now;
  return mode_ == Mode::Free ? rest : std::max(rest, bucket_.next(now));
}

void Pacer::sent(base::SteadyTime now) {
  if (now - last_sent_ > std::chrono::seconds(1)) busy_since_ = now;
  last_sent_ = now;
  if (mode_ != Mode::Free) bucket_.take(now);
  if (now < not_before_) {
    scout_at_ = now + kScoutEvery;
  } else if (in_doubt_ && ++doubtful_ >= in_a_row(settings_.sure_streak) - streak_) {
    doubtful_ = 0;
    not_before_ = now + kHold;
  }
}

void Pacer::let_through(base::SteadyTime sent_at, base::SteadyTime now) {
  streak_ = 0;
  // Sent since the silence began, and answered: there is nothing to wait for. What
  // was in flight by then says nothing of that.
  if (sent_at > silent_since_) {
    not_before_ = std::min(not_before_, now);
    in_doubt_ = false;
  }
  let_through_.add(now);
  seconds_.add(now);
  note(sent_at, now, false);
  if (sent_at > cut_) try_refusals(now, false);
}

void Pacer::refused(base::SteadyTime sent_at, base::SteadyTime now,
                    std::optional<std::chrono::seconds> retry_after) {
  if (!settings_.enabled) return;
  if (now - last_refusal_ > settings_.forget_after) chance_ = 0;
  last_refusal_ = now;
  // What was sent before the cut answers for the rate before the cut.
  if (limited() && sent_at <= cut_) return;
  // A scout in a pause was to be expected to be refused.
  if (!in_doubt_ && sent_at > silent_since_ && sent_at < not_before_) return;
  ++streak_;
  note(sent_at, now, true);
  try_refusals(now, true);

  const Share share = recent(now);
  if (share.replies == kSeen) know_chance(share.value());
  // A trial needs more than a few replies.
  const bool everything = !trial_.on() && share.refusals == share.replies && share.causal &&
                          static_cast<int>(share.replies) >= in_a_row(kAllRefused);
  if (streak_ >= in_a_row(settings_.sure_streak) || everything) {
    cut(now);
    const auto pause =
        std::min(retry_after.value_or(std::chrono::seconds(0)), settings_.longest_pause);
    silent_since_ = now;  // what was sent before the cut does not end this
    be_silent(now, pause);
    in_doubt_ = false;
  } else if (streak_ >= in_a_row(kSuspicious)) {
    be_silent(now, kHold);
    in_doubt_ = true;
  } else if (!trial_.on() && share.replies >= (chance_ > 0 ? kSeen : kEnoughReplies) &&
             share.value() >= much()) {
    cut(now);
  }
}

int Pacer::in_a_row(int refusals) const {
  const double chance = std::min(std::max(chance_, trial_.suspected()), RefusalTrial::kMostChance);
  if (chance <= kUsualChance) return refusals;
  const double as_unlikely = refusals * std::log(kUsualChance) / std::log(chance);
  return static_cast<int>(std::ceil(std::min(as_unlikely, kMostInARow)));
}

double Pacer::much() const {
  if (chance_ > 0) {
    const double deviation = std::sqrt(chance_ * (1 - chance_) / static_cast<double>(kSeen));
    return std::min(chance_ + std::max((1 - chance_) / 2, kDeviations * deviation), kNearlyAll);
  }
  return limited() ? settings_.limited_share : settings_.free_share;
}

// Where less is refused than was by chance, it has become less.
void Pacer::know_chance(double share) {
  chance_ = share <= kUsualChance ? 0 : std::min(chance_, share + kChanceNoise);
}

void Pacer::be_silent(base::SteadyTime now, base::Duration pause) {
  if (now >= not_before_) {
    silent_since_ = now;
    scout_at_ = now;
  }
  not_before_ = std::max(not_before_, now + pause);
  doubtful_ = 0;
}

// What a limit lets through in a second. Where it may be chance, also from less than a
// second: that keeps the trial short. A limiter's burst would look like a high limit.
double Pacer::measured_limit(base::SteadyTime now) {
  const auto through = static_cast<double>(let_through_.sum(now));
  if (!may_be_chance(now)) return through;
  const std::chrono::duration<double> busy = std::max(now - busy_since_, kShortestMeasure);
  return through / std::min(busy.count(), 1.0);
}

bool Pacer::may_be_chance(base::SteadyTime now) const {
  const std::size_t replies = recent(now).replies;
  std::size_t refusals = 0;
  for (std::size_t i = replies; i > replies / 2; --i) refusals += seen(i).refused ? 1 : 0;
  return static_cast<double>(refusals) > kSpreadShare * static_cast<double>(replies - replies / 2);
}

void Pacer::cut(base::SteadyTime now) {
  const double limit = measured_limit(now);
  const double rate =
      std::max({limit * settings_.decrease, static_cast<double>(seconds_.peak(now)) * kPeakShare,
                settings_.min_rate});
  const bool was_free = mode_ == Mode::Free;
  if (was_free) limited_since_ = now;
  mode_ = limit >= kMeasurable ? Mode::Keeping : Mode::Climbing;
  met_at_ = limit;
  trial_.begin(mode_ == Mode::Climbing);
  cut_to_ = was_free ? rate : std::min(rate, rate_);
  slow_down(now, cut_to_);
}

void Pacer::slow_down(base::SteadyTime now, double rate) {
  set_rate(now, rate);
  ramping_ = false;
  cut_ = now;
  grown_ = now;
  seen_count_ = 0;
  streak_ = 0;
}

void Pacer::try_refusals(base::SteadyTime now, bool refused) {
  switch (trial_.replied(now, refused, rate_, chance_)) {
    case RefusalTrial::Verdict::Open:
      break;
    case RefusalTrial::Verdict::Limit:
      know_chance(trial_.share());
      break;
    case RefusalTrial::Verdict::Both:
      set_rate(now, cut_to_);
      break;
    case RefusalTrial::Verdict::TooFast:
      cut(now);
      break;
    case RefusalTrial::Verdict::SlowDown:
      if (rate_ <= settings_.min_rate) return trial_.end();
      trial_.slowed_down();
      slow_down(now,
                std::max(settings_.min_rate, rate_ * (1 - trial_.share()) * settings_.decrease));
      break;
    case RefusalTrial::Verdict::Chance:
      chance_ = trial_.share();
      be_free();
      break;
  }
}

void Pacer::be_free() {
  mode_ = Mode::Free;
  trial_.end();
}

// As when a trial ends with chance; a limit that was there before is not in question.
void Pacer::sticks_to_keys(base::SteadyTime now, double share, base::SteadyTime since) {
  chance_ = std::clamp(share, chance_, RefusalTrial::kMostChance);
  not_before_ = std::min(not_before_, now);
  in_doubt_ = false;
  seen_count_ = 0;
  streak_ = 0;
  if (refused_lately() && limited_since_ >= since) be_free();
}

void Pacer::ramp(base::SteadyTime now) {
  if (!settings_.enabled) return;
  const double start =
      std::max(settings_.ramp_rate, static_cast<double>(seconds_.peak(now)) * kPeakShare);
  trial_.end();
  if (mode_ == Mode::Keeping && rate_ <= start) return;
  mode_ = Mode::Climbing;
  ramping_ = true;
  set_rate(now, start);
  grown_ = now;
  cut_ = now;
  not_before_ = now;
  seen_count_ = 0;
  streak_ = 0;
}

double Pacer::rate(base::SteadyTime now) {
  if (mode_ != Mode::Free) grow(now);
  return mode_ == Mode::Free ? std::numeric_limits<double>::infinity() : rate_;
}

Pacer::Share Pacer::recent(base::SteadyTime now) const {
  Share share;
  const std::size_t count = std::min(seen_count_, kSeen);
  for (std::size_t i = 1; i <= count; ++i) {
    const Seen& reply = seen(i);
    if (now - reply.at > kSeenFor) break;
    ++share.replies;
    if (reply.refused) ++share.refusals;
    share.causal = reply.at < seen(1).sent_at;
  }
  return share;
}

void Pacer::note(base::SteadyTime sent_at, base::SteadyTime now, bool refused) {
  seen_[seen_count_ % kSeen] = {sent_at, now, refused};
  ++seen_count_;
  replies_.add(now);
}

void Pacer::grow(base::SteadyTime now) {
  const std::chrono::duration<double> passed = now - std::max(grown_, not_before_);
  if (passed.count() <= 0) return;
  grown_ = now;
  if (now - std::max(last_refusal_, cut_) > settings_.forget_after) {
    be_free();
    return;
  }
  // Unused, a rate says nothing about the limit.
  const double used_share = ramping_ ? 0.25 : 0.5;
  const bool used = static_cast<double>(replies_.sum(now)) >= rate_ * used_share ||
                    now - std::max(cut_, not_before_) < std::chrono::seconds(1);
  if (!used) {
    // Nor does it bind anybody, so after a while it may go.
    if (now - std::max(cut_, not_before_) > kReclaimAfter) be_free();
    return;
  }
  if (trial_.holds_rate(rate_)) return;
  double rate = rate_;
  if (mode_ == Mode::Climbing) {
    rate *= std::exp2(passed.count() * (ramping_ ? settings_.ramp_doublings : 1.0));
  } else if (rate < met_at_ * settings_.decrease || now - cut_ > kReclaimAfter) {
    rate *= std::pow(1.0 + settings_.reclaim_increase, passed.count());
  } else {
    rate +=
        passed.count() * (settings_.additive_increase + rate * settings_.multiplicative_increase);
  }
  if (rate >= settings_.free_rate) {
    be_free();
  } else {
    set_rate(now, rate);
  }
}

void Pacer::set_rate(base::SteadyTime now, double rate) {
  rate_ = rate;
  // A burst of 50 ms' worth: enough that a late timer loses nothing.
  bucket_.set(now, rate, std::max(1.0, rate / 20));
}

}  // namespace holdfast::upstream
