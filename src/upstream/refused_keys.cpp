#include "upstream/refused_keys.h"

#include <algorithm>
#include <cmath>

namespace holdfast::upstream {
namespace {

// Bad keys are never let through, but a few refusals of good ones may be chance. Where a limit is
// far below what is asked for, fresh attempts may meet better moments than retries do.
constexpr int kRefusedForOnePassed = 20;

// How likely it is that of so many tries at most `few` succeed.
double at_most(int few, int tries, double success) {
  double sum = 0;
  for (int i = 0; i <= few; ++i) {
    sum += std::exp(std::lgamma(tries + 1) - std::lgamma(i + 1) - std::lgamma(tries - i + 1) +
                    i * std::log(success) + (tries - i) * std::log(1 - success));
  }
  return sum;
}

}  // namespace

void RefusedKeys::let_through(base::SteadyTime sent_at, base::SteadyTime now, std::size_t key) {
  last_answer_ = std::max(last_answer_, sent_at);
  auto row = rows_.find(key);
  if (row != rows_.end() && is_old(row->second, now)) {
    rows_.erase(row);
    row = rows_.end();
  }
  const bool fresh = row == rows_.end();
  // What was sent before the refusal is no retry, and no fair sample either.
  const bool retry = !fresh && sent_at > row->second.last_sent;
  if (fresh || retry) {
    note({sent_at, now, key, false, fresh, fresh ? sent_at : row->second.last_sent});
  }
  if (!fresh) rows_.erase(row);
  // Nothing but a retry that is let through speaks against it.
  if (retry || sticks_) judge(now);
}

void RefusedKeys::refused(base::SteadyTime sent_at, base::SteadyTime now, std::size_t key) {
  make_room(now);
  const auto [found, is_new] = rows_.try_emplace(key);
  Row& row = found->second;
  const bool fresh = is_new || is_old(row, now);
  if (fresh) row = Row{.last_sent = sent_at};
  ++row.refusals;
  if (fresh) {
    note({sent_at, now, key, true, true, sent_at});
  } else if (sent_at > row.last_sent && other_let_through(row.last_sent, key)) {
    ++row.retries;
    note({sent_at, now, key, true, false, row.last_sent});
  }
  row.last_sent = std::max(row.last_sent, sent_at);
  row.last_at = now;
  judge(now);
}

bool RefusedKeys::is_keys_own(std::size_t key) const {
  if (!sticks_) return false;
  const auto row = rows_.find(key);
  return row != rows_.end() && row->second.retries > 0;
}

bool RefusedKeys::is_open_question(std::size_t key) const {
  if (passed_ > 0) return false;
  const auto row = rows_.find(key);
  return row != rows_.end() && row->second.refusals > 1 && last_answer_ <= row->second.last_sent;
}

bool RefusedKeys::other_let_through(base::SteadyTime after, std::size_t key) const {
  return std::any_of(replies_.rbegin(), replies_.rend(), [&](const Reply& reply) {
    return reply.fresh && !reply.refused && reply.key != key && reply.sent_at > after;
  });
}

void RefusedKeys::note(Reply reply) {
  while (!replies_.empty() &&
         (replies_.size() >= settings_.kept || reply.at - replies_.front().at > settings_.window)) {
    replies_.pop_front();
  }
  replies_.push_back(reply);
}

void RefusedKeys::judge(base::SteadyTime now) {
  sticks_ = sure_ = false;
  since_ = now;
  int refused = 0;
  passed_ = 0;
  for (const Reply& reply : replies_) {
    if (reply.fresh || now - reply.at > settings_.window) continue;
    ++(reply.refused ? refused : passed_);
    since_ = std::min(since_, reply.before);
  }
  if (refused < kRefusedForOnePassed * passed_) return;
  int fresh_refused = 0;
  int fresh = 0;
  for (const Reply& reply : replies_) {
    if (!reply.fresh || reply.sent_at < since_) continue;
    ++fresh;
    fresh_refused += reply.refused ? 1 : 0;
  }
  // Of Laplace: the fewer are known, the more it takes.
  share_ = static_cast<double>(fresh_refused + 1) / static_cast<double>(fresh + 2);
  const double by_chance = at_most(passed_, refused + passed_, 1 - share_);
  sticks_ = by_chance < settings_.chance;
  sure_ = by_chance < settings_.sure;
}

// A key that was not asked for in a while begins anew.
bool RefusedKeys::is_old(const Row& row, base::SteadyTime now) const {
  return now - row.last_at > settings_.window;
}

void RefusedKeys::make_room(base::SteadyTime now) {
  if (rows_.size() < settings_.most_keys) return;
  std::erase_if(rows_, [&](const auto& entry) { return is_old(entry.second, now); });
  if (rows_.size() >= settings_.most_keys) rows_.clear();
}

}  // namespace holdfast::upstream
