// An IP address in the one form that serves as cache key, upstream path and log
// field. Pure functions; any thread; no allocation.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string_view>

namespace holdfast::proxy {

// The canonical text of an address: dotted decimal for IPv4, RFC 5952 for IPv6.
// An IPv4-mapped IPv6 address (RFC 4291, 2.5.5.2) is its IPv4 address.
class IpText {
 public:
  std::string_view view() const { return {text_.data(), size_}; }

 private:
  friend std::optional<IpText> canonical_ip(std::string_view);
  std::array<char, 46> text_{};  // INET6_ADDRSTRLEN
  std::size_t size_ = 0;
};

// Whether `text` is an IPv4 address in its canonical form. What canonical_ip() says too, at a
// fraction of the cost.
bool is_canonical_ipv4(std::string_view text);

// Accepts what inet_pton does: no leading zeros, no zone, no port, no brackets.
std::optional<IpText> canonical_ip(std::string_view text);

// Percent-decodes (RFC 3986, 2.1) `encoded`, then the same. Null also for a
// malformed escape.
std::optional<IpText> canonical_ip_from_path(std::string_view encoded);

}  // namespace holdfast::proxy
