// MuteServer is an address at which nobody says anything: a listener whose queue is
// full, so that the kernel drops the SYNs of others.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <stdexcept>
#include <string>

#include "base/unique_fd.h"

namespace holdfast::upstream::test {

class MuteServer {
 public:
  MuteServer() : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    if (::bind(listener_.get(), generic, length) != 0 || ::listen(listener_.get(), 0) != 0 ||
        ::getsockname(listener_.get(), generic, &length) != 0) {
      throw std::runtime_error("cannot listen on loopback");
    }
    port_ = ntohs(address.sin_port);
    // A queue of nought has room for one.
    filler_.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (::connect(filler_.get(), generic, length) != 0) {
      throw std::runtime_error("cannot connect on loopback");
    }
    pollfd queued{listener_.get(), POLLIN, 0};
    ::poll(&queued, 1, -1);
  }

  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }

 private:
  base::UniqueFd listener_;
  base::UniqueFd filler_;
  unsigned port_ = 0;
};

}  // namespace holdfast::upstream::test
