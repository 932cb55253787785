// CurlBench is a CurlTransport on a loop of its own, driven by the test's thread.
#pragma once

#include <doctest/doctest.h>

#include <functional>
#include <optional>
#include <string>

#include "raw_server.h"
#include "upstream/curl_transport.h"

namespace holdfast::upstream::test {

inline const std::string kHello =
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\nhello";

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
    transport.start(0, {std::move(target), std::move(fields)}, timeout, [&](Reply reply) {
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

}  // namespace holdfast::upstream::test
