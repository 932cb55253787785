// RecentPurges remembers which single URLs were purged lately, for what was asked for before and
// comes to be stored after: what is passed through has no flight that a purge could set aside.
// Origin loop only, but for count().
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "cache/row.h"

namespace holdfast::proxy {

class RecentPurges {
 public:
  // More than so many since something was asked for count as one of it, too.
  static constexpr std::size_t kMost = 4096;

  // How many there were. Any thread: of who asks for something now.
  std::uint64_t count() const { return count_.load(std::memory_order_acquire); }

  void add(std::string_view url_key) {
    const std::uint64_t number = count_.fetch_add(1, std::memory_order_acq_rel) + 1;
    const std::uint64_t digest = cache::key_digest(url_key);
    latest_[digest] = number;
    order_.emplace_back(digest, number);
    if (order_.size() <= kMost) return;
    const auto [oldest, its_number] = order_.front();
    order_.pop_front();
    const auto found = latest_.find(oldest);
    if (found->second == its_number) latest_.erase(found);
  }
  // Of all URLs.
  void add_all() {
    count_.fetch_add(kMost + 1, std::memory_order_acq_rel);
    latest_.clear();
    order_.clear();
  }

  // Whether it may have been purged since count() was `before`.
  bool since(std::uint64_t before, std::string_view url_key) const {
    if (count() - before > kMost) return true;
    const auto found = latest_.find(cache::key_digest(url_key));
    return found != latest_.end() && found->second > before;
  }

 private:
  std::atomic<std::uint64_t> count_{0};
  std::unordered_map<std::uint64_t, std::uint64_t> latest_;  // by the key's digest
  std::deque<std::pair<std::uint64_t, std::uint64_t>> order_;
};

}  // namespace holdfast::proxy
