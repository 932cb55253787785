// Server speaks HTTP/1.1 with clients on one loop: it accepts connections,
// parses requests, hands each to a Handler and writes the answers in order. It
// owns its listeners and connections. Everything is for the loop's own thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/event_loop.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "http/request.h"
#include "observe/metrics.h"

namespace holdfast::http {

// What a handler says. The server adds the status line, Date if there is none, Content-Length
// (from `body`, none for 204 and 304) and Connection; it leaves the content out
// of an answer to HEAD. The views need to live only through the call.
struct Response {
  int status = 200;
  std::string_view fields;       // whole field lines, each ending in CRLF
  std::string_view more_fields;  // likewise, sent after `fields`
  std::string_view body;
  bool close = false;     // close the connection after this answer
  bool has_date = false;  // among the fields
};

// The head of an answer whose content comes in pieces. The server adds the status line, Date if
// there is none, the framing and Connection.
struct ResponseHead {
  int status = 200;
  std::string_view fields;  // as in Response
  bool has_date = false;    // among them
  // The content's; none: in chunks, or up to the connection's end for HTTP/1.0. To HEAD it is told
  // as what the content of GET has.
  std::optional<std::uint64_t> length;
};

// Names a request whose answer comes later. Never reused by one Server.
using ExchangeId = std::uint64_t;

// How a request was refused before any handler saw it.
struct Rejection {
  int status = 400;
  std::string_view reason;  // a metric label: "malformed", "head_too_large", ...
  std::string_view detail;  // for people
  std::string_view client;
};

// The most that a streamed content may have, and what its client is told beyond it; read in the
// call.
struct StreamLimit {
  std::uint64_t bytes = 0;
  std::string_view too_large;
};

class ClientLimits;
class ConnectionPlaces;
class Server;

// Belongs to one Server and is called on its loop.
class Handler {
 public:
  virtual ~Handler() = default;

  // Answers by server.respond(id, ...), either inside this call (the fast way)
  // or later on the same loop. Every request is answered exactly once, unless
  // abandoned() names it first.
  virtual void handle(Server& server, ExchangeId id, const Request& request) = 0;

  // The client is gone; respond() for this id now does nothing.
  virtual void abandoned(ExchangeId id) = 0;

  // The largest content to collect for handle(); 0 to read it and throw it away, or not to ask for
  // it where its client waits for that (Expect: 100-continue).
  virtual std::size_t body_limit(Method method, std::string_view path) const = 0;

  // The server itself answered an error: count it, log it.
  virtual void rejected(const Rejection& rejection) = 0;

