// A server's side of whole conversations, through libcurl and CurlTransport. Promises:
// each attempt is told of exactly once; content is never longer than the limit, nor than
// its length was stated, unless it was coded; whatever an upstream says, the next attempt on a
// connection of its own is answered.
//
// The input is what the server sends. 0xff and a letter are its other deeds:
//   n  wait for the next request    w  let the client read what there is
//   c  close, and wait for a connection    r  the same, by a reset
// Where it ends the server closes, and after that answers properly.
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

#include "base/event_loop.h"
#include "require.h"
#include "upstream/curl_transport.h"

using namespace holdfast;
using namespace holdfast::upstream;

namespace {

using namespace std::chrono_literals;

constexpr std::size_t kBodyLimitBytes = 4096;
constexpr std::size_t kHeadLimitBytes = 2048;
constexpr int kAttempts = 4;
// Turns of the loop in which the client reads what there is, and asks anew if it likes.
constexpr int kTurns = 6;
constexpr std::string_view kProper = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

// On the transport's own loop, so that what happens depends on the input alone.
class Server {
 public:
  explicit Server(base::EventLoop& loop)
      : loop_(loop), listener_(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    REQUIRE_HOLDS(::bind(listener_.get(), generic, size) == 0);
    REQUIRE_HOLDS(::listen(listener_.get(), 64) == 0);
    REQUIRE_HOLDS(::getsockname(listener_.get(), generic, &size) == 0);
    url_ = "http://127.0.0.1:" + std::to_string(ntohs(address.sin_port));
    watch_ = std::make_unique<base::FdWatch>(loop, listener_.get(), &Server::on_client, this);
    watch_->want(base::kFdReadable);
  }

  const std::string& url() const { return url_; }

  void play(std::string_view script) {
    drop();
    script_ = script;
    over_ = false;
    ++turn_;
  }
  // From here on the answers are proper.
  void finish() {
    drop();
    over_ = true;
    ++turn_;
  }

 private:
  static void on_client(void* self, unsigned) {
    auto& server = *static_cast<Server*>(self);
    const int fd =
        ::accept4(server.listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    server.drop();  // one at a time; the client has given the other up
    server.client_.reset(fd);
    server.client_watch_ =
        std::make_unique<base::FdWatch>(server.loop_, fd, &Server::on_bytes, self);
    server.client_watch_->want(base::kFdReadable);
  }

  static void on_bytes(void* self, unsigned) {
    auto& server = *static_cast<Server*>(self);
    char buffer[8192];
    const ssize_t got = ::recv(server.client_.get(), buffer, sizeof buffer, 0);
    if (got <= 0) return server.drop();
    server.request_.append(buffer, static_cast<std::size_t>(got));
    if (server.request_.find("\r\n\r\n") == std::string::npos) return;
    server.request_.clear();
    ++server.turn_;
    server.act();
  }

  void act() {
    if (over_) return send(kProper);
    while (client_) {
      const std::size_t mark = script_.find('\xff');
      send(script_.substr(0, mark));
      if (mark == std::string_view::npos || mark + 1 >= script_.size()) {
        over_ = true;
        return drop();
      }
      const char deed = script_[mark + 1];
      script_.remove_prefix(mark + 2);
      switch (deed) {
        case 'n':
          return later(kTurns, [this] { drop(); });  // if it has not asked by then
        case 'w':
          return later(kTurns, [this] { act(); });
        case 'c':
          return drop();
        case 'r': {
          const linger now{1, 0};
          ::setsockopt(client_.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
          return drop();
        }
        default:
          send("\xff");
      }
    }
  }

  // Unless something else happens first.
  void later(int turns, std::function<void()> what) {
    loop_.post([this, turns, turn = turn_, what = std::move(what)]() mutable {
      if (turn != turn_) return;
      if (turns == 0) return what();
      later(turns - 1, std::move(what));
    });
  }

  void send(std::string_view bytes) {
    if (!bytes.empty()) (void)!::send(client_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  }

  void drop() {
    ++turn_;
    request_.clear();
    client_watch_.reset();
    client_.reset();
  }

  base::EventLoop& loop_;
  base::UniqueFd listener_;
  std::string url_;
  std::unique_ptr<base::FdWatch> watch_;
  base::UniqueFd client_;
  std::unique_ptr<base::FdWatch> client_watch_;
  std::string_view script_;
  std::string request_;
  bool over_ = true;
  unsigned long turn_ = 0;
};

void check(const Reply& reply) {
  REQUIRE_HOLDS(reply.body.size() <= kBodyLimitBytes);
  std::size_t head_bytes = 0;
  for (const Field& field : reply.fields) head_bytes += field.name.size() + field.value.size();
  REQUIRE_HOLDS(head_bytes <= kHeadLimitBytes);
  REQUIRE_HOLDS(reply.status == 0 || reply.status >= 200);
  REQUIRE_HOLDS(reply.transport == Outcome::Ok || !reply.detail.empty());
  REQUIRE_HOLDS(!reply.own_lack);
  if (reply.transport != Outcome::Ok) return;
  REQUIRE_HOLDS(reply.status >= 200 && reply.phase == Phase::Answer);
  if (reply.status == 204 || reply.status == 304) {
    REQUIRE_HOLDS(reply.body.empty());
    return;
  }
  // What was coded is told as it was before, or not at all.
  if (find_field(reply.fields, "Content-Encoding") != nullptr) return;
  const std::string* const length = find_field(reply.fields, "Content-Length");
  if (length == nullptr || find_field(reply.fields, "Transfer-Encoding") != nullptr) return;
  REQUIRE_HOLDS(std::strtoull(length->c_str(), nullptr, 10) == reply.body.size());
}

class Stack {
 public:
  Stack() {
    thread_ = std::thread([this] { loop_.run(); });
  }
  ~Stack() {
    loop_.stop();
    thread_.join();
  }

  void converse(std::string_view script) {
    std::promise<void> done;
    loop_.post([&] {
      server_.play(script);
      ask(kAttempts, [&] {
        server_.finish();
        ask_properly([&] { done.set_value(); });
      });
    });
    done.get_future().wait();
  }

 private:
  void ask(int times, std::function<void()> then) {
    if (times == 0) return then();
    transport_.start(
        Sending{.timeout = 5s}, {"/", {}},
        [this, times, then = std::move(then), told = false](const Reply& reply) mutable {
          REQUIRE_HOLDS(!told);
          told = true;
          check(reply);
          ask(times - 1, std::move(then));
        });
  }
  void ask_properly(std::function<void()> then) {
    transport_.distrust(0, "");
    transport_.start(Sending{.timeout = 9s}, {"/", {}},
                     [then = std::move(then)](const Reply& reply) {
                       REQUIRE_HOLDS(reply.transport == Outcome::Ok && reply.body == "hello");
                       then();
                     });
  }

  base::SystemClock clock_;
  base::EventLoop loop_{"fuzz", clock_};
  Server server_{loop_};
  CurlTransport transport_{loop_, CurlTransport::Settings{.base_urls = {server_.url()},
                                                          .body_limit_bytes = kBodyLimitBytes,
                                                          .head_limit_bytes = kHeadLimitBytes}};
  std::thread thread_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Stack stack;
  if (size > 16384) return 0;
  stack.converse({reinterpret_cast<const char*>(data), size});
  return 0;
}
