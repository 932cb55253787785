// Flights of routes of mode rfc9111. They differ from others in what they are known by: the URL's
// key until it is known that its answers vary, and then that of the variant that the first client
// selects; whoever waits along and turns out to select another one is sent on. And in what they
// ask: the first client's own request, without its preconditions.
#include <algorithm>
#include <iterator>
#include <utility>

#include "proxy/fetch_rules.h"
#include "proxy/fetch_words.h"
#include "proxy/flight_answers.h"
#include "proxy/flights.h"
#include "proxy/passed_fields.h"
#include "proxy/stored_only.h"
#include "rfc9111/conditions.h"
#include "rfc9111/fields.h"
#include "rfc9111/ranges.h"
#include "rfc9111/reasons.h"

namespace holdfast::proxy {
namespace {

using upstream::FetchEnd;
using upstream::FetchResult;
using upstream::Outcome;

// But for what every client has of its own; `from_there`: from the same address, too.
bool asks_the_same(const Asked& one, const Asked& other, bool from_there = false) {
  const auto is_own = [from_there](const upstream::Field& field) {
    constexpr std::string_view kOwn[] = {"traceparent", "tracestate", "Forwarded",
                                         "X-Forwarded-For"};
    return std::any_of(std::begin(kOwn), std::end(kOwn) - (from_there ? 2 : 0),
                       [&](std::string_view name) { return upstream::is_field(field, name); });
  };
  const upstream::Fields& mine = one.upstream.fields;
  const upstream::Fields& theirs = other.upstream.fields;
  auto their = theirs.begin();
  for (const upstream::Field& field : mine) {
    if (is_own(field)) continue;
    while (their != theirs.end() && is_own(*their)) ++their;
    if (their == theirs.end() || !upstream::is_field(field, their->name) ||
        field.value != their->value) {
      return false;
    }
    ++their;
  }
  return std::all_of(their, theirs.end(), is_own);
}

// Whether an interim answer says nothing that is for one client alone. Hints (RFC 8297) are fields
// of the answer to come; of a status that is not known here nobody knows what it says.
bool may_be_for_others(int status, const upstream::Fields& fields) {
  constexpr int kEarlyHints = 103;
  if (status != kEarlyHints || upstream::find_field(fields, "Set-Cookie") != nullptr) return false;
  const rfc9111::ResponseDirectives says = rfc9111::response_directives(fields, {});
  return !says.no_store && !says.is_private && says.private_fields.empty();
}

// The Range that asks for what a stored part lacks, where what comes may be put to it (RFC 9111,
// 3.4).
std::optional<std::string> range_to_complete(const cache::StoredResponse& partial, bool lenient) {
  const auto range = stored_range_of(partial);
  if (!range || (!lenient && !rfc9111::is_strong_tag(partial.upstream_etag))) return std::nullopt;
  return rfc9111::missing_range(*range);
}

// Both parts as one answer; nothing if they are none of one content.
std::optional<upstream::Reply> completed(const cache::StoredResponse& partial,
                                         const upstream::Reply& rest, bool lenient) {
  const auto stored = stored_range_of(partial);
  const std::string* said = upstream::find_field(rest.fields, "Content-Range");
  if (!stored || !stored->complete || said == nullptr) return std::nullopt;
  const auto more = rfc9111::content_range_of(*said, rest.body.size(), lenient);
  const std::string lines = rfc9111::end_to_end_lines(rest.fields);
  const bool same = rfc9111::share_strong_validator(partial.fields, lines);
  if (!more || !more->complete || !(same || lenient)) return std::nullopt;
  auto whole = rfc9111::joined({stored->range.first, *stored->complete, partial.body},
                               {more->range.first, *more->complete, rest.body});
  if (!whole || !whole->whole()) return std::nullopt;
  upstream::Reply reply = rest;
  reply.status = 200;
  reply.fields = rfc9111::fields_of(rfc9111::merged(partial.fields, rest.fields));
  std::erase_if(reply.fields, [](const upstream::Field& field) {
    return upstream::is_field(field, "Content-Range");
  });
  // Not kept with what is stored, but it counts for what comes now.
  if (const std::string* age = upstream::find_field(rest.fields, "Age")) {
    reply.fields.push_back({"Age", *age});
  }
  reply.body = std::move(whole->content);
  return reply;
}

}  // namespace

std::optional<Rung> http_rung_at_once(const cache::Freshness& freshness,
                                      const rfc9111::RequestDirectives& wanted) {
  if (wanted.no_cache) return std::nullopt;
  if (wanted.max_age && freshness.age > *wanted.max_age) return std::nullopt;
  if (freshness.use == cache::Use::Fresh) {
    return freshness.ttl >= wanted.min_fresh ? std::optional(Rung::Fresh) : std::nullopt;
  }
  // Who states how old it may be does not want a stale one, but by max-stale (5.2.1.1).
  const bool takes_stale = !wanted.max_age && wanted.min_fresh <= std::chrono::seconds(0);
  if (freshness.use == cache::Use::StaleWhileRevalidate && takes_stale) {
    return Rung::StaleWhileRevalidate;
  }
  return std::nullopt;
}

std::string_view not_reused_for(const cache::Freshness& freshness,
                                const rfc9111::RequestDirectives& wanted) {
  using rfc9111::Reason;
  if (wanted.no_cache) return rfc9111::word(Reason::ClientNoCache);
  if (wanted.max_age && freshness.age > *wanted.max_age) return rfc9111::word(Reason::ClientMaxAge);
  if (freshness.use == cache::Use::Fresh) {
    return freshness.ttl < wanted.min_fresh ? rfc9111::word(Reason::ClientMinFresh)
                                            : std::string_view();
  }
  if (freshness.use != cache::Use::StaleWhileRevalidate) return {};
  // At once, but for that: it takes nothing stale.
  if (wanted.max_age) return rfc9111::word(Reason::ClientMaxAge);
  return wanted.min_fresh > std::chrono::seconds(0) ? rfc9111::word(Reason::ClientMinFresh)
                                                    : std::string_view();
}

Selected Flights::select(const Route& route, const Asked& asked, bool keep) {
  return select_stored(asked.key, asked.fields(), asked.range, route.plan().storing.http,
                       [this, keep](std::string_view key) { return find_stored(key, keep); });
}

void Flights::join_http(Route& route, const AskedPtr& asked, base::SteadyTime deadline,
                        Callback callback, Interim interim) {
  if (route.plan().stored_only) return callback(stored_only_http(route, *asked));
  const Selected selected = select(route, *asked);
  Prospect prospect = decide_http(*asked, selected);
  const std::string& key = selected.key.empty() ? asked->key : selected.key;
  switch (prospect.way) {
    case Prospect::Way::Answer:
      if (prospect.refresh) refresh_http(route, asked);
      if (prospect.full && prospect.answer.rung == Rung::Error) parts_.shard.add(shed_by_waiters_);
      return callback(std::move(prospect.answer));
    case Prospect::Way::Join: {
      Flight& flight = *flights_.find(key)->second;
      parts_.fetcher.extend(flight.fetch, deadline - settings_.answer_margin,
                            upstream::Priority::Miss);
      add_waiter(flight, deadline, true, std::move(callback), asked).interim = std::move(interim);
      return;
    }
    case Prospect::Way::Fetch:
      break;
  }
  const bool alone = prospect.alone || retired_ || route.retired();
  Flight& flight = start(route, key, selected.response, deadline, upstream::Priority::Miss, {},
                         alone, asked, selected.partial);
  flight.other_variant = selected.varies && !selected.response;
  if (selected.response) {
    const base::WallTime now = parts_.loop.clock().wall();
    flight.not_reused = not_reused_for(cache::freshness(*selected.response, now), asked->wanted);
  }
  add_waiter(flight, deadline, false, std::move(callback), asked).interim = std::move(interim);
}

Flights::Prospect Flights::prospect_http(const Route& route, const Asked& asked) {
  return decide_http(asked, select(route, asked, false));
}

Flights::Prospect Flights::decide_http(const Asked& asked, const Selected& selected) const {
  Prospect prospect;
  prospect.stored = selected.response;
  const auto answer = [&prospect](Answer with) { return answered(prospect, std::move(with)); };
  if (abandoned_) return answer(refusal("the service is stopping"));
  const base::SteadyTime now = parts_.loop.now();
  const std::string& key = selected.key.empty() ? asked.key : selected.key;
  prospect.resting = resting_.resting(key, now);
  if (selected.response) {
    const base::WallTime wall = parts_.loop.clock().wall();
    const auto rung = http_rung_at_once(cache::freshness(*selected.response, wall), asked.wanted);
    prospect.refresh = rung == Rung::StaleWhileRevalidate;
    if (rung) return answer(from_stored(*rung, selected.response));
  }
  if (asked.ambiguous) return answer(passed("bypass", rfc9111::word(rfc9111::Reason::Ambiguous)));
  if (too_large_.resting(asked.key, now)) {
    return answer(passed("bypass", kTooLarge));
  }
  // Part of it is nobody else's, and a HEAD's answer has no content to keep.
  const bool for_one =
      !asked.range.range.empty() || asked.kept.request().method == http::Method::Head;
  if (for_one && !usable_if_error(selected.response)) {
    return answer(passed(selected.partial    ? "partial"
                         : selected.response ? "stale"
                         : selected.varies   ? "vary-miss"
                                             : "uri-miss"));
  }
  prospect.full = waiters_ >= settings_.max_waiters;
  const bool unshared = unshared_.resting(key, now);
  const bool flying = flights_.contains(key);
  if (flying && !prospect.full && !unshared) {
    prospect.way = Prospect::Way::Join;
    return prospect;
  }
  if ((prospect.full || prospect.resting) && usable_if_error(selected.response)) {
    return answer(kept(selected.response));
  }
  if (prospect.full) return answer(refusal("too many requests are waiting for the upstream"));
  prospect.way = Prospect::Way::Fetch;
  prospect.alone = flying || unshared;
  return prospect;
}

Answer Flights::stored_http(const Route& route, const Asked& asked) {
  const Selected selected = select(route, asked);
  if (selected.response) {
    const cache::Freshness freshness =
        cache::freshness(*selected.response, parts_.loop.clock().wall());
    if (const auto rung = http_rung_at_once(freshness, asked.wanted)) {
      return from_stored(*rung, selected.response);
    }
  }
  return stored({}, std::chrono::seconds(0));
}

// Whatever the client says of validation: there is nobody to ask.
Answer Flights::stored_only_http(const Route& route, const Asked& asked, bool keep) {
  return answer_stored_only(select(route, asked, keep).response, parts_.loop.clock().wall());
}

void Flights::refresh_http(Route& route, const AskedPtr& asked) {
  if (route.plan().stored_only) return;
  const Selected selected = select(route, *asked);
  const std::string& key = selected.key.empty() ? asked->key : selected.key;
  if (abandoned_ || retired_ || route.retired() || flights_.contains(key)) return;
  if (asked->ambiguous) return;
  const base::SteadyTime now = parts_.loop.now();
  if (resting_.resting(key, now) || too_large_.resting(asked->key, now)) {
    parts_.shard.add(skipped_);
    return;
  }
  const base::WallTime wall = parts_.loop.clock().wall();
  if (selected.response && cache::freshness(*selected.response, wall).use == cache::Use::Fresh) {
    return;  // somebody else's refresh came first
  }
  start(route, key, selected.response, now + settings_.refresh_deadline,
        upstream::Priority::Refresh, {}, false, asked);
}

upstream::FetchRequest Flights::http_fetch_request(Flight& flight) {
  const bool lenient = flight.route.plan().storing.http.lenient_ranges;
  const auto range = flight.partial ? range_to_complete(*flight.partial, lenient) : std::nullopt;
  // From inside a fetch, and maybe after the flight's end.
  const auto refused = [this, &flight, life = std::weak_ptr(flight.life)] {
    if (life.expired()) return;
    parts_.loop.post([this, &flight, life] {
      if (!life.expired()) part_ways(flight);
    });
  };
  upstream::FetchRequest request =
      proxy::http_fetch_request(flight.route, flight.key, flight.asked, parts_.loop.clock(),
                                {.ranged = range.has_value(), .refused = refused}, flight.held);
  request.on_interim = [this, &flight](int status, const upstream::Fields& fields) {
    tell_interim(flight, status, fields);
  };
  if (flight.stored && !flight.stored->marked_stale()) {
    const cache::StoredResponse& stored = *flight.stored;
    if (!stored.upstream_etag.empty()) {
      request.request.fields.push_back({"If-None-Match", stored.upstream_etag});
    }
    if (!stored.upstream_last_modified.empty()) {
      request.request.fields.push_back({"If-Modified-Since", stored.upstream_last_modified});
    }
  }
  if (range) {
    request.request.fields.push_back({"Range", *range});
    if (rfc9111::is_strong_tag(flight.partial->upstream_etag)) {
      request.request.fields.push_back({"If-Range", flight.partial->upstream_etag});
    }
  }
  return request;
}

void Flights::part_ways(Flight& flight) {
  const auto asks_otherwise = [&flight](const Waiter& waiter) {
    return waiter.collapsed && !waiter.sent_on && !asks_the_same(*waiter.asked, *flight.asked);
  };
  if (std::none_of(flight.waiters.begin(), flight.waiters.end(), asks_otherwise)) return;
  if (!flight.apart) set_aside(flight.key, false);
  parting_ = true;
  for (Waiter& waiter : take_waiters(flight, asks_otherwise)) {
    join_http(flight.route, waiter.asked, waiter.deadline, std::move(waiter.callback),
              std::move(waiter.interim));
  }
  parting_ = false;
}

// Whether others may have the answer is not known before that has come. So who waits along is told
// of hints only if it asks the very same, and of these of the links alone (what else there is may
// be one client's, as a nonce is), and of 102, which says nothing but that the upstream is at work,
// without a word of it. Two addresses ask the same where something stored shows that its answers
// are for everybody.
void Flights::tell_interim(const Flight& flight, int status, const upstream::Fields& fields) const {
  constexpr int kProcessing = 102;
  const RoutePlan& plan = flight.route.plan();
  const auto shared_lines = [&plan](const upstream::Fields& of) {
    return std::make_shared<const std::string>(passed_interim_fields(of, plan));
  };
  const auto lines = shared_lines(fields);
  upstream::Fields links;
  std::copy_if(fields.begin(), fields.end(), std::back_inserter(links),
               [](const upstream::Field& field) { return upstream::is_field(field, "Link"); });
  const auto for_others = status == kProcessing               ? shared_lines({})
                          : may_be_for_others(status, fields) ? shared_lines(links)
                                                              : nullptr;
  const bool from_there = flight.stored == nullptr;
  for (const Waiter& waiter : flight.waiters) {
    if (!waiter.interim) continue;
    if (!waiter.collapsed) {
      waiter.interim(status, lines);
    } else if (for_others &&
               (status == kProcessing || asks_the_same(*waiter.asked, *flight.asked, from_there))) {
      waiter.interim(status, for_others);
    }
  }
}

void Flights::finish_http(Flight& flight, FetchResult& result) {
  if (result.end == FetchEnd::TooLarge) {
    // One that a purge or a reload has overtaken says nothing of what comes behind it.
    if (!keeps_nothing(flight)) {
      too_large_.failed(flight.asked->key, parts_.loop.now(), random_, kTooLarge);
    }
    resting_.succeeded(flight.key);
    return answer_all(flight, passed("bypass", kTooLarge));
  }
  const bool refresh = flight.stored || flight.behind;
  // Nobody who waits for it asked for a part, so none of them is to hear that there is no such one.
  constexpr int kNoSuchRange = 416;
  if (result.end == FetchEnd::Answered && flight.partial && result.reply.status == kNoSuchRange) {
    return fetch_whole(flight);
  }
  if (result.end == FetchEnd::Answered && result.reply.status == 206) {
    const bool lenient = flight.route.plan().storing.http.lenient_ranges;
    auto whole = completed(*flight.partial, result.reply, lenient);
    // Of a part the rules said nothing.
    if (!whole || flight.route.validate(flight.key, *whole).outcome != Outcome::Ok) {
      return fetch_whole(flight);
    }
    result.reply = *std::move(whole);
  }
  if (result.end == FetchEnd::Answered) {
    if (refresh) {
      parts_.shard.add(result.outcome == Outcome::NotModified ? freshened_ : replaced_);
    }
    resting_.succeeded(flight.key);
    return answer_http(flight, take_http_answer(flight, result));
  }
  if (refresh) parts_.shard.add(failed_);
  HttpAnswers answers;
  answers.others = fall_back(flight, result);
  if (answers.others.rung == Rung::Error) count_shed(result.end, flight.waiters.size());
  // Only while something stored answers: it may have failed by what that client's own fields say,
  // and others are not to be told so of theirs.
  const bool answered = answers.others.rung != Rung::Error;
  if (answered && !keeps_nothing(flight) && result.outcome != Outcome::Local) {
    rest(flight, result, answers.others);
  }
  answers.first = answers.others;
  const bool invalid = result.last_invalid && result.last_invalid == result.last_refused;
  const bool says_why = invalid || (result.last_refused && result.last_refused->status >= 400);
  if (answers.others.rung == Rung::Error && says_why) {
    // What it says is for who asked. The others are told what it comes to.
    const auto make = invalid ? make_verbatim_unstored : make_verbatim;
    answers.first.rung = Rung::Fetched;
    answers.first.content =
        make(*result.last_refused, flight.route.plan().storing, parts_.loop.clock().wall());
    answers.first.not_stored = invalid ? kInvalidBody : rfc9111::word(rfc9111::Reason::Status);
  }
  answer_http(flight, answers);
}

// The rest that came is not of what is stored: that is forgotten, and all of it asked for.
void Flights::fetch_whole(Flight& flight) {
  parts_.memory.erase(flight.key);
  parts_.store.erase(flight.key);
  for (Waiter& waiter : take_waiters(flight, [](const Waiter&) { return true; })) {
    join_http(flight.route, waiter.asked, waiter.deadline, std::move(waiter.callback),
              std::move(waiter.interim));
  }
}

void Flights::answer_http(Flight& flight, const HttpAnswers& answers) {
  const cache::StoredPtr& content = answers.others.content;
  if (answers.others.rung == Rung::Fetched && is_purged(flight.key, content)) send_on_late(flight);
  send_on_unanswered(flight, content);
  const auto is_first = [](const Waiter& waiter) { return !waiter.collapsed; };
  for (Waiter& waiter : take_waiters(flight, is_first)) waiter.callback(answers.first);
  answer_all(flight, answers.others);
}

void Flights::send_on_unanswered(Flight& flight, const cache::StoredPtr& content) {
  if (!content || content->status != 206) return;
  const auto asked_for_more = [&](const Waiter& waiter) { return !answers(waiter, *content); };
  for (Waiter& waiter : take_waiters(flight, asked_for_more)) {
    join_http(flight.route, waiter.asked, waiter.deadline, std::move(waiter.callback),
              std::move(waiter.interim));
  }
}

void Flights::send_on_others(Flight& flight, const VaryNames& vary) {
  // Even of one: whoever's request it was may have left, or wait no longer.
  if (vary.names().empty() || flight.waiters.empty()) return;
  const HttpCaching& caching = flight.route.plan().storing.http;
  const std::string names = vary.list();
  std::string selected;
  append_selection(names, flight.asked->fields(), caching.vary_normalise, selected);
  const auto is_other = [&](const Waiter& waiter) {
    if (!waiter.asked) return false;
    std::string theirs;
    append_selection(names, waiter.asked->fields(), caching.vary_normalise, theirs);
    return theirs != selected;
  };
  for (Waiter& waiter : take_waiters(flight, is_other)) {
    join_http(flight.route, waiter.asked, waiter.deadline, std::move(waiter.callback),
              std::move(waiter.interim));
  }
}

}  // namespace holdfast::proxy
