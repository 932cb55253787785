// ConnectionPlaces bounds how many connections several servers have together: one count,
// whichever server the kernel dealt a client to. Beyond the limit the connection goes that
// has been idle longest in all of them; where most have never asked for anything, it is one of
// those. As it may be another server's, whose loop has to close it, the newcomer's server
// borrows a place meanwhile; so for a moment there are a few more. Any thread, but for what
// says otherwise.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <mutex>
#include <vector>

#include "base/clock.h"

namespace holdfast::http {

class ConnectionPlaces {
 public:
  // A server, as the others see it.
  struct Member {
    // Since when the one has been idle that has been so longest; max(): none is. Likewise of
    // those that have not asked for anything yet. Set by the server's loop.
    std::atomic<base::Duration::rep> idle_since{kNever};
    std::atomic<base::Duration::rep> silent_since{kNever};
    // Sets its loop to give_way() soon. Called under a lock: must only post.
    std::function<void()> nudge;

    static constexpr base::Duration::rep kNever = base::Duration::max().count();
  };
  enum class Taken { No, Yes, Borrowed };

  ConnectionPlaces(std::size_t limit, std::size_t servers) : servers_(servers) { set_limit(limit); }

  // From now on. If there are more, the servers make up for it as they do for what is borrowed:
  // those that are idle longest go within a sweep.
  void set_limit(std::size_t limit) {
    limit_.store(limit, std::memory_order_relaxed);
    share_.store((limit + servers_ - 1) / servers_, std::memory_order_relaxed);
    beyond_.store(servers_ > 1 ? most_borrowed(limit) : 0, std::memory_order_relaxed);
  }

  // How many there may be for a moment beyond the limit, where servers share one.
  static constexpr std::size_t most_borrowed(std::size_t limit) {
    return std::min(limit, kMostBorrowed);
  }

  // A place more for one server. What is borrowed must be made up for: over() tells. Until
  // its connection counts itself, it counts as silent (mostly_silent() is asked in between):
  // whoever takes one says count_silent(-1) then.
  Taken take() {
    count_silent(1);
    const std::size_t before = taken_.fetch_add(1, std::memory_order_relaxed);
    const std::size_t limit = limit_.load(std::memory_order_relaxed);
    if (before < limit) return Taken::Yes;
    if (before < limit + beyond_.load(std::memory_order_relaxed)) return Taken::Borrowed;
    give_back();
    count_silent(-1);
    return Taken::No;
  }
  void give_back() { taken_.fetch_sub(1, std::memory_order_relaxed); }
  // There are more than there may be.
  bool over() const {
    return taken_.load(std::memory_order_relaxed) > limit_.load(std::memory_order_relaxed);
  }
  // A server that has `held` has less than an equal part.
  bool below_share(std::size_t held) const { return held < share_.load(std::memory_order_relaxed); }
  // ... more than that, while there are more than there may be.
  bool wanted_back(std::size_t held) const {
    return held > share_.load(std::memory_order_relaxed) && over();
  }

  // How many there are that have not asked for anything yet.
  void count_silent(int change) { silent_.fetch_add(change, std::memory_order_relaxed); }
  // They are most of all: then it is they who make room for each other.
  bool mostly_silent() const {
    return 2 * silent_.load(std::memory_order_relaxed) >
           static_cast<std::ptrdiff_t>(taken_.load(std::memory_order_relaxed));
  }

  // One idle connection of all shall go, whatever the limit: its descriptor is needed. False:
  // nobody has one.
  bool make_room() {
    requests_.fetch_add(1, std::memory_order_relaxed);
    if (nudge_idlest(nullptr)) return true;
    requests_.store(0, std::memory_order_relaxed);
    return false;
  }
  // For the server that is to do it: how many shall go. No more than a few at a time: each
  // frees what several wait for in turn.
  std::size_t claim_requests() {
    return std::min(requests_.exchange(0, std::memory_order_relaxed), kMostAtOnce);
  }

  void join(Member& member) {
    const std::lock_guard lock(mutex_);
    members_.push_back(&member);
  }
  // It is not nudged any more when this returns.
  void leave(Member& member) {
    const std::lock_guard lock(mutex_);
    std::erase(members_, &member);
  }
  // Whether somebody has an idle connection: the server whose has been so longest is nudged,
  // unless that is `self`; `is_self` tells.
  bool nudge_idlest(const Member* self, bool* is_self = nullptr) {
    const bool silent_ones = mostly_silent();
    const std::lock_guard lock(mutex_);
    Member* idlest = nullptr;
    base::Duration::rep longest = Member::kNever;
    const auto look_at = [&](bool silent_alone) {
      for (Member* member : members_) {
        auto since = member->silent_since.load(std::memory_order_acquire);
        if (!silent_alone) {
          since = std::min(since, member->idle_since.load(std::memory_order_acquire));
        }
        if (since >= longest) continue;
        longest = since;
        idlest = member;
      }
    };
    look_at(silent_ones);
    if (idlest == nullptr) look_at(false);
    if (idlest == nullptr) return false;
    if (is_self != nullptr) *is_self = idlest == self;
    if (idlest != self) idlest->nudge();
    return true;
  }

 private:
  static constexpr std::size_t kMostBorrowed = 64;
  static constexpr std::size_t kMostAtOnce = 8;

  const std::size_t servers_;
  std::atomic<std::size_t> limit_{0}, share_{0}, beyond_{0};
  std::atomic<std::size_t> taken_{0};
  std::atomic<std::ptrdiff_t> silent_{0};
  std::atomic<std::size_t> requests_{0};
  std::mutex mutex_;
  std::vector<Member*> members_;  // guarded by mutex_
};

}  // namespace holdfast::http
