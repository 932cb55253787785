// RecentLuck tells one key's trouble from the upstream's. It remembers how many attempts
// those fetches took lately that were answered, so that it can be said how many equal bad
// answers in a row cannot be chance: as many as another key would get once in a million times.
//
// Fetches that were not answered do not count: they may be keys that always fail, which would
// make the upstream look bad, and thereby hide each other. Where the upstream itself fails,
// nobody is answered, so nobody's answers are evidence.
//
// An upstream may have begun to fail at random a moment ago, whatever it was like before. So
// what others met meanwhile must be better than chance allows, too: the likelihood ratio of "this
// key fails always, others at a rate of their own" against "all fail at one rate".
//
// A connection that breaks is the network's doing as often as the key's, and it may have begun to
// a moment ago, too. Those who are still trying do not count above, so a row of these is also held
// against the first attempts of all other fetches meanwhile, whatever came of them later: bad keys
// are among them, which costs patience but never an answer. One thread.
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
    // The same of the ratio: 3 equal answers beside 4 others that were answered at once, 4
    // beside 3.
    double ratio = 1e-2;
    int least = 3;
    int least_broken = 5;
    double ratio_broken = 1e-5;
  };

  explicit RecentLuck(Settings settings) : settings_(settings) {}

  // A fetch of `key` was answered after so many failures, by an attempt sent then.
  void answered(base::SteadyTime sent_at, std::size_t key, int failures) {
    if (fetches_.size() == settings_.kept) fetches_.pop_front();
    fetches_.push_back({sent_at, key, std::max(0, failures), 1});
  }
  // How the first attempt of a fetch ended, whatever became of the fetch.
  void first_ended(base::SteadyTime sent_at, std::size_t key, bool good) {
    if (firsts_.size() == settings_.kept) firsts_.pop_front();
    firsts_.push_back({sent_at, key, good ? 0 : 1, good ? 1 : 0});
  }
  // A question that stands for itself was not.
  void failed(base::SteadyTime sent_at, std::size_t key) {
    if (fetches_.size() == settings_.kept) fetches_.pop_front();
    fetches_.push_back({sent_at, key, 1, 0});
  }

  // So many equal answers in a row to `key` are less than `chance`, as far as others were lucky.
  int needed(base::SteadyTime now, std::size_t key, double chance) const {
    return length(laplace(share(fetches_, now - settings_.window, now, key)), chance);
  }
  int needed(base::SteadyTime now, std::size_t key) const {
    return std::max(settings_.least, needed(now, key, settings_.chance));
  }

  // So many broken connections in a row, as far as others met such at first between those times.
  int needed_of_broken(std::size_t key, base::SteadyTime from, base::SteadyTime to) const {
    const Share others = share(firsts_, from, to, key);
    int row = std::max(settings_.least_broken, length(laplace(others), settings_.chance));
    while (row < kLongestRow && log_ratio(row, others) > std::log(settings_.ratio_broken)) ++row;
    return row;
  }

  // The same, if any were answered that were sent between those two times; else nothing. They
  // must have been as lucky then as at other times.
  std::optional<int> needed(base::SteadyTime now, std::size_t key, base::SteadyTime from,
                            base::SteadyTime to) const {
    const Share meanwhile = share(fetches_, from, to, key);
    if (meanwhile.sent == meanwhile.bad) return std::nullopt;
    int row = needed(now, key);
    while (row < kLongestRow && log_ratio(row, meanwhile) > std::log(settings_.ratio)) ++row;
    return row;
  }

 private:
  struct Fetch {
    base::SteadyTime sent_at;  // the attempt that was answered
    std::size_t key = 0;
    int failures = 0;
    int answers = 0;
  };
  struct Share {
    int bad = 0;
    int sent = 0;
  };

  static Share share(const std::deque<Fetch>& fetches, base::SteadyTime from, base::SteadyTime to,
                     std::size_t key) {
    Share share;
    for (const Fetch& fetch : fetches) {
      if (fetch.key == key || fetch.sent_at < from || fetch.sent_at > to) continue;
      share.bad += fetch.failures;
      share.sent += fetch.failures + fetch.answers;
    }
    return share;
  }

  // The fewer are known, the more patience.
  static double laplace(const Share& share) {
    return static_cast<double>(share.bad + 1) / static_cast<double>(share.sent + 2);
  }

  static constexpr int kLongestRow = 64;

  // failing^length = chance. Laplace's share is more than 0 and less than 1.
  static int length(double failing, double chance) {
    return static_cast<int>(std::ceil(std::log(chance) / std::log(failing)));
  }

  // The log of the largest likelihood there is for `bad` of `sent`.
  static double log_likelihood(double bad, double sent) {
    const auto part = [sent](double count) {
      return count <= 0 ? 0 : count * std::log(count / sent);
    };
    return part(bad) + part(sent - bad);
  }
  static double log_ratio(int row, const Share& others) {
    return log_likelihood(row + others.bad, row + others.sent) -
           log_likelihood(others.bad, others.sent);
  }

  Settings settings_;
  std::deque<Fetch> fetches_;
  std::deque<Fetch> firsts_;
};

}  // namespace holdfast::upstream
