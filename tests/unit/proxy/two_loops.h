// What the tests of Service stand on: a worker's loop and the origin's, each on a thread of its
// own, one clock that moves when told to, and a server in front.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <future>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "patience.h"
#include "test_server.h"

namespace holdfast::proxy::test {

// Whoever derives from it has what runs on the loops: it calls serve() last when it is made, and
// stop() first when it goes.
class TwoLoops {
 public:
  // Runs it on the loop and waits.
  static void on(base::EventLoop& loop, const std::function<void()>& function) {
    std::promise<void> done;
    loop.post([&] {
      function();
      done.set_value();
    });
    done.get_future().wait();
  }
  void on_origin(const std::function<void()>& function) { on(origin_, function); }
  // Both loops have done what they had been told of.
  void turns() {
    for (int i = 0; i < 5; ++i) {
      on(worker_, [] {});
      on(origin_, [] {});
    }
  }
  // Time passes between two turns of the worker's loop. One that began before would go by the
  // old time, and could take in a connection that is made after this.
  void pass(base::Duration time) {
    on(worker_, [] {});
    clock.advance(time);
    for (int i = 0; i < 2; ++i) on(worker_, [] {});
  }
  // False: it is not so, for all the patience there is.
  template <typename Condition>
  bool eventually(Condition condition) {
    const auto until = std::chrono::steady_clock::now() + kPatience;
    while (!condition()) {
      if (std::chrono::steady_clock::now() > until) return false;
      turns();
    }
    return true;
  }
  http::test::Client client(int receive_buffer = 0) {
    return http::test::Client(port_, receive_buffer);
  }

  static std::string text_of(std::FILE& file) {
    std::string text(1U << 20, '\0');
    const ssize_t size = ::pread(fileno(&file), text.data(), text.size(), 0);
    text.resize(static_cast<std::size_t>(std::max<ssize_t>(0, size)));
    return text;
  }

  http::test::TestClock clock;

 protected:
  TwoLoops() = default;
  ~TwoLoops() = default;

  void serve(http::Handler& handler) {
    auto socket = http::listen_at({"127.0.0.1", 0});
    port_ = http::local_port(socket->get());
    server_.emplace(worker_, http::Server::Settings{.sweep_interval = std::chrono::milliseconds(1)},
                    handler, metrics_, worker_shard_);
    server_->listen(std::move(*socket));
    worker_thread_ = std::thread([this] { worker_.run(); });
    origin_thread_ = std::thread([this] { origin_.run(); });
  }
  void stop() {
    on(worker_, [this] { server_.reset(); });
    worker_.stop();
    worker_thread_.join();
    origin_.stop();
    origin_thread_.join();
  }

  base::EventLoop worker_{"worker", clock};
  base::EventLoop origin_{"origin", clock};
  observe::Metrics metrics_;
  observe::Shard& worker_shard_ = metrics_.shard();
  observe::Shard& origin_shard_ = metrics_.shard();
  std::optional<http::Server> server_;

 private:
  std::uint16_t port_ = 0;
  std::thread worker_thread_, origin_thread_;
};

}  // namespace holdfast::proxy::test
