// RecentLuck tells one key's trouble from the upstream's. It remembers how many attempts
// those fetches took lately that were answered, so that it can be said how many equal bad
// answers in a row cannot be chance: as many as another key would get once in a million times.
//
// Fetches that were not answered do not count: they may be keys that always fail, which would
// make the upstream look bad, and thereby hide each other. Where the upstream itself fails,
// nobody is answered, so nobody's answers are evidence. One thread.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <deque>
#include <optional>

#include "base/clock.h"

namespace holdfast::upstream {

class RecentLuck {
 public:
  struct Settings {
    std::size_t kept = 256;
    base::Duration window = std::chrono::minutes(10);
    // Of a thousand keys at a time, each a few attempts, next to none may be taken for one
    // that always fails.
    double chance = 1e-6;
    int least = 3;
  };

  explicit RecentLuck(Settings settings) : settings_(settings) {}

  // A fetch of `key` was answered after so many failures, by an attempt sent then.
  void answered(base::SteadyTime sent_at, std::size_t key, int failures) {
    if (fetches_.size() == settings_.kept) fetches_.pop_front();
    fetches_.push_back({sent_at, key, std::max(0, failures)});
  }

  // So many equal answers in a row to `key` are less than `chance`, as far as others were lucky.
  int needed(base::SteadyTime now, std::size_t key, double chance) const {
    const Share all = share(now - settings_.window, now, key);
    // Of Laplace: the fewer are known, the more patience.
    return length(static_cast<double>(all.bad + 1) / static_cast<double>(all.sent + 2), chance);
  }
  int needed(base::SteadyTime now, std::size_t key) const {
    return std::max(settings_.least, needed(now, key, settings_.chance));
  }

  // The same, if any were answered that were sent between those two times; else nothing. They
  // must have been as lucky then as at other times.
  std::optional<int> needed(base::SteadyTime now, std::size_t key, base::SteadyTime from,
                            base::SteadyTime to) const {
    const Share meanwhile = share(from, to, key);
    if (meanwhile.sent == 0) return std::nullopt;
    return std::max(needed(now, key),
                    length(static_cast<double>(meanwhile.bad) / static_cast<double>(meanwhile.sent),
                           settings_.chance));
  }

 private:
  struct Fetch {
    base::SteadyTime sent_at;  // the attempt that was answered
    std::size_t key = 0;
    int failures = 0;
  };
  struct Share {
    int bad = 0;
    int sent = 0;
  };

  Share share(base::SteadyTime from, base::SteadyTime to, std::size_t key) const {
    Share share;
    for (const Fetch& fetch : fetches_) {
      if (fetch.key == key || fetch.sent_at < from || fetch.sent_at > to) continue;
      share.bad += fetch.failures;
      share.sent += fetch.failures + 1;
    }
    return share;
  }

  // failing^length = chance. Of an attempt that was answered there is always one, so
  // `failing` is less than 1.
  static int length(double failing, double chance) {
    return failing <= 0 ? 0 : static_cast<int>(std::ceil(std::log(chance) / std::log(failing)));
  }

  Settings settings_;
  std::deque<Fetch> fetches_;
};

}  // namespace holdfast::upstream
