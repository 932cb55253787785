// A real Server on a loop of its own thread, a clock that moves when told to,
// and a client that speaks raw bytes: for the tests of this folder.
#pragma once

#include <arpa/inet.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <atomic>
#include <cctype>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <future>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/event_loop.h"
#include "http/client_limits.h"
#include "http/server.h"
#include "patience.h"

namespace holdfast::http::test {

using namespace std::chrono_literals;

// Moves when told to, from any thread.
class TestClock final : public base::Clock {
 public:
  base::SteadyTime now() const override {
    return base::SteadyTime(base::Duration(1h) + base::Duration(passed_ns_.load()));
  }
  base::WallTime wall() const override {
    return base::WallTime(std::chrono::sys_days{std::chrono::year{2026} / 1 / 1}) +
           std::chrono::duration_cast<std::chrono::milliseconds>(base::Duration(passed_ns_.load()));
  }
  void advance(base::Duration by) { passed_ns_ += by.count(); }

 private:
  std::atomic<std::int64_t> passed_ns_{0};
};

// Copies of what the handler saw.
struct Seen {
  ExchangeId id = 0;
  Method method = Method::Get;
  std::string method_name, path, query, body, client;
  std::map<Known, std::string> fields;
};

// Answers at once with a description of the request, unless the path starts with
// "/later" (kept until the test answers) or a function was set.
class TestHandler final : public Handler {
 public:
  using Function = std::function<void(Server&, ExchangeId, const Request&)>;

  void handle(Server& server, ExchangeId id, const Request& request) override {
    Seen seen{id,
              request.method,
              std::string(request.method_name),
              std::string(request.path),
              std::string(request.query),
              std::string(request.body),
              std::string(request.client),
              {}};
    for (std::size_t i = 0; i < request.known.size(); ++i) {
      if (request.known[i].data() != nullptr) {
        seen.fields[static_cast<Known>(i)] = request.known[i];
      }
    }
    const bool later = request.path.substr(0, 6) == "/later";
    Function function;
    {
      const std::lock_guard lock(mutex_);
      seen_.push_back(seen);
      function = function_;
    }
    changed_.notify_all();
    if (function) {
      function(server, id, request);
    } else if (request.too_large) {
      server.respond(id, {.status = 413, .body = "refused"});
    } else if (!later && !request.streamed) {
      server.respond(id, {.fields = "Content-Type: text/plain\r\n", .body = describe(request)});
    }
  }
  void abandoned(ExchangeId id) override {
    const std::lock_guard lock(mutex_);
    abandoned_.push_back(id);
    changed_.notify_all();
  }
  std::size_t body_limit(Method method, std::string_view) const override {
    return method == Method::Post ? 1000 : 0;
  }
  void rejected(const Rejection& rejection) override {
    const std::lock_guard lock(mutex_);
    rejected_.emplace_back(rejection.reason);
    changed_.notify_all();
  }

