// Flights of routes of mode rfc9111. They differ from others in what they are known by: the URL's
// key until it is known that its answers vary, and then that of the variant that the first client
// selects; whoever waits along and turns out to select another one is sent on. And in what they
// ask: the first client's own request, without its preconditions.
#include <algorithm>
#include <utility>

#include "proxy/fetch_words.h"
#include "proxy/flight_answers.h"
#include "proxy/flights.h"
#include "proxy/passed_fields.h"
#include "rfc9111/conditions.h"
#include "rfc9111/fields.h"
#include "rfc9111/ranges.h"

namespace holdfast::proxy {
namespace {

using upstream::FetchEnd;
using upstream::FetchResult;
using upstream::Outcome;

bool is_strong(std::string_view etag) {
  return etag.starts_with('"');
}

// Whether it says for certain which part it is, and can be put to others (RFC 9111, 3.3 and 3.4).
bool is_part(const cache::StoredResponse& partial, bool lenient) {
  const auto said = rfc9111::find_line(partial.fields, "content-range");
  const auto range =
      said ? rfc9111::content_range_of(*said, partial.body.size(), lenient) : std::nullopt;
  return range && range->complete && (lenient || is_strong(partial.upstream_etag));
}

// But for what every client has of its own.
bool asks_the_same(const Asked& one, const Asked& other) {
  const auto is_own = [](const upstream::Field& field) {
    constexpr std::string_view kOwn[] = {"Forwarded", "X-Forwarded-For", "traceparent",
                                         "tracestate"};
    return std::any_of(std::begin(kOwn), std::end(kOwn),
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

// Whether it is worth another attempt, which a validator of ours says by its verdict.
upstream::Verdict judge_http(const upstream::Reply& reply, const Asked& asked,
                             const StoringPolicy& policy, base::WallTime now) {
  constexpr int kRequestTimeout = 408;
  constexpr int kTooEarly = 425;
  constexpr int kTooMany = 429;
  const int status = reply.status;
  const bool fails =
      status >= 500 || status == kTooMany || status == kRequestTimeout || status == kTooEarly;
  if (!fails || is_meant_to_be_stored(reply, facts_of(asked), policy, now)) return {};
  const Outcome outcome = status >= 500        ? Outcome::ServerError
                          : status == kTooMany ? Outcome::RateLimited
                                               : Outcome::Unexpected;
  return {outcome, "status " + std::to_string(status)};
}

Answer passed(std::string_view reason) {
  Answer answer;
  answer.rung = Rung::Pass;
  answer.pass_reason = reason;
  return answer;
}

// The Range that asks for what a stored part lacks, where what comes may be put to it (RFC 9111,
// 3.4).
std::optional<std::string> range_to_complete(const cache::StoredResponse& partial, bool lenient) {
  const auto range = stored_range_of(partial);
  if (!range || (!lenient && !is_strong(partial.upstream_etag))) return std::nullopt;
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

// Where it is stored a second time, for who wants the language that it says it is in.
std::optional<std::string> key_by_language(const VariantIndex& index, std::string_view names,
                                           const Asked& asked, const HttpCaching& caching,
                                           const cache::StoredResponse& stored) {
  const auto language = rfc9111::find_line(stored.fields, "content-language");
  if (!language || language->find(',') != std::string_view::npos) return std::nullopt;
  std::string key = asked.key;
  index.append_key({}, asked.fields(), caching, key);
  const bool named =
      append_language_selection(names, asked.fields(), caching.vary_normalise, *language, key);
  return named && key.size() <= Route::kLongestKey ? std::optional(std::move(key)) : std::nullopt;
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

Selected Flights::select(const Route& route, const Asked& asked, bool keep) {
  return select_stored(asked.key, asked.fields(), asked.range, route.plan().storing.http,
                       [this, keep](std::string_view key) { return find_stored(key, keep); });
}

void Flights::join_http(Route& route, const AskedPtr& asked, base::SteadyTime deadline,
                        Callback callback, Interim interim) {
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
  add_waiter(flight, deadline, false, std::move(callback), asked).interim = std::move(interim);
}

Flights::Prospect Flights::prospect_http(const Route& route, const Asked& asked) {
  return decide_http(asked, select(route, asked, false));
}

Flights::Prospect Flights::decide_http(const Asked& asked, const Selected& selected) const {
  Prospect prospect;
  prospect.stored = selected.response;
  const auto answer = [&prospect](Answer with) {
    prospect.way = Prospect::Way::Answer;
    prospect.answer = std::move(with);
    return std::move(prospect);
  };
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
  if (asked.ambiguous || too_large_.resting(asked.key, now)) return answer(passed("bypass"));
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

void Flights::refresh_http(Route& route, const AskedPtr& asked) {
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
  upstream::FetchRequest request;
  request.request = flight.asked->upstream;
  request.request.verbatim = true;
  request.request.lenient_transfer_coding =
      flight.route.plan().storing.http.lenient_transfer_coding;
  request.request.body_limit_bytes = flight.route.plan().body.max_body_bytes;
  request.any_status = true;
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
  const bool lenient = flight.route.plan().storing.http.lenient_ranges;
  const auto range = flight.partial ? range_to_complete(*flight.partial, lenient) : std::nullopt;
  if (range) {
    request.request.fields.push_back({"Range", *range});
    if (is_strong(flight.partial->upstream_etag)) {
      request.request.fields.push_back({"If-Range", flight.partial->upstream_etag});
    }
  }
  // From inside a fetch, and maybe after the flight's end.
  const auto refused = [this, &flight, life = std::weak_ptr(flight.life)] {
    if (life.expired()) return;
    parts_.loop.post([this, &flight, life] {
      if (!life.expired()) part_ways(flight);
    });
  };
  request.validate = [&route = flight.route, held = flight.held, key = flight.key,
                      asked = flight.asked, ranged = range.has_value(), refused,
                      &clock = parts_.loop.clock()](const upstream::Reply& reply) {
    if (reply.status == 206 && !ranged) {
      return upstream::Verdict{Outcome::Unexpected, "status 206 to a request without Range"};
    }
    const StoringPolicy& policy = route.plan().storing;
    upstream::Verdict verdict = judge_http(reply, *asked, policy, clock.wall());
    if (verdict.outcome != Outcome::Ok) refused();
    const bool has_rules = reply.status == 200 || reply.status == 203;
    return verdict.outcome == Outcome::Ok && has_rules ? route.validate(key, reply) : verdict;
  };
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

void Flights::tell_interim(const Flight& flight, int status, const upstream::Fields& fields) const {
  const std::string lines = passed_interim_fields(fields, flight.route.plan());
  // Whether others may have the answer is not known before that has come.
  for (const Waiter& waiter : flight.waiters) {
    if (waiter.interim && !waiter.collapsed) waiter.interim(status, lines);
  }
}

void Flights::finish_http(Flight& flight, FetchResult& result) {
  if (result.end == FetchEnd::TooLarge) {
    too_large_.failed(flight.asked->key, parts_.loop.now(), random_);
    resting_.succeeded(flight.key);
    return answer_all(flight, passed("bypass"));
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
    if (!whole) return fetch_whole(flight);
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
  const bool says_why = result.last_refused && result.last_refused->status >= 400;
  if (answers.others.rung == Rung::Error && says_why) {
    // What it says is for who asked. The others are told what it comes to.
    answers.first.rung = Rung::Fetched;
    answers.first.content = make_verbatim(*result.last_refused, flight.route.plan().storing,
                                          parts_.loop.clock().wall());
    answers.first.not_stored = "status";
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

Flights::HttpAnswers Flights::take_http_answer(Flight& flight, const FetchResult& result) {
  const base::WallTime received = parts_.loop.clock().wall();
  const StoringPolicy& policy = flight.route.plan().storing;
  const bool revalidated = result.outcome == Outcome::NotModified;
  HttpStorable storable = revalidated
                              ? freshen_http(*flight.stored, flight.key, result.reply,
                                             facts_of(*flight.asked), policy, received, flight.seen)
                              : make_http_storable(result.reply, facts_of(*flight.asked), policy,
                                                   received, flight.seen);
  Storable counted;
  counted.may_store = storable.stored != nullptr;
  counted.forbidden_by = storable.not_stored.data() != nullptr ? storable.not_stored.data() : "";
  counted.tags_left_out = storable.tags_left_out;
  note_forbidden(counted);
  note_left_out(flight, counted);

  if (flight.stale_at_once && storable.stored) {
    storable.stored = cache::without_lifetime(*storable.stored, received);
    storable.may_share = false;
  }
  flight.purged = flight.purged || is_purged(flight.key, storable.answer);
  bool stored = false;
  if (keeps_nothing(flight)) {
    // What is there now, if anything, came after the purge, or is by the rules of today.
  } else if (storable.stored) {
    stored = keep_http(flight.route, *flight.asked, flight.stored, storable);
  } else if (flight.stored && upstream::is_negative(result.reply.status)) {
    forget_variant(flight.route, *flight.asked, flight.key, *flight.stored);
  } else if (flight.stored && result.reply.status < 400) {
    keep_for_errors(flight);
  }
  if (storable.may_share && !flight.purged) {
    unshared_.succeeded(flight.key);
    send_on_others(flight, storable.vary);
  } else {
    if (!flight.purged) unshared_.failed(flight.key, parts_.loop.now(), random_);
    send_on_alone(flight);
  }

  HttpAnswers answers;
  Answer& answer = answers.first;
  answer = from_stored(Rung::Fetched, storable.answer);
  answer.forwarded = true;
  answer.may_store = storable.stored != nullptr;
  answer.not_stored = storable.not_stored;
  answer.stored = stored;
  answer.revalidated = revalidated;
  answer.other_variant = flight.other_variant;
  answer.was_fresh =
      flight.stored && cache::freshness(*flight.stored, received).use == cache::Use::Fresh;
  answer.was_stale = flight.stored && !answer.was_fresh;
  answer.upstream_status = result.reply.status;
  answer.attempts = result.attempts_sent;
  answer.cause = cause_of(result);
  answers.others = answer;
  if (storable.stored) answers.others.content = storable.stored;
  answers.others.collapsed = true;
  return answers;
}

// Whether what is asked for by that mark may be from before a purge, or by rules that are not
// today's.
bool Flights::is_past(const Route& route, std::string_view url_key, const Mark& mark) const {
  return abandoned_ || retired_ || route.retired() || recent_purges_.since(mark.urls, url_key);
}

void Flights::keep_passed(Route& route, const Asked& asked, const rfc9111::RequestFacts& request,
                          const upstream::Reply& reply, const Mark& mark) {
  if (is_past(route, asked.key, mark)) return;
  const base::WallTime received = parts_.loop.clock().wall();
  const StoringPolicy& policy = route.plan().storing;
  rfc9111::RequestFacts facts = request;
  facts.authorization = asked.authorization;
  facts.no_store = asked.wanted.no_store;
  const HttpStorable storable = make_http_storable(reply, facts, policy, received, mark.seen);
  if (!storable.stored || is_purged(asked.key, storable.stored)) return;
  const Selected selected = select(route, asked);
  if (reply.status == 206) {
    if (selected.response || !is_part(*storable.stored, policy.http.lenient_ranges)) return;
  } else if (route.validate(asked.key, reply).outcome != Outcome::Ok) {
    return;
  }
  keep_http(route, asked, nullptr, storable);
}

void Flights::head_passed(Route& route, const Asked& asked, const upstream::Reply& reply,
                          const Mark& mark) {
  if (is_past(route, asked.key, mark) || reply.status != 200) return;
  const Selected selected = select(route, asked);
  const cache::StoredPtr& stored = selected.response;
  if (!stored || stored->status != 200) return;
  const std::string& key = selected.key.empty() ? asked.key : selected.key;
  if (rfc9111::compare_head(stored->fields, stored->body.size(), reply.fields) ==
      rfc9111::HeadVerdict::Changed) {
    return forget_variant(route, asked, key, *stored);
  }
  const HttpStorable storable =
      freshen_http(*stored, key, reply, facts_of(asked), route.plan().storing,
                   parts_.loop.clock().wall(), mark.seen);
  if (storable.stored && !is_purged(key, storable.stored)) {
    keep_http(route, asked, stored, storable);
  }
}

bool Flights::keep_http(const Route& route, const Asked& asked, const cache::StoredPtr& replaced,
                        const HttpStorable& storable) {
  const HttpCaching& caching = route.plan().storing.http;
  const auto put = [this](const std::string& under, const cache::StoredPtr& what) {
    const bool in_memory = parts_.memory.put(under, what);
    return parts_.store.put(under, what) || in_memory;
  };
  if (storable.vary.names().empty()) return put(asked.key, storable.stored);

  const cache::StoredPtr there = find_stored(asked.key);
  const bool varies = there && there->kind == cache::Kind::Variants;
  VariantIndex index = varies ? VariantIndex(*there) : VariantIndex(random_.next());
  if (varies && index.sets().empty()) index = VariantIndex(random_.next());  // it was none
  bool changed = !varies;
  if (there && !varies && replaced != there && usable_if_error(there)) {
    // What came without a Vary answers every request, for as long as nothing later does.
    index.put_first({});
    std::string without_vary = asked.key;
    index.append_key({}, {}, caching, without_vary);
    put(without_vary, there);
    index.note(without_vary, caching.max_variants);
  }
  const std::string names = storable.vary.list();
  changed = index.put_first(names) || changed;
  std::string key = asked.key;
  index.append_key(names, asked.fields(), caching, key);
  if (key.size() > Route::kLongestKey) return false;
  // The other one before it, so that this one stays where there is room for one more only.
  if (const auto other = key_by_language(index, names, asked, caching, *storable.stored)) {
    put(*other, storable.stored);
    changed = index.note(*other, caching.max_variants) || changed;
  }
  const bool stored = put(key, storable.stored);
  changed = index.note(key, caching.max_variants) || changed;
  if (changed) {
    put(asked.key, index.to_stored(parts_.loop.clock().wall(), parts_.memory.purges().latest()));
  }
  return stored;
}

void Flights::forget_variant(const Route& route, const Asked& asked, const std::string& key,
                             const cache::StoredResponse& stored) {
  const auto forget = [this](const std::string& what) {
    parts_.memory.erase(what);
    parts_.store.erase(what);
  };
  forget(key);
  const cache::StoredPtr there = key == asked.key ? nullptr : find_stored(asked.key);
  if (!there || there->kind != cache::Kind::Variants) return;
  if (const auto other = key_by_language(VariantIndex(*there), variant_names(key), asked,
                                         route.plan().storing.http, stored)) {
    forget(*other);
  }
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

// The index is gone by now, and with it all variants; what is on its way to one is set aside.
bool Flights::purge_variants(std::string_view key) {
  too_large_.succeeded(key);
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
