#include "proxy/flights.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "proxy/fetch_rules.h"
#include "proxy/fetch_words.h"
#include "proxy/flight_answers.h"
#include "proxy/stored_only.h"
#include "rfc9111/reasons.h"
#include "upstream/judge.h"
#include "upstream/message.h"

namespace holdfast::proxy {
namespace {

using upstream::FetchEnd;
using upstream::FetchResult;
using upstream::Outcome;

bool found_nothing(const FetchResult& result) {
  return upstream::is_negative(result.reply.status);
}

// Whether the fetch got the upstream's word on the key, good or bad.
bool is_answer(const FetchResult& result) {
  return result.end == FetchEnd::Answered &&
         (result.outcome == Outcome::Ok || result.outcome == Outcome::NotModified ||
          found_nothing(result));
}

// Something is wrong with what was asked for: others are answered, for all that is known.
bool is_keys_own(const FetchResult& result) {
  return !result.cut_short && (result.end == FetchEnd::KeyFails || is_forbidden(result) ||
                               (result.end == FetchEnd::Answered && !is_answer(result)));
}

std::string_view why_it_rests(const FetchResult& result) {
  using rfc9111::Reason;
  switch (result.outcome) {
    case Outcome::InvalidBody:
    case Outcome::WrongContent:
      return rfc9111::word(Reason::InvalidBody);
    case Outcome::TooLarge:
      return rfc9111::word(Reason::TooLarge);
    default:
      return rfc9111::word(Reason::Failed);
  }
}

}  // namespace

Flights::Flights(Parts parts, Settings settings, std::uint64_t seed)
    : parts_(parts),
      settings_(std::move(settings)),
      max_waiters_(settings_.max_waiters),
      random_(seed),
      resting_(settings_.resting),
      unshared_(settings_.unshared),
      too_large_(settings_.too_large) {
  using observe::Family;
  observe::Metrics& metrics = parts_.metrics;
  const observe::Labels upstream{{"upstream", settings_.upstream}};
  const auto refreshes = [&](const char* result) {
    return metrics.counter(Family::Refreshes,
                           {{"result", result}, {"upstream", settings_.upstream}});
  };
  freshened_ = refreshes("freshened");
  replaced_ = refreshes("replaced");
  failed_ = refreshes("failed");
  skipped_ = refreshes("skipped");
  tags_left_out_ = metrics.counter(Family::TagsLeftOut, {});
  shed_by_waiters_ = metrics.counter(Family::RequestsLimited, {{"reason", "waiters"}});
  shed_by_queued_ = metrics.counter(Family::RequestsLimited, {{"reason", "queued"}});
  shed_by_parked_ = metrics.counter(Family::RequestsLimited, {{"reason", "parked"}});
  flights_gauge_ = metrics.gauge(Family::Flights, upstream);
  waiters_gauge_ = metrics.gauge(Family::FlightWaiters, upstream);
  limit_callback_ = metrics.callback(Family::FlightWaitersLimit, upstream,
                                     [this] { return static_cast<double>(max_waiters_.load()); });
}

void Flights::take(const Settings& settings) {
  settings_.answer_margin = settings.answer_margin;
  settings_.refresh_deadline = settings.refresh_deadline;
  settings_.max_waiters = settings.max_waiters;
  max_waiters_.store(settings.max_waiters);
}

Flights::~Flights() {
  parts_.metrics.remove_callback(limit_callback_);
  abandon_all();
}

void Flights::join(Route& route, std::string_view key, base::SteadyTime deadline,
                   std::chrono::seconds min_fresh, Callback callback,
                   const upstream::Fields& fields) {
  if (route.plan().stored_only) return callback(stored_only(key));
  Prospect prospect = decide(key, min_fresh, true);
  switch (prospect.way) {
    case Prospect::Way::Answer:
      if (prospect.refresh) refresh(route, key);
      if (prospect.full && !prospect.answer.content) parts_.shard.add(shed_by_waiters_);
      return callback(std::move(prospect.answer));
    case Prospect::Way::Join: {
      Flight& flight = *flights_.find(key)->second;
      parts_.fetcher.extend(flight.fetch, deadline - settings_.answer_margin,
                            upstream::Priority::Miss);
      add_waiter(flight, deadline, true, std::move(callback));
      return;
    }
    case Prospect::Way::Fetch:
      break;
  }
  const bool alone = prospect.alone || retired_ || route.retired();
  Flight& flight = start(route, key, std::move(prospect.stored), deadline, upstream::Priority::Miss,
                         fields, alone);
  add_waiter(flight, deadline, false, std::move(callback));
}

Answer Flights::stored(std::string_view key, std::chrono::seconds min_fresh) {
  Answer answer = answer_at_once(find_stored(key), min_fresh, parts_.loop.clock().wall());
  if (answer.content) return answer;
  answer.rung = Rung::NotStored;
  answer.status = 504;  // RFC 9111, 5.2.1.7
  answer.detail = "nothing is stored that could be used at once";
  return answer;
}

Answer Flights::stored_only(std::string_view key, bool keep) {
  return answer_stored_only(find_stored(key, keep), parts_.loop.clock().wall());
}

void Flights::refresh(Route& route, std::string_view key) {
  if (route.plan().stored_only) return;
  if (abandoned_ || retired_ || route.retired() || flights_.contains(key)) return;
  const base::SteadyTime now = parts_.loop.now();
  if (resting_.resting(key, now) || too_large_.resting(key, now)) {
    parts_.shard.add(skipped_);
    return;
  }
  cache::StoredPtr stored = find_stored(key);
  if (stored && cache::freshness(*stored, parts_.loop.clock().wall()).use == cache::Use::Fresh) {
    return;  // somebody else's refresh came first
  }
  start(route, key, std::move(stored), parts_.loop.now() + settings_.refresh_deadline,
        upstream::Priority::Refresh);
}

void Flights::abandon_all() {
  abandoned_ = true;
  while (!flights_.empty() || !apart_.empty()) {
    Flight& flight = flights_.empty() ? *apart_.begin()->second : *flights_.begin()->second;
    parts_.fetcher.cancel(flight.fetch);
    const auto owned = take_out(flight);
    Answer answer = fall_back(flight, {});
    if (answer.rung == Rung::Error) answer = refusal("the service is stopping");
    send_on_unanswered(flight, answer.content);
    answer_all(flight, answer);
  }
}

cache::StoredPtr Flights::find_stored(std::string_view key, bool keep) {
  if (cache::StoredPtr stored = parts_.memory.find(key)) return stored;
  // A store that cannot read has said so itself, in log, health and metrics; here
  // it is the same as a store that has nothing.
  cache::StoredPtr stored = parts_.store.find(key).value_or(nullptr);
  if (is_purged(key, stored)) return nullptr;
  if (stored && parts_.is_right && !parts_.is_right(key, *stored)) stored = nullptr;
  if (stored && keep) parts_.memory.put(key, stored);
  return stored;
}

Flights::Flight& Flights::start(Route& route, std::string_view key, cache::StoredPtr stored,
                                base::SteadyTime deadline, upstream::Priority priority,
                                const upstream::Fields& fields, bool apart, const AskedPtr& asked,
                                cache::StoredPtr partial) {
  auto owned = std::make_unique<Flight>(route, std::string(key));
  Flight& flight = *owned;
  flight.stored = std::move(stored);
  flight.behind = priority == upstream::Priority::Refresh;
  flight.seen = parts_.memory.purges().latest();
  flight.apart = apart;
  flight.asked = asked;
  if (asked) flight.counted.emplace(http_flights_);
  flight.partial = std::move(partial);
  if (apart) {
    apart_.emplace(&flight, std::move(owned));
  } else {
    flights_.emplace(flight.key, std::move(owned));
  }
  parts_.shard.add(flights_gauge_, 1);

  upstream::FetchRequest request =
      asked ? http_fetch_request(flight) : fetch_request(flight, fields);
  request.deadline = deadline - settings_.answer_margin;
  request.priority = priority;
  request.max_attempts = route.plan().most_attempts;
  request.keeps_invalid = route.plan().pass_invalid;
  request.may_park = !usable_if_error(flight.stored);
  flight.fetch = parts_.fetcher.start(std::move(request), [this, &flight](FetchResult result) {
    finish(flight, std::move(result));
  });

  // RFC 9111, 4.2.4: being slow is no error.
  if (!asked && usable_if_error(flight)) {
    flight.patience.set_after(parts_.loop, settings_.patience,
                              [this, &flight] { out_of_patience(flight); });
  }
  return flight;
}

upstream::FetchRequest Flights::fetch_request(const Flight& flight,
                                              const upstream::Fields& fields) const {
  upstream::FetchRequest request =
      proxy::fetch_request(flight.route, flight.key, fields, flight.held);
  // Of what was marked stale by hand the whole is asked for.
  if (flight.stored && !flight.stored->marked_stale()) {
    if (!flight.stored->upstream_etag.empty()) {
      request.request.fields.push_back({"If-None-Match", flight.stored->upstream_etag});
    } else if (!flight.stored->upstream_last_modified.empty()) {
      request.request.fields.push_back(
          {"If-Modified-Since", flight.stored->upstream_last_modified});
    }
  }
  return request;
}

Flights::Waiter& Flights::add_waiter(Flight& flight, base::SteadyTime deadline, bool collapsed,
                                     Callback callback, AskedPtr asked) {
  Waiter& waiter = flight.waiters.emplace_back();
  waiter.callback = std::move(callback);
  waiter.deadline = deadline;
  waiter.collapsed = collapsed;
  waiter.seen = parts_.memory.purges().latest();
  waiter.asked = std::move(asked);
  waiter.sent_on = parting_;
  ++waiters_;
  parts_.shard.add(waiters_gauge_, 1);
  const auto position = std::prev(flight.waiters.end());
  // Halfway between the fetch's own end and the deadline: late enough that the
  // fetch comes first, early enough that the answer is still in time.
  waiter.timer.set_at(parts_.loop, deadline - settings_.answer_margin / 2,
                      [this, &flight, position] { leave(flight, position); });
  return waiter;
}

void Flights::leave(Flight& flight, std::list<Waiter>::iterator waiter) {
  const FetchResult so_far = parts_.fetcher.so_far(flight.fetch);
  // finish() is next
  if (so_far.end == FetchEnd::Answered || so_far.end == FetchEnd::TooLarge) return;
  Answer answer = fall_back(flight, so_far, &*waiter);
  answer.collapsed = waiter->collapsed && answer.forwarded;
  Callback callback = std::move(waiter->callback);
  flight.waiters.erase(waiter);
  --waiters_;
  parts_.shard.add(waiters_gauge_, -1);
  callback(std::move(answer));
}

void Flights::out_of_patience(Flight& flight) {
  if (!usable_if_error(flight)) return;  // it aged beyond use meanwhile
  const FetchEnd end = parts_.fetcher.so_far(flight.fetch).end;
  if (end == FetchEnd::Answered || end == FetchEnd::TooLarge) return;  // finish() is next
  flight.patience_over = true;
  Answer answer = kept(flight.stored);
  answer.cause = "no answer within the patience for a stale one";
  answer_all(flight, answer);
}

void Flights::finish(Flight& flight, FetchResult result) {
  const auto owned = take_out(flight);
  forget_questions(flight);
  if (flight.asked) return finish_http(flight, result);
  if (result.end == FetchEnd::TooLarge) return finish_large(flight);
  const bool taken = is_answer(result) && replaces_stored(flight, result);
  Answer answer = taken ? take_answer(flight, result) : fall_back(flight, result);
  if (answer.rung == Rung::Error) count_shed(result.end, flight.waiters.size());
  if (flight.stored || flight.behind) count_refresh(result);
  if (taken) {
    resting_.succeeded(flight.key);
  } else if (!keeps_nothing(flight) && result.outcome != Outcome::Local) {
    rest(flight, result, answer);
  }
  if (answer.rung == Rung::Fetched && is_purged(flight.key, answer.content)) send_on_late(flight);
  answer_all(flight, answer);
}

// Each of those who wait asks for it in pieces, and so does whoever comes for a while: there is
// nothing to wait for. What is stored is not what the upstream says any more.
void Flights::finish_large(Flight& flight) {
  resting_.succeeded(flight.key);
  if (!keeps_nothing(flight)) {
    too_large_.failed(flight.key, parts_.loop.now(), random_, kTooLarge);
    if (flight.stored) keep_for_errors(flight);
  }
  answer_all(flight, passed("bypass", kTooLarge));
}

// What was answered just now by a route that has gone since may be that of a route that is offline.
void Flights::forget_questions(const Flight& flight) {
  if (!flight.route.retired()) return;
  parts_.fetcher.forget(flight.asked ? flight.asked->upstream.target
                                     : flight.route.upstream_request(flight.key).target);
}

std::list<Flights::Waiter> Flights::take_waiters(Flight& flight,
                                                 const std::function<bool(const Waiter&)>& leaves) {
  std::list<Waiter> taken;
  for (auto waiter = flight.waiters.begin(); waiter != flight.waiters.end();) {
    const auto next = std::next(waiter);
    if (leaves(*waiter)) taken.splice(taken.end(), flight.waiters, waiter);
    waiter = next;
  }
  waiters_ -= taken.size();
  parts_.shard.add(waiters_gauge_, -static_cast<std::int64_t>(taken.size()));
  for (Waiter& waiter : taken) waiter.timer.cancel();
  return taken;
}

// As if they came now. Whoever came before the purge has the answer that was on its way.
void Flights::send_on_late(Flight& flight) {
  const auto is_late = [&flight](const Waiter& waiter) { return waiter.seen > flight.seen; };
  for (Waiter& waiter : take_waiters(flight, is_late)) {
    if (waiter.asked) {
      join_http(flight.route, waiter.asked, waiter.deadline, std::move(waiter.callback),
                std::move(waiter.interim));
    } else {
      join(flight.route, flight.key, waiter.deadline, std::chrono::seconds(0),
           std::move(waiter.callback));
    }
  }
}

// Each at its own pace: it is the fetcher that spaces them.
void Flights::send_on_alone(Flight& flight) {
  const auto waits_along = [](const Waiter& waiter) { return waiter.collapsed; };
  const bool purged = flight.purged || is_purged(flight.key, flight.stored);
  for (Waiter& waiter : take_waiters(flight, waits_along)) {
    // Of mode rfc9111 what is stored may be what every one of them has confirmed anew.
    Flight& own = start(flight.route, flight.key, waiter.asked && !purged ? flight.stored : nullptr,
                        waiter.deadline, upstream::Priority::Miss, {}, true, waiter.asked);
    add_waiter(own, waiter.deadline, false, std::move(waiter.callback), waiter.asked).interim =
        std::move(waiter.interim);
  }
}

void Flights::rest(Flight& flight, const FetchResult& result, const Answer& answer) {
  const base::SteadyTime now = parts_.loop.now();
  if (is_answer(result)) {
    resting_.missing(flight.key, now, random_);
  } else if (is_keys_own(result) && answer.rung == Rung::Error) {
    resting_.failed(flight.key, now, random_, why_it_rests(result), answer);
  } else if (flight.stored) {
    resting_.failed(flight.key, now, random_, why_it_rests(result));
  }
  if (result.end == FetchEnd::KeyFails && result.reply.retry_after) {
    resting_.not_before(flight.key, now, *result.reply.retry_after);
  }
}

// "No such entry" does not, while there is one that may be used, until it has been said for a
// while.
bool Flights::replaces_stored(const Flight& flight, const FetchResult& result) const {
  if (!found_nothing(result) || !usable_if_error(flight) || flight.stored->status != 200) {
    return true;
  }
  const auto since = resting_.missing_since(flight.key);
  return since && parts_.loop.now() - *since >= settings_.missing_confirmed;
}

// The upstream forbids to store what it says now. What it allowed to be stored before may
// still be used where it fails, but is not what it says any more.
void Flights::keep_for_errors(const Flight& flight) {
  const cache::Freshness freshness = cache::freshness(*flight.stored, parts_.loop.clock().wall());
  const bool at_once = freshness.use == cache::Use::Fresh ||
                       flight.stored->stale_while_revalidate > std::chrono::seconds(0);
  if (!at_once) return;
  if (is_purged(flight.key, flight.stored)) return;
  // Another fetch of the key may have brought something else by now.
  const cache::StoredPtr there = parts_.memory.find(flight.key);
  if (there && there->response_time > flight.stored->response_time) return;
  cache::StoredParts parts = *flight.stored;
  // Somebody wanted it fresher than it was: the rest of its lifetime is none either.
  parts.freshness_lifetime = std::min(parts.freshness_lifetime, freshness.age);
  parts.stale_if_error = std::max(parts.stale_if_error, parts.stale_while_revalidate);
  parts.stale_while_revalidate = std::chrono::seconds(0);
  cache::StoredPtr kept = cache::make_stored(std::move(parts));
  parts_.memory.put(flight.key, kept);
  parts_.store.put(flight.key, std::move(kept));
}

std::unique_ptr<Flights::Flight> Flights::take_out(Flight& flight) {
  parts_.shard.add(flights_gauge_, -1);
  if (flight.apart) return std::move(apart_.extract(&flight).mapped());
  return std::move(flights_.extract(std::string_view(flight.key)).mapped());
}

Answer Flights::take_answer(Flight& flight, const FetchResult& result) {
  const base::WallTime received = parts_.loop.clock().wall();
  const StoringPolicy& policy = flight.route.plan().storing;
  Storable storable;
  if (result.outcome == Outcome::NotModified) {
    // We sent a validator only because something is stored.
    storable = freshen(*flight.stored, result.reply, policy, received, random_, flight.seen);
  } else {
    storable = make_storable(result.reply, policy, received, random_, flight.seen);
  }
  if (flight.stale_at_once) {
    storable.response = cache::without_lifetime(*storable.response, received);
  }
  note_forbidden(storable);
  note_left_out(flight, storable);
  if (storable.may_store) {
    unshared_.succeeded(flight.key);
  } else {
    unshared_.failed(flight.key, parts_.loop.now(), random_, storable.not_stored);
    send_on_alone(flight);
  }
  bool stored = false;
  // By what its fields say, it may have been purged while it was on its way.
  flight.purged = flight.purged || is_purged(flight.key, storable.response);
  if (keeps_nothing(flight)) {
    // What is there now, if anything, came after the purge, or is by the rules of today.
    if (storable.may_store) storable.not_stored = rfc9111::word(rfc9111::Reason::Purged);
    storable.may_store = false;
  } else if (storable.may_store) {
    const bool in_memory = parts_.memory.put(flight.key, storable.response);
    stored = parts_.store.put(flight.key, storable.response) || in_memory;
  } else if (flight.stored && found_nothing(result)) {
    // It is gone for good: that has been confirmed, or what is stored was of no use any more.
    parts_.memory.erase(flight.key);
    parts_.store.erase(flight.key);
  } else if (flight.stored) {
    keep_for_errors(flight);
  }
  Answer answer = fetched(flight, result, storable.response);
  answer.may_store = storable.may_store;
  answer.not_stored = storable.not_stored;
  if (answer.was_fresh) answer.not_reused = rfc9111::word(rfc9111::Reason::ClientMinFresh);
  answer.stored = stored;
  return answer;
}

Answer Flights::fetched(const Flight& flight, const FetchResult& result,
                        cache::StoredPtr response) const {
  Answer answer = from_stored(Rung::Fetched, std::move(response));
  answer.forwarded = true;
  const base::WallTime now = parts_.loop.clock().wall();
  answer.was_fresh =
      flight.stored && cache::freshness(*flight.stored, now).use == cache::Use::Fresh;
  answer.was_stale = flight.stored && !answer.was_fresh;
  answer.upstream_status = result.reply.status;
  answer.attempts = result.attempts_sent;
  answer.cause = cause_of(result);
  return answer;
}

void Flights::answer_all(Flight& flight, const Answer& answer) {
  std::list<Waiter> waiters = std::exchange(flight.waiters, {});
  waiters_ -= waiters.size();
  parts_.shard.add(waiters_gauge_, -static_cast<std::int64_t>(waiters.size()));
  for (Waiter& waiter : waiters) {
    Answer own = answer;
    own.collapsed = waiter.collapsed && answer.forwarded;
    waiter.timer.cancel();
    waiter.callback(std::move(own));
  }
}

void Flights::note_forbidden(const Storable& storable) {
  if (!forbidden_.note(!storable.may_store)) return;
  if (forbidden_.most()) {
    parts_.log.event(observe::Level::Warn, "upstream_forbids_storing",
                     {{"share", forbidden_.share()},
                      {"by", storable.forbidden_by},
                      {"setting", "CACHE_TTL_OVERRIDE"},
                      {"detail", "little is stored that could answer while it fails"}});
  } else {
    parts_.log.event(observe::Level::Info, "upstream_allows_storing",
                     {{"share", 1 - forbidden_.share()}});
  }
}

void Flights::note_left_out(const Flight& flight, const Storable& storable) {
  if (storable.tags_left_out == 0) return;
  parts_.shard.add(tags_left_out_, storable.tags_left_out);
  const auto suppressed = left_out_told_.admit(parts_.loop.now());
  if (!suppressed) return;
  parts_.log.event(observe::Level::Warn, "tags_left_out",
                   {{"route", flight.route.name()},
                    // Without what selects a variant, which may be a cookie.
                    {"key", flight.route.subject(key_of_url(flight.key))},
                    {"count", storable.tags_left_out},
                    {"suppressed", *suppressed},
                    {"detail",
                     "too many tags, too long, or not to be read: every purge of a tag takes this "
                     "answer too"}});
}

Flights::Stats Flights::stats() const {
  Stats stats{flights_.size() + apart_.size(), waiters_, std::nullopt};
  if (forbidden_.most()) stats.forbidden_share = forbidden_.share();
  return stats;
}

void Flights::count_refresh(const FetchResult& result) {
  if (!is_answer(result)) {
    parts_.shard.add(failed_);
  } else if (result.outcome == Outcome::NotModified) {
    parts_.shard.add(freshened_);
  } else {
    parts_.shard.add(replaced_);
  }
}

void Flights::count_shed(FetchEnd end, std::size_t waiters) {
  if (end == FetchEnd::Overloaded) parts_.shard.add(shed_by_queued_, waiters);
  if (end == FetchEnd::CrowdedOut) parts_.shard.add(shed_by_parked_, waiters);
}

}  // namespace holdfast::proxy
