// Start-up: the most recently used part of the store comes to memory, behind the
// first answers.
#pragma once

#include <cstddef>
#include <functional>
#include <string_view>

#include "cache/memory_cache.h"
#include "cache/store.h"

namespace holdfast::cache {

// Returns at once; ends with the store, or when memory holds `limit_bytes`. What memory
// has already is kept, and what is erased from it meanwhile does not come back. `memory`
// must outlive the store.
// `takes` is asked of each, on the store's thread; none: all are taken.
using Takes = std::function<bool(std::string_view key, const StoredResponse& stored)>;
void load_memory(Store& store, MemoryCache& memory, std::size_t limit_bytes, Takes takes = {});

}  // namespace holdfast::cache
