#include "http/rate_limiter.h"

#include <algorithm>
#include <bit>

namespace holdfast::http {

RateLimiter::RateLimiter(double per_second, unsigned burst, std::uint64_t seed, std::size_t clients)
    : hash_{seed},
      per_token_(std::max<base::Duration::rep>(
          1, static_cast<base::Duration::rep>(1e9 / std::max(per_second, 1e-6)))),
      depth_(per_token_ * std::max(burst, 1U)),
      set_mask_(std::bit_ceil(std::max<std::size_t>(1, clients / kWays)) - 1),
      buckets_((set_mask_ + 1) * kWays) {}

base::Duration RateLimiter::take(const ClientKey& client, base::SteadyTime now) {
  Bucket* const set = &buckets_[(hash_(client) & set_mask_) * kWays];
  Bucket* bucket =
      std::find_if(set, set + kWays, [&client](const Bucket& b) { return b.client == client; });
  if (bucket == set + kWays) {
    bucket = std::min_element(
        set, set + kWays, [](const Bucket& a, const Bucket& b) { return a.full_at < b.full_at; });
    *bucket = {client, now};
  }
  const auto full_at = std::max(bucket->full_at, now) + per_token_;
  if (full_at - now > depth_) return full_at - now - depth_;
  bucket->full_at = full_at;
  return {};
}

}  // namespace holdfast::http
