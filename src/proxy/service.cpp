#include "proxy/service.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/http_date.h"
#include "http/cache_control.h"
#include "http/content_coding.h"
#include "http/problem.h"
#include "proxy/last_moment.h"
#include "proxy/response_fields.h"
#include "proxy/service_table.h"
#include "proxy/trace_context.h"

namespace holdfast::proxy {
namespace {

using http::Known;
using http::Method;
using observe::Level;

// The store hears of one hit in this many: enough to know what is popular, and
// no cost on the way of the others.
constexpr unsigned kHitsPerUse = 16;

// Of failures, and of refused requests, in ten seconds, that many have a line of
// their own: an outage has as many as there are requests, and all of them say the
// same; a client that sends nothing but nonsense must not fill the disk.
constexpr unsigned kLoggedFailures = 100;

// What of a client's path goes into a line of the log.
std::string_view logged_path(std::string_view path) {
  return path.substr(0, 256);
}

// The `route` of what belongs to no route.
observe::Counter unrouted(observe::Metrics& metrics, int code) {
  return metrics.counter(observe::Family::Requests,
                         {{"route", "none"}, {"code", std::to_string(code)}, {"cache", "error"}});
}

bool is_readable(Method method) {
  return method == Method::Get || method == Method::Head;
}

std::string_view name_of(Method method) {
  return method == Method::Head ? "HEAD" : "GET";
}

// Whether the client's copy is this one (RFC 9110, 13.2.2). A date that does not count
// is empty.
bool is_unchanged(const cache::StoredResponse& content, std::string_view if_none_match,
                  std::string_view if_modified_since) {
  if (content.status != 200) return false;
  if (!if_none_match.empty()) return http::etag_matches(if_none_match, content.etag);
  if (if_modified_since.empty()) return false;
  const auto since = base::parse_http_date(if_modified_since);
  const auto modified = base::parse_http_date(content.upstream_last_modified);
  return since && modified && *modified <= *since;
}

Level level_of(CacheOutcome outcome, int status) {
  if (outcome == CacheOutcome::Absent) return Level::Debug;
  if (status >= 500) return Level::Warn;
  return outcome == CacheOutcome::Hit ? Level::Debug : Level::Info;
}

}  // namespace

Service::Service(Parts parts, Settings settings, std::uint64_t seed)
    : parts_(std::move(parts)),
      settings_(settings),
      random_(seed),
      not_found_(unrouted(parts_.metrics, 404)),
      bad_path_(unrouted(parts_.metrics, 400)),
      not_allowed_(unrouted(parts_.metrics, 405)),
      failures_({.burst = kLoggedFailures}, "requests_not_logged"),
      rejections_({.burst = kLoggedFailures}, "rejections_not_logged"),
      pages_(parts_.pages),
      page_desk_(parts_.worker, settings.request_deadline),
      passing_(parts_.worker, parts_.origin,
               {.request_deadline = settings.request_deadline, .most = settings.most_passed},
               [this](const Passing::Facts& facts) { record_passed(facts); }) {
  deadlines_.emplace_front(worker_patience(settings.request_deadline));
  adopt(prepare(std::move(parts_.routes)));
}

void Service::set_request_deadline(base::Duration deadline) {
  if (deadline == settings_.request_deadline) return;
  settings_.request_deadline = deadline;
  page_desk_.set_deadline(deadline);
  passing_.set_request_deadline(deadline);
  for (const auto& served : table_->served) {
    if (served->batches) served->batches->set_request_deadline(deadline);
  }
  forget_empty_lines();
  deadlines_.emplace_front(worker_patience(deadline));
}

Service::TablePtr Service::prepare(std::shared_ptr<const Routes> routes) {
  auto table = std::make_shared<Table>();
  table->routes = std::move(routes);
  std::unordered_map<const Route*, std::shared_ptr<Served>> before;
  if (prepared_) {
    for (const auto& served : prepared_->served) before.emplace(&served->route, served);
  }
  for (std::size_t i = 0; i < table->routes->size(); ++i) {
    const Routes::Entry& entry = (*table->routes)[i];
    const auto same = before.find(&entry.route);
    if (same != before.end() && &same->second->flights == &entry.flights) {
      table->served.push_back(same->second);
      continue;
    }
    Served& served = *table->served.emplace_back(std::make_shared<Served>(entry, parts_));
    if (entry.route.plan().batch_path.empty()) continue;
    served.batches = std::make_shared<Batches>(
        Batches::Parts{parts_.worker, parts_.origin, entry.flights, parts_.memory, parts_.store,
                       parts_.log, entry.route, refresh_gate_,
                       [this] { return admit(rejections_); }, entry.hold},
        Batches::Settings{.request_deadline = settings_.request_deadline}, parts_.metrics,
        parts_.shard);
  }
  prepared_ = table;
  return table;
}

void Service::adopt(TablePtr table) {
  std::erase_if(earlier_batches_, [](const auto& batches) { return batches.expired(); });
  if (table_) {
    const auto& now = table->served;
    for (const auto& served : table_->served) {
      const bool goes_on = std::find(now.begin(), now.end(), served) != now.end();
      if (served->batches && !goes_on) earlier_batches_.push_back(served->batches);
    }
  }
  table_ = std::move(table);
  routes_ = table_->routes.get();
  served_ = table_->served.data();
}

Service::~Service() {
  for (Thinned* lines : {&failures_, &rejections_}) {
    tell_left_out(*lines, lines->limiter.take_suppressed());
  }
  for (const auto& served : table_->served) {
    if (served->batches) served->batches->clear();
  }
  for (const auto& earlier : earlier_batches_) {
    if (const auto batches = earlier.lock()) batches->clear();
  }
}

void Service::handle(http::Server& server, http::ExchangeId id, const http::Request& request) {
  take_request_id(request);
  // Before the routes: none of them hides what tells how we are.
  if (const PageEntry* page = pages_.find(request.path)) {
    return take_page(server, id, request, page);
  }
  if (request.path == "*") return take_page(server, id, request, nullptr);
  take_routed(server, id, request);
}

// No page: what holds of all of them.
void Service::take_page(http::Server& server, http::ExchangeId id, const http::Request& request,
                        const PageEntry* page) {
  if (page != nullptr && is_readable(request.method)) {
    return page_desk_.send(server, id, request, request_id_, *page);
  }
  not_taken(server, id, request, kReadableMethods);
}

void Service::take_routed(http::Server& server, http::ExchangeId id, const http::Request& request) {
  Parameters parameters;
  const Taken taken = routes_->take(request, path_, parameters);
  switch (taken.by) {
    case Taken::By::Route:
      if (!is_readable(request.method)) {
        return pass(server, id, request, *served_[taken.route], parameters);
      }
      if (served_[taken.route]->caches_http) {
        return look_up_http(server, id, request, *served_[taken.route], parameters);
      }
      return look_up(server, id, request, *served_[taken.route], parameters);
    case Taken::By::Batch:
      return served_[taken.route]->batches->start(server, id, request, request_id_);
    case Taken::By::BadPath:
      return send_problem(server, id, request, 400, taken.why);
    case Taken::By::BadValue:
      served_[taken.route]->counts.count(CacheOutcome::Error, 400,
                                         parts_.worker.now() - request.received);
      return send_problem(server, id, request, 400, taken.why, {}, true);
    case Taken::By::BadMethod:
      return not_taken(server, id, request, taken.allowed);
    case Taken::By::OwnOptions:
      return take_page(server, id, request, nullptr);
    case Taken::By::Nobody:
      return send_problem(server, id, request, 404, taken.why);
  }
}

void Service::not_taken(http::Server& server, http::ExchangeId id, const http::Request& request,
                        MethodSet allowed) {
  const std::string fields = "Allow: " + allowed_text(allowed) + "\r\n";
  if (request.method == Method::Options) {
    http::Response response;
    response.status = 204;
    response.fields = fields;
    return server.respond(id, response);
  }
  send_problem(server, id, request, 405, only_served(allowed), fields);
}

void Service::take_request_id(const http::Request& request) {
  const std::string_view client_id = request.field(Known::XRequestId);
  if (is_sane_request_id(client_id)) {
    request_id_.assign(client_id);
  } else {
    make_request_id(random_, request_id_);
  }
}

void Service::look_up(http::Server& server, http::ExchangeId id, const http::Request& request,
                      Served& served, const Parameters& parameters) {
  if (const char* problem = served.route.key(parameters, request, key_)) {
    served.counts.count(CacheOutcome::Error, 400, parts_.worker.now() - request.received);
    return send_problem(server, id, request, 400, problem, {}, true);
  }
  // RFC 9110, 13.1.3: beside a list of ETags, even an empty one, a date is ignored.
  const std::string_view etags = request.field(Known::IfNoneMatch);
  const bool date_counts = etags.data() == nullptr;
  const Exchange exchange{id,
                          served,
                          request.method,
                          key_,
                          etags,
                          date_counts ? request.field(Known::IfModifiedSince) : std::string_view(),
                          request.field(Known::AcceptEncoding),
                          request_id_,
                          request.client,
                          request.path,
                          request.field(Known::Traceparent),
                          request.received,
                          http::parse_request_cache_control(request.field(Known::CacheControl))};

  Answer answer;
  answer.content = parts_.memory.find(key_);
  const std::string_view tracestate = request.field(Known::Tracestate);
  if (!answer.content) return ask_origin(server, exchange, tracestate);
  const cache::Freshness freshness =
      cache::freshness(*answer.content, parts_.worker.clock().wall());
  const std::optional<Rung> rung = rung_at_once(freshness, exchange.wanted.min_fresh);
  if (!rung) return ask_origin(server, exchange, tracestate);
  if (*rung == Rung::StaleWhileRevalidate && served.stored_only) {
    answer.stored_only = true;
  } else if (*rung == Rung::StaleWhileRevalidate && !exchange.wanted.only_if_cached &&
             refresh_gate_.open(key_, request.received)) {
    parts_.origin.post([&flights = served.flights, &route = served.route, hold = served.hold,
                        key = key_] { flights.refresh(route, key); });
  }
  answer.rung = *rung;
  count_use();
  send_content(server, exchange, answer, freshness);
}

void Service::count_use(const std::string& variant) {
  if (hits_until_used_-- != 0) return;
  hits_until_used_ = kHitsPerUse - 1;
  parts_.store.used(key_);
  if (!variant.empty()) parts_.store.used(variant);
}

void Service::ask_origin(http::Server& server, const Exchange& exchange,
                         std::string_view tracestate) {
  upstream::Fields trace = continued_trace(exchange.traceparent, tracestate, random_);
  const bool traced = !trace.empty();
  Pending& pending = pending_[exchange.id];
  pending.id = exchange.id;
  pending.server = &server;
  pending.served = exchange.served.shared_from_this();
  pending.method = exchange.method;
  pending.only_if_cached = exchange.wanted.only_if_cached;
  pending.key = exchange.key;
  pending.if_none_match = exchange.if_none_match;
  pending.if_modified_since = exchange.if_modified_since;
  pending.accept_encoding = exchange.accept_encoding;
  pending.request_id = exchange.request_id;
  pending.client = exchange.client;
  pending.path = logged_path(exchange.path);
  pending.traceparent = exchange.traceparent.substr(0, traced ? kTraceParentSize : 0);
  pending.received = exchange.received;
  if (exchange.served.route.passes_large()) pending.trace = trace;
  wait_in_line(pending);
  const base::SteadyTime deadline = exchange.received + settings_.request_deadline;
  parts_.origin.post([this, id = exchange.id, &flights = exchange.served.flights,
                      &route = exchange.served.route, hold = exchange.served.hold,
                      key = std::string(exchange.key), deadline, wanted = exchange.wanted,
                      trace = std::move(trace)] {
    // On the origin loop from here, where of ours only `parts_` may be touched. It comes too
    // late if it was held up: the worker has answered, and nobody waits.
    if (parts_.origin.now() >= deadline) return;
    const auto reply = [this, id](Answer answer) {
      parts_.worker.post([this, id, answer = std::move(answer)] { finish(id, answer); });
    };
    if (wanted.only_if_cached && !route.plan().stored_only) {
      return reply(flights.stored(key, wanted.min_fresh));
    }
    flights.join(route, key, deadline, wanted.min_fresh, reply, trace);
  });
}

Service::Exchange Service::exchange_of(Pending& pending) {
  return {pending.id,
          *pending.served,
          pending.method,
          pending.key,
          pending.if_none_match,
          pending.if_modified_since,
          pending.accept_encoding,
          pending.request_id,
          pending.client,
          pending.path,
          pending.traceparent,
          pending.received,
          {}};
}

void Service::finish(http::ExchangeId id, const Answer& answer) {
  auto taken = pending_.extract(id);
  if (taken.empty()) return;  // the client is gone, or has had its answer at the deadline
  Pending& pending = taken.mapped();
  if (pending.asked) return finish_http(pending, answer);
  if (answer.rung == Rung::Pass) return pass_large(std::move(taken));
  const Exchange exchange = exchange_of(pending);
  if (!answer.content) return send_error(*pending.server, exchange, answer);
  send_content(*pending.server, exchange, answer,
               cache::freshness(*answer.content, parts_.worker.clock().wall()));
}

void Service::forget_empty_lines() {
  for (auto line = std::next(deadlines_.begin()); line != deadlines_.end();) {
    line = line->front() == nullptr ? deadlines_.erase(line) : std::next(line);
  }
}

void Service::wait_in_line(Pending& pending) {
  deadlines_.front().add(pending, pending.received);
  // The timer is the first one's, unless they wait on several lists.
  if (!deadline_timer_.pending() || deadlines_.size() > 1) arm_deadline();
}

void Service::arm_deadline() {
  base::SteadyTime first = base::SteadyTime::max();
  for (const base::TimeoutList& list : deadlines_) {
    if (const base::TimeoutHook* const hook = list.front())
      first = std::min(first, hook->deadline());
  }
  if (first == base::SteadyTime::max()) return;
  deadline_timer_.set_at(parts_.worker, first, [this] { answer_those_due(); });
}

void Service::answer_those_due() {
  const base::SteadyTime now = parts_.worker.now();
  for (const base::TimeoutList& list : deadlines_) {
    while (base::TimeoutHook* due = list.due(now)) {
      answer_at_last(static_cast<const Pending&>(*due));
    }
  }
  forget_empty_lines();
  arm_deadline();
}

void Service::answer_at_last(const Pending& pending) {
  cache::StoredPtr stored =
      pending.asked ? in_memory(*pending.served, *pending.asked) : parts_.memory.find(pending.key);
  finish(pending.id, answer_without_origin(std::move(stored), parts_.worker.clock().wall(),
                                           pending.only_if_cached));
}

void Service::send_content(http::Server& server, const Exchange& exchange, const Answer& answer,
                           const cache::Freshness& freshness) {
  const cache::StoredResponse& content = *answer.content;
  http::Response response;
  std::optional<std::string> coded;
  const bool large = content.body.size() >= http::kWorthCodingBytes;
  const bool may_code = large && http::accepts_gzip(exchange.accept_encoding);
  fields_.clear();
  const std::string_view of_route = exchange.served.route.response_fields();
  if (!of_route.empty()) fields_ += of_route;
  if (large) append_vary_on_coding(fields_);
  if (is_unchanged(content, exchange.if_none_match, exchange.if_modified_since) &&
      !answer.invalid()) {
    response.status = 304;
    append_etag(fields_, content.etag, may_code);
  } else {
    response.status = content.status;
    response.fields = content.head;
    response.body = content.body;
    if (may_code) {
      // Weak also where gzip does not pay: a 304 has to name the same, untried.
      response.fields = content.fields;
      append_etag(fields_, content.etag, true);
      coded = http::gzip(content.body);
    }
    if (coded) {
      response.body = *coded;
      fields_ += "Content-Encoding: gzip\r\n";
    }
  }
  append_age_and_lifetime(fields_, answer, freshness);
  append_cache_status(fields_, answer, freshness);
  append_request_id(fields_, exchange.request_id);
  response.more_fields = fields_;
  server.respond(exchange.id, response);
  record(exchange, answer, response.status, response.body.size());
}

void Service::send_error(http::Server& server, const Exchange& exchange, const Answer& answer) {
  const std::string body = http::problem_json(answer.status, answer.detail);
  fields_.clear();
  if (answer.retry_after.count() > 0) append_retry_after(fields_, answer.retry_after);
  append_cache_status(fields_, answer, {});
  append_request_id(fields_, exchange.request_id);
  http::Response response;
  response.status = answer.status;
  response.fields = http::kProblemFields;
  response.more_fields = fields_;
  response.body = body;
  server.respond(exchange.id, response);
  record(exchange, answer, answer.status, body.size());
}

void Service::record(const Exchange& exchange, const Answer& answer, int status,
                     std::size_t bytes) {
  const CacheOutcome outcome = cache_outcome(answer);
  const base::Duration duration = parts_.worker.now() - exchange.received;
  exchange.served.counts.count(outcome, status, duration);
  const bool failed = answer.rung == Rung::Error || answer.invalid();
  if (failed || answer.rung == Rung::StaleIfError) {
    const std::string_view why = answer.cause.empty() ? answer.detail : answer.cause;
    // A key at rest says nothing new: its failure was noted when it happened.
    if (!why.empty()) {
      parts_.failures.note({status, why, exchange.request_id, answer.attempts},
                           parts_.worker.clock().wall());
    }
  }
  const Level level = answer.invalid() ? Level::Warn : level_of(outcome, status);
  if (!parts_.log.enabled(level)) return;
  if (level == Level::Warn && !admit(failures_)) return;
  parts_.log.event(level, "request",
                   {{"request_id", exchange.request_id},
                    {"trace_id", trace_id_of(exchange.traceparent)},
                    {"client", exchange.client},
                    {"method", name_of(exchange.method)},
                    {"path", logged_path(exchange.path)},
                    {"route", exchange.served.route.name()},
                    {"key", exchange.served.route.subject(exchange.key)},
                    {"status", status},
                    {"cache", to_string(outcome)},
                    {"detail", reason_of(answer)},
                    {"attempts", answer.attempts},
                    {"upstream_status", answer.upstream_status},
                    {"duration_seconds", std::chrono::duration<double>(duration).count()},
                    {"bytes", bytes},
                    {"cause", answer.cause}});
}

void Service::abandoned(http::ExchangeId id) {
  if (pending_.erase(id) > 0 || passing_.abandoned(id)) return;
  for (const auto& served : table_->served) {
    if (served->batches) served->batches->abandoned(id);
  }
  for (const auto& earlier : earlier_batches_) {
    if (const auto batches = earlier.lock()) batches->abandoned(id);
  }
  page_desk_.abandoned(id);
}

std::size_t Service::body_limit(Method method, std::string_view path) const {
  return method == Method::Post && routes_->batch_at(path) ? Batches::kMaxContentBytes : 0;
}

void Service::rejected(const http::Rejection& rejection) {
  if (!parts_.log.enabled(Level::Info)) return;
  if (!admit(rejections_)) return;
  parts_.log.event(Level::Info, "request_rejected",
                   {{"client", rejection.client},
                    {"status", rejection.status},
                    {"reason", rejection.reason},
                    {"detail", rejection.detail}});
}

bool Service::admit(Thinned& lines) {
  const auto left_out = lines.limiter.admit(parts_.worker.now());
  if (left_out) {
    tell_left_out(lines, *left_out);
  } else if (!lines.timer.pending()) {
    lines.timer.set_at(parts_.worker, lines.limiter.interval_end(),
                       [this, &lines] { tell_left_out(lines, lines.limiter.take_suppressed()); });
  }
  return left_out.has_value();
}

void Service::tell_left_out(const Thinned& lines, std::uint64_t count) {
  if (count > 0) parts_.log.event(Level::Warn, lines.event, {{"count", count}});
}

void Service::send_problem(http::Server& server, http::ExchangeId id, const http::Request& request,
                           int status, std::string_view detail, std::string_view more_fields,
                           bool counted) {
  const std::string body = http::problem_json(status, detail);
  http::Response response;
  response.status = status;
  response.fields = http::kProblemFields;
  fields_.assign(more_fields);
  append_request_id(fields_, request_id_);
  response.more_fields = fields_;
  response.body = body;
  server.respond(id, response);
  if (status == 400 && !counted) parts_.shard.add(bad_path_);
  if (status == 404) parts_.shard.add(not_found_);
  if (status == 405) parts_.shard.add(not_allowed_);
  if (!parts_.log.enabled(Level::Info)) return;
  if (!admit(rejections_)) return;
  parts_.log.event(Level::Info, "request",
                   {{"request_id", request_id_},
                    {"trace_id", trace_id_of(request.field(Known::Traceparent))},
                    {"client", request.client},
                    {"method", request.method_name},
                    {"path", logged_path(request.path)},
                    {"status", status},
                    // As it is counted: a route that is offline sends nothing on.
                    {"cache", status == 504 ? "absent" : "error"},
                    {"cause", detail}});
}

}  // namespace holdfast::proxy
