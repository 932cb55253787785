#include "daemon/live_state.h"

#include <optional>

#include "daemon/client_request.h"
#include "http/cache_control.h"
#include "proxy/fetch_words.h"
#include "proxy/passed_fields.h"
#include "proxy/stored_only.h"
#include "proxy/variants.h"

namespace holdfast::daemon {
namespace {

using proxy::Flights;
using proxy::Rung;
using Way = Flights::Prospect::Way;
using Outlook = upstream::PolicyFetcher::Outlook;

std::string_view name_of(Rung rung) {
  switch (rung) {
    case Rung::Fresh:
      return "fresh";
    case Rung::StaleWhileRevalidate:
      return "stale-while-revalidate";
    case Rung::Fetched:
      return "fetch";
    case Rung::StaleIfError:
      return "stale-if-error";
    case Rung::Offline:
      return "offline";
    case Rung::Pass:
      return "pass";
    case Rung::NotStored:
      return "not-stored";
    case Rung::Error:
      break;
  }
  return "error";
}

std::string in_seconds(base::Duration time) {
  return std::to_string(std::chrono::ceil<std::chrono::seconds>(time).count()) + " s";
}

OriginGroup& group_of(Origin& origin, const Flights& flights) {
  for (const auto& group : origin.groups()) {
    if (&group->flights() == &flights) return *group;
  }
  return *origin.groups().front();
}

class Looker {
 public:
  Looker(const LiveParts& parts, const proxy::Routes::Entry& entry, LiveState& state)
      : parts_(parts),
        entry_(entry),
        group_(group_of(parts.origin, entry.flights)),
        state_(state),
        key_(state.key) {}

  void look(const http::Request& request) {
    const auto wanted = http::parse_request_cache_control(request.field(http::Known::CacheControl));
    Flights& flights = entry_.flights;
    if (entry_.route.plan().storing.http.on) {
      ask_as_http(request);
      const proxy::Selected selected = flights.select(entry_.route, *asked_, false);
      if (!selected.key.empty()) key_ = selected.key;
      state_.variant = proxy::variant_part(key_);
    }
    look_at_stored();
    state_.fetching = flights.fetching(key_);
    state_.waiting = flights.waiting_for(key_);
    const Flights::Remembered rests = flights.rests(key_);
    state_.rests_for = rests.left;
    state_.rests_by = rests.word;
    state_.unshared = flights.unshared(key_);
    state_.passes = flights.passes(state_.key);
    if (const auto told = flights.told(key_)) {
      state_.rests_because = told->cause.empty() ? told->detail : told->cause;
    }
    state_.upstream = group_.shown_name();
    state_.upstream_status = group_.fetcher().status();
    state_.offline = entry_.route.plan().stored_only;
    if (state_.offline) return decide_offline();
    state_.passed ? decide_pass() : decide(wanted);
  }

 private:
  void ask_as_http(const http::Request& request) {
    asked_.emplace(request, state_.key);
    const upstream::Fields of_route = entry_.route.upstream_request(state_.key).fields;
    asked_->ambiguous = proxy::is_ambiguous(
        proxy::passed_request_fields(request, entry_.route.plan(), of_route), of_route);
    bypass_ = proxy::bypass_of(proxy::HttpFields(request));
  }

  void look_at_stored() {
    state_.now = parts_.origin.loop().clock().wall();
    const cache::StoredPtr in_memory = parts_.memory.find(key_);
    const auto read = parts_.store.find(key_);
    state_.in_memory = in_memory != nullptr;
    state_.in_store = read && *read != nullptr;
    if (!read) state_.store_error = read.error().message;
    state_.stored = in_memory ? in_memory : read.value_or(nullptr);
    if (state_.stored) state_.freshness = cache::freshness(*state_.stored, state_.now);
  }

  void decide(const http::RequestCacheControl& wanted) {
    if (!bypass_.empty()) return passed_for(bypass_);
    min_fresh_ = wanted.min_fresh;
    const Flights::Prospect prospect = asked_ ? entry_.flights.prospect_http(entry_.route, *asked_)
                                              : entry_.flights.prospect(key_, wanted.min_fresh);
    if (wanted.only_if_cached && asked_) {
      const bool usable = prospect.answer.content && !prospect.resting;
      if (!usable) return nothing_usable();
    } else if (wanted.only_if_cached) {
      const bool usable =
          state_.stored && proxy::rung_at_once(state_.freshness, wanted.min_fresh).has_value();
      if (!usable) return nothing_usable();
    }
    switch (prospect.way) {
      case Way::Answer:
        return answered(prospect);
      case Way::Join:
        say(Rung::Fetched, "waits for the fetch that is under way");
        return say_fallback(prospect);
      case Way::Fetch:
        return fetched(prospect);
    }
  }

  void decide_offline() {
    Flights& flights = entry_.flights;
    const proxy::Answer answer = state_.passed ? proxy::refusal_stored_only()
                                 : asked_ ? flights.stored_only_http(entry_.route, *asked_, false)
                                          : flights.stored_only(state_.key, false);
    if (!answer.content)
      return say(answer.rung, std::to_string(answer.status) + ": " + answer.detail);
    if (answer.rung == Rung::Fresh) {
      return say(answer.rung, state_.in_memory ? "stored in memory" : "stored on disk");
    }
    say(Rung::Offline, "the route is offline: what is stored answers, though it is stale");
  }

