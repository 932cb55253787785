// What takes flights out of the way of who comes later: purges and marks, of one key or of many,
// and routes that go out of service.
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "proxy/flights.h"

namespace holdfast::proxy {
namespace {

using Remains = cache::MemoryCache::Remains;

// Of what was purged, so many entries are freed in one go, in a millisecond or so.
constexpr std::size_t kFreedAtOnce = 2000;

void free_some(base::Scheduler& loop, std::shared_ptr<Remains> remains) {
  if (!remains->free(kFreedAtOnce)) return;
  loop.post(
      [&loop, remains = std::move(remains)]() mutable { free_some(loop, std::move(remains)); });
}

}  // namespace

// From memory first: a store whose disk is back writes memory's responses back, and
// keeps away from that only what is erased from then on.
bool Flights::purge(std::string_view key) {
  recent_purges_.add(key_of_url(key));
  for (const auto& [flight, owned] : apart_) owned->purged = owned->purged || flight->key == key;
  resting_.succeeded(key);  // who purges wants it asked for
  set_aside(key, true);
  const bool in_memory = parts_.memory.erase(key);
  const bool in_store = parts_.store.find(key).value_or(nullptr) != nullptr;
  parts_.store.erase(key);  // also where it could not be read
  const bool of_variants = purge_variants(key);
  return in_memory || in_store || of_variants;
}

void Flights::mark_stale(std::string_view key) {
  const auto mark = [key](Flight& flight) {
    const bool is_its =
        flight.key == key || (flight.asked && key_of_url(flight.key) == key_of_url(key));
    flight.stale_at_once = flight.stale_at_once || is_its;
  };
  for (const auto& [flight, owned] : apart_) mark(*owned);
  if (const auto its = flights_.find(key); its != flights_.end()) mark(*its->second);
  if (http_flights_ == 0) return;
  for (const auto& [other, flight] : flights_) mark(*flight);
}

void Flights::forget_rests() {
  resting_ = RestingKeys(settings_.resting);
}

void Flights::purge_fetches(const std::function<bool(std::string_view key)>& concerns) {
  for (const auto& [flight, owned] : apart_) {
    owned->purged = owned->purged || concerns(owned->key);
  }
  std::vector<std::string> keys;
  for (const auto& [key, owned] : flights_) {
    if (concerns(key)) keys.emplace_back(key);
  }
  for (const std::string& key : keys) set_aside(key, true);
  forget_rests();
}

void Flights::purge_all() {
  recent_purges_.add_all();
  for (const auto& [flight, owned] : apart_) owned->purged = true;
  while (!flights_.empty()) set_aside(flights_.begin()->first, true);
  forget_rests();
  free_some(parts_.loop, std::make_shared<Remains>(parts_.memory.clear()));
  parts_.store.erase_all();
}

void Flights::set_aside_retired() {
  std::vector<std::string> keys;
  for (const auto& [key, flight] : flights_) {
    if (retired_ || flight->route.retired()) keys.emplace_back(key);
  }
  for (const std::string& key : keys) set_aside(key, false);
}

void Flights::retire() {
  retired_ = true;
  parts_.metrics.remove_callback(std::exchange(limit_callback_, 0));
  set_aside_retired();
}

// All keys of a route begin with what ends with the first "/".
void Flights::leave(const std::vector<std::shared_ptr<Route>>& retired) {
  std::set<std::string_view> prefixes;
  for (const auto& route : retired) prefixes.insert(route->plan().key_prefix);
  const auto is_theirs = [&](std::string_view key) {
    return prefixes.contains(key.substr(0, key.find('/') + 1));
  };
  resting_.forget_if(is_theirs);
  too_large_.forget_if(is_theirs);
  set_aside_retired();
}

// Out of the way of who comes later.
void Flights::set_aside(std::string_view key, bool purged) {
  auto taken = flights_.extract(key);
  if (taken.empty()) return;
  Flight& flight = *taken.mapped();
  if (flight.waiters.empty()) {
    // Of no use to anybody any more.
    parts_.fetcher.cancel(flight.fetch);
    parts_.shard.add(flights_gauge_, -1);
    return;
  }
  flight.apart = true;
  flight.purged = purged;
  apart_.emplace(&flight, std::move(taken.mapped()));
}

// The index is gone by now, and with it all variants; what is on its way to one is set aside.
bool Flights::purge_variants(std::string_view key) {
  too_large_.succeeded(key);
  if (http_flights_ == 0) return false;
  const auto is_variant = [key](std::string_view other) {
    return other.size() > key.size() && key_of_url(other) == key;
  };
  for (const auto& [flight, owned] : apart_) {
    owned->purged = owned->purged || (owned->asked && is_variant(owned->key));
  }
  std::vector<std::string> keys;
  for (const auto& [other, owned] : flights_) {
    if (owned->asked && is_variant(other)) keys.emplace_back(other);
  }
  for (const std::string& variant : keys) {
    resting_.succeeded(variant);
    set_aside(variant, true);
  }
  return !keys.empty();
}

}  // namespace holdfast::proxy
