#include "proxy/fetch_words.h"

#include <utility>

namespace holdfast::proxy {
namespace {

using upstream::FetchEnd;
using upstream::FetchResult;
using upstream::Outcome;

// How an upstream that is not asked does. It may well answer, only not as it should.
std::string about(const FetchResult& result) {
  return result.last_error_status == 0
             ? "the upstream is down"
             : "the upstream answers, but keeps failing (" + result.last_error + ")";
}

// What the last failure was found by: " (status 503)". Empty if no answer came at all.
std::string grounds(const FetchResult& result) {
  for (auto attempt = result.attempts.rbegin(); attempt != result.attempts.rend(); ++attempt) {
    if (attempt->outcome != result.outcome || attempt->status == 0) continue;
    return attempt->detail.empty() ? std::string() : " (" + attempt->detail + ")";
  }
  return {};
}

// Why asking again cannot help.
const char* refused_text(Outcome outcome) {
  switch (outcome) {
    case Outcome::Certificate:
      return "the upstream's certificate is not accepted";
    case Outcome::Redirected:
      return "the upstream is not where it is configured to be: it redirects";
    default:
      return "the upstream refuses our credentials";
  }
}

// Of a fetch that made attempts until its time was up.
ErrorText error_for_outcome(Outcome outcome) {
  switch (outcome) {
    case Outcome::Timeout:
    case Outcome::Cancelled:
      return {504, "the upstream did not answer in time"};
    case Outcome::Certificate:
    case Outcome::Redirected:
      return {502, refused_text(outcome)};
    case Outcome::Connect:
    case Outcome::ConnectTimeout:
    case Outcome::Dns:
    case Outcome::Tls:
    case Outcome::TlsTimeout:
      return {502, "the upstream cannot be reached"};
    case Outcome::Local:
      return {503, "this proxy lacks descriptors, ports or memory to ask the upstream"};
    case Outcome::RateLimited:
      return {503, "the upstream limits our rate"};
    case Outcome::InvalidBody:
    case Outcome::WrongContent:
    case Outcome::Truncated:
    case Outcome::TooLarge:
      return {502, "the upstream's answers were not valid"};
    default:
      return {502, "the upstream kept failing"};
  }
}

}  // namespace

bool is_forbidden(const FetchResult& result) {
  return result.end == FetchEnd::Refused && result.outcome == Outcome::Unauthorized &&
         result.reply.status == 403 && !result.token_refused;
}

std::string cause_of(const FetchResult& result) {
  std::string cause;
  std::string last;
  int times = 0;
  const auto tell_last = [&] {
    if (times == 0) return;
    cause.append(cause.empty() ? "" : "; ").append(last);
    if (times > 1) cause.append(" (").append(std::to_string(times)).append(" times)");
  };
  for (const upstream::AttemptRecord& attempt : result.attempts) {
    if (attempt.outcome == Outcome::Ok || attempt.outcome == Outcome::Cancelled) continue;
    std::string failure(upstream::to_string(attempt.outcome));
    if (!attempt.detail.empty()) failure.append(": ").append(attempt.detail);
    if (failure != last) {
      tell_last();
      last = std::move(failure);
      times = 0;
    }
    ++times;
  }
  tell_last();
  return cause;
}

ErrorText error_for(const FetchResult& result) {
  switch (result.end) {
    case FetchEnd::BreakerOpen:
      return {503, about(result) + "; it is being probed"};
    case FetchEnd::CrowdedOut:
      return {503, about(result) + ", and too many requests wait for it already"};
    case FetchEnd::StayedDown: {
      // Whatever the attempts met before it was known decides the status.
      const bool unasked = result.attempts_sent == 0 && result.outcome != Outcome::Dns;
      const int status = unasked ? 504 : error_for_outcome(result.outcome).status;
      return {status, result.last_error_status == 0
                          ? "the upstream is down, and was not back in time"
                          : about(result)};
    }
    case FetchEnd::Overloaded:
      return {503, "too many requests are waiting for the upstream"};
    case FetchEnd::Refused:
      if (is_forbidden(result)) {
        return {502, "the upstream refuses this request to us" + grounds(result)};
      }
      return {502, refused_text(result.outcome) + grounds(result)};
    case FetchEnd::TooLarge:
      return {502, "the upstream's answer is too large" + grounds(result)};
    case FetchEnd::Answered:
      return {502, "the upstream refused the request" + grounds(result)};
    case FetchEnd::KeyFails:
      return {502,
              "the upstream answers others, and fails for this one each time" + grounds(result)};
    case FetchEnd::GaveUp:
    case FetchEnd::Deadline:
      break;
  }
  if (result.attempts_sent == 0 && result.outcome == Outcome::Dns) {
    return {502, "the upstream's name cannot be looked up"};
  }
  if (result.attempts_sent == 0) return {504, "no time was left to ask the upstream"};
  ErrorText text = error_for_outcome(result.outcome);
  text.detail += grounds(result);
  return text;
}

}  // namespace holdfast::proxy
