// CurlTransport makes attempts with libcurl's multi interface on an EventLoop:
// nothing blocks, names are resolved by libcurl's own threads, connections and
// handles are reused. Loop's own thread only. Errors arrive as a Reply.
//
// Redirects are never followed and no proxy is taken from the environment, so
// the token goes to the configured origins and nowhere else.
//
// When a reused connection dies before the first byte of an answer, libcurl
// sends the request once more on a fresh one within the same attempt: it cannot
// tell a server's idle timeout from a fault. So an upstream may see slightly
// more requests than we count attempts.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/event_loop.h"
#include "upstream/transport.h"

namespace holdfast::upstream {

class CurlTransport final : public Transport {
 public:
  struct Settings {
    // One per origin: scheme, authority and maybe a path, "http://api.example:8000/v1".
    // A trailing slash is dropped: targets bring their own.
    std::vector<std::string> base_urls;
    // Upper bound; an attempt's own timeout is often shorter. Above one second,
    // because that is when a lost SYN is sent again.
    base::Duration connect_timeout = std::chrono::milliseconds(1500);
    std::size_t body_limit_bytes = std::size_t{1} << 20;
    std::size_t head_limit_bytes = std::size_t{64} << 10;
    // A content slower than this for so long is given up, should an attempt be
    // allowed to last that long.
    long low_speed_bytes_per_second = 16;
    std::chrono::seconds low_speed_time{5};
    std::chrono::seconds dns_cache{60};
    // A connection is not used again after this: a name may have moved.
    std::chrono::seconds connection_lifetime{300};
    // Below the idle timeout of common servers and load balancers (60 s and up).
    std::chrono::seconds connection_idle{55};
    std::size_t kept_connections = 128;
    bool http2 = false;   // over TLS, by ALPN
    std::string ca_file;  // PEM; empty: the system's
    std::string user_agent = "holdfast";
  };

  // Throws std::runtime_error if libcurl cannot be set up, or was built without
  // an asynchronous resolver (every lookup would stop the loop).
  CurlTransport(base::EventLoop& loop, Settings settings, std::string token = {});
  // Drops all attempts; their callbacks do not run.
  ~CurlTransport() override;

  AttemptId start(std::size_t origin, const Request& request, base::Duration timeout,
                  Callback callback) override;
  void cancel(AttemptId id) override;

  // For the attempts that start from now on; empty for none. False, and nothing
  // changes, if it holds what no field value may (a line break, say).
  bool set_token(std::string token);

  std::size_t in_flight() const { return attempts_.size(); }

 private:
  struct Attempt;
  struct Multi;
  struct Socket;

  void configure(Attempt& attempt, const std::string& url, const Request& request,
                 base::Duration timeout);
  void fail_later(AttemptId id, std::string detail);
  void on_socket_event(int fd, unsigned events);
  void on_timeout();
  void collect();
  void deliver(AttemptId id);
  void recycle(Attempt& attempt);

  base::EventLoop& loop_;
  Settings settings_;
  std::string token_;
  AttemptId last_id_ = 0;
  std::unique_ptr<Multi> multi_;
  std::unordered_map<int, std::unique_ptr<Socket>> sockets_;
  std::unordered_map<AttemptId, std::unique_ptr<Attempt>> attempts_;
  base::Timer timer_;
  // Posted work outlives us in the loop's mailbox; it asks this first.
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace holdfast::upstream
