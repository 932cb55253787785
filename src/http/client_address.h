// The peer of a connection: as text for people, and as the key that limits per
// client go by. Plain data; any thread.
#pragma once

#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace holdfast::http {

// What counts as one client: an IPv4 address, or an IPv6 /64, as that is what
// one customer usually has all of. IPv4-mapped IPv6 addresses are IPv4 ones.
using ClientKey = std::array<std::uint8_t, 8>;

// Addresses are the clients' choice, so which of them share a place in a table
// is made to depend on a secret. A bijection of the key: splitmix64's finaliser.
struct ClientKeyHash {
  std::size_t operator()(const ClientKey& key) const {
    std::uint64_t value;
    std::memcpy(&value, key.data(), sizeof value);
    value ^= seed;
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9U;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebU;
    return static_cast<std::size_t>(value ^ (value >> 31));
  }
  std::uint64_t seed;
};

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
