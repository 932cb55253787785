#include "http_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>

#include "http_connection.h"

namespace holdfast::flaky {
namespace {

using namespace std::chrono_literals;

constexpr int kBacklog = 4096;  // the kernel caps it at net.core.somaxconn
constexpr int kAcceptsPerTurn = 64;
constexpr auto kRestWithoutDescriptors = 100ms;

union SocketAddress {
  sockaddr any;
  sockaddr_in v4;
  sockaddr_in6 v6;
};

socklen_t fill(SocketAddress& address, const std::string& text, std::uint16_t port) {
  std::memset(&address, 0, sizeof address);
  if (inet_pton(AF_INET, text.c_str(), &address.v4.sin_addr) == 1) {
    address.v4.sin_family = AF_INET;
    address.v4.sin_port = htons(port);
    return sizeof address.v4;
  }
  if (inet_pton(AF_INET6, text.c_str(), &address.v6.sin6_addr) == 1) {
    address.v6.sin6_family = AF_INET6;
    address.v6.sin6_port = htons(port);
    return sizeof address.v6;
  }
  throw std::runtime_error("cannot bind to \"" + text + "\": not an IP address");
}

std::uint16_t port_of(int fd) {
  SocketAddress address;
  socklen_t length = sizeof address;
  std::memset(&address, 0, sizeof address);
  ::getsockname(fd, &address.any, &length);
  return ntohs(address.any.sa_family == AF_INET6 ? address.v6.sin6_port : address.v4.sin_port);
}

[[noreturn]] void fail(const std::string& what) {
  throw std::runtime_error(what + ": " + std::strerror(errno));
}

}  // namespace

HttpServer::HttpServer(base::EventLoop& loop, const std::string& bind_address, std::uint16_t port,
                       RequestHandler& handler)
    : loop_(loop), handler_(handler), bind_address_(bind_address) {
  if (port != 0) {
    // SO_REUSEPORT would let two processes of one user share the port without a
    // word; an ordinary bind first shows whether it is taken.
    base::UniqueFd probe(::socket(bind_address.find(':') == std::string::npos ? AF_INET : AF_INET6,
                                  SOCK_STREAM | SOCK_CLOEXEC, 0));
    const int on = 1;
    ::setsockopt(probe.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    SocketAddress address;
    const auto length = fill(address, bind_address, port);
    if (!probe || ::bind(probe.get(), &address.any, length) != 0) {
      fail("cannot bind to " + bind_address + " port " + std::to_string(port));
    }
  }
  placeholder_ = bind_socket(port);
  if (!placeholder_) fail("cannot bind to " + bind_address + " port " + std::to_string(port));
  port_ = port_of(placeholder_.get());
  if (!open_listener()) fail("cannot listen on port " + std::to_string(port_));
}

HttpServer::~HttpServer() = default;

base::UniqueFd HttpServer::bind_socket(std::uint16_t port) const {
  SocketAddress address;
  const auto length = fill(address, bind_address_, port);
  base::UniqueFd fd(::socket(address.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const int on = 1;
  if (!fd || ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
      ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0 ||
      ::bind(fd.get(), &address.any, length) != 0) {
    return {};
  }
  return fd;
}

void HttpServer::set_listening(bool listening) {
  if (listening == this->listening()) return;
  try_again_.cancel();
  watch_.reset();
  listener_.reset();
  if (listening && !open_listener()) {
    try_again_.set_after(loop_, kRestWithoutDescriptors, [this] { set_listening(true); });
  }
}

bool HttpServer::open_listener() {
  auto fd = bind_socket(port_);
  if (!fd || ::listen(fd.get(), kBacklog) != 0) return false;
  listener_ = std::move(fd);
  watch_ =
      std::make_unique<base::FdWatch>(loop_, listener_.get(), &HttpServer::on_acceptable, this);
  watch_->want(base::kFdReadable);
  return true;
}

void HttpServer::on_acceptable(void* self, unsigned) {
  static_cast<HttpServer*>(self)->accept_some();
}

void HttpServer::accept_some() {
  for (int i = 0; i < kAcceptsPerTurn; ++i) {
    base::UniqueFd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        // The listener stays readable: without a rest the loop would spin.
        watch_->want(base::kFdNone);
        try_again_.set_after(loop_, kRestWithoutDescriptors,
                             [this] { watch_->want(base::kFdReadable); });
      }
      return;
    }
    const int on = 1;
    ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    const auto id = ++last_id_;
    connections_.emplace(id, std::make_unique<HttpConnection>(*this, id, std::move(fd)));
    ++counts_.accepted;
    counts_.open = connections_.size();
    counts_.most_open = std::max(counts_.most_open, counts_.open);
  }
}

void HttpServer::reset_all() {
  std::vector<ConnectionId> ids;
  ids.reserve(connections_.size());
  for (const auto& [id, connection] : connections_) ids.push_back(id);
  for (const auto id : ids) {
    const auto found = connections_.find(id);
    if (found != connections_.end()) found->second->close(true);
  }
}

void HttpServer::send(ConnectionId id, WirePlan plan) {
  const auto found = connections_.find(id);
  if (found != connections_.end()) found->second->send(std::move(plan));
}

void HttpServer::reset_counts() {
  counts_ = {0, connections_.size(), connections_.size()};
}

void HttpServer::retire(ConnectionId id) {
  const auto found = connections_.find(id);
  if (found == connections_.end()) return;
  const bool first = retired_.empty();
  retired_.push_back(std::move(found->second));
  connections_.erase(found);
  counts_.open = connections_.size();
  if (first) loop_.post([this] { retired_.clear(); });
}

}  // namespace holdfast::flaky
