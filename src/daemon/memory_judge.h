// MemoryJudge holds what is in memory against rules that have changed, as what comes from the store
// is held against those of today: a hit is not judged again, so what is wrong by now has to go
// before the first one by the new rules. One loop's thread, a few entries a turn; memory is
// anybody's meanwhile.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/scheduler.h"
#include "cache/memory_cache.h"
#include "proxy/route.h"
#include "proxy/stored_judge.h"

namespace holdfast::daemon {

class MemoryJudge {
 public:
  struct Result {
    std::size_t judged = 0;
    std::size_t dropped = 0;
  };
  using Done = std::function<void(Result)>;

  // Both outlive it, and the loop's last callbacks.
  MemoryJudge(base::Scheduler& loop, cache::MemoryCache& memory) : loop_(loop), memory_(memory) {}

  // Of the keys of these routes. Nobody may put anything that only their old rules take any more.
  // `done` comes in a later turn, unless there is nothing to judge.
  void judge(const std::vector<proxy::RoutePlan>& plans, Done done);

 private:
  struct Work;
  void go_on(const std::shared_ptr<Work>& work);

  base::Scheduler& loop_;
  cache::MemoryCache& memory_;
};

}  // namespace holdfast::daemon
