#include "stuck_resolver.h"

#include <dlfcn.h>
#include <netdb.h>
#include <sys/socket.h>

#include <chrono>
#include <condition_variable>
#include <mutex>

namespace holdfast::upstream::test {
namespace {

struct ResolverState {
  std::mutex mutex;
  std::condition_variable freed;
  bool stuck = false;  // guarded by mutex, as under_way
  int under_way = 0;
};

// Never destroyed: a thread of libcurl's may outlast the test.
ResolverState& resolver_state() {
  static auto* const state = new ResolverState;
  return *state;
}

void set_stuck(bool stuck) {
  const std::lock_guard lock(resolver_state().mutex);
  resolver_state().stuck = stuck;
  resolver_state().freed.notify_all();
}

void look_up_stuck_name() {
  ResolverState& state = resolver_state();
  std::unique_lock lock(state.mutex);
  ++state.under_way;
  state.freed.wait_for(lock, std::chrono::seconds(30), [&state] { return !state.stuck; });
  --state.under_way;
}

}  // namespace

StuckResolver::StuckResolver() {
  set_stuck(true);
}

StuckResolver::~StuckResolver() {
  set_stuck(false);
}

int StuckResolver::stuck() const {
  const std::lock_guard lock(resolver_state().mutex);
  return resolver_state().under_way;
}

}  // namespace holdfast::upstream::test

// What libcurl's threads look names up with.
extern "C" int getaddrinfo(const char* name, const char* service, const addrinfo* hints,
                           addrinfo** found) {
  using namespace holdfast::upstream::test;
  if (name != nullptr && name == StuckResolver::kName) {
    look_up_stuck_name();
    return EAI_AGAIN;
  }
  static const auto real =
      reinterpret_cast<decltype(&getaddrinfo)>(dlsym(RTLD_NEXT, "getaddrinfo"));
  return real(name, service, hints, found);
}