  void decide_pass() {
    const Outlook outlook = group_.fetcher().outlook_of_pass(parts_.request_deadline);
    if (outlook.way != Outlook::Way::Ends) {
      state_.rung = "pass";
      state_.why = "passed through: sent once";
      if (outlook.way == Outlook::Way::Waits) {
        state_.why += ", when it has waited for its turn" + in_time(outlook);
      }
      return;
    }
    const proxy::ErrorText error = proxy::error_for(result_of(outlook));
    const bool open = outlook.end == upstream::FetchEnd::BreakerOpen;
    say(Rung::Error, std::to_string(error.status) + " at once, and not sent: " +
                         (open ? "every breaker is open" : error.detail));
  }

  void answered(const Flights::Prospect& prospect) {
    const proxy::Answer& answer = prospect.answer;
    if (answer.rung == Rung::Pass) {
      if (!answer.pass.word.empty()) return passed_for(answer.pass.word);
      return say(answer.rung, "passed through: what is asked for is not kept as a whole");
    }
    if (!answer.content) return say(answer.rung, answer.detail);
    if (answer.rung == Rung::Fresh) {
      return say(answer.rung, state_.in_memory ? "stored in memory" : "stored on disk");
    }
    if (prospect.resting) {
      return say(answer.rung,
                 "the last refresh failed, and the key rests for " + in_seconds(state_.rests_for));
    }
    if (prospect.refresh) {
      return say(answer.rung, state_.fetching ? "a refresh is under way" : "refreshed behind it");
    }
    say(answer.rung, prospect.full ? "too many requests wait for the upstream"
                                   : "the fetch that is under way takes longer than the patience");
  }

  void nothing_usable() {
    state_.word = proxy::only_if_cached();
    say(Rung::NotStored, std::string(state_.word) + ", and nothing is usable at once");
  }

  void passed_for(std::string_view word) {
    state_.word = word;
    say(Rung::Pass, "passed through, as " + proxy::reason_in_words(word));
  }

  void fetched(const Flights::Prospect& prospect) {
    const auto fallback = entry_.flights.without_upstream(entry_.route, key_, prospect.stored);
    const bool may_park = !fallback || fallback->rung == Rung::Offline;
    const Outlook outlook = group_.fetcher().outlook(may_park, parts_.request_deadline);
    const std::string until = in_time(outlook);
    switch (outlook.way) {
      case Outlook::Way::Sent:
        state_.word = not_reused(prospect);
        say(Rung::Fetched, state_.word.empty() ? "nothing is stored that may be used before"
                                               : proxy::reason_in_words(state_.word));
        break;
      case Outlook::Way::Waits:
        say(Rung::Fetched, "it waits for its turn" + until);
        break;
      case Outlook::Way::Parked:
        say(Rung::Fetched, "every breaker is open: it waits for the next probe" + until);
        break;
      case Outlook::Way::Ends:
        return say(fallback ? fallback->rung : Rung::Error,
                   proxy::error_for(result_of(outlook)).detail);
    }
    say_fallback(prospect);
  }

  // What the client says that keeps something stored from being used at once; empty: nothing.
  std::string_view not_reused(const Flights::Prospect& prospect) const {
    if (!prospect.stored) return {};
    const cache::Freshness freshness = cache::freshness(*prospect.stored, state_.now);
    return asked_ ? proxy::not_reused_for(freshness, asked_->wanted)
                  : proxy::not_reused_for(freshness, min_fresh_);
  }

  // ", in 3 s"; empty: it is not known.
  std::string in_time(const Outlook& outlook) const {
    if (outlook.until == base::SteadyTime::max()) return {};
    const base::Duration left = outlook.until - parts_.origin.loop().now();
    return ", in " + in_seconds(std::max(base::Duration::zero(), left));
  }

  static upstream::FetchResult result_of(const Outlook& outlook) {
    upstream::FetchResult result;
    result.end = outlook.end;
    result.outcome = outlook.outcome;
    return result;
  }

  void say_fallback(const Flights::Prospect& prospect) {
    const auto fallback = entry_.flights.without_upstream(entry_.route, key_, prospect.stored);
    state_.if_it_fails = name_of(fallback ? fallback->rung : Rung::Error);
  }

  void say(Rung rung, std::string why) {
    state_.rung = name_of(rung);
    state_.why = std::move(why);
  }

  const LiveParts& parts_;
  const proxy::Routes::Entry& entry_;
  OriginGroup& group_;
  LiveState& state_;
  std::string key_;                    // of the variant, where there is one
  std::optional<proxy::Asked> asked_;  // of mode rfc9111
  std::string_view bypass_;            // likewise: why it is passed through whatever is stored
  std::chrono::seconds min_fresh_{0};  // of mode resilient
};

}  // namespace

base::Result<LiveState> live_state(const LiveParts& parts, const config::ExplainCommand& command) {
  const ClientRequest client(command);
  if (client.refusal()) return base::invalid_input(std::string(client.refusal()->detail));
  const http::Request& request = client.request();
  const proxy::Routes& routes = *parts.origin.routes();
  std::string storage;
  proxy::Parameters parameters;
  const proxy::Taken taken = routes.take(request, storage, parameters);
  if (taken.by == proxy::Taken::By::Batch) {
    return base::invalid_input("a batch has a key for each element; name a path");
  }
  if (taken.by != proxy::Taken::By::Route) {
    return base::invalid_input(taken.why != nullptr ? taken.why
                                                    : proxy::only_served(taken.allowed));
  }
  const proxy::Routes::Entry& entry = routes[taken.route];
  LiveState state;
  if (const char* problem = entry.route.key(parameters, request, state.key)) {
    return base::invalid_input(problem);
  }
  state.route = entry.route.name();
  state.passed = request.method != http::Method::Get && request.method != http::Method::Head;
  if (state.passed && proxy::asks_for_upgrade(request)) {
    return base::invalid_input("no other protocol is spoken here");
  }
  Looker(parts, entry, state).look(request);
  return state;
}

}  // namespace holdfast::daemon