  // What the content of this request may have if it is not to be collected: handle() is then
  // called with the head, and content() with what server.take_content() lets come. One that says
  // itself that it is longer is Request::too_large: nothing of it comes, and the handler refuses
  // it. None: as body_limit() says. Asked only of requests with content.
  virtual std::optional<StreamLimit> stream_limit(const Request& /*head*/) const {
    return std::nullopt;
  }
  // The next piece of it; `last` with or behind its end. Must not call the server. What cannot be
  // read or is too large the server answers itself, and tells refused().
  virtual void content(ExchangeId /*id*/, std::string_view /*piece*/, bool /*last*/) {}
  // The server has answered an error in place of this request's answer, for what its content is.
  // Of such a request this is told instead of rejected() and abandoned().
  virtual void refused(ExchangeId id, const Rejection& rejection) {
    rejected(rejection);
    abandoned(id);
  }
  // All that was written of the answer is with the kernel, after a write() that was not. Must not
  // call the server.
  virtual void written(ExchangeId /*id*/) {}
  // Of an answer in pieces all was handed over, by its length or since it has no content: the
  // exchange is over. What is said of it afterwards finds nobody, and end() need not come. Must not
  // call the server.
  virtual void answered(ExchangeId /*id*/) {}
};

// An address to listen at; port 0 lets the kernel pick.
struct ListenAddress {
  std::string host;  // numeric IPv4 or IPv6
  std::uint16_t port = 0;
  bool both = false;  // at "::": for clients of IPv4 too
};

// A listening, non-blocking socket with SO_REUSEPORT, or why not ("... port 3000:
// Address already in use"): Busy if somebody else is there, Unavailable if the
// machine has no such address. IPv6 sockets are IPv6 only, but for those of `both`.
base::Result<base::UniqueFd> listen_at(const ListenAddress& address);
std::uint16_t local_port(int fd);
// The numeric address a socket is bound to; "local" for a Unix socket.
std::string local_host(int fd);
// A listening Unix socket that only its owner can connect to (mode 0600). One
// that a dead process left at `path` is replaced; one that somebody answers at,
// or anything else that is there, is an error.
base::Result<base::UniqueFd> listen_at_path(const std::string& path);
// Fails as listen_at() does if anybody listens there, sockets with SO_REUSEPORT
// included: a second daemon must not quietly share the first one's clients.
base::Result<void> check_unused(const ListenAddress& address);

class Server {
 public:
  struct Settings {
    std::size_t max_head_bytes = 16U << 10;
    std::size_t max_target_bytes = 8U << 10;
    unsigned max_fields = 100;
    std::size_t max_discarded_body_bytes = 64U << 10;
    std::size_t max_connections = 10'000;
    // Several servers may share their places, and then count together in place of
    // `max_connections`. Null: none do.
    std::shared_ptr<ConnectionPlaces> places;
    // For a Unix socket: only our own user and root, by the peer's credentials.
    bool same_user_only = false;
    std::uint64_t max_requests_per_connection = 0;  // 0: no limit
    // What one client (an IPv4 address or IPv6 /64) may have: further connections
    // and requests get 429, with Retry-After. Null: no limits. Several servers may
    // share it.
    std::shared_ptr<ClientLimits> client_limits;
    // Contents being collected for the handler at a time; more are 503.
    std::size_t max_contents_held = 512;
    // Answers waiting for a slow reader; the connection is not read meanwhile.
    std::size_t max_pending_write_bytes = 256U << 10;
    // The same of all connections together: beyond it the reader that has taken
    // nothing for longest is cut off.
    std::size_t max_unsent_bytes = 64U << 20;
    base::Duration head_timeout = std::chrono::seconds(10);  // from the first byte
    base::Duration body_timeout = std::chrono::seconds(10);
    base::Duration idle_timeout = std::chrono::seconds(75);
    base::Duration write_timeout = std::chrono::seconds(20);  // without progress
    // For a last request on a connection that is idle when draining begins.
    base::Duration drain_grace = std::chrono::milliseconds(500);
    base::Duration sweep_interval = std::chrono::seconds(1);  // how exact the timeouts are
  };
  struct Stats {
    std::size_t connections = 0;
    std::size_t in_flight = 0;  // handed to the handler, not yet answered
  };

  // The handler and the shard belong to the same loop and outlive the server.
  Server(base::EventLoop& loop, Settings settings, Handler& handler, observe::Metrics& metrics,
         observe::Shard& shard);
  virtual ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Takes over of these settings what may change while it serves: the timeouts, which then hold for
  // all connections, from when each began to wait, and the requests on one connection. What is
  // shared (`places`, `client_limits`) has setters of its own. Loop's thread.
  void take(const Settings& settings);

  // Starts accepting from a listening socket, which it owns from now on.
  void listen(base::UniqueFd socket);

  virtual void respond(ExchangeId id, const Response& response);

  // An interim answer before the final one (RFC 9110, 15.2): a status from 102 to 199, and whole
  // field lines. It is dropped where it cannot be of use: a client of HTTP/1.0 would take it for
  // the answer, one that is slow has enough to read, and more than a few tell nothing new. Inside
  // handle() or outside; may find the client gone, as write().
  virtual void interim(ExchangeId id, int status, std::string_view fields);

  // In place of respond(), outside handle(): an answer in pieces, by begin(), any number of
  // write() and end(). Each may find the client gone, and then calls abandoned() before it returns.
  // The last byte of one with a length ends it by itself, if the request's content has come whole:
  // a client that leaves right behind it has had its answer.
  virtual void begin(ExchangeId id, const ResponseHead& head);
  // False: the client is slow, and Handler::written() tells when it has taken what there was. More
  // than was announced, or too little of it at the end, is cut().
  virtual bool write(ExchangeId id, std::string_view piece);
  virtual void end(ExchangeId id);
  // The rest will never come: the connection is reset, so that nobody takes the answer for whole.
  virtual void cut(ExchangeId id);
  // Lets so many more bytes of a streamed content come; the client is asked for it (100) with the
  // first of them. Also inside handle().
  virtual void take_content(ExchangeId id, std::size_t bytes);
  // What is done for this request is for its client alone: once that has ended its side of the
  // connection, the exchange is abandoned. Also inside handle().
  virtual void for_client_alone(ExchangeId id);

  // Stops accepting and lets every connection finish: its next answer says
  // "Connection: close", and those that are idle after `drain_grace` are closed.
  // `done` runs on the loop when the last one is gone.
  void drain(std::function<void()> done);

  // Any thread: relaxed counters.
  Stats stats() const;

 protected:
  // For who has the handler's clients itself, and no connections: it overrides all that a handler
  // calls, and nothing else may be called then.
  Server();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace holdfast::http
