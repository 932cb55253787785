// Worker is one serving loop with its listeners, connections and service. Made
// and destroyed by main's thread, while the loop does not run.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "base/event_loop.h"
#include "daemon/loop_thread.h"
#include "daemon/origin.h"
#include "http/server.h"
#include "proxy/pages.h"
#include "proxy/service.h"

namespace holdfast::daemon {

class Worker {
 public:
  // `number` names its thread. Everything given outlives it.
  Worker(unsigned number, const Parts& parts, Origin& origin, const proxy::Pages& pages,
         const config::Settings& settings, const http::Server::Settings& server);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  void start(std::vector<base::UniqueFd> listeners);
  // After start(). From now on its thread goes before all that are not real-time. Returns
  // 0, or the errno of a system that does not allow it.
  int make_realtime();

  // Main's thread, after start(). Requests from now on are served by these routes, within that
  // deadline, and the server takes what it can of these settings; calls `done`, on the worker's
  // loop, once that is so.
  void adopt(std::shared_ptr<const proxy::Routes> routes, base::Duration request_deadline,
             const http::Server::Settings& server, std::function<void()> done);

  // Any thread. Stops accepting and finishes what is in flight; then calls
  // `done`, on the worker's loop.
  void drain(std::function<void()> done);
  // Tells the loop to stop; connections still open are closed.
  void stop();
  // After stop(): whether its thread has ended. If not it hangs, and must be left alone.
  bool ends_within(base::Duration patience) { return thread_.ends_within(patience); }
  const std::string& name() const { return loop_.name(); }

  // Any thread.
  http::Server::Stats stats() const { return server_.stats(); }

 private:
  base::EventLoop loop_;
  observe::Shard& shard_;
  observe::Heartbeat& heartbeat_;
  proxy::Service service_;
  http::Server server_;
  std::vector<base::UniqueFd> listeners_;
  LoopThread thread_;
};

}  // namespace holdfast::daemon
