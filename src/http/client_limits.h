// ClientLimits bounds what one client may have of the whole process, whichever of
// its servers the client got to: connections, and requests per second. Any thread,
// under a lock that nobody takes who has no limit to keep.
#pragma once

#include <atomic>
#include <cstddef>
#include <mutex>
#include <optional>
#include <unordered_map>

#include "base/clock.h"
#include "base/random.h"
#include "http/client_address.h"
#include "http/rate_limiter.h"

namespace holdfast::http {

class ClientLimits {
 public:
  struct Settings {
    std::size_t connections = 0;  // at a time; 0: no limit
    double rate = 0;              // requests per second, by token bucket; 0: no limit
    unsigned burst = 100;         // requests that may come at once
  };

  explicit ClientLimits(const Settings& settings)
      : held_(0, ClientKeyHash{base::Random::entropy()}) {
    set(settings);
  }

  // From now on. What clients have is not taken from them; connections that came while there was no
  // limit of them do not count. Another rate or burst begins anew for every client.
  void set(const Settings& settings) {
    const std::lock_guard lock(mutex_);
    if (settings.rate != settings_.rate || settings.burst != settings_.burst) {
      limiter_.reset();
      if (settings.rate > 0) {
        limiter_.emplace(settings.rate, settings.burst, base::Random::entropy());
      }
    }
    settings_ = settings;
    counts_.store(settings.connections > 0, std::memory_order_relaxed);
    limits_rate_.store(settings.rate > 0, std::memory_order_relaxed);
  }

  // Refused: the client has as many connections as it may. Counted: it has one more, until
  // remove_connection(). Uncounted: there is no limit.
  enum class Added { Refused, Counted, Uncounted };
  Added add_connection(const ClientKey& client) {
    if (!counts_.load(std::memory_order_relaxed)) return Added::Uncounted;
    const std::lock_guard lock(mutex_);
    if (settings_.connections == 0) return Added::Uncounted;
    const auto held = held_.try_emplace(client, 0).first;
    if (held->second >= settings_.connections) return Added::Refused;
    ++held->second;
    return Added::Counted;
  }
  // Of one that was counted.
  void remove_connection(const ClientKey& client) {
    const std::lock_guard lock(mutex_);
    const auto held = held_.find(client);
    if (--held->second == 0) held_.erase(held);
  }

  // Takes a token for a request and returns zero, or returns how long until there
  // is one.
  base::Duration take_token(const ClientKey& client, base::SteadyTime now) {
    const std::lock_guard lock(mutex_);
    return limiter_ ? limiter_->take(client, now) : base::Duration{};
  }
  // Whether take_token() is worth asking.
  bool limits_rate() const { return limits_rate_.load(std::memory_order_relaxed); }

 private:
  std::atomic<bool> counts_{false}, limits_rate_{false};  // as the settings say
  std::mutex mutex_;
  // Guarded by mutex_:
  Settings settings_;
  std::unordered_map<ClientKey, std::size_t, ClientKeyHash> held_;  // connections
  std::optional<RateLimiter> limiter_;
};

}  // namespace holdfast::http
