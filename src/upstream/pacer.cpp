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
constexpr std::chrono::seconds kDisbelief{30};
// A trial has failed if more than this share of the refusals goes on.
constexpr double kTrialShare = 0.5;
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
  if (mode_ != Mode::Free) bucket_.take(now);
  if (now < not_before_) {
    scout_at_ = now + kScoutEvery;
  } else if (in_doubt_ && ++doubtful_ >= settings_.sure_streak - streak_) {
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
  note(sent_at, now, false);
  let_through_.add(now);
  seconds_.add(now);
  end_trial_if_due(now);
}

void Pacer::refused(base::SteadyTime sent_at, base::SteadyTime now,
                    std::optional<std::chrono::seconds> retry_after) {
  if (!settings_.enabled) return;
  last_refusal_ = now;
  // What was sent before the cut answers for the rate before the cut.
  if (limited() && sent_at <= cut_) return;
  // A scout in a pause was to be expected to be refused.
  if (!in_doubt_ && sent_at > silent_since_ && sent_at < not_before_) return;
  ++streak_;
  note(sent_at, now, true);
  end_trial_if_due(now);

  const Share share = recent(now);
  const bool everything = share.refusals == share.replies && share.replies >= 2 && share.causal;
  if (streak_ >= settings_.sure_streak || everything) {
    cut(now);
    const auto pause =
        std::min(retry_after.value_or(std::chrono::seconds(0)), settings_.longest_pause);
    silent_since_ = now;  // what was sent before the cut does not end this
    be_silent(now, pause);
    in_doubt_ = false;
  } else if (streak_ >= kSuspicious) {
    be_silent(now, kHold);
    in_doubt_ = true;
  } else if (share.replies >= kEnoughReplies && now >= shares_believed_from_ &&
             share.value() >= (limited() ? settings_.limited_share : settings_.free_share)) {
    trial_share_ = share.value();
    cut(now);
  }
}

void Pacer::be_silent(base::SteadyTime now, base::Duration pause) {
  if (now >= not_before_) {
    silent_since_ = now;
    scout_at_ = now;
  }
  not_before_ = std::max(not_before_, now + pause);
  doubtful_ = 0;
}

void Pacer::cut(base::SteadyTime now) {
  const auto through = static_cast<double>(let_through_.sum(now));
  const double rate =
      std::max({through * settings_.decrease, static_cast<double>(seconds_.peak(now)) * kPeakShare,
                settings_.min_rate});
  if (mode_ == Mode::Free || rate < rate_) set_rate(now, rate);
  mode_ = through >= kMeasurable ? Mode::Keeping : Mode::Climbing;
  ramping_ = false;
  met_at_ = through;
  cut_ = now;
  grown_ = now;
  seen_count_ = 0;
  streak_ = 0;
}

void Pacer::end_trial_if_due(base::SteadyTime now) {
  if (trial_share_ == 0 || seen_count_ < kEnoughReplies) return;
  if (recent(now).value() > trial_share_ * kTrialShare) {
    mode_ = Mode::Free;
    shares_believed_from_ = now + kDisbelief;
  }
  trial_share_ = 0;
}

void Pacer::ramp(base::SteadyTime now) {
  if (!settings_.enabled) return;
  const double start =
      std::max(settings_.ramp_rate, static_cast<double>(seconds_.peak(now)) * kPeakShare);
  if (mode_ == Mode::Keeping && rate_ <= start) return;
  mode_ = Mode::Climbing;
  ramping_ = true;
  set_rate(now, start);
  grown_ = now;
  cut_ = now;
  not_before_ = now;
  seen_count_ = 0;
  streak_ = 0;
  trial_share_ = 0;
}

double Pacer::rate(base::SteadyTime now) {
  if (mode_ != Mode::Free) grow(now);
  return mode_ == Mode::Free ? std::numeric_limits<double>::infinity() : rate_;
}

Pacer::Share Pacer::recent(base::SteadyTime now) const {
  Share share;
  const std::size_t count = std::min(seen_count_, kSeen);
  for (std::size_t i = 1; i <= count; ++i) {
    const Seen& reply = seen_[(seen_count_ - i) % kSeen];
    if (now - reply.at > kSeenFor) break;
    ++share.replies;
    if (reply.refused) ++share.refusals;
    share.causal = reply.at < seen_[(seen_count_ - 1) % kSeen].sent_at;
  }
  return share;
}

void Pacer::note(base::SteadyTime sent_at, base::SteadyTime now, bool refused) {
  seen_[seen_count_ % kSeen] = {sent_at, now, refused};
  ++seen_count_;
}

void Pacer::grow(base::SteadyTime now) {
  const std::chrono::duration<double> passed = now - std::max(grown_, not_before_);
  if (passed.count() <= 0) return;
  grown_ = now;
  if (now - std::max(last_refusal_, cut_) > settings_.forget_after) {
    mode_ = Mode::Free;
    return;
  }
  // Unused, a rate says nothing about the limit.
  const double used_share = ramping_ ? 0.25 : 0.5;
  const bool used = static_cast<double>(let_through_.sum(now)) >= rate_ * used_share ||
                    now - std::max(cut_, not_before_) < std::chrono::seconds(1);
  if (!used) {
    // Nor does it bind anybody, so after a while it may go.
    if (now - std::max(cut_, not_before_) > kReclaimAfter) mode_ = Mode::Free;
    return;
  }
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
    mode_ = Mode::Free;
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
