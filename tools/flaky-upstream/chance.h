// Chance is the luck of one request: a pure function of a seed, what is asked
// for, and how often it was asked before. A run with the same seed therefore
// plays the same faults for each ip, however requests overlap. One thread.
//
// SplitMix64 (Steele, Lea and Flood, 2014): sixteen bytes of work to make one
// per request, where a Mersenne Twister would fill 2.5 kB first.
#pragma once

#include <cmath>
#include <cstdint>
#include <numbers>

namespace holdfast::flaky {

class Chance {
 public:
  Chance(std::uint64_t seed, std::uint64_t key, std::uint64_t turn) : state_(seed) {
    state_ = next() ^ key;
    state_ = next() ^ turn;
  }

  std::uint64_t next() {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }

  // In [0, 1).
  double uniform() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }

  // In [0, bound); `bound` is small, so the bias of a remainder does not show.
  std::uint64_t below(std::uint64_t bound) { return next() % bound; }

  // Standard normal (Box and Muller).
  double normal() {
    const double radius = std::sqrt(-2 * std::log1p(-uniform()));
    return radius * std::cos(2 * std::numbers::pi * uniform());
  }

 private:
  std::uint64_t state_;
};

}  // namespace holdfast::flaky
