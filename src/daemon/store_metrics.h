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
void export_memory(observe::Metrics& metrics, const cache::MemoryCache& memory,
                   std::uint64_t limit_bytes);
// `health` is the judgement on the store, of which it knows only a part itself.
void export_store(observe::Metrics& metrics, const cache::Store& store,
                  const observe::Dependency& health, std::uint64_t limit_bytes);

// For the store's writer thread: notes how long a transaction took.
std::function<void(base::Duration)> commit_timer(observe::Metrics& metrics);

}  // namespace holdfast::daemon
