#include "http/client_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstring>

namespace holdfast::http {

ClientAddress::ClientAddress(const sockaddr_storage& address, socklen_t size) {
  const auto v4 = [this](const void* bytes) {
    // The all-zero /64 belongs to no IPv6 client, and no IPv6 /64 starts with
    // 0x00ff, so the two kinds of key cannot meet.
    key_[1] = 0xff;
    std::memcpy(&key_[4], bytes, 4);
    inet_ntop(AF_INET, bytes, text_.data(), text_.size());
  };
  if (address.ss_family == AF_INET && size >= sizeof(sockaddr_in)) {
    v4(&reinterpret_cast<const sockaddr_in&>(address).sin_addr);
  } else if (address.ss_family == AF_INET6 && size >= sizeof(sockaddr_in6)) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address).sin6_addr;
    if (IN6_IS_ADDR_V4MAPPED(&v6)) {
      v4(&v6.s6_addr[12]);
    } else {
      std::memcpy(key_.data(), v6.s6_addr, key_.size());
      inet_ntop(AF_INET6, &v6, text_.data(), text_.size());
    }
  } else {
    std::memcpy(text_.data(), "local", 5);
  }
  size_ = static_cast<std::uint8_t>(std::strlen(text_.data()));
}

}  // namespace holdfast::http
