// What flights of mode rfc9111 bring, and what is passed through for such routes, on its way to
// memory and store: under the URL's key, or as one of its variants.
#include <optional>
#include <utility>

#include "proxy/flights.h"
#include "proxy/vary_key.h"
#include "rfc9111/conditions.h"
#include "rfc9111/fields.h"
#include "rfc9111/ranges.h"
#include "rfc9111/reasons.h"
#include "upstream/message.h"

namespace holdfast::proxy {
namespace {

using upstream::FetchResult;
using upstream::Outcome;

// Whether it says for certain which part it is, and can be put to others (RFC 9111, 3.3 and 3.4).
bool is_part(const cache::StoredResponse& partial, bool lenient) {
  const auto said = rfc9111::find_line(partial.fields, "content-range");
  const auto range =
      said ? rfc9111::content_range_of(*said, partial.body.size(), lenient) : std::nullopt;
  return range && range->complete && (lenient || rfc9111::is_strong_tag(partial.upstream_etag));
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

// It is not kept for what its request says, so that it says nothing of what others get.
bool is_askers_own(std::string_view not_stored) {
  return not_stored == rfc9111::word(rfc9111::Reason::Authorization);
}

}  // namespace

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
  std::string_view not_stored = storable.not_stored;
  if (keeps_nothing(flight)) {
    // What is there now, if anything, came after the purge, or is by the rules of today.
    if (storable.stored) not_stored = rfc9111::word(rfc9111::Reason::Purged);
  } else if (storable.stored) {
    stored = keep_http(flight.route, *flight.asked, flight.stored, storable);
  } else if (flight.stored && upstream::is_negative(result.reply.status)) {
    forget_variant(flight.route, *flight.asked, flight.key, *flight.stored);
  } else if (flight.stored && result.reply.status < 400 && !is_askers_own(not_stored)) {
    keep_for_errors(flight);
  }
  if (storable.may_share && !flight.purged) {
    unshared_.succeeded(flight.key);
    send_on_others(flight, storable.vary);
  } else {
    if (!flight.purged) {
      const std::string_view word = storable.not_stored.empty()
                                        ? rfc9111::word(rfc9111::Reason::NotFresh)
                                        : storable.not_stored;
      unshared_.failed(flight.key, parts_.loop.now(), random_, word);
    }
    send_on_alone(flight);
  }

  HttpAnswers answers;
  Answer& answer = answers.first;
  answer = fetched(flight, result, storable.answer);
  answer.may_store = storable.stored != nullptr;
  answer.not_stored = not_stored;
  answer.not_reused = flight.not_reused;
  answer.stored = stored;
  answer.other_variant = flight.other_variant;
  answers.others = answer;
  answers.others.not_reused = {};
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

}  // namespace holdfast::proxy
