// bench-load: asks one server for lookups, at less cost to its own core than a
// cache hit costs the server. wrk takes as long for a request as a good server
// does (for each it asks epoll anew when it may write), so beside the fastest it
// measures itself.
//
//   bench-load [options] http://127.0.0.1:PORT/lookup/
//
// Each connection has one request outstanding and sends the next when it is
// answered; or, with --rate, requests are due at fixed times, and their latency
// counts from then, so that a server that stalls does not slow down the clock it
// is measured by. An answer counts if it is a 200 of a stated length whose content
// names the address that was asked for; anything else is an error. Ends with the
// line that lib.sh reads, as result.lua does.
#include <arpa/inet.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <numeric>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

struct Options {
  std::string url;
  unsigned connections = 32;
  unsigned threads = 1;
  double seconds = 5;
  unsigned network = 20;
  std::size_t keys = 1;
  std::string draw = "uniform";
  double rate = 0;  // requests per second; 0: as fast as they are answered
  unsigned seed = 1;
  bool close = false;  // a new connection for every request
  bool browser = false;
};

// What a browser says beside Host, in a dozen fields.
constexpr std::string_view kBrowserFields =
    "\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
    "\r\nAccept: application/json, text/plain, */*"
    "\r\nAccept-Language: en-GB,en;q=0.7,de;q=0.3"
    "\r\nAccept-Encoding: gzip, deflate, br, zstd"
    "\r\nReferer: http://127.0.0.1/map?zoom=3"
    "\r\nOrigin: http://127.0.0.1"
    "\r\nDNT: 1"
    "\r\nSec-GPC: 1"
    "\r\nSec-Fetch-Dest: empty"
    "\r\nSec-Fetch-Mode: cors"
    "\r\nSec-Fetch-Site: same-origin"
    "\r\nPriority: u=4";

// Where, and what to send: key i is the i-th address of the network.
struct Plan {
  sockaddr_in server{};
  std::vector<std::string> addresses;  // in quotes, as the content has them
  std::vector<std::string> requests;
  std::vector<std::uint32_t> draws;  // which key is next, drawn before the clock starts
};

constexpr std::size_t kDraws = std::size_t{1} << 20;
constexpr std::size_t kMostMicroseconds = 1'000'000;  // slower ones count as this
constexpr auto kStalled = 1s;  // unanswered at the end for this long: an error

[[noreturn]] void fail(const std::string& what) {
  throw std::runtime_error(what + ": " + std::strerror(errno));
}

std::string address_of(unsigned network, std::size_t i) {
  return std::to_string(network) + '.' + std::to_string(i >> 16 & 0xff) + '.' +
         std::to_string(i >> 8 & 0xff) + '.' + std::to_string(i & 0xff);
}

Plan make_plan(const Options& options) {
  Plan plan;
  const std::string_view url = options.url;
  constexpr std::string_view kScheme = "http://";
  const auto path = url.find('/', kScheme.size());
  const auto colon = url.find(':', kScheme.size());
  if (!url.starts_with(kScheme) || path == url.npos || colon > path) {
    throw std::runtime_error("not http://ADDRESS:PORT/PATH/: " + options.url);
  }
  const std::string host(url.substr(kScheme.size(), colon - kScheme.size()));
  std::uint16_t port = 0;
  const auto* const port_end = url.data() + path;
  if (std::from_chars(url.data() + colon + 1, port_end, port).ptr != port_end ||
      inet_pton(AF_INET, host.c_str(), &plan.server.sin_addr) != 1) {
    throw std::runtime_error("not http://ADDRESS:PORT/PATH/: " + options.url);
  }
  plan.server.sin_family = AF_INET;
  plan.server.sin_port = htons(port);

  for (std::size_t i = 0; i < options.keys; ++i) {
    const std::string address = address_of(options.network, i);
    plan.addresses.push_back('"' + address + '"');
    plan.requests.push_back("GET " + std::string(url.substr(path)) + address +
                            " HTTP/1.1\r\nHost: " + host + ':' + std::to_string(port) +
                            std::string(options.browser ? kBrowserFields : "") +
                            (options.close ? "\r\nConnection: close\r\n\r\n" : "\r\n\r\n"));
  }
  std::mt19937 random(options.seed);
  if (options.draw == "once") {
    plan.draws.resize(options.keys);
    std::iota(plan.draws.begin(), plan.draws.end(), 0U);
    return plan;
  }
  plan.draws.resize(options.keys == 1 ? 1 : kDraws);
  if (options.draw == "zipf") {  // exponent 1.0: key k has weight 1/(k+1)
    std::vector<double> weights(options.keys);
    for (std::size_t k = 0; k < weights.size(); ++k) weights[k] = 1.0 / static_cast<double>(k + 1);
    std::discrete_distribution<std::uint32_t> zipf(weights.begin(), weights.end());
    for (auto& draw : plan.draws) draw = zipf(random);
  } else {
    std::uniform_int_distribution<std::uint32_t> uniform(
        0, static_cast<std::uint32_t>(options.keys - 1));
    for (auto& draw : plan.draws) draw = uniform(random);
  }
  return plan;
}

