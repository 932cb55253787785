#include "upstream/judge.h"

namespace holdfast::upstream {
namespace {

Outcome outcome_of_status(const Request& request, int status) {
  switch (status) {
    case 204:
    case 205:
    case 206:
      return Outcome::Unexpected;
    case 304: {
      const bool conditional = find_field(request.fields, "If-None-Match") != nullptr ||
                               find_field(request.fields, "If-Modified-Since") != nullptr;
      return conditional ? Outcome::NotModified : Outcome::Unexpected;
    }
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
  const Outcome outcome = outcome_of_status(request, reply.status);
  if (outcome == Outcome::Ok && validate) return validate(reply);
  return {outcome, {}};
}

bool is_answer(Outcome outcome) {
  return outcome == Outcome::Ok || outcome == Outcome::NotModified ||
         outcome == Outcome::ClientError;
}

bool is_connect_failure(Outcome outcome) {
  return outcome == Outcome::Connect || outcome == Outcome::Dns || outcome == Outcome::Tls;
}

Sign sign_of(Outcome outcome) {
  if (is_answer(outcome)) return Sign::Good;
  if (outcome == Outcome::RateLimited || outcome == Outcome::Unauthorized ||
      outcome == Outcome::Cancelled) {
    return Sign::None;
  }
  return Sign::Bad;
}

}  // namespace holdfast::upstream