  // Streamed: below "/stream", of 50,000 bytes at most.
  std::optional<StreamLimit> stream_limit(const Request& head) const override {
    if (!head.path.starts_with("/stream")) return std::nullopt;
    return StreamLimit{50'000, "more than 50,000 bytes"};
  }
  void content(ExchangeId, std::string_view piece, bool last) override {
    const std::lock_guard lock(mutex_);
    content_ += piece;
    content_ended_ = content_ended_ || last;
    changed_.notify_all();
  }
  void written(ExchangeId) override {
    const std::lock_guard lock(mutex_);
    ++written_;
    changed_.notify_all();
  }
  void answered(ExchangeId id) override {
    const std::lock_guard lock(mutex_);
    answered_.push_back(id);
    changed_.notify_all();
  }
  std::vector<ExchangeId> answered_by_length(std::size_t at_least) {
    std::unique_lock lock(mutex_);
    await(lock, [&] { return answered_.size() >= at_least; });
    return answered_;
  }
  // What has come of streamed contents, once it is so many bytes.
  std::string content_of(std::size_t bytes) {
    std::unique_lock lock(mutex_);
    await(lock, [&] { return content_.size() >= bytes; });
    return content_;
  }
  bool content_ended() {
    std::unique_lock lock(mutex_);
    await(lock, [&] { return content_ended_; });
    return content_ended_;
  }
  bool content_has_ended() {
    const std::lock_guard lock(mutex_);
    return content_ended_;
  }
  int written_calls(int at_least) {
    std::unique_lock lock(mutex_);
    await(lock, [&] { return written_ >= at_least; });
    return written_;
  }

  static std::string describe(const Request& request) {
    std::string out(request.method_name);
    out.append(" ").append(request.path);
    if (!request.query.empty()) out.append("?").append(request.query);
    if (!request.body.empty()) out.append(" with ").append(request.body);
    return out;
  }

  // For the test's thread.
  void set(Function function) {
    const std::lock_guard lock(mutex_);
    function_ = std::move(function);
  }
  // Waits for the n-th request (from 0) that got here.
  Seen request(std::size_t n) {
    std::unique_lock lock(mutex_);
    await(lock, [&] { return seen_.size() > n; });
    return seen_.at(n);
  }
  ExchangeId first_abandoned() {
    std::unique_lock lock(mutex_);
    await(lock, [&] { return !abandoned_.empty(); });
    return abandoned_.at(0);
  }
  std::vector<std::string> rejections(std::size_t at_least) {
    std::unique_lock lock(mutex_);
    await(lock, [&] { return rejected_.size() >= at_least; });
    return rejected_;
  }
  std::size_t requests() {
    const std::lock_guard lock(mutex_);
    return seen_.size();
  }
  std::size_t abandoned_count() {
    const std::lock_guard lock(mutex_);
    return abandoned_.size();
  }

 private:
  template <typename Condition>
  void await(std::unique_lock<std::mutex>& lock, Condition condition) {
    CHECK(changed_.wait_for(lock, kPatience, condition));
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  Function function_;
  std::vector<Seen> seen_;
  std::vector<ExchangeId> abandoned_;
  std::vector<ExchangeId> answered_;
  std::vector<std::string> rejected_;
  std::string content_;
  bool content_ended_ = false;
  int written_ = 0;
};

class TestServer {
 public:
  // `socket`: where to listen, if not at a port of its own.
  explicit TestServer(Server::Settings settings = {}, base::UniqueFd socket = {}) {
    settings.sweep_interval = 1ms;  // of the test's clock, and how often it is looked at
    server_ = std::make_unique<Server>(loop_, settings, handler, metrics_, metrics_.shard());
    if (!socket) socket = *listen_at({"127.0.0.1", 0});
    port_ = local_port(socket.get());
    server_->listen(std::move(socket));
    thread_ = std::thread([this] { loop_.run(); });
  }
  ~TestServer() {
    on_loop([this] { server_.reset(); });
    loop_.stop();
    thread_.join();
  }

  void destroy() {
    on_loop([this] { destroy_here(); });
  }
  void destroy_here() { server_.reset(); }

  // Runs it on the loop and waits. What the loop had been told of before is done
  // by then, too.
  void on_loop(std::function<void()> function) {
    std::promise<void> done;
    loop_.post([&] {
      function();
      done.set_value();
    });
    done.get_future().wait();
  }
  void barrier() {
    on_loop([] {});
  }
  // Time passes for the server, from after what the loop is at: a client may have read its
  // response before the connection is idle. Whoever comes then comes by the new time.
  void pass(base::Duration time) {
    barrier();
    clock.advance(time);
    for (int i = 0; i < 2; ++i) barrier();
  }
  void respond(ExchangeId id, const Response& response) {
    on_loop([&] { server_->respond(id, response); });
  }
  // What a metric family counted under this reason, once it is `at_least`.
  double counted(observe::Family family, const std::string& reason, double at_least = 1) {
    const observe::Labels labels{{"reason", reason}};
    await([&] { return metrics_.value(family, labels) >= at_least; });
    return metrics_.value(family, labels);
  }
  double value(observe::Family family, const std::string& reason,
               const std::string& label = "reason") const {
    return metrics_.value(family, {{label, reason}});
  }
  double value(observe::Family family) const { return metrics_.value(family); }
  // Likewise, of the requests whose client was gone first.
  double abandoned(double at_least) {
    const auto family = observe::Family::RequestsAbandoned;
    await([&] { return metrics_.value(family) >= at_least; });
    return metrics_.value(family);
  }
  // Lets loop turns pass until it is so; for what no event tells of.
  template <typename Condition>
  bool await(Condition condition) {
    const auto until = std::chrono::steady_clock::now() + kPatience;
    while (!condition()) {
      if (std::chrono::steady_clock::now() > until) {
        FAIL_CHECK("waited in vain");
        return false;
      }
      barrier();
      std::this_thread::yield();
    }
    return true;
  }
  std::size_t connections() const { return server_->stats().connections; }
  std::size_t in_flight() const { return server_->stats().in_flight; }
  std::uint16_t port() const { return port_; }
  Server& server() { return *server_; }
  base::EventLoop& loop() { return loop_; }

  TestClock clock;
  TestHandler handler;

 private:
  base::EventLoop loop_{"http-test", clock};
  observe::Metrics metrics_;
  std::unique_ptr<Server> server_;
  std::uint16_t port_ = 0;
  std::thread thread_;
};

struct Answer {
  int status = 0;
  std::string head;  // as it came, with the status line
  std::string body;

  // The field's value; "(none)" without it, "(several)" if repeated.
  std::string field(const std::string& name) const {
    std::string found = "(none)";
    std::size_t at = head.find("\r\n");
    while (at != std::string::npos && at + 2 < head.size()) {
      at += 2;
      const auto end = head.find("\r\n", at);
      const auto line = head.substr(at, end - at);
      const auto colon = line.find(": ");
      if (colon != std::string::npos && line.substr(0, colon) == name) {
        found = found == "(none)" ? line.substr(colon + 2) : "(several)";
      }
      at = end;
    }
    return found;
  }
};

class Client {
 public:
  explicit Client(std::uint16_t port, int receive_buffer = 0)
      : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const int on = 1;
    ::setsockopt(fd_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (receive_buffer > 0) {
      ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    }
    const timeval most{kPatience.count(), 0};  // a hang fails the test instead of stopping it
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &most, sizeof most);
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_SNDTIMEO, &most, sizeof most);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = ::connect(fd_.get(), reinterpret_cast<sockaddr*>(&to), sizeof to) == 0;
  }

