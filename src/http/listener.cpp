#include "http/listener.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>

#include "http/server.h"

namespace holdfast::http {
namespace {

using namespace std::chrono_literals;

constexpr base::Duration kPause = 100ms;
// What another thread is about to give back is here by then, or in a few times that.
constexpr base::Duration kShortPause = 5ms;
constexpr int kMostShortPauses = 20;
// A wake-up takes a few and lets the connections have their turn, and other
// workers that wait on the same socket their share.
constexpr int kAcceptBurst = 16;
// The kernel caps it at net.core.somaxconn, 4096 by default.
constexpr int kBacklog = 4096;
constexpr int kMostQueued = 2 * kBacklog;

base::UniqueFd open_reserve() {
  return base::UniqueFd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
}

socklen_t make_address(const ListenAddress& address, sockaddr_storage& out) {
  auto& v4 = reinterpret_cast<sockaddr_in&>(out);
  auto& v6 = reinterpret_cast<sockaddr_in6&>(out);
  if (inet_pton(AF_INET, address.host.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(address.port);
    return sizeof v4;
  }
  if (inet_pton(AF_INET6, address.host.c_str(), &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(address.port);
    return sizeof v6;
  }
  return 0;
}

base::Result<base::UniqueFd> bind_at(const ListenAddress& address, bool shared) {
  const auto failed = [&address](int error) {
    const bool absent = error == EADDRNOTAVAIL || error == EAFNOSUPPORT;
    return base::internal_error(absent                ? base::ErrorKind::Unavailable
                                : error == EADDRINUSE ? base::ErrorKind::Busy
                                                      : base::ErrorKind::Io,
                                "cannot listen at " + address.host + " port " +
                                    std::to_string(address.port) + ": " + std::strerror(error));
  };
  sockaddr_storage where{};
  const socklen_t size = make_address(address, where);
  if (size == 0) {
    return base::invalid_input("not a numeric address to listen at: " + address.host);
  }
  base::UniqueFd fd(::socket(where.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return failed(errno);
  const int on = 1;
  const int share = shared ? 1 : 0;
  const int only_its_own = address.both ? 0 : 1;
  // REUSEADDR: a restart must not wait for the old connections' TIME_WAIT.
  if (::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
      ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEPORT, &share, sizeof share) != 0 ||
      (where.ss_family == AF_INET6 && ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY,
                                                   &only_its_own, sizeof only_its_own) != 0) ||
      ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&where), size) != 0) {
    return failed(errno);
  }
  if (shared && ::listen(fd.get(), kBacklog) != 0) return failed(errno);
  return fd;
}

}  // namespace

base::Result<base::UniqueFd> listen_at(const ListenAddress& address) {
  return bind_at(address, true);
}

base::Result<void> check_unused(const ListenAddress& address) {
  auto bound = bind_at(address, false);
  if (bound) return {};
  base::Error error = std::move(bound.error());
  // Whoever looks for what holds :: would find nobody there.
  if (error.kind == base::ErrorKind::Busy && address.both &&
      bind_at({.host = address.host, .port = address.port, .both = false}, false)) {
    error.message += " (another program has it on IPv4, which " + address.host + " takes too)";
  }
  return tl::unexpected(std::move(error));
}

base::Result<base::UniqueFd> listen_at_path(const std::string& path) {
  const auto failed = [&path](const std::string& why) {
    return base::internal_error(base::ErrorKind::Io, "cannot listen at " + path + ": " + why);
  };
  sockaddr_un where{};
  where.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof where.sun_path) {
    return base::invalid_input("not a path for a Unix socket: " + path);
  }
  std::memcpy(where.sun_path, path.c_str(), path.size());
  const auto* const address = reinterpret_cast<const sockaddr*>(&where);

  struct stat there = {};
  if (::lstat(path.c_str(), &there) == 0) {
    if (!S_ISSOCK(there.st_mode)) return failed("something else is there");
    base::UniqueFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!probe) return failed(std::strerror(errno));
    // EAGAIN: somebody listens and is busy.
    if (::connect(probe.get(), address, sizeof where) == 0 || errno != ECONNREFUSED) {
      return failed("in use");
    }
    if (::unlink(path.c_str()) != 0) return failed(std::strerror(errno));
  }
  base::UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  // The mode is set before there is a name to connect to: Linux gives it to the file.
  if (!fd || ::fchmod(fd.get(), 0600) != 0 || ::bind(fd.get(), address, sizeof where) != 0 ||
      ::listen(fd.get(), kBacklog) != 0) {
    return failed(std::strerror(errno));
  }
  return fd;
}