struct Counts {
  std::uint64_t answered = 0;
  std::uint64_t wrong = 0;   // answers that were no 200, or not for what was asked
  std::uint64_t broken = 0;  // connections that failed or ended early; stalled requests
  std::vector<std::uint32_t> latency = std::vector<std::uint32_t>(kMostMicroseconds + 1);

  void add(const Counts& other) {
    answered += other.answered;
    wrong += other.wrong;
    broken += other.broken;
    std::transform(latency.begin(), latency.end(), other.latency.begin(), latency.begin(),
                   std::plus<>());
  }
  std::size_t percentile(double share) const {
    const auto all = std::accumulate(latency.begin(), latency.end(), std::uint64_t{0});
    auto left = static_cast<std::uint64_t>(share * static_cast<double>(all));
    for (std::size_t us = 0; us < latency.size(); ++us) {
      if (left < latency[us]) return us;
      left -= latency[us];
    }
    return 0;
  }
};

// The whole size of the answer that `bytes` begins with: 0 if the head is not
// complete yet, nothing if there is no Content-Length to go by.
std::optional<std::size_t> answer_size(std::string_view bytes) {
  const auto end = bytes.find("\r\n\r\n");
  if (end == bytes.npos) return 0;
  // The two spellings servers use.
  const std::string_view head = bytes.substr(0, end);
  auto field = head.find("\r\nContent-Length: ");
  if (field == head.npos) field = head.find("\r\ncontent-length: ");
  if (field == head.npos) return std::nullopt;
  std::size_t length = 0;
  const char* const digits = head.data() + field + std::strlen("\r\ncontent-length: ");
  if (std::from_chars(digits, head.data() + head.size(), length).ec != std::errc{}) {
    return std::nullopt;
  }
  return end + 4 + length;
}

// Whether the server ends the connection behind this answer, in the spellings they use.
bool says_close(std::string_view answer) {
  const std::string_view head = answer.substr(0, answer.find("\r\n\r\n"));
  return head.find("\r\nConnection: close") != head.npos ||
         head.find("\r\nconnection: close") != head.npos;
}

// One thread's connections.
class Client {
 public:
  Client(const Plan& plan, const Options& options, unsigned number)
      : plan_(plan),
        options_(options),
        connections_(share_of(options.connections, options.threads, number)),
        next_draw_(plan.draws.size() * number / options.threads),
        draws_left_(options.draw == "once"
                        ? plan.draws.size() * (number + 1) / options.threads - next_draw_
                        : SIZE_MAX),
        interval_(options.rate > 0 ? to_duration(options.threads / options.rate)
                                   : Clock::duration::zero()),
        epoll_(epoll_create1(EPOLL_CLOEXEC)) {
    if (epoll_ < 0) fail("epoll_create1");
  }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client() {
    for (const Connection& connection : connections_) {
      if (connection.fd >= 0) ::close(connection.fd);
    }
    ::close(epoll_);
  }

  Counts run() {
    now_ = Clock::now();
    for (Connection& connection : connections_) open(connection);
    now_ = Clock::now();
    due_ = now_ + interval_;
    const auto end = now_ + to_duration(options_.seconds);
    std::array<epoll_event, 256> events;
    while (now_ < end && (draws_left_ > 0 || waiting_.size() < connections_.size())) {
      const int n = wait(events);
      now_ = Clock::now();
      for (int i = 0; i < n; ++i) on_event(*static_cast<Connection*>(events[i].data.ptr));
      for (; paced() && due_ <= now_ && draws_left_ > 0 && !waiting_.empty(); due_ += interval_) {
        Connection& connection = *waiting_.back();
        waiting_.pop_back();
        ask(connection, due_);
      }
    }
    for (const Connection& connection : connections_) {
      if (connection.asking && now_ - connection.due > kStalled) ++counts_.broken;
    }
    if (paced() && now_ - due_ > kStalled) ++counts_.broken;
    return std::move(counts_);
  }

 private:
  struct Connection {
    int fd = -1;
    bool asking = false;   // a request is outstanding
    bool sending = false;  // and not sent yet: the connection is being made
    std::uint32_t key = 0;
    std::size_t size = 0;  // of the answer so far
    Clock::time_point due;
    std::array<char, 4096> answer;
  };

  static unsigned share_of(unsigned all, unsigned threads, unsigned number) {
    return all / threads + (number < all % threads ? 1 : 0);
  }
  static Clock::duration to_duration(double seconds) {
    return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  }
  bool paced() const { return interval_ > Clock::duration::zero(); }

