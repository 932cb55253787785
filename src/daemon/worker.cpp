#include "daemon/worker.h"

#include <pthread.h>
#include <sched.h>

#include <utility>

#include "daemon/parts_settings.h"

namespace holdfast::daemon {
namespace {

std::string name_of(unsigned number) {
  return "worker-" + std::to_string(number);
}

}  // namespace

Worker::Worker(unsigned number, const Parts& parts, Origin& origin, const proxy::Pages& pages,
               const config::Settings& settings, const http::Server::Settings& server)
    : loop_(name_of(number), parts.clock),
      shard_(parts.metrics.shard()),
      heartbeat_(parts.liveness.add(name_of(number), parts.clock.now())),
      service_({loop_, origin.loop(), parts.memory, parts.store, parts.log, parts.metrics, shard_,
                parts.failures, origin.routes(), pages, [&origin] { return origin.routes(); }},
               service_settings(settings), base::Random::entropy()),
      server_(loop_, server, service_, parts.metrics, shard_) {}

Worker::~Worker() {
  stop();
}

void Worker::start(std::vector<base::UniqueFd> listeners) {
  listeners_ = std::move(listeners);
  loop_.post([this] {
    heartbeat_.start(loop_);
    for (base::UniqueFd& listener : listeners_) server_.listen(std::move(listener));
    listeners_.clear();
  });
  thread_.start(loop_);
}

// Round robin, so that two of them on one core share it; the lowest priority is above
// every ordinary thread as it is.
int Worker::make_realtime() {
  const sched_param lowest{.sched_priority = ::sched_get_priority_min(SCHED_RR)};
  return ::pthread_setschedparam(thread_.handle(), SCHED_RR, &lowest);
}

void Worker::adopt(std::shared_ptr<const proxy::Routes> routes, base::Duration request_deadline,
                   const http::Server::Settings& server, std::function<void()> done) {
  loop_.post([this, table = service_.prepare(std::move(routes)), request_deadline, server,
              done = std::move(done)] {
    service_.adopt(table);
    service_.set_request_deadline(request_deadline);
    server_.take(server);
    done();
  });
}

void Worker::drain(std::function<void()> done) {
  loop_.post([this, done = std::move(done)]() mutable { server_.drain(std::move(done)); });
}

void Worker::stop() {
  if (!thread_.runs()) return;
  loop_.post([this] {
    heartbeat_.stop();
    loop_.stop();
  });
}

}  // namespace holdfast::daemon
