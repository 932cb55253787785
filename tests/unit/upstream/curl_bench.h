// A CurlTransport on a loop of its own: CurlBench's is driven by the test's thread,
// CurlSession's by another.
#pragma once

#include <doctest/doctest.h>

#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "raw_server.h"
#include "upstream/curl_transport.h"

namespace holdfast::upstream::test {

inline const std::string kHello =
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\nhello";

inline Sending within(base::Duration timeout, std::size_t origin = 0) {
  return Sending{.origin = origin, .timeout = timeout};
}

struct CurlBench {
  base::SystemClock clock;
  base::EventLoop loop{"test", clock};
  CurlTransport transport;

  explicit CurlBench(CurlTransport::Settings settings, std::string token = {})
      : transport(loop, std::move(settings), std::move(token)) {}
  explicit CurlBench(const RawServer& server, std::string token = {})
      : CurlBench(CurlTransport::Settings{.base_urls = {server.url()}}, std::move(token)) {}

  Reply get(std::string target, base::Duration timeout = std::chrono::seconds(5),
            Fields fields = {}) {
    std::optional<Reply> result;
    bool inside_start = true;
    transport.start(within(timeout), {std::move(target), std::move(fields)}, [&](Reply reply) {
      CHECK_FALSE(inside_start);
      CHECK_FALSE(result);
      result = std::move(reply);
      loop.stop();
    });
    inside_start = false;
    loop.run();
    REQUIRE(result);
    return *result;
  }
};

// CurlBench::get() stops its loop, so each case asks once, or starts several at a time.
inline void run_all(CurlBench& bench, std::size_t& left) {
  base::Timer poll;
  std::function<void()> check = [&] {
    if (left == 0) return bench.loop.stop();
    poll.set_after(bench.loop, std::chrono::milliseconds(2), check);
  };
  check();
  bench.loop.run();
}

// A CurlTransport on a loop with a thread of its own, for cases that ask one by one.
class CurlSession {
 public:
  explicit CurlSession(CurlTransport::Settings settings) {
    std::promise<void> made;
    thread_ = std::thread([this, &made, settings = std::move(settings)] {
      transport_ = std::make_unique<CurlTransport>(loop_, settings);
      made.set_value();
      loop_.run();
      transport_.reset();
    });
    made.get_future().wait();
  }
  explicit CurlSession(const RawServer& server)
      : CurlSession(CurlTransport::Settings{.base_urls = {server.url()}}) {}
  ~CurlSession() {
    loop_.stop();
    thread_.join();
  }
  CurlSession(const CurlSession&) = delete;
  CurlSession& operator=(const CurlSession&) = delete;

  // What `work` makes of the transport, on its thread.
  template <typename Work>
  auto with(Work work) {
    std::packaged_task<decltype(work(*transport_))()> task([&] { return work(*transport_); });
    loop_.post([&task] { task(); });
    return task.get_future().get();
  }

  Reply get(const Sending& sending, const Request& request = {"/", {}}) {
    std::promise<Reply> reply;
    with([&](CurlTransport& transport) {
      transport.start(sending, request, [&](Reply made) { reply.set_value(std::move(made)); });
    });
    return reply.get_future().get();
  }
  Reply get() { return get(within(std::chrono::seconds(20))); }

  Reply knock(std::size_t origin, const std::string& address,
              base::Duration timeout = std::chrono::seconds(20)) {
    std::promise<Reply> reply;
    with([&](CurlTransport& transport) {
      transport.knock(origin, address, timeout,
                      [&](Reply made) { reply.set_value(std::move(made)); });
    });
    return reply.get_future().get();
  }

 private:
  base::SystemClock clock_;
  base::EventLoop loop_{"test", clock_};
  std::unique_ptr<CurlTransport> transport_;
  std::thread thread_;
};

}  // namespace holdfast::upstream::test
