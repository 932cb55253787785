// SimulatedStore is a Store on the virtual clock with a disk that can be slow,
// refuse to read or write, or hand out damage. What is committed outlives the
// process; what is only queued does not outlive a crash. One thread.
#pragma once

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "base/virtual_scheduler.h"
#include "cache/store.h"

namespace holdfast::simulation {

class SimulatedStore final : public cache::Store {
 public:
  enum class Reads { Well, Fail, Corrupt };

  SimulatedStore(base::VirtualScheduler& scheduler, std::uint64_t seed)
      : scheduler_(scheduler), random_(seed) {}

  // The disk's state; may be changed at any time.
  Reads reads = Reads::Well;
  bool full = false;         // puts are refused
  base::Duration slowest{};  // a read blocks for up to this

  // Sees each response before it is queued.
  std::function<void(std::string_view, const cache::StoredResponse&)> on_put;

  base::Result<cache::StoredPtr> find(std::string_view key) override {
    if (slowest > base::Duration::zero()) {
      const base::SteadyTime begun = scheduler_.now();
      scheduler_.manual_clock().advance(random_.up_to(slowest));
      stalls_.emplace_back(begun, scheduler_.now());
    }
    commit_due();
    if (reads == Reads::Fail) return base::internal_error(base::ErrorKind::Io, "simulated");
    if (reads == Reads::Corrupt) {
      rows_.erase(std::string(key));
      return base::internal_error(base::ErrorKind::Corrupt, "simulated");
    }
    return peek(key);
  }

  bool put(std::string_view key, cache::StoredPtr stored) override {
    if (on_put) on_put(key, *stored);
    if (full) return false;
    queue(key, std::move(stored));
    return true;
  }
  void erase(std::string_view key) override { queue(key, nullptr); }
  void erase_all() override {
    commit_due();
    queue_.clear();
    rows_.clear();
  }
  void used(std::string_view) override {}
  void load_recent(std::function<bool(std::string_view, cache::StoredPtr)> sink) override {
    commit_due();
    for (const auto& [key, stored] : rows_) {
      if (!sink(key, stored)) return;
    }
  }
  void flush() override {
    for (Write& write : queue_) commit(write);
    queue_.clear();
  }
  cache::StoreStatus status() const override { return {}; }

  // The process died: what was not yet committed is lost.
  void crash() {
    commit_due();
    queue_.clear();
  }

  // What find() would say if the disk were well.
  cache::StoredPtr peek(std::string_view key) const {
    for (auto write = queue_.rbegin(); write != queue_.rend(); ++write) {
      if (write->key == key) return write->stored;
    }
    const auto found = rows_.find(key);
    return found == rows_.end() ? nullptr : found->second;
  }

  // How long the loop stood still for the disk between two times.
  base::Duration stalled(base::SteadyTime from, base::SteadyTime to) const {
    base::Duration sum{};
    for (const auto& [begun, ended] : stalls_) {
      sum += std::max(base::Duration::zero(), std::min(ended, to) - std::max(begun, from));
    }
    return sum;
  }

 private:
  struct Write {
    std::string key;
    cache::StoredPtr stored;  // null: an erasure
    base::SteadyTime commit_at;
  };

  void queue(std::string_view key, cache::StoredPtr stored) {
    commit_due();
    // In order, like the writer's transactions, each within the promised 50 ms.
    const base::SteadyTime at = scheduler_.now() + random_.up_to(std::chrono::milliseconds(50));
    const base::SteadyTime last = queue_.empty() ? at : queue_.back().commit_at;
    queue_.push_back({std::string(key), std::move(stored), std::max(at, last)});
  }
  void commit_due() {
    for (; !queue_.empty() && queue_.front().commit_at <= scheduler_.now(); queue_.pop_front()) {
      commit(queue_.front());
    }
  }
  void commit(Write& write) {
    if (write.stored) {
      rows_[write.key] = std::move(write.stored);
    } else {
      rows_.erase(write.key);
    }
  }

  base::VirtualScheduler& scheduler_;
  base::Random random_;
  std::map<std::string, cache::StoredPtr, std::less<>> rows_;
  std::deque<Write> queue_;
  std::vector<std::pair<base::SteadyTime, base::SteadyTime>> stalls_;
};

}  // namespace holdfast::simulation
