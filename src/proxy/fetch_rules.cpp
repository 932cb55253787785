#include "proxy/fetch_rules.h"

#include <utility>

#include "http/field_syntax.h"
#include "proxy/http_storing.h"
#include "proxy/passed_fields.h"
#include "proxy/trace_context.h"
#include "upstream/reply_content.h"

namespace holdfast::proxy {
namespace {

using upstream::Outcome;

// They are held against what comes, here.
bool is_precondition(std::string_view name) {
  return http::equals_ignoring_case(name, "if-none-match") ||
         http::equals_ignoring_case(name, "if-modified-since") ||
         http::equals_ignoring_case(name, "if-range") || http::equals_ignoring_case(name, "range");
}

// The client would take more, but nobody here could judge it. What it takes selects a stored
// response as ever.
void ask_for_codings_to_undo(upstream::Fields& fields) {
  const auto is_it = [](const upstream::Field& field) {
    return upstream::is_field(field, "Accept-Encoding");
  };
  for (upstream::Field& field : fields) {
    if (is_it(field)) field.value = upstream::codings_to_undo(field.value);
  }
  std::erase_if(fields, [&](const upstream::Field& field) {
    return is_it(field) && field.value.empty();  // none at all: identity is asked for
  });
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

}  // namespace

upstream::FetchRequest fetch_request(Route& route, const std::string& key,
                                     const upstream::Fields& beside, RouteHold hold) {
  upstream::FetchRequest request;
  request.request = route.upstream_request(key, beside);
  // They may be asked after the flight's end.
  request.validate = [&route, hold, key](const upstream::Reply& reply) {
    return route.validate(key, reply);
  };
  if (route.passes_large()) {
    request.request.body_limit_bytes = route.plan().body.max_body_bytes;
    request.validate_large = [&route, hold = std::move(hold)](const upstream::Reply& reply) {
      return route.validate_head(reply, upstream::stated_length(reply.fields));
    };
  }
  return request;
}

AskedPtr make_asked(const http::Request& request, const Route& route, std::string key,
                    base::Random& random) {
  using http::Known;
  auto asked = std::make_shared<Asked>(request, std::move(key));
  const upstream::Fields trace =
      continued_trace(request.field(Known::Traceparent), request.field(Known::Tracestate), random);
  asked->upstream = route.upstream_request(asked->key, trace);
  const upstream::Fields of_route = std::exchange(asked->upstream.fields, {});
  asked->upstream.fields = passed_request_fields(request, route.plan(), of_route);
  if (route.plan().body.reads_content()) ask_for_codings_to_undo(asked->upstream.fields);
  asked->ambiguous = is_ambiguous(asked->upstream.fields, of_route);
  std::erase_if(asked->upstream.fields,
                [](const upstream::Field& field) { return is_precondition(field.name); });
  asked->authorization = upstream::find_field(asked->upstream.fields, "Authorization") != nullptr;
  return asked;
}

upstream::FetchRequest http_fetch_request(Route& route, const std::string& key,
                                          const AskedPtr& asked, const base::Clock& clock,
                                          HttpFetch more, RouteHold hold) {
  upstream::FetchRequest request;
  request.request = asked->upstream;
  request.request.verbatim = true;
  request.request.lenient_transfer_coding = route.plan().storing.http.lenient_transfer_coding;
  request.request.body_limit_bytes = route.plan().body.max_body_bytes;
  request.any_status = true;
  request.validate = [&route, hold = std::move(hold), key, asked, more = std::move(more),
                      &clock](const upstream::Reply& reply) {
    if (reply.status == 206 && !more.ranged) {
      return upstream::Verdict{Outcome::Unexpected, "status 206 to a request without Range"};
    }
    upstream::Verdict verdict = judge_http(reply, *asked, route.plan().storing, clock.wall());
    if (verdict.outcome != Outcome::Ok && more.refused) more.refused();
    const bool has_rules = reply.status == 200 || reply.status == 203;
    return verdict.outcome == Outcome::Ok && has_rules ? route.validate(key, reply) : verdict;
  };
  return request;
}

}  // namespace holdfast::proxy
