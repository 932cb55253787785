// HttpServer is one listening port and its connections, which do exactly as told:
// also hang, drip and reset. Connections are spoken of by number, so that whoever
// holds one may outlive it. Everything belongs to the loop's thread (or, before
// the loop runs, to the thread that builds things). Nothing blocks.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/event_loop.h"
#include "http_message.h"

namespace holdfast::flaky {

class HttpConnection;
class Tls;

using ConnectionId = std::uint64_t;  // never used twice

class RequestHandler {
 public:
  virtual ~RequestHandler() = default;

  // A whole request has come. Answer with HttpServer::send(), now or later. The
  // connection reads on, but the next request waits until this answer has ended.
  virtual void on_request(ConnectionId id, Request request) = 0;

  // Once for each on_request(): the answer went out as planned, or (`complete` is
  // false) the client went away first or the server dropped the connection.
  virtual void on_answer_end(ConnectionId id, bool complete) = 0;
};

struct ConnectionCounts {
  std::uint64_t accepted = 0;
  std::size_t open = 0;
  std::size_t most_open = 0;
};

// Where to listen, and how.
struct ListenSettings {
  std::vector<std::string> addresses = {"127.0.0.1"};  // numeric; one or more
  std::uint16_t port = 0;  // 0: the kernel picks one, the same at all addresses
  // With it, TLS. Outlives the server.
  const Tls* tls = nullptr;
  // So long a new connection waits until its first byte is read: a TLS handshake is then so late.
  base::Duration handshake_delay{0};
};

class HttpServer {
 public:
  // Build and destroy it while the loop does not run. Listens at once; the port is kept until
  // destruction even while nobody listens. Throws std::runtime_error. The handler must outlive the
  // server's last event.
  HttpServer(base::EventLoop& loop, ListenSettings settings, RequestHandler& handler);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  std::uint16_t port() const { return port_; }

  // While false, connecting to the port is refused. Connections there are go on.
  // Without descriptors left, listening begins as soon as there is one.
  void set_listening(bool listening);
  bool listening() const { return static_cast<bool>(ports_.front()->listener); }

  // Of connections from now on.
  void set_handshake_delay(base::Duration delay) { settings_.handshake_delay = delay; }
  base::Duration handshake_delay() const { return settings_.handshake_delay; }

  // RST on every connection, as when the process behind them dies.
  void reset_all();

  // No-op if the connection is gone.
  void send(ConnectionId id, WirePlan plan);

  const ConnectionCounts& connections() const { return counts_; }
  void reset_counts();

 private:
  friend class HttpConnection;
  // The port at one of the addresses.
  struct Port {
    Port(HttpServer& owner, std::string at) : server(owner), address(std::move(at)) {}

    HttpServer& server;
    std::string address;
    // Bound, never listening: keeps the port ours while the listener is closed.
    base::UniqueFd placeholder;
    base::UniqueFd listener;
    std::unique_ptr<base::FdWatch> watch;
    base::Timer try_again;
  };

  static void on_acceptable(void* port, unsigned events);
  void accept_some(Port& port);
  void add(base::UniqueFd fd);
  void retire(ConnectionId id);
  bool open_listener(Port& port);

  base::EventLoop& loop_;
  RequestHandler& handler_;
  ListenSettings settings_;
  std::vector<std::unique_ptr<Port>> ports_;
  base::Timer try_again_;
  std::uint16_t port_ = 0;
  ConnectionId last_id_ = 0;
  ConnectionCounts counts_;
  std::unordered_map<ConnectionId, std::unique_ptr<HttpConnection>> connections_;
  // Closed, destroyed on the loop's next turn: their code may still be running.
  std::vector<std::unique_ptr<HttpConnection>> retired_;
};

}  // namespace holdfast::flaky
