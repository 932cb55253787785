// libcurl tells us which sockets to watch and when to call it again; we call
// curl_multi_socket_action() from the loop only, never from one of its callbacks:
// the timer callback merely sets a timer, the socket callback merely changes a watch.
#include "upstream/curl_pool.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <new>
#include <stdexcept>

#ifdef SANITIZED_THREADS
extern "C" {  // of its run-time library
void AnnotateIgnoreReadsBegin(const char* file, int line);
void AnnotateIgnoreReadsEnd(const char* file, int line);
}
#endif

namespace holdfast::upstream {
namespace {

// Nobody tells us when a router between forgets a connection, or a peer loses its power.
// While nothing is under way the kernel asks after it; data and those questions that
// nobody acknowledges end it.
constexpr int kKeepaliveIdleSeconds = 15;
constexpr int kKeepaliveIntervalSeconds = 5;
constexpr int kKeepaliveProbes = 3;
constexpr unsigned kUnacknowledgedMilliseconds = 10'000;
// After 0.6 s at least: each time takes twice as long (RFC 6298), from 0.2 s on.
constexpr int kSentAgain = 2;

// libcurl closes a socket that is not connected yet before it says that nobody need watch it, so
// that its number may be another thread's by then. Asking whose it is does no harm, nor does
// removing it from epoll, which goes by file and number: there is nothing to remove (epoll(7)).
// ThreadSanitizer goes by the number alone, and is told not to look while one of these lives.
#ifdef SANITIZED_THREADS
struct ByNumber {
  ByNumber() { AnnotateIgnoreReadsBegin(__FILE__, __LINE__); }
  ~ByNumber() { AnnotateIgnoreReadsEnd(__FILE__, __LINE__); }
  ByNumber(const ByNumber&) = delete;
  ByNumber& operator=(const ByNumber&) = delete;
};
#else
struct ByNumber {
  ByNumber() {}
};
#endif

template <typename Value>
void set_option(int fd, int level, int option, Value value) {
  // A kernel without it goes without: the attempt's own bounds hold.
  (void)::setsockopt(fd, level, option, &value, sizeof value);
}

}  // namespace

struct Pool::Socket {
  Pool& pool;
  curl_socket_t fd;
  base::FdWatch watch;

  Socket(Pool& owner, curl_socket_t descriptor)
      : pool(owner), fd(descriptor), watch(owner.loop_, descriptor, &Socket::ready, this) {}

  static void ready(void* self, unsigned events) {
    const auto& socket = *static_cast<Socket*>(self);
    const int mask = ((events & base::kFdReadable) ? CURL_CSELECT_IN : 0) |
                     ((events & base::kFdWritable) ? CURL_CSELECT_OUT : 0);
    socket.pool.act(socket.fd, mask);  // may destroy `socket`
  }
};

// The kernel gives a number out again at once, and which socket is behind one is told by its
// inode.
struct Pool::Open {
  ino_t inode = 0;
  CURL* for_one = nullptr;          // never idle: while unwatched its transfer is paused
  CURL* user = nullptr;             // the transfer that waits for it
  std::unique_ptr<Socket> watched;  // null while libcurl does not want it watched

  static ino_t inode_of(curl_socket_t fd) {
    const ByNumber maybe_not_ours;
    struct stat info = {};
    return ::fstat(fd, &info) == 0 ? info.st_ino : 0;
  }
};

Pool::Pool(base::EventLoop& loop, std::size_t kept_connections, bool multiplex, Finished finished)
    : loop_(loop),
      finished_(std::move(finished)),
      multi_(curl_multi_init()),
      last_used_(loop.now()) {
  if (multi_ == nullptr) throw std::runtime_error("libcurl: out of memory");
  curl_multi_setopt(multi_, CURLMOPT_SOCKETFUNCTION, &Pool::socket_changed);
  curl_multi_setopt(multi_, CURLMOPT_SOCKETDATA, this);
  curl_multi_setopt(multi_, CURLMOPT_TIMERFUNCTION, &Pool::timer_changed);
  curl_multi_setopt(multi_, CURLMOPT_TIMERDATA, this);
  curl_multi_setopt(multi_, CURLMOPT_MAXCONNECTS, static_cast<long>(kept_connections));
  curl_multi_setopt(multi_, CURLMOPT_PIPELINING, multiplex ? CURLPIPE_MULTIPLEX : CURLPIPE_NOTHING);
}

Pool::~Pool() {
  curl_multi_cleanup(multi_);  // calls back for each socket
}

const char* Pool::add(CURL* easy) {
  end_odd_ones();
  const CURLMcode code = curl_multi_add_handle(multi_, easy);
  if (code != CURLM_OK) return curl_multi_strerror(code);
  ++running_;
  last_used_ = loop_.now();
  return nullptr;
}

void Pool::remove(CURL* easy) {
  curl_multi_remove_handle(multi_, easy);
  --running_;
  last_used_ = loop_.now();
}

// libcurl has them watched while they have something to do. Of HTTP/2 a connection may
// well hear something meanwhile.
std::vector<pollfd> Pool::idle_sockets() const {
  std::vector<pollfd> idle;
  idle.reserve(sockets_.size());
  const short odd = speaks_http2_ ? POLLRDHUP : POLLRDHUP | POLLIN;
  for (const auto& [fd, open] : sockets_) {
    if (!open.watched && open.for_one == nullptr) idle.push_back({fd, odd, 0});
  }
  if (!idle.empty()) (void)::poll(idle.data(), idle.size(), 0);
  return idle;
}

// libcurl does not call back for a socket that it closes before it is connected. Its number
// may be a client's by now, or a file's, and must be left alone.
bool Pool::is_ours(curl_socket_t fd) {
  const auto found = sockets_.find(fd);
  if (found == sockets_.end()) return false;
  if (Open::inode_of(fd) == found->second.inode) return true;
  sockets_.erase(found);
  return false;
}

bool Pool::unacknowledged(CURL* easy) const {
  if (speaks_http2_) return false;  // others' data are on it too
  for (const auto& [fd, open] : sockets_) {
    if (open.user != easy || !open.watched) continue;
    tcp_info info{};
    socklen_t length = sizeof info;
    return ::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) == 0 && info.tcpi_unacked > 0 &&
           info.tcpi_retransmits >= kSentAgain;
  }
  return false;
}

