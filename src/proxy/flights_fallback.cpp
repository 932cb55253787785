// What those who wait for a flight get that brings no right answer: what is stored, something of
// our own, what the upstream said all the same, or an error.
#include <algorithm>
#include <utility>

#include "proxy/fetch_words.h"
#include "proxy/flights.h"
#include "proxy/storing.h"

namespace holdfast::proxy {
namespace {

using upstream::FetchEnd;
using upstream::FetchResult;
using upstream::Outcome;

// A 4xx that says something of the request, and not of us or our connection.
bool is_about_request(const FetchResult& result) {
  constexpr int kProxyAuthentication = 407;
  constexpr int kMisdirected = 421;
  constexpr int kUpgrade = 426;
  const int status = result.reply.status;
  return result.end == FetchEnd::Answered && result.outcome == Outcome::ClientError &&
         status != kProxyAuthentication && status != kMisdirected && status != kUpgrade;
}

}  // namespace

Answer Flights::fall_back(Flight& flight, const FetchResult& result, const Waiter* waiter) {
  Answer answer;
  cache::StoredPtr stored = usable_if_error(flight) ? flight.stored : nullptr;
  // It may have come to memory since the flight began: a store that could not be
  // read then can be now. The flight's own stays, as its validators were sent. Of mode rfc9111
  // it may be of no use to who waits: other variants, or a part.
  if (!stored && !flight.asked) stored = parts_.memory.find(flight.key);
  if (stored && waiter != nullptr && !answers(*waiter, *stored)) stored = nullptr;
  if (auto ours = without_upstream(flight.route, flight.key, stored)) {
    answer = *std::move(ours);
  } else {
    answer = error_or_passed(flight, result, waiter);
  }
  if (answer.rung == Rung::Offline || answer.rung == Rung::Error) {
    answer.forwarded = true;
    answer.was_stale = flight.stored != nullptr;
  }
  answer.upstream_status = answer.invalid() ? result.last_invalid->status : result.reply.status;
  answer.attempts = result.attempts_sent;
  answer.cause = cause_of(result);
  return answer;
}

// Where nothing else answers: what the upstream says of the request, if the route passes that, or
// an error of ours.
Answer Flights::error_or_passed(Flight& flight, const FetchResult& result, const Waiter* waiter) {
  Answer answer;
  answer.forwarded = true;
  answer.was_stale = flight.stored != nullptr;
  const StoringPolicy& policy = flight.route.plan().storing;
  if (policy.pass_client_errors && is_about_request(result) &&
      flight.route.validate(flight.key, result.reply).outcome == Outcome::Ok) {
    answer.rung = Rung::Fetched;
    answer.content = make_passed(result.reply, policy, parts_.loop.clock().wall(), flight.seen);
    answer.not_stored = not_shared(result.reply, policy);
    if (!answer.not_stored.empty()) {
      unshared_.failed(flight.key, parts_.loop.now(), random_, answer.not_stored);
      send_on_alone(flight);
    } else if (!keeps_nothing(flight)) {
      // In memory alone, so that it is not asked for by each client anew.
      parts_.memory.put(flight.key, answer.content);
    }
    return answer;
  }
  ErrorText text = error_for(result);
  answer.status = text.status;
  answer.detail = std::move(text.detail);
  answer.retry_after = std::max(result.retry_after, std::chrono::seconds(1));
  // What is said of the request, or of us, goes before what was said of the key by mistake. Of mode
  // rfc9111 finish_http() has what is for who asked.
  const bool final = result.end == FetchEnd::Answered || result.end == FetchEnd::Refused;
  if (result.last_invalid && !final && !flight.asked) pass_invalid(flight, result, waiter, answer);
  return answer;
}

// Makes an answer of what the route's rules refuse. It is no more anybody's than a right one, so
// whoever waits gets it, unless the upstream says that it is for one alone.
void Flights::pass_invalid(Flight& flight, const FetchResult& result, const Waiter* waiter,
                           Answer& answer) {
  const StoringPolicy& policy = flight.route.plan().storing;
  const std::string_view alone = not_shared(*result.last_invalid, policy);
  if (!alone.empty()) {
    if (waiter != nullptr && waiter->collapsed) return;
    if (waiter == nullptr) {
      unshared_.failed(flight.key, parts_.loop.now(), random_, alone);
      send_on_alone(flight);
    }
  }
  answer.rung = Rung::Fetched;
  answer.not_stored = kInvalidBody;
  answer.content =
      make_invalid(*result.last_invalid, policy, parts_.loop.clock().wall(), flight.seen);
}

}  // namespace holdfast::proxy
