#include "plan.h"

#include <algorithm>
#include <utility>

namespace holdfast::warm {
namespace {

using Kind = Verdict::Kind;
constexpr std::size_t kFailuresKept = 1000;
constexpr base::SteadyTime kNever = base::SteadyTime::max();

}  // namespace

Plan::Plan(std::size_t items, PlanSettings settings, base::Random& random, base::SteadyTime now)
    : total_(items),
      settings_(settings),
      random_(random),
      states_(items),
      next_fetch_at_(now),
      window_(settings.concurrency),
      paused_until_(now),
      pause_length_(settings.pause_first),
      last_progress_(now),
      gone_since_(now) {}

std::optional<Step> Plan::next(base::SteadyTime now) {
  if (now < paused_until_ || in_flight_ >= window_) return std::nullopt;
  while (!later_.empty() && later_.top().at <= now) {
    const Step step = later_.top().step;
    later_.pop();
    (step.ask == Step::Ask::Fetch ? fetches_ : ready_).push_back(step);
  }
  std::optional<Step> step;
  if (!fetches_.empty() && now >= next_fetch_at_) {
    step = fetches_.front();
    fetches_.pop_front();
    if (settings_.fetches_per_second > 0) {
      // Evenly spaced; time in which nothing was to fetch is not made up for.
      next_fetch_at_ = now + std::chrono::duration_cast<base::Duration>(
                                 std::chrono::duration<double>(1.0 / settings_.fetches_per_second));
    }
  } else if (!ready_.empty()) {
    step = ready_.front();
    ready_.pop_front();
  } else if (next_new_ < total_) {
    step = Step{static_cast<std::uint32_t>(next_new_++), Step::Ask::Probe};
  } else {
    return std::nullopt;
  }
  ++in_flight_;
  ++counts_.requests;
  return step;
}

base::SteadyTime Plan::wake() const {
  if (in_flight_ >= window_) return kNever;
  base::SteadyTime at = kNever;
  if (!later_.empty()) at = later_.top().at;
  if (!fetches_.empty()) at = std::min(at, next_fetch_at_);
  if (!ready_.empty() || next_new_ < total_) at = base::SteadyTime::min();
  return at == kNever ? at : std::max(at, paused_until_);
}

void Plan::end(const Step& step, const Verdict& verdict, base::SteadyTime now) {
  --in_flight_;
  State& state = states_[step.item];
  const bool probe = step.ask == Step::Ask::Probe;
  const bool overloaded = verdict.kind == Kind::Pause && verdict.status == 503;
  if (!probe && (overloaded || verdict.kind == Kind::TryAgain)) note_failure(step, now);
  if (verdict.kind == Kind::Pause) return pause(step, verdict, now);
  calm(!probe && (verdict.kind == Kind::Fetched || verdict.kind == Kind::NotFound));
  switch (verdict.kind) {
    case Kind::Fetched:
      note_success();
      return settle(counts_.fetched, now);
    case Kind::NotFound:
      if (!probe) note_success();
      return settle(counts_.not_found, now);
    case Kind::Fresh:
      // To a fetch, a hit may be the refreshed response or the one that was due:
      // the daemon does not let a client wait for a slow upstream. A probe tells.
      if (!probe) return again(step, Step::Ask::Probe, verdict, true, now);
      if (state.due) note_success();
      return settle(state.due ? counts_.fetched : counts_.there, now);
    case Kind::Stale:
      // To a probe, only if the caller does not mind.
      if (probe) return settle(counts_.kept, now);
      return again(step, Step::Ask::Fetch, verdict, true, now);
    case Kind::Kept:
      return settle(counts_.kept, now);
    case Kind::NotStored:
      state.due = true;
      if (settings_.check_only) return fail(counts_.missing, step, verdict, now);
      fetches_.push_back({step.item, Step::Ask::Fetch});
      return;
    case Kind::TryAgain:
      if (!probe && upstream_is_gone()) return pause(step, verdict, now);
      return again(step, step.ask, verdict, false, now);
    case Kind::Hopeless:
      // The upstream answers, though it is no answer to store.
      if (!probe && verdict.status == 200) note_success();
      return fail(counts_.failed, step, verdict, now);
    case Kind::Pause:
      break;
  }
}

void Plan::settle(std::size_t& count, base::SteadyTime now) {
  ++count;
  last_progress_ = now;
}

void Plan::fail(std::size_t& count, const Step& step, const Verdict& verdict,
                base::SteadyTime now) {
  settle(count, now);
  if (failures_.size() >= kFailuresKept) return;
  failures_.push_back({step.item, verdict.status,
                       verdict.kind == Kind::NotStored ? "not stored, or due" : verdict.reason});
}

void Plan::again(const Step& step, Step::Ask ask, const Verdict& verdict, bool kept,
                 base::SteadyTime now) {
  State& state = states_[step.item];
  if (++state.attempts >= settings_.attempts) {
    if (kept) return settle(counts_.kept, now);
    return fail(counts_.failed, step, verdict, now);
  }
  ++counts_.retries;
  const base::Duration longest = std::min(
      settings_.backoff_most, settings_.backoff_first * (1U << std::min(state.attempts - 1, 20)));
  // Half of it is jitter, so that what failed together does not come back together.
  const base::Duration wait = longest / 2 + random_.up_to(longest / 2);
  later_.push({now + std::max<base::Duration>(wait, verdict.retry_after), {step.item, ask}});
}

// No attempt of the item's: it is not at fault.
void Plan::pause(const Step& step, const Verdict& verdict, base::SteadyTime now) {
  ++counts_.retries;
  auto& asked = step.ask == Step::Ask::Fetch ? fetches_ : ready_;
  // Of an upstream that is gone another item may be the one that it answers.
  upstream_is_gone() ? asked.push_back(step) : asked.push_front(step);
  pause_reason_ = verdict.reason;
  fetch_trouble_ = step.ask == Step::Ask::Fetch && !verdict.unreachable;
  troubled_ = true;
  window_ = 1;
  base::SteadyTime until = now + verdict.retry_after;
  // Those that were in flight together tell of one trouble, not of many.
  if (now >= paused_until_) {
    until = std::max(until, now + pause_length_ / 2 + random_.up_to(pause_length_ / 2));
    pause_length_ = std::min(settings_.pause_most, pause_length_ * 2);
  }
  paused_until_ = std::max(paused_until_, until);
}

// An answer came. If the trouble was with fetches, only one that succeeds shows
// that it is over; a probe costs nobody anything.
void Plan::calm(bool fetched) {
  if (!troubled_) return;
  if (fetch_trouble_ && !fetched) return;
  window_ = std::min(settings_.concurrency, window_ * 2);
  pause_length_ = settings_.pause_first;
  troubled_ = window_ < settings_.concurrency;
}

void Plan::note_failure(const Step& step, base::SteadyTime now) {
  State& state = states_[step.item];
  if (std::exchange(state.failed, true)) return;
  if (++failed_in_a_row_ == settings_.gone_after) gone_since_ = now;
}

void Plan::note_success() {
  failed_in_a_row_ = 0;
}

bool Plan::upstream_is_gone() const {
  return !settings_.keep_going && failed_in_a_row_ >= settings_.gone_after;
}

std::string Plan::last_trouble() const {
  if (!upstream_is_gone()) return pause_reason_;
  return std::to_string(failed_in_a_row_) +
         " in a row got no answer of the upstream's, the last error: " + pause_reason_ +
         " (--keep-going asks for the others all the same)";
}

bool Plan::gave_up(base::SteadyTime now) const {
  if (upstream_is_gone() && now - gone_since_ >= settings_.give_up_after) return true;
  return troubled_ && now - last_progress_ >= settings_.give_up_after;
}

std::string Plan::pause_reason(base::SteadyTime now) const {
  return now < paused_until_ ? pause_reason_ : "";
}

}  // namespace holdfast::warm
