#include "daemon/descriptors.h"

#include <sys/resource.h>

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "config/routing.h"
#include "http/connection_places.h"

namespace holdfast::daemon {
namespace {

// A loop's epoll, eventfd and timerfd; and a listener's, with the one it keeps in hand.
constexpr std::size_t kOfLoop = 3;
constexpr std::size_t kOfListener = 2;
// What comes and goes: readers of the store, files that are read again, the admin socket's
// clients, name servers.
constexpr std::size_t kOfRest = 24;
// Connections that stand ready at the upstream, and those knocking at addresses.
constexpr std::size_t kOfUpstream = 16;

}  // namespace

std::size_t raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  const rlim_t soft = std::exchange(limit.rlim_cur, limit.rlim_max);
  if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) limit.rlim_cur = soft;
  return static_cast<std::size_t>(limit.rlim_cur);
}

std::size_t open_descriptors() {
  std::error_code error;
  const std::filesystem::directory_iterator all("/proc/self/fd", error);
  if (error) return 0;
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

std::size_t connections_within(std::size_t limit, std::size_t open,
                               const config::Settings& settings) {
  const std::size_t workers = settings.workers;
  const std::size_t fixed = open + workers * (kOfLoop + kOfListener * settings.bind.size());
  const std::size_t free = limit > fixed ? limit - fixed : 0;
  // Where there are few, each has its third.
  const std::size_t left = free - std::min(kOfRest, free / 3);
  std::size_t wanted_upstream = 0;
  for (const config::UpstreamConfig& group : settings.routing->upstreams) {
    wanted_upstream +=
        group.settings.upstream_concurrency * group.settings.api_urls.size() + kOfUpstream;
  }
  const std::size_t upstream = std::min(wanted_upstream, left / 2);
  const std::size_t clients = left - upstream;
  const auto with_borrowed = [&](std::size_t connections) {
    return connections +
           (workers > 1 ? http::ConnectionPlaces::most_borrowed(connections) : std::size_t{0});
  };
  const std::size_t wanted = settings.max_connections;
  if (with_borrowed(wanted) <= clients) return wanted;
  std::size_t most = std::min(wanted, clients);
  if (with_borrowed(most) > clients) {
    const std::size_t borrowed = with_borrowed(most) - most;
    most = std::max(clients / 2, clients - std::min(borrowed, clients));
  }
  return std::max<std::size_t>(most, 1);
}

}  // namespace holdfast::daemon
