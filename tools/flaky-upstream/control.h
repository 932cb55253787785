// Control is the second port: counters to read, knobs to turn, and waiting for
// something to be so, in place of sleeping. README.md lists the requests. Always
// healthy, whatever the first port plays. Loop thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "upstream.h"

namespace holdfast::flaky {

class Control final : public RequestHandler {
 public:
  Control(base::EventLoop& loop, const std::string& bind_address, std::uint16_t port,
          Upstream& upstream);
  ~Control() override;

  std::uint16_t port() const { return server_.port(); }

  void on_request(ConnectionId id, Request request) override;
  void on_answer_end(ConnectionId id, bool complete) override;

 private:
  struct Waiter {
    enum class What { InFlightAtLeast, InFlightAtMost, Held, Requests, Aborted };
    What what = What::Requests;
    std::uint64_t number = 0;
    bool keep_alive = true;
    base::Timer timeout;
  };

  Message get(const Request& request) const;
  Message put(const Request& request);
  base::Result<std::string> apply(std::string_view path, const Request& request);
  void wait(ConnectionId id, const Request& request);
  bool holds(const Waiter& waiter) const;
  void check_waiters();
  void answer(ConnectionId id, const Message& message, bool keep_alive);

  base::EventLoop& loop_;
  Upstream& upstream_;
  std::map<ConnectionId, std::unique_ptr<Waiter>> waiters_;
  HttpServer server_;
};

}  // namespace holdfast::flaky
