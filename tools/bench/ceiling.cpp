// bench-ceiling: as fast as libevent and the kernel allow. Whatever a client
// sends, each read is answered with the same bytes: one event, one read, one
// write, no parsing. What a server takes beyond this is its own doing.
//
// One request outstanding per connection (as wrk does) is all it is good for.
//
//   bench-ceiling PORT FILE [WORKERS [close]]
//
// FILE is the answer, head and content; "close" ends the connection after it.
#include <arpa/inet.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace {

// Written before the first thread starts.
std::string g_answer;
bool g_close = false;

struct Connection {
  event* readable = nullptr;
};

void close_connection(Connection* connection) {
  close(event_get_fd(connection->readable));
  event_free(connection->readable);
  delete connection;
}

void on_readable(evutil_socket_t fd, short, void* arg) {
  auto* connection = static_cast<Connection*>(arg);
  std::array<char, 16384> request;
  const ssize_t got = read(fd, request.data(), request.size());
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) return close_connection(connection);
  // An answer of one segment never meets a full send buffer here: the client
  // has read the one before.
  const ssize_t sent = write(fd, g_answer.data(), g_answer.size());
  if (g_close || sent != static_cast<ssize_t>(g_answer.size())) close_connection(connection);
}

void on_acceptable(evutil_socket_t listener, short, void* arg) {
  for (;;) {
    const int fd = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    auto* connection = new Connection;
    connection->readable =
        event_new(static_cast<event_base*>(arg), fd, EV_READ | EV_PERSIST, on_readable, connection);
    event_add(connection->readable, nullptr);
  }
}

int listen_at(std::uint16_t port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const void* generic = &address;
  if (fd < 0 || bind(fd, static_cast<const sockaddr*>(generic), sizeof address) != 0 ||
      listen(fd, 4096) != 0) {
    std::perror("bench-ceiling: listen");
    return -1;
  }
  return fd;
}

void serve(int listener) {
  event_base* base = event_base_new();
  event* acceptable = event_new(base, listener, EV_READ | EV_PERSIST, on_acceptable, base);
  event_add(acceptable, nullptr);
  event_base_dispatch(base);  // until the process is ended
}

template <typename Number>
std::optional<Number> parse(std::string_view text) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

int main(int argc, char** argv) {
  const auto port = argc > 2 ? parse<std::uint16_t>(argv[1]) : std::nullopt;
  const auto workers = argc > 3 ? parse<unsigned>(argv[3]) : 1U;
  g_close = argc > 4 && std::string_view(argv[4]) == "close";
  if (!port || !workers || *workers == 0 || (argc > 4 && !g_close)) {
    std::fputs("usage: bench-ceiling PORT FILE [WORKERS [close]]\n", stderr);
    return 2;
  }
  std::ifstream file(argv[2], std::ios::binary);
  g_answer.assign(std::istreambuf_iterator<char>(file), {});
  if (g_answer.empty()) {
    std::fprintf(stderr, "bench-ceiling: %s: empty or not readable\n", argv[2]);
    return 2;
  }
  std::signal(SIGPIPE, SIG_IGN);

  std::vector<std::jthread> others;
  std::vector<int> listeners;
  for (unsigned i = 0; i < *workers; ++i) listeners.push_back(listen_at(*port));
  for (const int listener : listeners) {
    if (listener < 0) return 1;
  }
  for (unsigned i = 1; i < *workers; ++i) others.emplace_back(serve, listeners[i]);
  serve(listeners[0]);
}