std::uint16_t local_port(int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return 0;
  if (address.ss_family == AF_INET) {
    return ntohs(reinterpret_cast<const sockaddr_in&>(address).sin_port);
  }
  if (address.ss_family == AF_INET6) {
    return ntohs(reinterpret_cast<const sockaddr_in6&>(address).sin6_port);
  }
  return 0;
}

std::string local_host(int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return {};
  return std::string(ClientAddress(address, size).text());
}

Listener::Listener(base::EventLoop& loop, base::UniqueFd socket, OnAccepted on_accepted,
                   OnLack on_lack, OnRefused on_refused)
    : loop_(loop),
      socket_(std::move(socket)),
      on_accepted_(std::move(on_accepted)),
      on_lack_(std::move(on_lack)),
      on_refused_(std::move(on_refused)),
      reserve_(open_reserve()),
      watch_(loop, socket_.get(), &Listener::on_readable, this) {
  // A socket from outside may be blocking. Accepted ones inherit TCP_NODELAY on
  // Linux, which saves a call per connection; a Unix socket has none.
  ::fcntl(socket_.get(), F_SETFL, ::fcntl(socket_.get(), F_GETFL) | O_NONBLOCK);
  const int on = 1;
  ::setsockopt(socket_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  watch_.want(base::kFdReadable);
}

void Listener::on_readable(void* self, unsigned) {
  static_cast<Listener*>(self)->accept_some(kAcceptBurst);
}

void Listener::accept_rest() {
  pause_timer_.cancel();
  watch_.want(base::kFdNone);
  for (int i = 0; i < kMostQueued; ++i) {
    const Step step = accept_one();
    if (step == Step::Empty || step == Step::Exhausted) return;
  }
}

void Listener::accept_some(int most) {
  for (int i = 0; i < most; ++i) {
    const Step step = accept_one();
    if (step == Step::Exhausted) pause(waits_ > 0 ? kShortPause : kPause);
    if (step == Step::Empty) waits_ = 0;
    if (step == Step::Empty || step == Step::Exhausted) return;
  }
}

Listener::Step Listener::accept_one() {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  base::UniqueFd fd(::accept4(socket_.get(), reinterpret_cast<sockaddr*>(&address), &size,
                              SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (fd) {
    waits_ = 0;
    on_accepted_(std::move(fd), ClientAddress(address, size));
    return Step::Accepted;
  }
  switch (errno) {
    case EAGAIN:
      return Step::Empty;
    // The client left while it was queued, or the network told of an error of
    // the new connection (accept(2)): nothing is wrong with the next one.
    case ECONNABORTED:
    case EINTR:
    case EPROTO:
    case EPERM:
    case ENETDOWN:
    case ENETUNREACH:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENONET:
      return Step::Skipped;
    case EMFILE:
    case ENFILE:
      // The kernel looks for a descriptor first, and says so with nobody waiting, too.
      if (!has_waiting()) return Step::Empty;
      switch (on_lack_(base::Resource::Descriptors)) {
        case Relief::Now:
          return Step::Skipped;
        case Relief::Soon:
          if (++waits_ <= kMostShortPauses) return Step::Exhausted;
          break;
        case Relief::None:
          break;
      }
      waits_ = 0;
      turn_one_away();
      return Step::Exhausted;
    case ENOBUFS:
    case ENOMEM:
      waits_ = 0;
      on_lack_(base::Resource::Memory);
      return Step::Exhausted;
    default:  // unheard of: at least do not spin
      return Step::Exhausted;
  }
}

bool Listener::has_waiting() const {
  pollfd events{socket_.get(), POLLIN, 0};
  return ::poll(&events, 1, 0) > 0;
}

void Listener::turn_one_away() {
  if (!reserve_) {
    reserve_ = open_reserve();
    return;
  }
  reserve_.reset();
  base::UniqueFd unlucky(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (unlucky) on_refused_();
  unlucky.reset();
  reserve_ = open_reserve();
}

void Listener::pause(base::Duration time) {
  watch_.want(base::kFdNone);
  pause_timer_.set_after(loop_, time, [this] { watch_.want(base::kFdReadable); });
}

}  // namespace holdfast::http