  int wait(std::array<epoll_event, 256>& events) {
    auto most = Clock::duration(100ms);
    if (paced() && !waiting_.empty()) most = std::clamp(due_ - now_, Clock::duration::zero(), most);
    const timespec timeout{0, static_cast<long>(most.count())};
    return epoll_pwait2(epoll_, events.data(), events.size(), &timeout, nullptr);
  }

  void open(Connection& connection) {
    connection.fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (connection.fd < 0) fail("socket");
    const int on = 1;
    ::setsockopt(connection.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    const void* const address = &plan_.server;
    if (::connect(connection.fd, static_cast<const sockaddr*>(address), sizeof plan_.server) != 0 &&
        errno != EINPROGRESS) {
      fail("connect");
    }
    epoll_event event{.events = EPOLLIN, .data = {.ptr = &connection}};
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, connection.fd, &event) != 0) fail("epoll_ctl");
    go_on(connection);
  }

  void reopen(Connection& connection) {
    ::close(connection.fd);
    connection.asking = false;
    open(connection);
  }

  void go_on(Connection& connection) {
    if (paced() || draws_left_ == 0) {
      waiting_.push_back(&connection);
    } else {
      ask(connection, now_);
    }
  }

  void ask(Connection& connection, Clock::time_point due) {
    connection.key = plan_.draws[next_draw_];
    if (++next_draw_ == plan_.draws.size()) next_draw_ = 0;
    if (draws_left_ != SIZE_MAX) --draws_left_;
    connection.asking = true;
    connection.size = 0;
    connection.due = due;
    send(connection);
  }

  // A request of some 60 bytes never meets a full send buffer here: the server
  // has read the one before.
  void send(Connection& connection) {
    const std::string& request = plan_.requests[connection.key];
    const ssize_t n = ::send(connection.fd, request.data(), request.size(), MSG_NOSIGNAL);
    connection.sending = n < 0 && errno == EAGAIN;
    if (connection.sending) want(connection, EPOLLOUT);
    // Any other failure is told again when it is read.
  }

  void want(Connection& connection, std::uint32_t what) {
    epoll_event event{.events = what, .data = {.ptr = &connection}};
    epoll_ctl(epoll_, EPOLL_CTL_MOD, connection.fd, &event);
  }

  void on_event(Connection& connection) {
    if (connection.sending) {
      want(connection, EPOLLIN);
      return send(connection);
    }
    const ssize_t n = ::recv(connection.fd, connection.answer.data() + connection.size,
                             connection.answer.size() - connection.size, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (!connection.asking) {
      if (n > 0) ++counts_.broken;  // nobody asked
      return drop_idle(connection);
    }
    connection.size += static_cast<std::size_t>(std::max<ssize_t>(n, 0));
    const std::string_view bytes(connection.answer.data(), connection.size);
    const auto size = answer_size(bytes);
    // The connection ended, or an answer without a length, too large or too long.
    if (n <= 0 || !size || (*size > 0 && bytes.size() > *size)) {
      ++counts_.broken;
      return reopen(connection);
    }
    if (*size == 0 || bytes.size() < *size) return;
    count(connection, bytes);
    connection.asking = false;
    if (options_.close || says_close(bytes)) return reopen(connection);
    go_on(connection);
  }

  // A server may end a connection between requests.
  void drop_idle(Connection& connection) {
    std::erase(waiting_, &connection);
    reopen(connection);
  }

  void count(const Connection& connection, std::string_view answer) {
    const auto content = answer.substr(answer.find("\r\n\r\n"));
    if (!answer.starts_with("HTTP/1.1 200 ") ||
        content.find(plan_.addresses[connection.key]) == content.npos) {
      ++counts_.wrong;
      return;
    }
    ++counts_.answered;
    const auto took = std::chrono::duration_cast<std::chrono::microseconds>(now_ - connection.due);
    ++counts_.latency[std::min(static_cast<std::size_t>(took.count()), kMostMicroseconds)];
  }

  const Plan& plan_;
  const Options& options_;
  std::vector<Connection> connections_;
  std::vector<Connection*> waiting_;  // for the next request to be due, or for the end
  std::size_t next_draw_;
  std::size_t draws_left_;    // SIZE_MAX: they begin again
  Clock::duration interval_;  // between requests; zero: not paced
  Clock::time_point due_;     // the next request, when paced
  int epoll_;
  Clock::time_point now_;
  Counts counts_;
};