  bool connected() const { return connected_; }
  int fd() const { return fd_.get(); }
  bool send(std::string_view text) {
    while (!text.empty()) {
      const ssize_t sent = ::send(fd_.get(), text.data(), text.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      text.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }
  // Waits until the other side's kernel has all that was sent.
  void wait_until_received() {
    int unacknowledged = 1;
    while (::ioctl(fd_.get(), SIOCOUTQ, &unacknowledged) == 0 && unacknowledged > 0) {
      std::this_thread::yield();
    }
  }
  void half_close() { ::shutdown(fd_.get(), SHUT_WR); }
  void reset() {
    const linger hard{1, 0};
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    fd_.reset();
  }
  void close() { fd_.reset(); }

  // One answer; status 0 if the connection ended before it was complete.
  Answer read(bool to_head = false) {
    Answer answer;
    std::size_t head_end;
    while ((head_end = buffer_.find("\r\n\r\n")) == std::string::npos) {
      if (!more()) return answer;
    }
    answer.head = buffer_.substr(0, head_end + 2);
    buffer_.erase(0, head_end + 4);
    const int status = std::atoi(answer.head.c_str() + 9);
    const auto length = answer.field("Content-Length");
    const bool has_body = !to_head && status != 204 && status != 304 && status >= 200;
    const std::size_t size = has_body && length != "(none)" ? std::stoul(length) : 0;
    while (buffer_.size() < size) {
      if (!more()) return answer;
    }
    answer.body = buffer_.substr(0, size);
    buffer_.erase(0, size);
    answer.status = status;
    return answer;
  }
  Answer ask(std::string_view request, bool to_head = false) {
    send(request);
    return read(to_head);
  }
  // All there is until the server closes. Null if it does not, or resets.
  std::optional<std::string> read_to_end() {
    while (more()) {
    }
    if (!clean_end_) return std::nullopt;
    return std::exchange(buffer_, {});
  }
  // True if the server has closed and sent nothing more.
  bool at_end() {
    const auto rest = read_to_end();
    if (rest == "") return true;
    MESSAGE("not at its end: ", std::string(std::strerror(end_error_)), ", behind ",
            rest ? *rest : buffer_);
    return false;
  }
  std::size_t read_some(std::size_t most) {
    std::string bytes(most, '\0');
    const ssize_t got = ::recv(fd_.get(), bytes.data(), bytes.size(), 0);
    if (got > 0) buffer_.append(bytes, 0, static_cast<std::size_t>(got));
    return got > 0 ? static_cast<std::size_t>(got) : 0;
  }
  bool readable_now() {
    pollfd poll_fd{fd_.get(), POLLIN, 0};
    return ::poll(&poll_fd, 1, 0) > 0;
  }

 private:
  bool more() {
    char bytes[16384];
    const ssize_t got = ::recv(fd_.get(), bytes, sizeof bytes, 0);
    clean_end_ = got == 0;
    end_error_ = got < 0 ? errno : 0;
    if (got <= 0) return false;
    buffer_.append(bytes, static_cast<std::size_t>(got));
    return true;
  }

  base::UniqueFd fd_;
  bool connected_ = false;
  bool clean_end_ = false;
  int end_error_ = 0;
  std::string buffer_;
};

// Sends, and returns when the server has read it: the clock may move on.
inline void deliver(TestServer& server, Client& client, std::string_view text) {
  client.send(text);
  client.wait_until_received();
  // Two turns: within one, the barrier may come before the connection.
  server.barrier();
  server.barrier();
}

inline std::shared_ptr<ClientLimits> limits(const ClientLimits::Settings& settings) {
  return std::make_shared<ClientLimits>(settings);
}

inline std::string get(std::string_view path, std::string_view fields = {}) {
  return std::string("GET ").append(path).append(" HTTP/1.1\r\nHost: a\r\n").append(fields) +
         "\r\n";
}

}  // namespace holdfast::http::test
