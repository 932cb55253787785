// ConnectionPlaces bounds how many connections several servers have together. The
// kernel does not deal clients out evenly, so a server may have more than its share
// while others need less. With all places taken, one below its share may go a few
// beyond the limit, until those above theirs have made room. Any thread.
#pragma once

#include <atomic>
#include <cstddef>

namespace holdfast::http {

class ConnectionPlaces {
 public:
  ConnectionPlaces(std::size_t limit, std::size_t servers)
      : limit_(limit),
        share_((limit + servers - 1) / servers),
        beyond_(servers > 1 ? kMostBeyond : 0) {}

  // A place more for a server that has `held`; false if there is none for it.
  bool take(std::size_t held) {
    const std::size_t most = limit_ + (held < share_ ? beyond_ : 0);
    if (taken_.fetch_add(1, std::memory_order_relaxed) < most) return true;
    give_back();
    return false;
  }
  void give_back() { taken_.fetch_sub(1, std::memory_order_relaxed); }

  // Whether a server that has `held` ought to give one back.
  bool wanted_back(std::size_t held) const {
    return held > share_ && taken_.load(std::memory_order_relaxed) > limit_;
  }

 private:
  static constexpr std::size_t kMostBeyond = 64;

  const std::size_t limit_;
  const std::size_t share_;
  const std::size_t beyond_;
  std::atomic<std::size_t> taken_{0};
};

}  // namespace holdfast::http
