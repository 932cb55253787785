// The other side of a conversation that a fuzz target plays: a server on the target's own
// loop, so that what happens depends on the input alone. One connection at a time.
//
// The input is what the server sends. 0xff and a letter are its other deeds:
//   n  wait for the next request    w  let the client read what there is
//   c  close, and wait for a connection    r  the same, by a reset
// Where it ends the server closes, and after that answers properly.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "require.h"

namespace holdfast::fuzz {

// What was said over one connection, and what for.
struct Said {
  // A request: how much had been said before it came, and whose it was, see attempt().
  struct Asked {
    std::size_t at = 0;
    int attempt = 0;
  };
  std::string bytes;
  std::vector<Asked> asked;
  bool ended = false;  // by the server, in order: not by a reset, and not by the client
};

// Turns of the loop in which the client reads what there is, and asks anew if it likes.
inline constexpr int kTurns = 6;
inline constexpr std::string_view kProper = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

class Conversation {
 public:
  explicit Conversation(base::EventLoop& loop)
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
    watch_ = std::make_unique<base::FdWatch>(loop, listener_.get(), &Conversation::on_client, this);
    watch_->want(base::kFdReadable);
  }

  const std::string& url() const { return url_; }
  // Each connection of the play so far.
  const std::vector<Said>& said() const { return said_; }
  // The requests that come from now on are that one's.
  void attempt(int number) { attempt_ = number; }

  void play(std::string_view script) {
    drop();
    script_ = script;
    said_.clear();
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
    auto& server = *static_cast<Conversation*>(self);
    const int fd =
        ::accept4(server.listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    server.drop();  // one at a time; the client has given the other up
    server.client_.reset(fd);
    server.said_.emplace_back();
    server.client_watch_ =
        std::make_unique<base::FdWatch>(server.loop_, fd, &Conversation::on_bytes, self);
    server.client_watch_->want(base::kFdReadable);
  }

  static void on_bytes(void* self, unsigned) {
    auto& server = *static_cast<Conversation*>(self);
    char buffer[8192];
    const ssize_t got = ::recv(server.client_.get(), buffer, sizeof buffer, 0);
    if (got <= 0) return server.drop();
    server.request_.append(buffer, static_cast<std::size_t>(got));
    if (server.request_.find("\r\n\r\n") == std::string::npos) return;
    server.request_.clear();
    Said& said = server.said_.back();
    said.asked.push_back({said.bytes.size(), server.attempt_});
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
        return end();
      }
      const char deed = script_[mark + 1];
      script_.remove_prefix(mark + 2);
      switch (deed) {
        case 'n':
          return later(kTurns, [this] { end(); });  // if it has not asked by then
        case 'w':
          return later(kTurns, [this] { act(); });
        case 'c':
          return end();
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
    if (bytes.empty()) return;
    said_.back().bytes += bytes;
    (void)!::send(client_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  }

  void end() {
    said_.back().ended = true;
    drop();
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
  std::vector<Said> said_;
  int attempt_ = 0;
  std::string request_;
  bool over_ = true;
  unsigned long turn_ = 0;
};

}  // namespace holdfast::fuzz
