// TimeoutList holds what shares one timeout, in the order of its deadlines. As
// the timeout is the same for all, adding is appending and only the front can
// have run out: no timer and no heap per connection. One thread.
#pragma once

#include "base/clock.h"

namespace holdfast::base {

// What can be on a list, one at a time. Leaves it when destroyed.
class TimeoutHook {
 public:
  TimeoutHook() = default;
  TimeoutHook(const TimeoutHook&) = delete;
  TimeoutHook& operator=(const TimeoutHook&) = delete;
  ~TimeoutHook() { unlink(); }

  bool linked() const { return next_ != nullptr; }
  SteadyTime deadline() const { return deadline_; }
  void unlink() {
    if (next_ == nullptr) return;
    next_->prev_ = prev_;
    prev_->next_ = next_;
    next_ = prev_ = nullptr;
  }

 private:
  friend class TimeoutList;
  TimeoutHook* prev_ = nullptr;
  TimeoutHook* next_ = nullptr;
  SteadyTime deadline_{};
};

class TimeoutList {
 public:
  explicit TimeoutList(Duration timeout) : timeout_(timeout) { head_.prev_ = head_.next_ = &head_; }
  ~TimeoutList() {
    while (TimeoutHook* hook = front()) hook->unlink();
    head_.prev_ = head_.next_ = nullptr;
  }
  TimeoutList(const TimeoutList&) = delete;
  TimeoutList& operator=(const TimeoutList&) = delete;

  // Takes the hook off whichever list it is on. `now` must not go backwards.
  void add(TimeoutHook& hook, SteadyTime now) {
    hook.deadline_ = now + timeout_;
    if (head_.prev_ == &hook) return;  // already last here
    hook.unlink();
    hook.prev_ = head_.prev_;
    hook.next_ = &head_;
    head_.prev_->next_ = &hook;
    head_.prev_ = &hook;
  }
  // Also for those that are on it, from when they were added.
  void set_timeout(Duration timeout) {
    for (TimeoutHook* hook = front(); hook != nullptr; hook = after(*hook)) {
      hook->deadline_ += timeout - timeout_;
    }
    timeout_ = timeout;
  }
  // The one whose deadline comes first; null if there is none.
  TimeoutHook* front() const { return head_.next_ == &head_ ? nullptr : head_.next_; }
  // When a hook of this list was added.
  SteadyTime since(const TimeoutHook& hook) const { return hook.deadline_ - timeout_; }
  // The one after `hook` on this list; null at the end.
  TimeoutHook* after(TimeoutHook& hook) const {
    return hook.next_ == &head_ ? nullptr : hook.next_;
  }
  // The front one, if its deadline has come.
  TimeoutHook* due(SteadyTime now) const {
    TimeoutHook* first = front();
    return first != nullptr && first->deadline_ <= now ? first : nullptr;
  }

 private:
  Duration timeout_;
  TimeoutHook head_;
};

}  // namespace holdfast::base
