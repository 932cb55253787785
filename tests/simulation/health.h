// Health knows what may be expected of an upstream that is well behind a network that is not
// always: when nobody could have reached it, and what straight asking would have taken, on a
// new connection. One thread.
#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "base/virtual_scheduler.h"

namespace holdfast::simulation {

class Health {
 public:
  // How long cures may be at work after something has changed for the worse, and how long an
  // upstream that can be reached again may still be called ill.
  static constexpr base::Duration kNoticed = std::chrono::seconds(2);

  // Until it is found out that a connection or an address is dead, while little is known.
  static constexpr base::Duration kFoundOut = std::chrono::seconds(4);

  explicit Health(const base::VirtualScheduler& scheduler) : scheduler_(scheduler) {}

  // From now on: whether any of its addresses, as far as they are known, answers.
  void reachable(bool yes);
  // We lack something ourselves, and send nothing; once it is over, who waits notices within so
  // long.
  void lacking(bool yes, base::Duration noticed);
  bool reachable_now() const {
    return unreachable_.empty() || unreachable_.back().second != base::SteadyTime::max();
  }
  // ... and so long does one answer take, at the most.
  void natural(base::Duration takes);
  // Something has just become worse, or is so.
  void disturbed() { disturbed_at_ = scheduler_.now(); }

  // It can be reached, and could be so for long enough that this must have been noticed, by
  // answers that take so much longer than natural ones.
  bool must_be_known(base::Duration longer) const;
  // What of that time was of no use to anybody: nobody could be reached, or that somebody can
  // be was not to be known yet.
  base::Duration lost(base::SteadyTime from, base::SteadyTime to) const;
  // The longest stretch of that time that was of use: who is cut off from everybody before
  // `to` need not have found out by then what does not work.
  base::Duration of_use(base::SteadyTime from, base::SteadyTime to) const;
  // The longest that one answer took since then.
  base::Duration natural_since(base::SteadyTime from) const;
  // Nothing has become worse since then, nor for so long before that it still matters.
  bool calm_since(base::SteadyTime from) const;

 private:
  struct Span {
    base::SteadyTime begun, ended;  // the end may be to come: max()
    base::Duration noticed{};       // within so long after that
    base::SteadyTime until() const {
      return ended == base::SteadyTime::max() ? ended : ended + noticed;
    }
  };
  // When nobody could be reached, for whatever reason, and it had not been noticed that they can.
  // In order, apart from each other.
  std::vector<Span> of_no_use() const;

  const base::VirtualScheduler& scheduler_;
  // When it could not be reached; the last may still be open.
  std::vector<std::pair<base::SteadyTime, base::SteadyTime>> unreachable_;
  std::vector<Span> lacks_;                                           // the last may still be open
  std::vector<std::pair<base::SteadyTime, base::Duration>> natural_;  // from when on
  base::SteadyTime disturbed_at_ = base::SteadyTime::min();
};

}  // namespace holdfast::simulation
