#include "cache/load_memory.h"

#include <algorithm>
#include <memory>
#include <utility>

namespace holdfast::cache {

void load_memory(Store& store, MemoryCache& memory, std::size_t limit_bytes, Takes takes) {
  // Goes with the sink, once the store has no more use for it.
  auto loading = std::make_shared<MemoryCache::Loading>(memory);
  store.load_recent([&memory, limit_bytes, loading = std::move(loading), takes = std::move(takes)](
                        std::string_view key, StoredPtr stored) {
    if (memory.stats().bytes > std::min(limit_bytes, memory.limit_bytes() / 10 * 9)) return false;
    if (takes && !takes(key, *stored)) return true;
    memory.put_if_absent(key, std::move(stored));
    return true;
  });
}

}  // namespace holdfast::cache
