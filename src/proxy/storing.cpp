#include "proxy/storing.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <string>

#include "base/http_date.h"
#include "http/cache_control.h"
#include "http/field_syntax.h"
#include "http/problem.h"
#include "proxy/cache_tags.h"
#include "rfc9111/reasons.h"

namespace holdfast::proxy {
namespace {

using rfc9111::Reason;
using std::chrono::seconds;

// What clients get to see of the upstream's fields, besides the ones we compute.
constexpr std::array<std::string_view, 3> kForwarded{"Content-Type", "Content-Language",
                                                     "Last-Modified"};

constexpr std::string_view kNegativeFields = "Content-Type: application/problem+json\r\n";

// RFC 9110, 5.6.7: what the field says, or null if it is absent or malformed.
std::optional<base::WallTime> date_field(const upstream::Fields& fields, std::string_view name) {
  const std::string* value = upstream::find_field(fields, name);
  return value ? base::parse_http_date(*value) : std::nullopt;
}

// The largest age we count to (RFC 9111, 1.2.2), 34 years: a lifetime of our own
// still fits on top of it.
constexpr seconds kLongestAge{std::int64_t{1} << 30};

// RFC 9111, 5.1: the first, if there are several; none if it is malformed.
seconds age_field(const upstream::Fields& fields) {
  const std::string* value = upstream::find_field(fields, "Age");
  if (!value) return seconds(0);
  std::uint32_t age = 0;
  const char* const last = value->data() + std::min(value->find(','), value->size());
  const auto [end, error] = std::from_chars(value->data(), last, age);
  if (end != last) return seconds(0);
  if (error == std::errc::result_out_of_range) return kLongestAge;
  return error == std::errc{} ? std::min(seconds(age), kLongestAge) : seconds(0);
}

http::CacheControl cache_control_of(const upstream::Fields& fields) {
  http::CacheControl directives;
  for (const upstream::Field& field : fields) {
    if (upstream::is_field(field, "Cache-Control")) {
      http::parse_cache_control(field.value, directives);
    }
  }
  return directives;
}

// RFC 9111, 4.2.1, without heuristics: those are the operator's CACHE_TTL.
std::optional<seconds> stated_lifetime(const upstream::Fields& fields,
                                       const http::CacheControl& directives,
                                       base::WallTime received) {
  if (directives.no_cache) return seconds(0);
  if (directives.s_maxage) return directives.s_maxage;
  if (directives.max_age) return directives.max_age;
  if (upstream::find_field(fields, "Expires")) {
    const auto expires = date_field(fields, "Expires");
    if (!expires) return seconds(0);  // malformed, such as "0", means already expired (5.3)
    const auto date = date_field(fields, "Date").value_or(received);
    return std::max(seconds(0), std::chrono::floor<seconds>(*expires - date));
  }
  return std::nullopt;
}

// RFC 9111, 4.1: "*", in whichever line, matches no later request.
bool varies_on_anything(const upstream::Fields& fields) {
  return std::any_of(fields.begin(), fields.end(), [](const upstream::Field& field) {
    return upstream::is_field(field, "Vary") && field.value.find('*') != field.value.npos;
  });
}

// What forbids to store an answer, for people and as a word.
struct Forbids {
  const char* by = "";
  std::string_view word;  // empty: nothing does
};

Forbids forbidden_by(const upstream::Reply& reply, const http::CacheControl& directives) {
  if (directives.no_store) return {"Cache-Control: no-store", rfc9111::word(Reason::NoStore)};
  if (directives.is_private) return {"Cache-Control: private", rfc9111::word(Reason::Private)};
  if (varies_on_anything(reply.fields)) return {"Vary: *", rfc9111::word(Reason::VaryStar)};
  return {};
}

seconds scaled(seconds lifetime, double factor) {
  return seconds(static_cast<seconds::rep>(static_cast<double>(lifetime.count()) * factor));
}

// The lifetime that was stays, where a 304 states none; none if it is longer than one of
// ours would be. What is kept does not tell ours from those the upstream stated: such a
// one is stated, or from before CACHE_TTL was lowered, and ours is the safe one. What
// could be ours is taken for that, so it counts from the arrival, whatever the `age`.
std::optional<seconds> kept_lifetime(const cache::StoredParts& before, seconds own, seconds age,
                                     const StoringPolicy& policy) {
  const seconds from_arrival = before.freshness_lifetime - before.initial_age;
  if (from_arrival > scaled(own, 1.0 + policy.jitter)) return std::nullopt;
  if (from_arrival < scaled(own, 1.0 - policy.jitter)) return before.freshness_lifetime;
  return from_arrival + age;
}

// A 203's is that of a 200 unless it has its own; a 304's is that of what it freshens.
seconds own_lifetime(const StoringPolicy& policy, int stored_status, int reply_status) {
  for (const int status : {reply_status, stored_status}) {
    const auto found = policy.ttl_by_status.find(status);
    if (found != policy.ttl_by_status.end()) return found->second;
  }
  return stored_status == 200 ? policy.ttl : policy.negative_ttl;
}

// Fills in everything about time. Returns what forbids to store it. `before` is what a
// 304 freshens: what that does not say stays as it was (RFC 9111, 3.2); null for a 200.
Forbids set_lifetimes(cache::StoredParts& parts, const upstream::Reply& reply,
                      const StoringPolicy& policy, base::WallTime received, base::Random& random,
                      const cache::StoredParts* before) {
  const http::CacheControl directives = cache_control_of(reply.fields);
  const bool negative = parts.status != 200;
  const seconds own = own_lifetime(policy, parts.status, reply.status);
  const auto stated =
      policy.ttl_override ? std::nullopt : stated_lifetime(reply.fields, directives, received);

  parts.response_time = received;
  // RFC 9111, 4.2.3: corrected_age_value = age_value + response_delay, which is that of
  // the attempt. Rounded down, as the time in the cache is: rounded up, a max-age=1 would
  // never be fresh.
  parts.initial_age = age_field(reply.fields) + std::chrono::floor<seconds>(reply.duration);
  const auto lifetime_before = before && !policy.ttl_override
                                   ? kept_lifetime(*before, own, parts.initial_age, policy)
                                   : std::nullopt;
  if (stated) {
    // RFC 9111, 4.2.3. Lifetimes of our own count from the arrival: there an
    // upstream's wrong clock must not make everything stale.
    const auto date = date_field(reply.fields, "Date");
    const seconds apparent =
        date ? std::max(seconds(0), std::chrono::floor<seconds>(received - *date)) : seconds(0);
    parts.initial_age = std::max(parts.initial_age, apparent);
    // Only what is left is spread, or an answer that comes with an Age could come stale.
    const seconds left = std::max(seconds(0), *stated - parts.initial_age);
    parts.freshness_lifetime = *stated - scaled(left, policy.jitter * random.uniform());
  } else if (lifetime_before) {
    parts.freshness_lifetime = *lifetime_before;
  } else {
    const double factor = 1.0 + policy.jitter * (2.0 * random.uniform() - 1.0);
    // An Age the upstream did state is shown, and does not shorten our own lifetime.
    // It is counted in whole seconds, and a second is not to become none.
    parts.freshness_lifetime =
        std::max(scaled(own, factor), std::min(own, seconds(1))) + parts.initial_age;
  }

  const bool strict = !policy.ttl_override && (directives.no_cache || directives.must_revalidate ||
                                               directives.proxy_revalidate);
  parts.stale_while_revalidate = seconds(0);
  parts.stale_if_error = seconds(0);
  // A negative answer that has expired is asked for again: it says too little to
  // be worth keeping for days.
  if (!strict && !negative) {
    const auto* const kept = upstream::find_field(reply.fields, "Cache-Control") ? nullptr : before;
    const auto set_window = [&](auto window, std::optional<seconds> said, seconds ours) {
      if (policy.ttl_override) {
        parts.*window = ours;
      } else if (kept) {
        parts.*window = std::min(kept->*window, ours);
      } else {
        // To a shared cache s-maxage implies proxy-revalidate (RFC 9111, 5.2.2.10); but
        // what the upstream says of stale responses beside it, it must mean as well.
        parts.*window = said.value_or(directives.s_maxage ? seconds(0) : ours);
      }
    };
    set_window(&cache::StoredParts::stale_while_revalidate, directives.stale_while_revalidate,
               policy.stale_while_revalidate);
    set_window(&cache::StoredParts::stale_if_error, directives.stale_if_error,
               policy.stale_if_error);
  }
  // Whose it is, the operator's CACHE_TTL_OVERRIDE says nothing of.
  if (policy.set_cookie == StoringPolicy::SetCookie::Pass &&
      upstream::find_field(reply.fields, "Set-Cookie")) {
    return {"Set-Cookie", rfc9111::word(Reason::SetCookie)};
  }
  if (policy.ttl_override) return {};
  return forbidden_by(reply, directives);
}

Storable storable(cache::StoredParts parts, const Forbids& forbids, std::size_t tags_left_out) {
  return {cache::make_stored(std::move(parts)), forbids.word.empty(), forbids.by, forbids.word,
          tags_left_out};
}

// Returns how many tags were left out.
std::size_t set_tags(cache::StoredParts& parts, const upstream::Fields& fields,
                     const StoringPolicy& policy, std::uint64_t seen) {
  CacheTags tags = cache_tags_of(fields, policy.tags);
  parts.tags = tags.take();
  parts.seen = seen;
  return tags.left_out();
}

// What forwarded_fields() made `lines` of.
upstream::Fields fields_of(std::string_view lines) {
  upstream::Fields fields;
  while (!lines.empty()) {
    const std::string_view line = lines.substr(0, lines.find("\r\n"));
    const std::size_t name = std::min(line.find(": "), line.size());
    fields.push_back({std::string(line.substr(0, name)),
                      std::string(line.substr(std::min(name + 2, line.size())))});
    lines.remove_prefix(std::min(line.size() + 2, lines.size()));
  }
  return fields;
}

void set_validators(cache::StoredParts& parts, const upstream::Fields& fields) {
  if (const auto* etag = upstream::find_field(fields, "ETag")) parts.upstream_etag = *etag;
  if (const auto* modified = upstream::find_field(fields, "Last-Modified")) {
    parts.upstream_last_modified = *modified;
  }
}

// A value that could end the field line would let the upstream write our answer.
bool is_field_value(std::string_view value) {
  return std::none_of(value.begin(), value.end(), http::is_forbidden_control);
}

// Said of this connection alone, so it ends here (RFC 9110, 7.6.1).
bool is_hop_by_hop(const upstream::Fields& fields, std::string_view name) {
  bool nominated = false;
  for (const upstream::Field& field : fields) {
    if (!upstream::is_field(field, "Connection")) continue;
    http::for_each_token(field.value, [&](std::string_view option) {
      nominated = nominated || upstream::is_field({std::string(option), {}}, name);
    });
  }
  return nominated;
}

bool is_json_type(std::string_view type) {
  const std::string_view essence = type.substr(0, type.find(';'));
  return essence.find("json") != essence.npos;
}

bool is_removed(const StoringPolicy& policy, std::string_view name) {
  return std::any_of(
      policy.fields_removed.begin(), policy.fields_removed.end(),
      [name](const std::string& removed) { return http::equals_ignoring_case(name, removed); });
}

// Each in its line: they are no list (RFC 6265, 3).
void append_cookies(const upstream::Fields& fields, std::string& lines) {
  for (const upstream::Field& field : fields) {
    if (!upstream::is_field(field, "Set-Cookie") || !is_field_value(field.value)) continue;
    lines.append("Set-Cookie: ").append(field.value).append("\r\n");
  }
}

std::string forwarded_fields(const upstream::Fields& fields, const StoringPolicy& policy) {
  std::string lines;
  for (const std::string_view name : kForwarded) {
    if (is_removed(policy, name)) continue;
    const std::string* value =
        is_hop_by_hop(fields, name) ? nullptr : upstream::find_field(fields, name);
    std::string_view shown = value && is_field_value(*value) ? std::string_view(*value) : "";
    if (name == "Content-Type" && policy.is_json && !is_json_type(shown)) {
      shown = "application/json";
    }
    if (shown.empty()) continue;
    lines.append(name).append(": ").append(shown).append("\r\n");
  }
  if (policy.set_cookie == StoringPolicy::SetCookie::Strip || is_removed(policy, "Set-Cookie")) {
    return lines;
  }
  append_cookies(fields, lines);
  return lines;
}

// Takes the lines of that name away.
void remove_lines(std::string& lines, std::string_view name) {
  for (std::size_t at = 0; at < lines.size();) {
    const std::size_t end = lines.find("\r\n", at);
    const std::size_t next = end == lines.npos ? lines.size() : end + 2;
    const std::string_view line = std::string_view(lines).substr(at, next - at);
    if (line.starts_with(name) && line.substr(name.size()).starts_with(": ")) {
      lines.erase(at, next - at);
    } else {
      at = next;
    }
  }
}

// What a 304 says of the fields that clients see takes the place of what is stored (RFC 9111, 3.2):
// the Last-Modified is then the one that their If-Modified-Since is compared with. What the content
// was checked as, its Content-Type, stays.
void update_lines(std::string& lines, const upstream::Fields& fields, const StoringPolicy& policy) {
  for (const std::string_view name : kForwarded) {
    const std::string* const value = upstream::find_field(fields, name);
    if (name == "Content-Type" || value == nullptr || is_hop_by_hop(fields, name) ||
        is_removed(policy, name)) {
      continue;
    }
    remove_lines(lines, name);
    if (is_field_value(*value)) lines.append(name).append(": ").append(*value).append("\r\n");
  }
  if (policy.set_cookie != StoringPolicy::SetCookie::Store || is_removed(policy, "Set-Cookie") ||
      upstream::find_field(fields, "Set-Cookie") == nullptr) {
    return;
  }
  remove_lines(lines, "Set-Cookie");
  append_cookies(fields, lines);
}

}  // namespace

Storable make_storable(const upstream::Reply& reply, const StoringPolicy& policy,
                       base::WallTime received, base::Random& random, std::uint64_t seen) {
  cache::StoredParts parts;
  // A 203 whose content was found good is kept as the 200 that it was: its fields and
  // lifetimes mean the same (RFC 9110, 15.3.4).
  parts.status = reply.status == 203 ? 200 : reply.status;
  if (!upstream::is_negative(parts.status) || policy.pass_client_errors) {
    parts.fields = forwarded_fields(reply.fields, policy);
    parts.body = reply.body;
    set_validators(parts, reply.fields);
  } else {
    parts.fields = kNegativeFields;
    parts.body = http::problem_json(reply.status, kNoSuchEntry);
  }
  const std::size_t left_out = set_tags(parts, reply.fields, policy, seen);
  Forbids forbids = set_lifetimes(parts, reply, policy, received, random, nullptr);
  // A 201 or 202 says that what was asked for is elsewhere, or not yet there: of no use later on.
  if (parts.status != 200 && !upstream::is_negative(parts.status)) {
    forbids = {"its status", rfc9111::word(Reason::Status)};
  }
  return storable(std::move(parts), forbids, left_out);
}

std::string shown_fields(const upstream::Fields& fields, const StoringPolicy& policy) {
  return forwarded_fields(fields, policy);
}

cache::StoredPtr make_passed(const upstream::Reply& reply, const StoringPolicy& policy,
                             base::WallTime received, std::uint64_t seen) {
  cache::StoredParts parts;
  set_tags(parts, reply.fields, policy, seen);
  parts.status = reply.status;
  parts.fields = forwarded_fields(reply.fields, policy);
  parts.body = reply.body;
  parts.response_time = received;
  parts.freshness_lifetime = std::min(kClientErrorKept, policy.negative_ttl);
  if (!policy.ttl_override) {
    const auto stated = stated_lifetime(reply.fields, cache_control_of(reply.fields), received);
    const seconds left = stated ? *stated - age_field(reply.fields) : kClientErrorKept;
    parts.freshness_lifetime = std::clamp(left, seconds(0), parts.freshness_lifetime);
  }
  return cache::make_stored(std::move(parts));
}

cache::StoredPtr make_invalid(const upstream::Reply& reply, const StoringPolicy& policy,
                              base::WallTime received, std::uint64_t seen) {
  StoringPolicy as_it_came = policy;
  as_it_came.is_json = false;  // that is not known of it
  cache::StoredParts parts;
  set_tags(parts, reply.fields, policy, seen);
  parts.status = reply.status;
  parts.fields = forwarded_fields(reply.fields, as_it_came);
  parts.body = reply.body;
  parts.response_time = received;
  return cache::make_stored(std::move(parts));
}

std::string_view not_shared(const upstream::Reply& reply, const StoringPolicy& policy) {
  if (policy.set_cookie == StoringPolicy::SetCookie::Pass &&
      upstream::find_field(reply.fields, "Set-Cookie")) {
    return rfc9111::word(Reason::SetCookie);
  }
  return forbidden_by(reply, cache_control_of(reply.fields)).word;
}

Storable freshen(const cache::StoredResponse& stored, const upstream::Reply& reply,
                 const StoringPolicy& policy, base::WallTime received, base::Random& random,
                 std::uint64_t seen) {
  cache::StoredParts parts = stored;
  std::size_t left_out = 0;
  parts.seen = seen;
  if (has_cache_tags(reply.fields)) left_out = set_tags(parts, reply.fields, policy, seen);
  set_validators(parts, reply.fields);
  update_lines(parts.fields, reply.fields, policy);
  const Forbids forbids = set_lifetimes(parts, reply, policy, received, random, &stored);
  // To the one who asked: nothing of it is stored then.
  if (policy.set_cookie == StoringPolicy::SetCookie::Pass && !is_removed(policy, "Set-Cookie")) {
    append_cookies(reply.fields, parts.fields);
  }
  return storable(std::move(parts), forbids, left_out);
}

namespace {

// Whether the route keeps responses as this one is kept.
bool is_kept_so(const Route& route, const cache::StoredResponse& stored) {
  return route.plan().storing.http.on == (stored.kind != cache::Kind::Response);
}

}  // namespace

bool is_right_still(Route& route, std::string_view key, const cache::StoredResponse& stored) {
  if (!is_kept_so(route, stored)) return false;
  if (stored.kind == cache::Kind::Variants) return true;
  // Of the upstream's, only the status is kept then.
  if (upstream::is_negative(stored.status) && !route.plan().storing.pass_client_errors) return true;
  upstream::Reply reply;
  reply.status = stored.status;
  reply.body = stored.body;
  reply.fields = fields_of(stored.fields);
  if (stored.kind == cache::Kind::Verbatim && stored.status != 200) return true;
  const upstream::Outcome outcome = route.validate(key, reply).outcome;
  // For want of memory nothing is known of it; it was right once.
  return outcome == upstream::Outcome::Ok || outcome == upstream::Outcome::Local;
}

std::string objection_to(Route& route, std::string_view key, const cache::StoredResponse& stored) {
  if (!route.is_key(key)) return "the key is none of ours";
  if (!is_kept_so(route, stored)) return "it is kept as the route's mode does not keep any";
  if (stored.kind != cache::Kind::Response) {
    return is_right_still(route, key, stored) ? "" : "no answer for its key";
  }
  const bool negative = upstream::is_negative(stored.status);
  if (!negative && stored.status != 200) {
    return "a " + std::to_string(stored.status) + " is never stored";
  }
  if (negative && !route.plan().storing.pass_client_errors) {
    // Of the upstream's, only the status is kept.
    const bool ours = stored.fields == kNegativeFields &&
                      stored.body == http::problem_json(stored.status, kNoSuchEntry);
    return ours ? "" : "not what is stored of a " + std::to_string(stored.status);
  }
  if (stored.fields != forwarded_fields(fields_of(stored.fields), route.plan().storing)) {
    return "has fields that are never stored, or lacks its Content-Type";
  }
  upstream::Reply reply;
  reply.status = stored.status;
  reply.body = stored.body;
  reply.fields = fields_of(stored.fields);
  const upstream::Verdict verdict = route.validate(key, reply);
  return verdict.outcome == upstream::Outcome::Ok ? "" : "no answer for its key: " + verdict.reason;
}

}  // namespace holdfast::proxy
