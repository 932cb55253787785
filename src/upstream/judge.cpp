#include "upstream/judge.h"

namespace holdfast::upstream {
namespace {

std::string_view without_weakness(std::string_view etag) {
  return etag.starts_with("W/") ? etag.substr(2) : etag;
}

// Whether a 304 is about what the request's validator names (RFC 9111, 4.3.4). A
// server that lost track, or a cache on the way that mixed up two representations,
// would otherwise have us keep one content under the validator of another.
bool confirms(const Request& request, const Fields& fields) {
  const std::string* named = find_field(request.fields, "If-None-Match");
  const std::string* since = find_field(request.fields, "If-Modified-Since");
  if (const std::string* etag = find_field(fields, "ETag")) {
    // RFC 9110, 13.1.2: compared weakly. What has no entity tag of its own is not
    // what a strong one stands for.
    return named ? without_weakness(*named) == without_weakness(*etag)
                 : since && etag->starts_with("W/");
  }
  const std::string* modified = find_field(fields, "Last-Modified");
  if (since && modified) return *since == *modified;
  return named || since;
}

Outcome outcome_of_status(const Request& request, int status, const Fields& fields) {
  switch (status) {
    case 204:
    case 205:
    case 206:
      return Outcome::Unexpected;
    case 304:
      return confirms(request, fields) ? Outcome::NotModified : Outcome::Unexpected;
    case 401:
    case 403:
      return Outcome::Unauthorized;
    case 408:  // the server gave up waiting for a request that we did send
    case 425:
      return Outcome::Unexpected;
    case 429:
      return Outcome::RateLimited;
    default:
      break;
  }
  if (status >= 200 && status < 300) return Outcome::Ok;
  if (status >= 400 && status < 500) return Outcome::ClientError;
  if (status >= 500 && status < 600) return Outcome::ServerError;
  return Outcome::Unexpected;
}

}  // namespace

Verdict judge(const Request& request, const Reply& reply,
              const std::function<Verdict(const Reply&)>& validate) {
  if (reply.transport != Outcome::Ok) return {reply.transport, reply.detail};
  const Outcome outcome = outcome_of_status(request, reply.status, reply.fields);
  if (!validate) return {outcome, {}};
  if (outcome == Outcome::Ok) return validate(reply);
  if (is_negative(reply.status)) {
    // A balancer without backends says 404 of everything, so it takes the API's own word.
    Verdict verdict = validate(reply);
    if (verdict.outcome != Outcome::Ok) return verdict;
  }
  return {outcome, {}};
}

bool is_whole(const Reply& reply) {
  return reply.status != 0 &&
         (reply.transport == Outcome::Ok || reply.transport == Outcome::TooLarge);
}

bool is_negative(int status) {
  return status == 404 || status == 410;
}

Verdict judge_probe(const Request& request, const Reply& reply) {
  const bool good = reply.transport == Outcome::Ok && reply.status >= 200 && reply.status < 300;
  return good ? Verdict{} : judge(request, reply, {});
}

bool is_answer(Outcome outcome) {
  return outcome == Outcome::Ok || outcome == Outcome::NotModified ||
         outcome == Outcome::ClientError;
}

bool is_connect_failure(Outcome outcome) {
  return outcome == Outcome::Connect || outcome == Outcome::ConnectTimeout ||
         outcome == Outcome::Dns || outcome == Outcome::Tls || outcome == Outcome::TlsTimeout ||
         outcome == Outcome::Certificate;
}

Sign sign_of(Outcome outcome) {
  if (is_answer(outcome)) return Sign::Good;
  if (outcome == Outcome::RateLimited || outcome == Outcome::Unauthorized ||
      outcome == Outcome::Certificate || outcome == Outcome::Cancelled) {
    return Sign::None;
  }
  return Sign::Bad;
}

}  // namespace holdfast::upstream
