// Leases keeps parts that live on one loop for as long as anybody, on any thread, has a lease of
// them, and takes them down on that loop: one a turn, and not before what a part has under way has
// ended. Made and destroyed while the loop does not run; the loop's own thread but for what is said
// to be any's. Leases may outlive it.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

#include "base/scheduler.h"

namespace holdfast::daemon {

// Part::wind_down(), on the loop: nobody will use it any more; whether it can be destroyed without
// a wait. It is asked again a while later where it says no.
template <typename Part>
class Leases {
 public:
  // Copied and dropped by any thread; what it points at is used as the part says.
  using Lease = std::shared_ptr<Part>;

  static constexpr base::Duration kAskedAgain = std::chrono::milliseconds(100);

  explicit Leases(base::Scheduler& loop) : loop_(loop) {}
  Leases(const Leases&) = delete;
  Leases& operator=(const Leases&) = delete;

  Lease add(std::unique_ptr<Part> owned) {
    Part* const part = owned.get();
    parts_.push_back({std::move(owned), false});
    // Not sooner than all leases are gone, so what any of their holders posted comes before it.
    return Lease(part, [this, alive = std::weak_ptr(alive_)](Part* unused) {
      if (alive.expired()) return;
      loop_.post([this, alive, unused] {
        if (!alive.expired()) end(unused);
      });
    });
  }

  // Those that are not destroyed yet.
  std::size_t size() const { return parts_.size(); }
  template <typename Each>
  void for_each(const Each& each) {
    for (const auto& kept : parts_) each(*kept.part);
  }

  // What is left is destroyed with this, whoever has a lease.
  void stop() { timer_.cancel(); }

 private:
  struct Kept {
    std::unique_ptr<Part> part;
    bool unused;
  };

  void end(const Part* unused) {
    for (Kept& kept : parts_) kept.unused = kept.unused || kept.part.get() == unused;
    if (!timer_.pending()) take_down();
  }

  void take_down() {
    const auto done = std::find_if(parts_.begin(), parts_.end(), [](const Kept& kept) {
      return kept.unused && kept.part->wind_down();
    });
    const bool one_ends = done != parts_.end();
    if (one_ends) parts_.erase(done);
    const bool more =
        std::any_of(parts_.begin(), parts_.end(), [](const Kept& kept) { return kept.unused; });
    if (!more) return;
    timer_.set_after(loop_, one_ends ? base::Duration::zero() : kAskedAgain,
                     [this] { take_down(); });
  }

  base::Scheduler& loop_;
  std::vector<Kept> parts_;
  base::Timer timer_;
  // Gone first, so that no lease that is dropped by a part's end, or later, comes here.
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace holdfast::daemon
