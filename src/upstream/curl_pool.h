// Pool is the part of libcurl that belongs to one address of one origin: its kept
// connections, and the transfers under way on them or on new ones. One for each
// address, so that the connections to one can be set aside as a whole, and so that what
// libcurl clears away at the start of a transfer is never another address's.
// Private to CurlTransport. Loop's own thread only.
#pragma once

#include <curl/curl.h>
#include <poll.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/event_loop.h"

namespace holdfast::upstream {

class Pool {
 public:
  // A transfer has ended and is still in the pool: remove() it. Must not destroy the pool.
  using Finished = std::function<void(CURL*, CURLcode)>;

  // Throws std::runtime_error if out of memory. `multiplex`: several transfers may
  // share a connection where the server speaks HTTP/2.
  Pool(base::EventLoop& loop, std::size_t kept_connections, bool multiplex, Finished finished);
  // Closes the kept connections. Nothing may be under way.
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  // Starts the transfer. Why not, in libcurl's words, or null.
  const char* add(CURL* easy);
  // Ends it if it has not ended; its HTTP/1 connection is then closed.
  void remove(CURL* easy);

  // For libcurl's callbacks: calls once libcurl has returned, and before anybody is told of an end.
  void at_end_of_turn(std::function<void()> callback) { at_end_.push_back(std::move(callback)); }
  // For whoever has called libcurl otherwise than through the pool.
  void end_turn();

  std::size_t running() const { return running_; }
  // Connections that wait for a request, as far as can be seen.
  std::size_t ready();
  // What this transfer sent on an HTTP/1 connection was sent again twice, and the other end has
  // acknowledged none of it.
  bool unacknowledged(CURL* easy) const;
  // The server has closed the connection that serves this transfer alone, and all that it sent has
  // been read.
  bool is_closed(CURL* easy) const;
  base::SteadyTime last_used() const { return last_used_; }

  // The server has answered in HTTP/2 here: it is worth waiting for a connection that
  // is being set up, rather than to set up one more.
  bool speaks_http2() const { return speaks_http2_; }
  void set_speaks_http2(bool does) { speaks_http2_ = does; }

  // For CURLOPT_OPENSOCKETFUNCTION: a socket that dies with the network it is on, or
  // CURL_SOCKET_BAD and errno. `for_one`: the transfer that its connection serves alone, which may
  // have it rest with bytes to read; null: any.
  curl_socket_t open_socket(const curl_sockaddr& address, CURL* for_one);
  // For CURLOPT_CLOSESOCKETFUNCTION, with the pool as its data.
  static int close_socket(void* self, curl_socket_t fd);

 private:
  struct Socket;
  struct Open;

  static void unwatch(Open& socket);
  static int socket_changed(CURL*, curl_socket_t fd, int what, void* self, void*);
  static int timer_changed(CURLM*, long timeout_ms, void* self);
  std::vector<pollfd> idle_sockets() const;
  bool is_ours(curl_socket_t fd);
  void end_odd_ones();
  void act(curl_socket_t fd, int events);

  base::EventLoop& loop_;
  Finished finished_;
  CURLM* multi_;
  // Those that were opened and, as far as libcurl has told, not closed.
  std::unordered_map<curl_socket_t, Open> sockets_;
  std::size_t running_ = 0;
  std::vector<std::function<void()>> at_end_;
  base::SteadyTime last_used_;
  bool speaks_http2_ = false;
  base::Timer timer_;
  bool due_ = false;  // it is to be called at once
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace holdfast::upstream
