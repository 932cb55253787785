#include "daemon/store_metrics.h"

#include <chrono>

namespace holdfast::daemon {

using observe::Family;

namespace {

std::function<void(base::Duration)> timer(observe::Metrics& metrics, Family family) {
  observe::Shard& shard = metrics.shard();  // of the thread that will call it
  const observe::Histogram duration = metrics.histogram(family);
  return [&shard, duration](base::Duration took) {
    shard.observe(duration, std::chrono::duration<double>(took).count());
  };
}

}  // namespace

void export_memory(observe::Metrics& metrics, const cache::MemoryCache& memory) {
  const auto number = [&](Family family, auto member) {
    metrics.callback(family, {},
                     [&memory, member] { return static_cast<double>(memory.stats().*member); });
  };
  using Stats = cache::MemoryCache::Stats;
  number(Family::MemoryEntries, &Stats::entries);
  number(Family::MemoryBytes, &Stats::bytes);
  number(Family::MemoryEvictions, &Stats::evictions);
  metrics.callback(Family::MemoryLimitBytes, {},
                   [&memory] { return static_cast<double>(memory.limit_bytes()); });
}

void export_store(observe::Metrics& metrics, const cache::Store& store,
                  const observe::Dependency& health, StoreLimits limits) {
  const auto number = [&](Family family, observe::Labels labels, auto member) {
    metrics.callback(family, std::move(labels),
                     [&store, member] { return static_cast<double>(store.status().*member); });
  };
  // Off by the operator's wish is not up either.
  metrics.callback(Family::StoreUp, {}, [&store, &health] {
    return store.status().state == cache::StoreStatus::State::Ok &&
                   health.state() == observe::HealthState::Ok
               ? 1.0
               : 0.0;
  });
  number(Family::StoreEntries, {}, &cache::StoreStatus::entries);
  number(Family::StoreSizeBytes, {}, &cache::StoreStatus::size_bytes);
  number(Family::StoreQueue, {}, &cache::StoreStatus::queued);
  number(Family::StorePuts, {{"result", "committed"}}, &cache::StoreStatus::committed);
  number(Family::StorePuts, {{"result", "dropped"}}, &cache::StoreStatus::dropped);
  number(Family::StoreErrors, {{"kind", "read"}}, &cache::StoreStatus::read_errors);
  number(Family::StoreErrors, {{"kind", "write"}}, &cache::StoreStatus::write_errors);
  number(Family::StoreErrors, {{"kind", "corrupt"}}, &cache::StoreStatus::corrupt_rows);
  number(Family::StoreEvictions, {}, &cache::StoreStatus::evicted);
  const auto moment = [&](Family family, auto member) {
    metrics.callback(family, {}, [&store, member] {
      return std::chrono::duration<double>((store.status().*member).time_since_epoch()).count();
    });
  };
  moment(Family::StoreOldest, &cache::StoreStatus::oldest);
  moment(Family::StoreNewest, &cache::StoreStatus::newest);
  metrics.callback(Family::StoreLimitBytes, {},
                   [limits] { return static_cast<double>(limits.bytes); });
  metrics.callback(Family::StoreQueueLimit, {},
                   [limits] { return static_cast<double>(limits.queued); });
}

void describe_store(observe::Dependency& health, const cache::Store& store,
                    std::uint64_t limit_bytes) {
  const auto number = [&](const char* name, auto member) {
    health.fact(name,
                [&store, member] { return static_cast<std::int64_t>(store.status().*member); });
  };
  health.fact("writable",
              [&store] { return store.status().state == cache::StoreStatus::State::Ok; });
  health.fact("locked", [&store] { return store.status().locked; });
  number("entries", &cache::StoreStatus::entries);
  number("size_bytes", &cache::StoreStatus::size_bytes);
  health.fact("limit_bytes", [limit_bytes] { return static_cast<std::int64_t>(limit_bytes); });
  number("queued", &cache::StoreStatus::queued);
  number("dropped", &cache::StoreStatus::dropped);
}

std::function<void(base::Duration)> commit_timer(observe::Metrics& metrics) {
  return timer(metrics, Family::StoreCommitDuration);
}

std::function<void(base::Duration)> read_timer(observe::Metrics& metrics) {
  return timer(metrics, Family::StoreReadDuration);
}

}  // namespace holdfast::daemon
