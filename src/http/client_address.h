// The peer of a connection: as text for people, and as the key that limits per
// client go by. Plain data; any thread.
#pragma once

#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <string_view>

namespace holdfast::http {

// What counts as one client: an IPv4 address, or an IPv6 /64, as that is what
// one customer usually has all of. IPv4-mapped IPv6 addresses are IPv4 ones.
using ClientKey = std::array<std::uint8_t, 8>;

class ClientAddress {
 public:
  // Of a family other than IPv4 and IPv6 (a Unix socket): "local".
  ClientAddress(const sockaddr_storage& address, socklen_t size);

  std::string_view text() const { return {text_.data(), size_}; }
  const ClientKey& key() const { return key_; }

 private:
  std::array<char, 46> text_{};  // INET6_ADDRSTRLEN
  std::uint8_t size_ = 0;
  ClientKey key_{};
};

}  // namespace holdfast::http
