#include "proxy/decided.h"

#include "http/cache_control.h"
#include "proxy/asked.h"
#include "proxy/flights.h"
#include "proxy/passed_fields.h"
#include "rfc9111/reasons.h"

namespace holdfast::proxy {
namespace {

using http::Method;
using rfc9111::Reason;

// A resilient route hears these two of a client (http/cache_control.h), and no other.
std::vector<Reason> of_resilient(const http::Request& request) {
  std::vector<Reason> reasons;
  const auto wanted = http::parse_request_cache_control(request.field(http::Known::CacheControl));
  if (wanted.min_fresh > std::chrono::seconds(0)) reasons.push_back(Reason::ClientMinFresh);
  if (wanted.only_if_cached) reasons.push_back(Reason::OnlyIfCached);
  return reasons;
}

std::vector<Reason> of_http(const http::Request& request, const Route& route,
                            std::string_view key) {
  std::vector<Reason> reasons;
  const HttpFields read(request);
  const upstream::Fields of_route = route.upstream_request(key).fields;
  const upstream::Fields passed = passed_request_fields(request, route.plan(), of_route);
  const auto add = [&reasons](bool is_so, Reason reason) {
    if (is_so) reasons.push_back(reason);
  };
  const rfc9111::RequestDirectives& wanted = read.wanted;
  add(read.origins_precondition, Reason::Precondition);
  add(wanted.no_store, Reason::ClientNoStore);
  add(is_ambiguous(passed, of_route), Reason::Ambiguous);
  add(request.method == Method::Head, Reason::Method);
  add(upstream::find_field(passed, "Authorization") != nullptr, Reason::Authorization);
  add(!read.range.range.empty(), Reason::Range);
  add(wanted.no_cache, Reason::ClientNoCache);
  add(wanted.max_age.has_value(), Reason::ClientMaxAge);
  add(wanted.min_fresh > std::chrono::seconds(0), Reason::ClientMinFresh);
  add(wanted.only_if_cached, Reason::OnlyIfCached);
  return reasons;
}

}  // namespace

std::vector<Decided> decided_by(const http::Request& request, const Route& route,
                                std::string_view key) {
  std::vector<Reason> reasons;
  if (request.method != Method::Get && request.method != Method::Head) {
    reasons.push_back(Reason::Method);
  } else if (route.plan().storing.http.on) {
    reasons = of_http(request, route, key);
  } else {
    reasons = of_resilient(request);
  }
  std::vector<Decided> decided;
  for (const Reason reason : reasons) {
    decided.push_back({rfc9111::word(reason), rfc9111::meaning(reason)});
  }
  return decided;
}

std::string_view not_reused_for(const cache::Freshness& freshness, std::chrono::seconds min_fresh) {
  const bool usable =
      freshness.use == cache::Use::Fresh || freshness.use == cache::Use::StaleWhileRevalidate;
  return usable && !fresh_enough(freshness, min_fresh) ? rfc9111::word(Reason::ClientMinFresh)
                                                       : std::string_view();
}

std::string_view only_if_cached() {
  return rfc9111::word(Reason::OnlyIfCached);
}

std::string reason_in_words(std::string_view word) {
  std::string text(word);
  const std::string_view meaning = rfc9111::meaning(word);
  if (!meaning.empty()) text.append(": ").append(meaning);
  return text;
}

}  // namespace holdfast::proxy