Counts run(const Options& options, const Plan& plan) {
  std::vector<Counts> counts(options.threads);
  std::vector<std::string> errors(options.threads);
  {
    std::vector<std::jthread> threads;
    for (unsigned i = 0; i < options.threads; ++i) {
      threads.emplace_back([&, i] {
        try {
          counts[i] = Client(plan, options, i).run();
        } catch (const std::exception& error) {
          errors[i] = error.what();
        }
      });
    }
  }
  for (const std::string& error : errors) {
    if (!error.empty()) throw std::runtime_error(error);
  }
  for (unsigned i = 1; i < options.threads; ++i) counts[0].add(counts[i]);
  return std::move(counts[0]);
}

constexpr const char* kHelp =
    "Asks one server for lookups as fast as it answers: bench-load [options] URL\n"
    "  URL              what the address follows\n"
    "  --connections N  in all [32]\n"
    "  --threads N      they share the connections [1]\n"
    "  --seconds S      how long [5]\n"
    "  --network N      the addresses' first number [20]\n"
    "  --keys N         addresses asked for [1]\n"
    "  --draw HOW       how they are drawn: uniform, zipf or once [uniform]\n"
    "  --rate N         requests per second; 0: as fast as they are answered [0]\n"
    "  --seed N         of the drawing [1]\n"
    "  --close          a new connection for every request\n"
    "  --browser        with a dozen fields, as a browser asks\n";

// A number from `low` to `high`, or an exception that names the option.
template <typename Number>
Number number_within(std::string_view name, std::string_view text, Number low, Number high) {
  Number number{};
  const char* end = text.data() + text.size();
  const auto read = std::from_chars(text.data(), end, number);
  if (read.ec != std::errc() || read.ptr != end || number < low || number > high) {
    throw std::runtime_error("--" + std::string(name) + ": not from " + std::to_string(low) +
                             " to " + std::to_string(high) + ": " + std::string(text));
  }
  return number;
}

// With getopt and not CLI11, which takes longer to compile than all else here. Empty: --help.
std::optional<Options> parse_options(int argc, char** argv) {
  Options options;
  static const option known[] = {{"connections", required_argument, nullptr, 'c'},
                                 {"threads", required_argument, nullptr, 't'},
                                 {"seconds", required_argument, nullptr, 's'},
                                 {"network", required_argument, nullptr, 'n'},
                                 {"keys", required_argument, nullptr, 'k'},
                                 {"draw", required_argument, nullptr, 'd'},
                                 {"rate", required_argument, nullptr, 'r'},
                                 {"seed", required_argument, nullptr, 'e'},
                                 {"close", no_argument, nullptr, 'x'},
                                 {"browser", no_argument, nullptr, 'b'},
                                 {"help", no_argument, nullptr, 'h'},
                                 {}};
  int which = 0;
  for (int c = 0; (c = getopt_long(argc, argv, "h", known, &which)) != -1;) {
    const std::string_view name = c == '?' || c == 'h' ? "" : known[which].name;
    switch (c) {
      case 'c':
        options.connections = number_within(name, optarg, 1U, 100'000U);
        break;
      case 't':
        options.threads = number_within(name, optarg, 1U, 64U);
        break;
      case 's':
        options.seconds = number_within(name, optarg, 0.1, 3600.0);
        break;
      case 'n':
        options.network = number_within(name, optarg, 1U, 223U);
        break;
      case 'k':
        options.keys = number_within(name, optarg, std::size_t{1}, std::size_t{16'777'216});
        break;
      case 'd':
        options.draw = optarg;
        if (options.draw != "uniform" && options.draw != "zipf" && options.draw != "once") {
          throw std::runtime_error("--draw: uniform, zipf or once, not " + options.draw);
        }
        break;
      case 'r':
        options.rate = number_within(name, optarg, 0.0, 1e6);
        break;
      case 'e':
        options.seed = number_within(name, optarg, 0U, ~0U);
        break;
      case 'x':
        options.close = true;
        break;
      case 'b':
        options.browser = true;
        break;
      case 'h':
        return std::nullopt;
      default:
        throw std::runtime_error("bench-load --help lists the options");
    }
  }
  if (optind + 1 != argc) throw std::runtime_error("needs one URL");
  options.url = argv[optind];
  return options;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    auto parsed = parse_options(argc, argv);
    if (!parsed) {
      std::fputs(kHelp, stdout);
      return 0;
    }
    Options options = std::move(*parsed);
    if (options.threads > options.connections) options.threads = options.connections;
    const Plan plan = make_plan(options);
    const auto begin = Clock::now();
    const Counts counts = run(options, plan);
    const auto took = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - begin);
    std::printf("RESULT %llu %lld %zu %zu %llu %llu\n",
                static_cast<unsigned long long>(counts.answered),
                static_cast<long long>(took.count()), counts.percentile(0.5),
                counts.percentile(0.99), static_cast<unsigned long long>(counts.wrong),
                static_cast<unsigned long long>(counts.broken));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench-load: %s\n", error.what());
    return 1;
  }
}
