#include "base/timer_queue.h"

namespace holdfast::base {

Scheduler::TimerId TimerQueue::add(SteadyTime when, Scheduler::Callback callback) {
  const auto id = ++last_id_;
  by_time_.emplace(Key{when, id}, std::move(callback));
  times_.emplace(id, when);
  return id;
}

void TimerQueue::cancel(Scheduler::TimerId id) {
  const auto found = times_.find(id);
  if (found == times_.end()) return;
  by_time_.erase(Key{found->second, id});
  times_.erase(found);
}

std::optional<SteadyTime> TimerQueue::next() const {
  if (by_time_.empty()) return std::nullopt;
  return by_time_.begin()->first.first;
}

bool TimerQueue::run_one(SteadyTime now) {
  if (by_time_.empty() || by_time_.begin()->first.first > now) return false;
  // Taken out before it runs: it may cancel itself or destroy its owner.
  auto node = by_time_.extract(by_time_.begin());
  times_.erase(node.key().second);
  node.mapped()();
  return true;
}

void TimerQueue::run_due(SteadyTime now, CallWatch* calls) {
  const auto newest = last_id_;
  while (!by_time_.empty() && by_time_.begin()->first.first <= now) {
    if (by_time_.begin()->first.second > newest) {
      // Added while running. An older one may be due behind it.
      auto it = by_time_.begin();
      while (it != by_time_.end() && it->first.second > newest && it->first.first <= now) ++it;
      if (it == by_time_.end() || it->first.first > now) return;
      auto node = by_time_.extract(it);
      times_.erase(node.key().second);
      node.mapped()();
    } else {
      run_one(now);
    }
    if (calls != nullptr) calls->ended("timer");
  }
}

}  // namespace holdfast::base
