// RateLimiter is a token bucket per client, kept as one point in time each (the
// generic cell rate algorithm, ITU-T I.371): when the client's bucket is full
// again. The table has a fixed size; a client that does not fit replaces the one
// whose bucket is nearest to full, so forgetting errs in the client's favour.
// One thread.
#pragma once

#include <cstddef>
#include <vector>

#include "base/clock.h"
#include "http/client_address.h"

namespace holdfast::http {

class RateLimiter {
 public:
  // `per_second` > 0 is the lasting rate, `burst` >= 1 what may come at once.
  RateLimiter(double per_second, unsigned burst, std::uint64_t seed,
              std::size_t clients = 1U << 16);

  // Takes a token and returns zero, or returns how long until there is one.
  base::Duration take(const ClientKey& client, base::SteadyTime now);

 private:
  static constexpr std::size_t kWays = 8;
  struct Bucket {
    ClientKey client{};
    base::SteadyTime full_at{};  // before now: full
  };

  ClientKeyHash hash_;
  base::Duration per_token_;
  base::Duration depth_;
  std::size_t set_mask_;
  std::vector<Bucket> buckets_;  // sets of kWays
};

}  // namespace holdfast::http
