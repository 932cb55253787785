// Random is a seeded source of chance. Policies are handed one, so that a test
// or a simulation that prints its seed can be replayed. One thread.
#pragma once

#include <cstdint>
#include <random>

#include "base/clock.h"

namespace holdfast::base {

class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}

  std::uint64_t next() { return engine_(); }

  // Uniform in [0, 1). The top 53 bits, as a double holds no more.
  double uniform() { return static_cast<double>(engine_() >> 11) * 0x1.0p-53; }

  // Uniform in [0, bound); 0 when bound is 0.
  std::uint64_t below(std::uint64_t bound) {
    return bound == 0 ? 0 : std::uniform_int_distribution<std::uint64_t>(0, bound - 1)(engine_);
  }

  // Uniform in [0, most]: "full jitter".
  Duration up_to(Duration most) {
    return Duration(static_cast<Duration::rep>(uniform() * static_cast<double>(most.count())));
  }

  // A seed nobody can guess, for the daemon itself.
  static std::uint64_t entropy() {
    std::random_device device;
    return (static_cast<std::uint64_t>(device()) << 32) ^ device();
  }

 private:
  std::mt19937_64 engine_;
};

}  // namespace holdfast::base
