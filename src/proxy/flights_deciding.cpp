// The part of Flights that decides which rung answers: it changes nothing, but that what was read
// from the store is in memory then.
#include <algorithm>
#include <utility>

#include "proxy/flight_answers.h"
#include "proxy/flights.h"

namespace holdfast::proxy {

bool fresh_enough(const cache::Freshness& freshness, std::chrono::seconds min_fresh) {
  if (min_fresh <= std::chrono::seconds(0)) return true;
  return freshness.use == cache::Use::Fresh &&
         freshness.ttl >= std::min(min_fresh, freshness.ttl_at_first / 2);
}

std::optional<Rung> rung_at_once(const cache::Freshness& freshness,
                                 std::chrono::seconds min_fresh) {
  if (!fresh_enough(freshness, min_fresh)) return std::nullopt;
  if (freshness.use == cache::Use::Fresh) return Rung::Fresh;
  if (freshness.use == cache::Use::StaleWhileRevalidate) return Rung::StaleWhileRevalidate;
  return std::nullopt;
}

Flights::Prospect Flights::prospect(std::string_view key, std::chrono::seconds min_fresh) {
  Prospect prospect;
  prospect.stored = parts_.memory.find(key);
  prospect.answer = answer_at_once(prospect.stored, min_fresh, parts_.loop.clock().wall());
  if (!prospect.answer.content) return decide(key, min_fresh, false);
  prospect.refresh = prospect.answer.rung == Rung::StaleWhileRevalidate;
  prospect.resting = resting(key);
  return prospect;
}

Flights::Prospect Flights::decide(std::string_view key, std::chrono::seconds min_fresh, bool keep) {
  Prospect prospect;
  const auto answer = [&prospect](Answer with) { return answered(prospect, std::move(with)); };
  if (abandoned_) return answer(refusal("the service is stopping"));
  const base::SteadyTime now = parts_.loop.now();
  prospect.full = waiters_ >= settings_.max_waiters;
  const auto flying = flights_.find(key);
  if (flying != flights_.end()) {
    const Flight& flight = *flying->second;
    prospect.stored = is_purged(key, flight.stored) ? nullptr : flight.stored;
    // Memory did not have it, or has no room for it; to this client the flight is a
    // refresh behind.
    if (Answer at_once = answer_at_once(prospect.stored, min_fresh, parts_.loop.clock().wall());
        at_once.content) {
      return answer(std::move(at_once));
    }
    if (flight.patience_over && usable_if_error(flight)) {
      Answer stale = kept(flight.stored);
      stale.collapsed = stale.forwarded;
      return answer(std::move(stale));
    }
    if (!prospect.full && !unshared_.resting(key, now) && !too_large_.resting(key, now)) {
      prospect.way = Prospect::Way::Join;
      return prospect;
    }
  }

  prospect.stored = find_stored(key, keep);
  if (prospect.stored) {
    const cache::Freshness freshness =
        cache::freshness(*prospect.stored, parts_.loop.clock().wall());
    prospect.resting = resting_.resting(key, now);
    // Refreshed first only for who asked for that, and if it can be done now.
    const bool at_once = fresh_enough(freshness, min_fresh) || prospect.resting || prospect.full;
    switch (freshness.use) {
      case cache::Use::Fresh:
        if (!at_once) break;
        return answer(from_stored(Rung::Fresh, prospect.stored));
      case cache::Use::StaleWhileRevalidate:
        if (!at_once) break;
        prospect.refresh = true;
        return answer(from_stored(Rung::StaleWhileRevalidate, prospect.stored));
      case cache::Use::StaleIfError:
        if (prospect.resting || prospect.full) {
          Answer stale = from_stored(Rung::StaleIfError, prospect.stored);
          stale.was_stale = true;
          return answer(std::move(stale));
        }
        break;
      case cache::Use::Unusable:
        break;
    }
  }
  if (auto told = resting_.told(key, now)) {
    prospect.resting = true;
    prospect.full = false;  // that is not why
    return answer(*std::move(told));
  }
  if (too_large_.resting(key, now)) return answer(passed("bypass", kTooLarge));
  if (prospect.full) return answer(refusal("too many requests are waiting for the upstream"));
  prospect.way = Prospect::Way::Fetch;
  prospect.alone = flying != flights_.end() || unshared_.resting(key, now);
  return prospect;
}

std::optional<Answer> Flights::without_upstream(Route& route, std::string_view key,
                                                const cache::StoredPtr& stored) {
  if (usable_if_error(stored)) return kept(stored);
  auto body = route.offline_body(key);
  if (!body) return std::nullopt;
  cache::StoredParts parts;
  parts.fields = "Content-Type: application/json\r\n";
  parts.body = std::move(*body);
  parts.response_time = parts_.loop.clock().wall();
  return from_stored(Rung::Offline, cache::make_stored(std::move(parts)));
}

std::size_t Flights::waiting_for(std::string_view key) const {
  const auto found = flights_.find(key);
  return found == flights_.end() ? 0 : found->second->waiters.size();
}

// What a flight's waiters get when it cannot give them better. A response that is
// still fresh (they asked for fresher) is an ordinary hit.
Answer Flights::kept(const cache::StoredPtr& stored) const {
  const cache::Freshness freshness = cache::freshness(*stored, parts_.loop.clock().wall());
  if (freshness.use == cache::Use::Fresh) return from_stored(Rung::Fresh, stored);
  Answer answer = from_stored(Rung::StaleIfError, stored);
  answer.forwarded = answer.was_stale = true;
  return answer;
}

bool Flights::usable_if_error(const cache::StoredPtr& stored) const {
  return stored &&
         cache::freshness(*stored, parts_.loop.clock().wall()).use != cache::Use::Unusable;
}

bool Flights::usable_if_error(const Flight& flight) const {
  return !flight.purged && usable_if_error(flight.stored) && !is_purged(flight.key, flight.stored);
}

}  // namespace holdfast::proxy
