// RestingKeys remembers which keys could not be refreshed lately, and for how
// long to leave the upstream alone about them: a growing error lifetime, so that
// stale answers during an outage do not each cost an upstream request. Of a key with which
// something is wrong, and with no other, it knows what to tell clients meanwhile; and of one
// that is said to be gone, since when. One thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/clock.h"
#include "base/random.h"
#include "proxy/answer.h"

namespace holdfast::proxy {

class RestingKeys {
 public:
  struct Settings {
    base::Duration first = std::chrono::seconds(2);
    base::Duration most = std::chrono::seconds(60);
    // Beyond this many keys the expired are forgotten, and if that is not enough, all.
    std::size_t max_keys = 100'000;
    std::size_t max_key_bytes = 16U << 20;  // likewise
  };

  explicit RestingKeys(Settings settings) : settings_(settings) {}

  bool resting(std::string_view key, base::SteadyTime now) const;

  // For how much longer it does; zero: it does not.
  base::Duration left(std::string_view key, base::SteadyTime now) const;

  // Doubles the rest of a key that failed again; half of it is jitter. `word`: why, of
  // src/rfc9111/reasons.h, for people.
  void failed(std::string_view key, base::SteadyTime now, base::Random& random,
              std::string_view word);
  // ... and until then clients are told that.
  void failed(std::string_view key, base::SteadyTime now, base::Random& random,
              std::string_view word, Answer told);
  // The upstream said when to come back for the key that failed just now: not before that, nor
  // later than the longest rest.
  void not_before(std::string_view key, base::SteadyTime now, base::Duration wait);
  // ... since it is said to have no entry.
  void missing(std::string_view key, base::SteadyTime now, base::Random& random);

  // What clients are told of a key that rests, with how long it still does.
  std::optional<Answer> told(std::string_view key, base::SteadyTime now) const;
  // Why a key rests; empty: it does not, or it is not known.
  std::string_view word(std::string_view key, base::SteadyTime now) const;
  // When it was first said to have no entry, without a success since.
  std::optional<base::SteadyTime> missing_since(std::string_view key) const;

  void succeeded(std::string_view key);

  // Forgets those keys.
  template <typename Which>
  void forget_if(const Which& which) {
    std::erase_if(keys_, [&](const auto& entry) {
      if (!which(std::string_view(entry.first))) return false;
      key_bytes_ -= entry.first.size();
      return true;
    });
  }

  std::size_t size() const { return keys_.size(); }

 private:
  struct Rest {
    base::SteadyTime until;
    base::Duration length;
    std::shared_ptr<const Answer> told;
    std::optional<base::SteadyTime> missing_since;
    std::string_view word;
  };
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const {
      return std::hash<std::string_view>{}(text);
    }
  };
  Rest& rest(std::string_view key, base::SteadyTime now, base::Random& random);
  void make_room(base::SteadyTime now);

  Settings settings_;
  std::unordered_map<std::string, Rest, Hash, std::equal_to<>> keys_;
  std::size_t key_bytes_ = 0;
};

}  // namespace holdfast::proxy
