#include "rfc9111/storing.h"

#include <algorithm>
#include <array>

#include "base/http_date.h"
#include "http/field_syntax.h"
#include "rfc9111/directives.h"
#include "rfc9111/fields.h"
#include "rfc9111/reasons.h"

namespace holdfast::rfc9111 {
namespace {

using std::chrono::seconds;

constexpr seconds kMostAge{std::int64_t{1} << 31};  // RFC 9111, 1.2.2
constexpr seconds kLongestGuess = std::chrono::hours(24);

std::optional<base::WallTime> date_in(const upstream::Fields& fields, std::string_view name) {
  const std::string* value = upstream::find_field(fields, name);
  return value ? base::parse_http_date(*value, base::DateCase::Any) : std::nullopt;
}

// RFC 9111, 5.1: the first member, if that is a number.
seconds age_in(const upstream::Fields& fields) {
  std::optional<std::string_view> first;
  for (const upstream::Field& field : fields) {
    if (!upstream::is_field(field, "Age")) continue;
    http::for_each_token(field.value, [&first](std::string_view member) {
      if (!first) first = member;
    });
  }
  if (!first || !std::all_of(first->begin(), first->end(), http::is_digit)) return seconds(0);
  seconds age{0};
  for (const char c : *first) age = std::min(kMostAge, age * 10 + seconds(c - '0'));
  return age;
}

// 4.2.3.
seconds initial_age_of(const upstream::Fields& fields, base::WallTime received,
                       base::Duration response_delay) {
  const seconds delay = std::max(seconds(0), std::chrono::floor<seconds>(response_delay));
  const auto date = date_in(fields, "Date");
  const seconds apparent = date ? std::chrono::floor<seconds>(received - *date) : seconds(0);
  return std::min(kMostAge, std::max(apparent, age_in(fields) + delay));
}

// 4.2.1, without a guess.
std::optional<seconds> stated_lifetime_of(const upstream::Fields& fields,
                                          const ResponseDirectives& directives,
                                          base::WallTime received) {
  if (directives.s_maxage) return directives.s_maxage;
  if (directives.max_age) return directives.max_age;
  if (directives.targeted || !upstream::find_field(fields, "Expires")) return std::nullopt;
  const auto expires = date_in(fields, "Expires");
  if (!expires) return seconds(0);  // malformed, such as "0", means already expired (5.3)
  const auto date = date_in(fields, "Date").value_or(received);
  return std::clamp(std::chrono::floor<seconds>(*expires - date), seconds(0), kMostAge);
}

// 4.2.2.
std::optional<seconds> guessed_lifetime(const upstream::Fields& fields, base::WallTime received) {
  const auto modified = date_in(fields, "Last-Modified");
  if (!modified) return std::nullopt;
  const auto date = date_in(fields, "Date").value_or(received);
  if (*modified > date) return std::nullopt;
  return std::min(kLongestGuess, std::chrono::floor<seconds>((date - *modified) / 10));
}

// Final statuses of RFC 9110, 15, and RFC 6585: what they ask of caches is asked of any, and 206
// and 304 are looked after.
bool is_understood(int status) {
  static constexpr std::array kUnderstood{
      200, 201, 202, 203, 204, 205, 206, 300, 301, 302, 303, 304, 305, 307, 308, 400,
      401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 411, 412, 413, 414, 415, 416,
      417, 421, 422, 426, 428, 429, 431, 500, 501, 502, 503, 504, 505, 511};
  return std::find(kUnderstood.begin(), kUnderstood.end(), status) != kUnderstood.end();
}

bool varies_on_all(const upstream::Fields& fields) {
  return std::any_of(fields.begin(), fields.end(), [](const upstream::Field& field) {
    return upstream::is_field(field, "Vary") && field.value.find('*') != field.value.npos;
  });
}

bool is_withheld(const Judged& judged, std::string_view name) {
  return std::find(judged.withheld.begin(), judged.withheld.end(), name) != judged.withheld.end();
}

bool has_validator(const upstream::Fields& fields, const Judged& judged) {
  return (upstream::find_field(fields, "ETag") && !is_withheld(judged, "etag")) ||
         (upstream::find_field(fields, "Last-Modified") && !is_withheld(judged, "last-modified"));
}

void set_windows(const ResponseDirectives& directives, const Policy& policy, Judged& judged) {
  if (directives.no_cache || directives.must_revalidate || directives.proxy_revalidate) return;
  judged.stale_while_revalidate = directives.stale_while_revalidate.value_or(seconds(0));
  judged.stale_if_error = directives.stale_if_error.value_or(
      directives.s_maxage ? seconds(0) : std::min(kMostAge, policy.stale_if_error));
}

void set_withheld(const upstream::Fields& fields, const ResponseDirectives& directives,
                  const Policy& policy, Judged& judged) {
  judged.withheld = directives.no_cache_fields;
  judged.withheld.insert(judged.withheld.end(), directives.private_fields.begin(),
                         directives.private_fields.end());
  if (policy.set_cookie == Policy::SetCookie::Strip && upstream::find_field(fields, "Set-Cookie")) {
    judged.withheld.emplace_back("set-cookie");
  }
}

// Whether there is any use in keeping it (see judge()).
bool can_be_reused(int status, const upstream::Fields& fields, const ResponseDirectives& directives,
                   const Judged& judged, bool guessed) {
  if (!judged.explicit_lifetime &&
      (status == 206 || !(is_heuristically_cacheable(status) || directives.is_public))) {
    return false;
  }
  if (has_validator(fields, judged)) return true;
  if (!judged.explicit_lifetime && !guessed) return false;
  const seconds window = std::max(judged.stale_while_revalidate, judged.stale_if_error);
  return judged.freshness_lifetime + window > judged.initial_age;
}

std::string_view forbidden_by(int status, const upstream::Fields& fields,
                              const RequestFacts& request, const Policy& policy,
                              const ResponseDirectives& directives, const Judged& judged) {
  const bool as_to_get =
      request.method == "GET" ||
      (request.method == "POST" && request.content_is_target && judged.explicit_lifetime);
  if (!as_to_get) return word(Reason::Method);
  if (status < 200 || status == 304 || status > 599) return word(Reason::Status);
  if (request.no_store) return word(Reason::ClientNoStore);
  // 5.2.2.3: it stands beside a no-store for those who do not know it.
  if (directives.must_understand && !is_understood(status)) return word(Reason::MustUnderstand);
  if (directives.no_store && !directives.must_understand) return word(Reason::NoStore);
  if (directives.is_private) return word(Reason::Private);
  if (request.authorization && !directives.is_public && !directives.s_maxage &&
      !directives.must_revalidate) {
    return word(Reason::Authorization);
  }
  if (policy.set_cookie == Policy::SetCookie::Pass && upstream::find_field(fields, "Set-Cookie") &&
      !is_withheld(judged, "set-cookie")) {
    return word(Reason::SetCookie);
  }
  if (varies_on_all(fields)) return word(Reason::VaryStar);
  return {};
}

}  // namespace

bool is_heuristically_cacheable(int status) {
  static constexpr std::array kStatuses{200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501};
  return std::find(kStatuses.begin(), kStatuses.end(), status) != kStatuses.end();
}

Judged judge(int status, const upstream::Fields& fields, const RequestFacts& request,
             const Policy& policy, base::WallTime received, base::Duration response_delay) {
  const ResponseDirectives directives = response_directives(fields, policy.targeted);
  Judged judged;
  judged.initial_age = initial_age_of(fields, received, response_delay);
  const auto stated = stated_lifetime_of(fields, directives, received);
  const bool may_guess =
      !stated && status != 206 && (is_heuristically_cacheable(status) || directives.is_public);
  const auto guessed = may_guess ? guessed_lifetime(fields, received) : std::nullopt;
  judged.explicit_lifetime = stated.has_value();
  if (!directives.no_cache) {
    judged.freshness_lifetime = stated ? *stated : guessed.value_or(seconds(0));
  }
  set_windows(directives, policy, judged);
  set_withheld(fields, directives, policy, judged);
  judged.not_stored = forbidden_by(status, fields, request, policy, directives, judged);
  if (judged.not_stored.empty() &&
      !can_be_reused(status, fields, directives, judged, guessed.has_value())) {
    judged.not_stored = word(Reason::NoLifetime);
  }
  return judged;
}

}  // namespace holdfast::rfc9111
