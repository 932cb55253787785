// The part of Service that passes requests through: all but GET and HEAD, and of those what is too
// large to be kept.
#include <algorithm>
#include <utility>

#include "http/field_syntax.h"
#include "http/problem.h"
#include "proxy/fetch_words.h"
#include "proxy/last_moment.h"
#include "proxy/pass_observers.h"
#include "proxy/passed_fields.h"
#include "proxy/response_fields.h"
#include "proxy/service.h"
#include "proxy/service_table.h"
#include "proxy/stored_only.h"
#include "proxy/trace_context.h"

namespace holdfast::proxy {
namespace {

using http::Known;
using observe::Level;

// What of a client's path goes into a line of the log.
constexpr std::size_t kLoggedPath = 256;

// What is too large to be kept is asked for in pieces so often, with the flights between.
constexpr int kMostPasses = 3;
// As the flights': in less time nobody is asked any more.
constexpr base::Duration kAnswerMargin = std::chrono::milliseconds(100);

bool has_content(const http::Request& request) {
  return std::any_of(request.fields.begin(), request.fields.end(), [](const http::FieldLine& line) {
    return http::equals_ignoring_case(line.name, "transfer-encoding") ||
           (http::equals_ignoring_case(line.name, "content-length") &&
            line.value.find_first_not_of('0') != line.value.npos);
  });
}

}  // namespace

std::optional<http::StreamLimit> Service::stream_limit(const http::Request& head) const {
  if (head.method == http::Method::Get || head.method == http::Method::Head) return std::nullopt;
  if (head.path == "*" || pages_.find(head.path) != nullptr) return std::nullopt;
  std::string storage;
  Parameters parameters;
  const Taken taken = routes_->take(head, storage, parameters);
  if (taken.by != Taken::By::Route) return std::nullopt;
  const Served& served = *served_[taken.route];
  return http::StreamLimit{served.route.plan().max_request_body_bytes, served.too_large};
}

void Service::pass(http::Server& server, http::ExchangeId id, const http::Request& request,
                   Served& served, const Parameters& parameters) {
  if (const char* problem = served.route.key(parameters, request, key_)) {
    served.counts.count(CacheOutcome::Error, 400, parts_.worker.now() - request.received);
    return send_problem(server, id, request, 400, problem, {}, true);
  }
  if (!request.streamed && has_content(request)) {
    // Its head came while it was nobody's to pass through, so its content was not kept for that.
    served.counts.count(CacheOutcome::Error, 503, parts_.worker.now() - request.received);
    return send_problem(server, id, request, 503,
                        "the routes have changed while this request came; it was not sent",
                        "Retry-After: 1\r\n", true);
  }
  if (asks_for_upgrade(request)) {
    served.counts.count(CacheOutcome::Error, 501, parts_.worker.now() - request.received);
    return send_problem(server, id, request, 501, "no other protocol is spoken here", {}, true);
  }
  send_through(server, id, request, served, {"method", {}});
}

void Service::send_through(http::Server& server, http::ExchangeId id, const http::Request& request,
                           Served& served, const Forward& forward, const AskedPtr& asked,
                           std::function<bool(const std::string& cause)> without_place) {
  if (served.stored_only) return refuse_to_send(server, id, request, served);
  const std::string_view traceparent = request.field(Known::Traceparent);
  upstream::Fields trace = continued_trace(traceparent, request.field(Known::Tracestate), random_);
  const bool traced = !trace.empty();
  upstream::Request upstream = served.route.upstream_request(key_, trace);
  upstream.fields = passed_request_fields(request, served.route.plan(), upstream.fields);
  Passing::Facts facts;
  facts.served = served.shared_from_this();
  facts.method = request.method_name;
  facts.path = request.path.substr(0, kLoggedPath);
  facts.request_id = request_id_;
  facts.client = request.client;
  facts.traceparent = traceparent.substr(0, traced ? kTraceParentSize : 0);
  facts.key = key_;
  facts.detail = forward.word;
  facts.received = request.received;
  if (request.too_large)
    return passing_.refuse(server, id, std::move(facts), 413, served.too_large);
  const std::uint64_t seen = parts_.memory.purges().latest();
  std::shared_ptr<Passing::Observer> observer;
  if (asked) {
    observer = keeping({served.route, served.flights, served.passer, served.hold}, asked, seen);
  } else if (!is_safe(request.method_name)) {
    observer = invalidation(request, table_->routes, parts_.routes_now, seen);
  }
  passing_.start(server, id, request,
                 {served.route.plan(), *served.passer, std::move(upstream), std::move(observer),
                  served.hold, forward, std::nullopt, std::move(without_place)},
                 std::move(facts));
}

// As the flight has asked for it, and not as the client has: the answer is for anybody.
void Service::pass_large(PendingMap::node_type waiting) {
  Pending& pending = waiting.mapped();
  pending.unlink();
  pending.last_moment.reset();
  const Served& served = *pending.served;
  http::Request request;
  request.method = pending.method;
  request.method_name = pending.method == http::Method::Head ? "HEAD" : "GET";
  request.received = pending.received;
  Passing::Facts facts;
  facts.served = pending.served;
  facts.method = request.method_name;
  facts.path = pending.path;
  facts.request_id = pending.request_id;
  facts.client = pending.client;
  facts.traceparent = pending.traceparent;
  facts.key = pending.key;
  facts.detail = kTooLarge;
  facts.received = pending.received;
  Passing::Large large;
  large.head_only = pending.method == http::Method::Head;
  large.deadline = pending.received + settings_.request_deadline - kAnswerMargin;
  large.judge = [&route = served.route, &flights = served.flights,
                 key = pending.key](const upstream::StreamHead& head) {
    upstream::Reply reply;
    reply.status = head.status;
    reply.fields = head.fields;
    upstream::Verdict verdict = route.validate_head(reply, head.length);
    if (head.length && *head.length <= route.plan().body.max_body_bytes) {
      flights.forget_too_large(key);
    }
    return verdict;
  };
  upstream::Request upstream = served.route.upstream_request(pending.key, pending.trace);
  http::Server& server = *pending.server;
  const http::ExchangeId id = pending.id;
  Passing::Order order{served.route.plan(), *served.passer,       std::move(upstream), nullptr,
                       served.hold,         {"bypass", kTooLarge}};
  ++pending.passes;
  const auto kept = std::make_shared<PendingMap::node_type>(std::move(waiting));
  large.fall_back = [this, kept](const upstream::FetchResult& result) {
    return look_again(*kept, result);
  };
  order.large = std::move(large);
  order.without_place = [this, kept](const std::string& cause) {
    return answer_unpassed(kept->mapped(), cause);
  };
  passing_.start(server, id, request, std::move(order), std::move(facts));
}

// The flights try again, wait and fall back as ever, and may find that it is too large again. After
// the last time, and where no time is left, what is stored answers.
bool Service::look_again(PendingMap::node_type& waiting, const upstream::FetchResult& result) {
  Pending& pending = waiting.mapped();
  const base::SteadyTime deadline = pending.received + settings_.request_deadline;
  if (pending.passes >= kMostPasses || parts_.worker.now() + kAnswerMargin >= deadline) {
    return answer_unpassed(pending, cause_of(result), &result);
  }
  const http::ExchangeId id = pending.id;
  Pending& again = pending_.insert(std::move(waiting)).position->second;
  again.last_moment = std::make_unique<base::Timer>();
  again.last_moment->set_at(parts_.worker,
                            again.received + worker_patience(settings_.request_deadline),
                            [this, &again] { answer_at_last(again); });
  parts_.origin.post([this, id, &flights = again.served->flights, &route = again.served->route,
                      hold = again.served->hold, key = again.key, deadline, trace = again.trace] {
    // On the origin loop, as in ask_origin().
    if (parts_.origin.now() >= deadline) return;
    flights.forget_too_large(key);
    const auto reply = [this, id](Answer answer) {
      parts_.worker.post([this, id, answer = std::move(answer)] { finish(id, answer); });
    };
    flights.join(route, key, deadline, std::chrono::seconds(0), reply, trace);
  });
  return true;
}

bool Service::answer_unpassed(Pending& pending, const std::string& cause,
                              const upstream::FetchResult* result) {
  const base::WallTime wall = parts_.worker.clock().wall();
  cache::StoredPtr stored =
      pending.asked ? in_memory(*pending.served, *pending.asked) : parts_.memory.find(pending.key);
  Answer answer = answer_without_origin(std::move(stored), wall, false);
  if (!answer.content) return false;
  answer.cause = cause;
  if (result != nullptr) {
    answer.forwarded = answer.rung == Rung::StaleIfError;
    answer.upstream_status = result->reply.status;
    answer.attempts = result->attempts_sent;
  }
  if (pending.asked) {
    finish_http(pending, answer);
  } else {
    send_content(*pending.server, exchange_of(pending), answer,
                 cache::freshness(*answer.content, wall));
  }
  return true;
}

void Service::refuse_to_send(http::Server& server, http::ExchangeId id,
                             const http::Request& request, Served& served) {
  const Answer answer = refusal_stored_only();
  std::string fields;
  append_retry_after(fields, answer.retry_after);
  append_cache_status(fields, answer, {});
  served.counts.count(cache_outcome(answer), answer.status, parts_.worker.now() - request.received);
  send_problem(server, id, request, answer.status, answer.detail, fields, true);
}

void Service::refused(http::ExchangeId id, const http::Rejection& rejection) {
  if (!passing_.refused(id, rejection)) rejected(rejection);
}

void Service::record_passed(const Passing::Facts& facts) {
  Served& served = *static_cast<Served*>(facts.served.get());
  const base::Duration duration = parts_.worker.now() - facts.received;
  if (facts.left) {
    // Counted as abandoned: nobody had an answer.
  } else if (facts.ours) {
    served.counts.count(CacheOutcome::Error, facts.status, duration);
  } else {
    served.counts.count(CacheOutcome::Pass, facts.status, duration);
  }
  if (!facts.cause.empty() && !facts.by_client) {
    parts_.failures.note({facts.status, facts.cause, facts.request_id, facts.attempts},
                         parts_.worker.clock().wall());
  }
  const bool failed = !facts.by_client && (facts.status >= 500 || !facts.cause.empty());
  const Level level = failed ? Level::Warn : Level::Info;
  if (!parts_.log.enabled(level)) return;
  if (failed && !admit(failures_)) return;
  if (facts.by_client && !admit(rejections_)) return;
  parts_.log.event(level, "request",
                   {{"request_id", facts.request_id},
                    {"trace_id", trace_id_of(facts.traceparent)},
                    {"client", facts.client},
                    {"method", facts.method},
                    {"path", facts.path},
                    {"route", served.route.name()},
                    {"key", served.route.subject(facts.key)},
                    {"status", facts.status},
                    {"cache", facts.ours ? "error" : "pass"},
                    {"detail", facts.detail},
                    {"attempts", facts.attempts},
                    {"upstream_status", facts.upstream_status},
                    {"duration_seconds", std::chrono::duration<double>(duration).count()},
                    {"bytes", facts.bytes},
                    {"cause", facts.cause}});
}

}  // namespace holdfast::proxy