bool Pool::is_closed(CURL* easy) const {
  for (const auto& [fd, open] : sockets_) {
    if (open.for_one != easy || Open::inode_of(fd) != open.inode) continue;
    char byte = 0;
    if (::recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0) return true;
  }
  return false;
}

std::size_t Pool::ready() {
  std::size_t quiet = 0;
  for (const pollfd& one : idle_sockets()) {
    if (one.revents == 0 && is_ours(one.fd)) ++quiet;
  }
  return quiet;
}

// libcurl takes a kept connection for alive as long as there are bytes to read. But what
// has come without a request is its end, or belongs to no answer: the next request would
// be given it as its own. Shut down and emptied it is dead to libcurl too.
void Pool::end_odd_ones() {
  for (const pollfd& one : idle_sockets()) {
    if (one.revents == 0 || !is_ours(one.fd)) continue;
    (void)::shutdown(one.fd, SHUT_RDWR);  // first: then no more can come
    char buffer[4096];
    while (::recv(one.fd, buffer, sizeof buffer, MSG_DONTWAIT) > 0) {
    }
  }
}

curl_socket_t Pool::open_socket(const curl_sockaddr& address, CURL* for_one) {
  const int fd =
      ::socket(address.family, address.socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, address.protocol);
  if (fd < 0) return CURL_SOCKET_BAD;
  try {
    sockets_.insert_or_assign(fd, Open{Open::inode_of(fd), for_one, nullptr, nullptr});
  } catch (const std::bad_alloc&) {
    ::close(fd);
    errno = ENOMEM;
    return CURL_SOCKET_BAD;
  }
  set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, kKeepaliveIdleSeconds);
  set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, kKeepaliveIntervalSeconds);
  set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, kKeepaliveProbes);
  set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, kUnacknowledgedMilliseconds);
  return fd;
}

int Pool::close_socket(void* self, curl_socket_t fd) {
  auto& pool = *static_cast<Pool*>(self);
  pool.sockets_.erase(fd);  // its watch first
  return ::close(fd);
}

void Pool::unwatch(Open& socket) {
  const ByNumber maybe_not_ours;
  socket.watched.reset();
  socket.user = nullptr;
}

int Pool::socket_changed(CURL* easy, curl_socket_t fd, int what, void* self, void*) {
  auto& pool = *static_cast<Pool*>(self);
  const auto found = pool.sockets_.find(fd);
  if (found == pool.sockets_.end()) return 0;
  if (what == CURL_POLL_REMOVE) {
    unwatch(found->second);
    return 0;
  }
  try {
    auto& socket = found->second.watched;
    if (!socket) socket = std::make_unique<Socket>(pool, fd);
    found->second.user = easy;
    socket->watch.want(((what & CURL_POLL_IN) ? base::kFdReadable : 0U) |
                       ((what & CURL_POLL_OUT) ? base::kFdWritable : 0U));
  } catch (const std::exception&) {
    return -1;
  }
  return 0;
}

int Pool::timer_changed(CURLM*, long timeout_ms, void* self) {
  auto& pool = *static_cast<Pool*>(self);
  pool.due_ = timeout_ms == 0;
  if (timeout_ms < 0) {
    pool.timer_.cancel();
  } else if (timeout_ms == 0) {
    pool.timer_.cancel();
    // Sooner than a timer, and it costs less.
    pool.loop_.post([&pool, alive = std::weak_ptr(pool.alive_)] {
      if (!alive.expired() && std::exchange(pool.due_, false)) pool.act(CURL_SOCKET_TIMEOUT, 0);
    });
  } else {
    pool.timer_.set_after(pool.loop_, std::chrono::milliseconds(timeout_ms),
                          [&pool] { pool.act(CURL_SOCKET_TIMEOUT, 0); });
  }
  return 0;
}

void Pool::end_turn() {
  for (const auto& callback : at_end_) callback();
  at_end_.clear();
}

void Pool::act(curl_socket_t fd, int events) {
  int running = 0;
  curl_multi_socket_action(multi_, fd, events, &running);
  end_turn();
  int left = 0;
  while (const CURLMsg* message = curl_multi_info_read(multi_, &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    finished_(message->easy_handle, message->data.result);
  }
}

}  // namespace holdfast::upstream
