// ClientLimits bounds what one client may have of the whole process, whichever of
// its servers the client got to: connections, and requests per second. Any thread,
// under a lock that nobody takes who has no limit to keep.
#pragma once

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
      : settings_(settings), held_(0, ClientKeyHash{base::Random::entropy()}) {
    if (settings_.rate > 0) {
      limiter_.emplace(settings_.rate, settings_.burst, base::Random::entropy());
    }
  }

  // False if the client has as many connections as it may. Otherwise it has one
  // more, until remove_connection().
  bool add_connection(const ClientKey& client) {
    if (settings_.connections == 0) return true;
    const std::lock_guard lock(mutex_);
    std::size_t& held = held_[client];
    if (held >= settings_.connections) return false;
    ++held;
    return true;
  }
  void remove_connection(const ClientKey& client) {
    if (settings_.connections == 0) return;
    const std::lock_guard lock(mutex_);
    const auto held = held_.find(client);
    if (--held->second == 0) held_.erase(held);
  }

  // Takes a token for a request and returns zero, or returns how long until there
  // is one.
  base::Duration take_token(const ClientKey& client, base::SteadyTime now) {
    if (!limiter_) return {};
    const std::lock_guard lock(mutex_);
    return limiter_->take(client, now);
  }

 private:
  const Settings settings_;
  std::mutex mutex_;
  std::unordered_map<ClientKey, std::size_t, ClientKeyHash> held_;  // connections
  std::optional<RateLimiter> limiter_;
};

}  // namespace holdfast::http
