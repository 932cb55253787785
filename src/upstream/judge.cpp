#include "upstream/judge.h"

#include <algorithm>

namespace holdfast::upstream {
namespace {

std::string_view without_weakness(std::string_view etag) {
  return etag.starts_with("W/") ? etag.substr(2) : etag;
}

// Whether it is one of a list of entity tags, compared weakly (RFC 9110, 8.8.3.2 and 13.1.2). Only
// between quotes a comma is part of one.
bool lists(std::string_view tags, std::string_view etag) {
  etag = without_weakness(etag);
  while (!tags.empty()) {
    const std::size_t begin = tags.find('"');
    if (begin == tags.npos) return false;
    const std::size_t end = tags.find('"', begin + 1);
    if (end == tags.npos) return false;
    if (tags.substr(begin, end + 1 - begin) == etag) return true;
    tags.remove_prefix(end + 1);
  }
  return false;
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
    case 301:
    case 302:
    case 303:
    case 307:
    case 308:
      return Outcome::Redirected;
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

// A value of the upstream's, for a log: short and printable. What follows a question mark
// or a hash may be meant for somebody's eyes only.
std::string shown(std::string_view value) {
  constexpr std::size_t kLongest = 200;
  std::string text(value.substr(0, std::min(value.find_first_of("?#"), kLongest)));
  for (char& c : text) {
    if (c < 0x20 || c > 0x7e) c = '?';
  }
  return text;
}

// What decided: the status, and the field if it was one.
std::string grounds(const Reply& reply, Outcome outcome) {
  std::string text = "status " + std::to_string(reply.status);
  const auto tell = [&](const char* name) {
    if (const std::string* value = find_field(reply.fields, name)) {
      text.append(", ").append(name).append(": ").append(shown(*value));
    }
  };
  if (outcome == Outcome::Redirected) tell("Location");
  if (outcome == Outcome::InvalidBody) tell("Content-Type");
  // Its value differs from one to the next of the same kind.
  if (reply.retry_after) text += " with Retry-After";
  return text;
}

Verdict judge_transport(const Reply& reply) {
  if (reply.status == 0) return {reply.transport, reply.detail};
  return {reply.transport, "status " + std::to_string(reply.status) + ": " + reply.detail};
}

}  // namespace

Verdict judge(const Request& request, const Reply& reply,
              const std::function<Verdict(const Reply&)>& validate,
              const std::function<Verdict(const Reply&)>& validate_large) {
  if (is_too_large(reply) && validate_large &&
      outcome_of_status(request, reply.status, reply.fields) == Outcome::Ok) {
    Verdict verdict = validate_large(reply);
    if (verdict.outcome != Outcome::Ok) {
      verdict.reason = grounds(reply, verdict.outcome) + ": " + verdict.reason;
    }
    return verdict;
  }
  if (reply.transport != Outcome::Ok) return judge_transport(reply);
  const Outcome outcome = outcome_of_status(request, reply.status, reply.fields);
  // A balancer without backends says 404 of everything, so it takes the API's own word.
  if ((outcome == Outcome::Ok || is_negative(reply.status)) && validate) {
    Verdict verdict = validate(reply);
    if (verdict.outcome != Outcome::Ok) {
      verdict.reason = grounds(reply, verdict.outcome) + ": " + verdict.reason;
      return verdict;
    }
  }
  const bool fine = outcome == Outcome::Ok || outcome == Outcome::NotModified;
  return {outcome, fine ? std::string() : grounds(reply, outcome)};
}

bool is_callers(const Reply& reply) {
  const bool final = reply.status >= 200 && reply.status < 600 && reply.status != 304;
  const bool about_token = reply.with_token && (reply.status == 401 || reply.status == 403);
  return reply.transport == Outcome::Ok && final && !about_token;
}

bool is_too_large(const Reply& reply) {
  return reply.transport == Outcome::TooLarge && reply.status != 0;
}

Verdict judge_any(const Request& request, const Reply& reply,
                  const std::function<Verdict(const Reply&)>& validate) {
  if (is_too_large(reply)) {
    Reply head = {.status = reply.status};
    head.with_token = reply.with_token;
    if (is_callers(head)) return {};
  }
  if (reply.transport != Outcome::Ok) return judge_transport(reply);
  if (reply.status == 304) {
    const std::string* const named = find_field(request.fields, "If-None-Match");
    const std::string* const etag = find_field(reply.fields, "ETag");
    const bool one_of = named != nullptr && etag != nullptr && lists(*named, *etag);
    if (one_of || confirms(request, reply.fields)) return {Outcome::NotModified, {}};
  }
  if (!is_callers(reply)) {
    const bool about_token = reply.status == 401 || reply.status == 403;
    const Outcome outcome = about_token ? Outcome::Unauthorized : Outcome::Unexpected;
    return {outcome, grounds(reply, outcome)};
  }
  if (!validate) return judge_passed(reply);
  Verdict verdict = validate(reply);
  if (verdict.outcome == Outcome::Ok) return verdict;
  const std::string reason = grounds(reply, verdict.outcome);
  verdict.reason = verdict.reason.empty() ? reason : reason + ": " + verdict.reason;
  return verdict;
}

Verdict judge_passed(const Reply& reply) {
  if (reply.transport != Outcome::Ok) return judge_transport(reply);
  const Outcome outcome = reply.status >= 500   ? Outcome::ServerError
                          : reply.status == 429 ? Outcome::RateLimited
                          : reply.status >= 400 ? Outcome::ClientError
                                                : Outcome::Ok;
  return {outcome, outcome == Outcome::Ok ? std::string() : grounds(reply, outcome)};
}

bool is_whole(const Reply& reply) {
  // Of InvalidBody it is the coding that nobody here can undo.
  return reply.status != 0 &&
         (reply.transport == Outcome::Ok || reply.transport == Outcome::TooLarge ||
          reply.transport == Outcome::InvalidBody);
}

// What may have been broken off is none: the rules would refuse it for just that.
bool is_invalid(Outcome outcome, const Reply& reply) {
  const bool refused = outcome == Outcome::InvalidBody || outcome == Outcome::WrongContent;
  return refused && reply.transport == Outcome::Ok && !reply.open_ended && reply.status >= 200 &&
         reply.status < 300;
}

bool is_broken_off(const Reply& reply) {
  return !reply.unreadable &&
         (reply.transport == Outcome::Reset || reply.transport == Outcome::Truncated);
}

bool is_refusal(Outcome outcome, const Reply& reply) {
  return outcome == Outcome::RateLimited || (reply.status == 503 && reply.retry_after.has_value());
}

Verdict judge_probe(const Request& request, const Reply& reply) {
  const bool good = reply.transport == Outcome::Ok && reply.status >= 200 && reply.status < 300;
  if (good) return {};
  Verdict verdict = judge(request, reply, {});
  // To a maintenance page, maybe; of where clients' requests belong it says nothing.
  if (verdict.outcome == Outcome::Redirected) verdict.outcome = Outcome::Unexpected;
  return verdict;
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
      outcome == Outcome::Certificate || outcome == Outcome::Redirected ||
      outcome == Outcome::Local || outcome == Outcome::Cancelled) {
    return Sign::None;
  }
  return Sign::Bad;
}

}  // namespace holdfast::upstream
