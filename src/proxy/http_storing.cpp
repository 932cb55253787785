#include "proxy/http_storing.h"

#include <utility>
#include <vector>

#include "base/http_date.h"
#include "cache/freshness.h"
#include "proxy/cache_tags.h"
#include "rfc9111/fields.h"
#include "rfc9111/reasons.h"

namespace holdfast::proxy {
namespace {

rfc9111::Policy rules_of(const StoringPolicy& policy) {
  rfc9111::Policy rules;
  rules.targeted = policy.http.targeted;
  rules.stale_if_error = policy.stale_if_error;
  switch (policy.set_cookie) {
    case StoringPolicy::SetCookie::Pass:
      rules.set_cookie = rfc9111::Policy::SetCookie::Pass;
      break;
    case StoringPolicy::SetCookie::Strip:
      rules.set_cookie = rfc9111::Policy::SetCookie::Strip;
      break;
    case StoringPolicy::SetCookie::Store:
      rules.set_cookie = rfc9111::Policy::SetCookie::Store;
      break;
  }
  return rules;
}

// What goes to no client: each answer has one of its own request.
std::vector<std::string> removed(const StoringPolicy& policy) {
  std::vector<std::string> names = policy.fields_removed;
  names.emplace_back("x-request-id");
  if (policy.set_cookie == StoringPolicy::SetCookie::Strip) names.emplace_back("set-cookie");
  return names;
}

void set_times(cache::StoredParts& parts, const rfc9111::Judged& judged, base::WallTime received) {
  parts.response_time = received;
  parts.initial_age = judged.initial_age;
  parts.freshness_lifetime = judged.freshness_lifetime;
  parts.stale_while_revalidate = judged.stale_while_revalidate;
  parts.stale_if_error = judged.stale_if_error;
}

void set_validators(cache::StoredParts& parts) {
  parts.upstream_etag = rfc9111::find_line(parts.fields, "etag").value_or("");
  parts.upstream_last_modified = rfc9111::find_line(parts.fields, "last-modified").value_or("");
}

void note_vary(const upstream::Fields& fields, VaryNames& names) {
  for (const upstream::Field& field : fields) {
    if (upstream::is_field(field, "Vary")) names.add(field.value);
  }
}

// What is kept of `parts`, and what the one who asked gets.
HttpStorable storable(cache::StoredParts parts, const rfc9111::Judged& judged, VaryNames vary,
                      base::WallTime received) {
  HttpStorable made;
  made.vary = std::move(vary);
  made.not_stored = judged.not_stored;
  if (made.not_stored.empty() && made.vary.any()) {
    made.not_stored = rfc9111::word(rfc9111::Reason::VaryStar);
  }
  made.answer = cache::make_stored(parts);
  if (!made.not_stored.empty()) return made;
  made.stored = made.answer;
  if (!judged.withheld.empty()) {
    parts.fields = rfc9111::end_to_end_lines(rfc9111::fields_of(parts.fields), judged.withheld);
    set_validators(parts);
    made.stored = cache::make_stored(std::move(parts));
  }
  made.may_share = cache::freshness(*made.stored, received).use == cache::Use::Fresh;
  return made;
}

}  // namespace

rfc9111::RequestFacts facts_of(const Asked& asked) {
  rfc9111::RequestFacts facts;
  facts.authorization = asked.authorization;
  facts.no_store = asked.wanted.no_store;
  return facts;
}

HttpStorable make_http_storable(const upstream::Reply& reply, const rfc9111::RequestFacts& request,
                                const StoringPolicy& policy, base::WallTime received,
                                std::uint64_t seen) {
  const rfc9111::Judged judged = rfc9111::judge(reply.status, reply.fields, request,
                                                rules_of(policy), received, reply.duration);
  cache::StoredParts parts;
  parts.kind = cache::Kind::Verbatim;
  parts.status = reply.status;
  parts.fields = rfc9111::end_to_end_lines(reply.fields, removed(policy));
  rfc9111::add_date_if_absent(parts.fields, received);
  parts.body = reply.body;
  set_validators(parts);
  set_times(parts, judged, received);
  CacheTags tags = cache_tags_of(reply.fields, policy.tags);
  parts.tags = tags.take();
  parts.seen = seen;
  VaryNames vary;
  note_vary(reply.fields, vary);
  HttpStorable made = storable(std::move(parts), judged, std::move(vary), received);
  made.tags_left_out = tags.left_out();
  return made;
}

HttpStorable freshen_http(const cache::StoredResponse& stored, std::string_view key,
                          const upstream::Reply& reply, const rfc9111::RequestFacts& request,
                          const StoringPolicy& policy, base::WallTime received,
                          std::uint64_t seen) {
  cache::StoredParts parts = stored;
  upstream::Fields update = reply.fields;
  // Without a Date it is of now (RFC 9110, 6.6.1), and not of when the content came.
  if (upstream::find_field(update, "Date") == nullptr) {
    update.push_back({"Date", base::format_http_date(received)});
  }
  parts.fields = rfc9111::merged(stored.fields, update, removed(policy));
  set_validators(parts);
  upstream::Fields fields = rfc9111::fields_of(parts.fields);
  // Of the way that the 304 took, and so not kept.
  if (const std::string* age = upstream::find_field(reply.fields, "Age")) {
    fields.push_back({"Age", *age});
  }
  const rfc9111::Judged judged =
      rfc9111::judge(stored.status, fields, request, rules_of(policy), received, reply.duration);
  set_times(parts, judged, received);
  std::size_t left_out = 0;
  if (has_cache_tags(reply.fields)) {
    CacheTags tags = cache_tags_of(fields, policy.tags);
    parts.tags = tags.take();
    left_out = tags.left_out();
  }
  parts.seen = seen;
  // What is stored need not have its Vary: the route may keep that from clients.
  VaryNames vary;
  if (upstream::find_field(reply.fields, "Vary") != nullptr) {
    note_vary(reply.fields, vary);
  } else {
    vary.add(variant_names(key));
  }
  HttpStorable made = storable(std::move(parts), judged, std::move(vary), received);
  made.tags_left_out = left_out;
  return made;
}

bool is_meant_to_be_stored(const upstream::Reply& reply, const rfc9111::RequestFacts& request,
                           const StoringPolicy& policy, base::WallTime received) {
  const rfc9111::Judged judged = rfc9111::judge(reply.status, reply.fields, request,
                                                rules_of(policy), received, reply.duration);
  return judged.not_stored.empty() && judged.freshness_lifetime > judged.initial_age;
}

cache::StoredPtr make_verbatim(const upstream::Reply& reply, const StoringPolicy& policy,
                               base::WallTime received) {
  cache::StoredParts parts;
  parts.kind = cache::Kind::Verbatim;
  parts.status = reply.status;
  parts.fields = rfc9111::end_to_end_lines(reply.fields, removed(policy));
  rfc9111::add_date_if_absent(parts.fields, received);
  parts.body = reply.body;
  parts.response_time = received;
  set_validators(parts);
  return cache::make_stored(std::move(parts));
}

cache::StoredPtr make_verbatim_unstored(const upstream::Reply& reply, const StoringPolicy& policy,
                                        base::WallTime received) {
  StoringPolicy without = policy;
  for (const char* name : {"cache-control", "expires", "pragma"}) {
    without.fields_removed.emplace_back(name);
  }
  without.fields_removed.insert(without.fields_removed.end(), policy.http.targeted.begin(),
                                policy.http.targeted.end());
  cache::StoredParts parts = *make_verbatim(reply, without, received);
  parts.fields += "Cache-Control: no-store\r\n";
  return cache::make_stored(std::move(parts));
}

}  // namespace holdfast::proxy
