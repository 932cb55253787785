// HttpConnection: one client's TCP connection. Owned by its HttpServer; loop
// thread only.
//
//   (waiting) -> reading -> answering -> reading ... -> closed
//
// A request that has been read whole makes it answering; it stays so until the
// plan has been carried out (or for good, if that is to hang), while it still
// watches for the client going away.
#pragma once

#include <memory>
#include <string>

#include "base/event_loop.h"
#include "byte_stream.h"
#include "http_server.h"

namespace holdfast::flaky {

class HttpConnection {
 public:
  // The stream is of that descriptor.
  HttpConnection(HttpServer& server, ConnectionId id, base::UniqueFd fd,
                 std::unique_ptr<ByteStream> stream);
  ~HttpConnection();
  HttpConnection(const HttpConnection&) = delete;
  HttpConnection& operator=(const HttpConnection&) = delete;

  void send(WirePlan plan);
  // Closes now; with RST if asked. Reports an unfinished answer as incomplete.
  void close(bool with_reset);

 private:
  struct Parser;  // llhttp and what it has found

  static void on_event(void* self, unsigned events);
  void read_some();
  void pump();
  void write_some();
  void finish();
  void watch_as_needed();

  HttpServer& server_;
  const ConnectionId id_;
  base::UniqueFd fd_;
  std::unique_ptr<ByteStream> stream_;
  std::unique_ptr<base::FdWatch> watch_;
  std::unique_ptr<Parser> parser_;
  std::string input_;    // received, not parsed yet
  base::Timer waiting_;  // until the first byte is read
  bool closed_ = false;
  // What TLS asks for against the direction of the operation.
  bool read_waits_for_write_ = false;
  bool write_waits_for_read_ = false;
  bool answering_ = false;
  bool sending_ = false;  // answering_, and the plan is known
  bool pumping_ = false;
  bool keep_alive_ = true;
  WirePlan plan_;
  std::size_t sent_ = 0;
  std::size_t may_send_ = 0;  // grows as the drip falls
  base::Timer drip_;
};

}  // namespace holdfast::flaky
