#include "lookups.h"

#include <dlfcn.h>
#include <netdb.h>
#include <sys/socket.h>

#include <map>
#include <mutex>

namespace holdfast::upstream::test {
namespace {

struct Lookups {
  std::mutex mutex;
  std::map<std::string, int> counts;  // guarded by mutex
};

// Never destroyed: a resolver's thread may outlast the test.
Lookups& all_lookups() {
  static auto* const lookups = new Lookups;
  return *lookups;
}

}  // namespace

int lookups_of(const std::string& name) {
  const std::lock_guard lock(all_lookups().mutex);
  return all_lookups().counts[name];
}

}  // namespace holdfast::upstream::test

// What libcurl's threads look names up with.
extern "C" int getaddrinfo(const char* name, const char* service, const addrinfo* hints,
                           addrinfo** found) {
  if (name != nullptr) {
    auto& lookups = holdfast::upstream::test::all_lookups();
    const std::lock_guard lock(lookups.mutex);
    ++lookups.counts[name];
  }
  static const auto real =
      reinterpret_cast<decltype(&getaddrinfo)>(dlsym(RTLD_NEXT, "getaddrinfo"));
  return real(name, service, hints, found);
}
