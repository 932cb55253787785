// RestingKeys remembers which keys could not be refreshed lately, and for how
// long to leave the upstream alone about them: a growing error lifetime, so that
// stale answers during an outage do not each cost an upstream request. One thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/clock.h"
#include "base/random.h"

namespace holdfast::proxy {

class RestingKeys {
 public:
  struct Settings {
    base::Duration first = std::chrono::seconds(2);
    base::Duration most = std::chrono::seconds(60);
    // Beyond this many keys the expired are forgotten, and if that is not enough, all.
    std::size_t max_keys = 100'000;
  };

  explicit RestingKeys(Settings settings) : settings_(settings) {}

  bool resting(std::string_view key, base::SteadyTime now) const;

  // Doubles the rest of a key that failed again; half of it is jitter.
  void failed(std::string_view key, base::SteadyTime now, base::Random& random);
  void succeeded(std::string_view key);

  std::size_t size() const { return keys_.size(); }

 private:
  struct Rest {
    base::SteadyTime until;
    base::Duration length;
  };
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const {
      return std::hash<std::string_view>{}(text);
    }
  };
  void make_room(base::SteadyTime now);

  Settings settings_;
  std::unordered_map<std::string, Rest, Hash, std::equal_to<>> keys_;
};

}  // namespace holdfast::proxy
