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
#include "plain_stream.h"
#include "tls.h"

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

// SO_REUSEPORT would let two processes of one user share the port without a word; an ordinary bind
// first shows whether it is taken. Throws.
void fail_if_taken(const std::string& bind_address, std::uint16_t port) {
  SocketAddress address;
  const auto length = fill(address, bind_address, port);
  const base::UniqueFd probe(::socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int on = 1;
  ::setsockopt(probe.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (!probe || ::bind(probe.get(), &address.any, length) != 0) {
    fail("cannot bind to " + bind_address + " port " + std::to_string(port));
  }
}

// None if the system refuses. Throws if it is no address.
base::UniqueFd bind_socket(const std::string& bind_address, std::uint16_t port) {
  SocketAddress address;
  const auto length = fill(address, bind_address, port);
  base::UniqueFd fd(::socket(address.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const int on = 1;
  if (!fd || ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
      ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0 ||
      ::bind(fd.get(), &address.any, length) != 0) {
    return {};
  }
  return fd;
}

}  // namespace

HttpServer::HttpServer(base::EventLoop& loop, ListenSettings settings, RequestHandler& handler)
    : loop_(loop), handler_(handler), settings_(std::move(settings)), port_(settings_.port) {
  for (const auto& address : settings_.addresses) {
    if (port_ != 0) fail_if_taken(address, port_);
    auto port = std::make_unique<Port>(*this, address);
    port->placeholder = bind_socket(address, port_);
    if (!port->placeholder) fail("cannot bind to " + address + " port " + std::to_string(port_));
    port_ = port_of(port->placeholder.get());
    if (!open_listener(*port)) fail("cannot listen on port " + std::to_string(port_));
    ports_.push_back(std::move(port));
  }
  if (ports_.empty()) throw std::runtime_error("no address to listen on");
}

HttpServer::~HttpServer() = default;

void HttpServer::set_listening(bool listening) {
  if (listening == this->listening()) return;
  try_again_.cancel();
  bool all = true;
  for (const auto& port : ports_) {
    port->try_again.cancel();
    port->watch.reset();
    port->listener.reset();
    all = all && (!listening || open_listener(*port));
  }
  if (all) return;
  // All or none: where one of them is refused, so are the others.
  for (const auto& port : ports_) {
    port->watch.reset();
    port->listener.reset();
  }
  try_again_.set_after(loop_, kRestWithoutDescriptors, [this] { set_listening(true); });
}

bool HttpServer::open_listener(Port& port) {
  auto fd = bind_socket(port.address, port_);
  if (!fd || ::listen(fd.get(), kBacklog) != 0) return false;
  port.listener = std::move(fd);
  port.watch = std::make_unique<base::FdWatch>(loop_, port.listener.get(),
                                               &HttpServer::on_acceptable, &port);
  port.watch->want(base::kFdReadable);
  return true;
}

void HttpServer::on_acceptable(void* port, unsigned) {
  auto& acceptable = *static_cast<Port*>(port);
  acceptable.server.accept_some(acceptable);
}

void HttpServer::accept_some(Port& port) {
  for (int i = 0; i < kAcceptsPerTurn; ++i) {
    base::UniqueFd fd(
        ::accept4(port.listener.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        // The listener stays readable: without a rest the loop would spin.
        port.watch->want(base::kFdNone);
        port.try_again.set_after(loop_, kRestWithoutDescriptors,
                                 [&port] { port.watch->want(base::kFdReadable); });
      }
      return;
    }
    add(std::move(fd));
  }
}

void HttpServer::add(base::UniqueFd fd) {
  const int on = 1;
  ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  auto stream = settings_.tls != nullptr ? settings_.tls->stream(fd.get())
                                         : std::make_unique<PlainStream>(fd.get());
  if (!stream) return;
  const auto id = ++last_id_;
  connections_.emplace(
      id, std::make_unique<HttpConnection>(*this, id, std::move(fd), std::move(stream)));
  ++counts_.accepted;
  counts_.open = connections_.size();
  counts_.most_open = std::max(counts_.most_open, counts_.open);
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
