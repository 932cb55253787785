// TestNode is the other end of a RedisLink: a listening socket whose connections a test reads and
// answers as it likes, byte by byte, from its own thread. TestLink is a RedisLink on a loop with a
// thread of its own, and what it told.
#pragma once

#include <doctest/doctest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "fleet/redis_link.h"
#include "patience.h"

namespace holdfast::fleet::test {

class TestNode {
 public:
  class Peer {
   public:
    explicit Peer(int fd) : fd_(fd) {}
    void send(std::string_view bytes) const {
      (void)!::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    }
    // Waits until just that has come.
    void expect(std::string_view bytes) const {
      std::string got;
      while (got.size() < bytes.size()) {
        const std::string more = read(bytes.size() - got.size());
        if (more.empty()) break;
        got += more;
      }
      REQUIRE(got == bytes);
    }
    // True when the other side has closed it; what comes before is dropped.
    bool closes() const {
      while (!read(4096).empty()) {
      }
      return closed_;
    }
    // Answers the greeting of a link without password and database.
    void greet() const {
      expect("*1\r\n$4\r\nPING\r\n");
      send("+PONG\r\n");
    }

   private:
    std::string read(std::size_t most) const {
      pollfd wait{fd_.get(), POLLIN, 0};
      if (::poll(&wait, 1, static_cast<int>(kPatience.count() * 1000)) <= 0) return {};
      std::string bytes(most, '\0');
      const ssize_t count = ::recv(fd_.get(), bytes.data(), bytes.size(), 0);
      closed_ = count <= 0;
      bytes.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
      return bytes;
    }

    base::UniqueFd fd_;
    mutable bool closed_ = false;
  };

  TestNode() : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    auto* const generic = reinterpret_cast<sockaddr*>(&address);
    REQUIRE(::bind(listener_.get(), generic, length) == 0);
    REQUIRE(::listen(listener_.get(), 16) == 0);
    REQUIRE(::getsockname(listener_.get(), generic, &length) == 0);
    port_ = ntohs(address.sin_port);
  }

  Endpoint endpoint() const {
    return {.host = "node.example", .port = port_, .name = "node.example"};
  }
  Peer accept() const {
    pollfd wait{listener_.get(), POLLIN, 0};
    REQUIRE(::poll(&wait, 1, static_cast<int>(kPatience.count() * 1000)) == 1);
    return Peer(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  }

 private:
  base::UniqueFd listener_;
  std::uint16_t port_ = 0;
};

class TestLink {
 public:
  explicit TestLink(RedisLink::Settings settings,
                    std::vector<std::string> addresses = {"127.0.0.1"})
      : loop_("origin", clock_) {
    // Tests end what they want ended.
    settings.backoff_base = std::chrono::nanoseconds(1);
    settings.backoff_cap = std::chrono::nanoseconds(1);
    link_.emplace(
        loop_, std::move(settings), [addresses = std::move(addresses)] { return addresses; },
        [this](bool ready, const std::string& reason) { add(changes_, ready ? "ready" : reason); },
        1);
    thread_ = std::thread([this] { loop_.run(); });
  }
  ~TestLink() {
    loop_.post([this] { link_.reset(); });
    loop_.stop();
    thread_.join();
  }

  // Whether it was sent. What comes of it: reply().
  bool call(const Link::Command& command, base::Duration within = std::chrono::hours(1)) {
    std::optional<bool> sent;
    loop_.post([&, command] {
      const bool taken = link_->call(command, loop_.now() + within,
                                     [this](Reply reply) { add(replies_, std::move(reply)); });
      const std::lock_guard lock(mutex_);
      sent = taken;
      arrived_.notify_all();
    });
    std::unique_lock lock(mutex_);
    REQUIRE(arrived_.wait_for(lock, kPatience, [&] { return sent.has_value(); }));
    return *sent;
  }
  Reply reply() { return take(replies_); }
  std::string change() { return take(changes_); }

 private:
  template <typename Thing>
  void add(std::vector<Thing>& things, Thing thing) {
    const std::lock_guard lock(mutex_);
    things.push_back(std::move(thing));
    arrived_.notify_all();
  }
  template <typename Thing>
  Thing take(std::vector<Thing>& things) {
    std::unique_lock lock(mutex_);
    REQUIRE(arrived_.wait_for(lock, kPatience, [&] { return !things.empty(); }));
    Thing first = std::move(things.front());
    things.erase(things.begin());
    return first;
  }

  base::SystemClock clock_;
  base::EventLoop loop_;
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::vector<Reply> replies_;        // guarded by mutex_
  std::vector<std::string> changes_;  // guarded by mutex_
  std::optional<RedisLink> link_;
  std::thread thread_;
};

}  // namespace holdfast::fleet::test
