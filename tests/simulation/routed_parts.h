// What a routed schedule is played against; for its sources alone.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "routed.h"

namespace holdfast::simulation {

// An upstream, and what we have for it.
struct Routed::Upstream {
  Upstream(Routed& world, std::uint64_t seed, const std::string& name)
      : api(world.scheduler_, seed, name, world.order_,
            [&world](const std::string& promise) { world.broken(promise); }) {}

  ApiUpstream api;
};

struct Routed::Process {
  struct Group {
    Group(Process& process, Routed& world, std::size_t number, std::uint64_t seed);

    base::Random random;
    upstream::PolicyFetcher policy;
    proxy::Flights flights;
  };

  Process(Routed& world, std::uint64_t seed);

  observe::Log log;
  observe::RecentFailures failures;
  cache::MemoryCache memory;
  std::vector<std::unique_ptr<Group>> groups;
  std::vector<std::unique_ptr<proxy::Route>> routes;
  std::shared_ptr<const proxy::Routes> table;
  const proxy::Pages pages;
  std::unique_ptr<proxy::Service> service;
};

}  // namespace holdfast::simulation
