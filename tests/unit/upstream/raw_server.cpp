#include "raw_server.h"

#include <arpa/inet.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <stdexcept>

namespace holdfast::upstream::test {

void RawServer::Peer::send(const std::string& bytes) const {
  (void)!::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
}

std::string RawServer::Peer::read(std::size_t bytes) const {
  std::string got;
  while (got.size() < bytes) {
    pollfd waits[] = {{fd_, POLLIN, 0}, {stop_, POLLIN, 0}};
    ::poll(waits, 2, -1);
    std::string piece(bytes - got.size(), '\0');
    const ssize_t count =
        waits[1].revents != 0 ? 0 : ::recv(fd_, piece.data(), piece.size(), MSG_DONTWAIT);
    if (count <= 0) break;
    got.append(piece, 0, static_cast<std::size_t>(count));
  }
  return got;
}

std::string RawServer::Peer::read_to(std::string_view end) const {
  std::string got;
  while (!got.ends_with(end)) {
    const std::string byte = read(1);
    if (byte.empty()) break;
    got += byte;
  }
  return got;
}

void RawServer::Peer::reset() const {
  // A reset drops what the receiver has not acknowledged: wait for that.
  int unacknowledged = 1;
  while (unacknowledged > 0 && ::ioctl(fd_, SIOCOUTQ, &unacknowledged) == 0 && pause(1)) {
  }
  const linger now{1, 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

void RawServer::Peer::hang() const {
  pollfd waits[] = {{fd_, POLLRDHUP, 0}, {stop_, POLLIN, 0}};
  ::poll(waits, 2, -1);
}

bool RawServer::Peer::pause(int ms) const {
  pollfd waits[] = {{fd_, POLLRDHUP, 0}, {stop_, POLLIN, 0}};
  return ::poll(waits, 2, ms) == 0;
}

RawServer::RawServer(Handler handler, AddressFamily family)
    : handler_(std::move(handler)),
      listener_(::socket(family == AddressFamily::V6 ? AF_INET6 : AF_INET,
                         SOCK_STREAM | SOCK_CLOEXEC, 0)),
      stop_(::eventfd(0, EFD_CLOEXEC)) {
  sockaddr_in version4{};
  version4.sin_family = AF_INET;
  version4.sin_addr.s_addr = htonl(family == AddressFamily::AnyV4 ? INADDR_ANY : INADDR_LOOPBACK);
  sockaddr_in6 version6{};
  version6.sin6_family = AF_INET6;
  version6.sin6_addr = in6addr_loopback;
  const bool six = family == AddressFamily::V6;
  auto* generic =
      six ? reinterpret_cast<sockaddr*>(&version6) : reinterpret_cast<sockaddr*>(&version4);
  socklen_t length = six ? sizeof version6 : sizeof version4;
  if (::bind(listener_.get(), generic, length) != 0 || ::listen(listener_.get(), 64) != 0 ||
      ::getsockname(listener_.get(), generic, &length) != 0) {
    throw std::runtime_error("cannot listen on loopback");
  }
  port_ = ntohs(six ? version6.sin6_port : version4.sin_port);
  acceptor_ = std::thread([this] { accept_all(); });
}

RawServer::~RawServer() {
  ::eventfd_write(stop_.get(), 1);
  acceptor_.join();
  for (auto& thread : threads_) thread.join();
}

void RawServer::greet(std::string greeting) {
  const std::lock_guard lock(mutex_);
  greeting_ = std::move(greeting);
}

std::vector<std::string> RawServer::heads() const {
  const std::lock_guard lock(mutex_);
  return heads_;
}

std::size_t RawServer::connections() const {
  const std::lock_guard lock(mutex_);
  return threads_.size();
}

void RawServer::accept_all() {
  for (;;) {
    pollfd waits[] = {{listener_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
    ::poll(waits, 2, -1);
    if (waits[1].revents != 0) return;
    const int fd = ::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) continue;
    const std::lock_guard lock(mutex_);
    threads_.emplace_back([this, fd] { serve(fd); });
  }
}

void RawServer::serve(int fd) {
  const base::UniqueFd owned(fd);
  {
    const std::lock_guard lock(mutex_);
    Peer(fd, stop_.get(), {}).send(greeting_);
  }
  for (;;) {
    std::string head;
    while (!head.ends_with("\r\n\r\n")) {
      pollfd waits[] = {{fd, POLLIN, 0}, {stop_.get(), POLLIN, 0}};
      ::poll(waits, 2, -1);
      char byte = 0;
      if (waits[1].revents != 0 || ::recv(fd, &byte, 1, 0) != 1) return;
      head.push_back(byte);
    }
    {
      const std::lock_guard lock(mutex_);
      heads_.push_back(head);
    }
    if (!handler_(Peer(fd, stop_.get(), head))) return;
  }
}

}  // namespace holdfast::upstream::test
