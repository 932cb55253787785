// What is kept, in memory and in the store, as metrics.
#pragma once

#include <cstdint>
#include <functional>

#include "cache/memory_cache.h"
#include "cache/store.h"
#include "observe/health.h"
#include "observe/metrics.h"

namespace holdfast::daemon {

// Everything given outlives `metrics`' scrapes.
void export_memory(observe::Metrics& metrics, const cache::MemoryCache& memory);
// `health` is the judgement on the store, of which it knows only a part itself.
struct StoreLimits {
  std::uint64_t bytes = 0;
  std::size_t queued = 0;
};
void export_store(observe::Metrics& metrics, const cache::Store& store,
                  const observe::Dependency& health, StoreLimits limits);

// The members of /healthz that tell how the store is doing. Both are kept.
void describe_store(observe::Dependency& health, const cache::Store& store,
                    std::uint64_t limit_bytes);

// Notes how long a transaction took, for the store's writer thread, and a read,
// for the one thread that reads.
std::function<void(base::Duration)> commit_timer(observe::Metrics& metrics);
std::function<void(base::Duration)> read_timer(observe::Metrics& metrics);

}  // namespace holdfast::daemon
