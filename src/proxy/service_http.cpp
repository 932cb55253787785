// The part of Service that answers for routes of mode rfc9111: what is stored is sent as it came,
// and what the client says of it counts (RFC 9111, 4 and 5.2.1; RFC 9110, 13 and 14).
#include <algorithm>
#include <utility>

#include "proxy/fetch_rules.h"
#include "proxy/response_fields.h"
#include "proxy/service.h"
#include "proxy/service_table.h"
#include "rfc9111/conditions.h"
#include "rfc9111/fields.h"
#include "rfc9111/ranges.h"

namespace holdfast::proxy {
namespace {

using http::Known;
using http::Method;

constexpr std::string_view kVia = "Via: 1.1 holdfast\r\n";

// What is sent to a Range of what is stored; nothing: all of it is.
struct RangedAnswer {
  int status = 206;
  std::string lines;
  std::string_view part;     // of what is stored
  bool own_content = false;  // or else:
  std::string content;
};

std::optional<RangedAnswer> ranged(const cache::StoredResponse& stored, const HttpFields& rare,
                                   base::Random& random) {
  std::uint64_t first = 0;
  std::uint64_t complete = stored.body.size();
  std::vector<rfc9111::ByteRange> ranges;
  RangedAnswer made;
  if (stored.status == 206) {
    const auto part = stored_range_of(stored);
    auto contained = part ? rfc9111::contained(*part, rare.range.range) : std::nullopt;
    if (!contained || !part->complete) return std::nullopt;
    first = part->range.first;
    complete = *part->complete;
    ranges = *std::move(contained);
  } else {
    if (stored.status != 200 || !rfc9111::if_range_holds(rare.range.if_range, stored.fields)) {
      return std::nullopt;
    }
    rfc9111::Ranges asked = rfc9111::ranges_of(rare.range.range, complete);
    if (asked.verdict == rfc9111::Ranged::Whole) return std::nullopt;
    if (asked.verdict == rfc9111::Ranged::Unsatisfiable) {
      made.status = 416;
      made.lines = rfc9111::unsatisfied_lines(complete);
      return made;
    }
    ranges = std::move(asked.ranges);
  }
  if (ranges.size() == 1) {
    const rfc9111::ByteRange& range = ranges.front();
    made.lines = rfc9111::partial_lines(stored.fields, {range, complete});
    made.part = std::string_view(stored.body).substr(range.first - first, range.length());
    return made;
  }
  std::string boundary;
  make_request_id(random, boundary);
  rfc9111::Multipart parts = rfc9111::multipart_of(stored.fields, stored.body, first, complete,
                                                   ranges, "holdfast-" + boundary);
  made.lines = std::move(parts.lines);
  made.own_content = true;
  made.content = std::move(parts.content);
  return made;
}

}  // namespace

void Service::look_up_http(http::Server& server, http::ExchangeId id, const http::Request& request,
                           Served& served, const Parameters& parameters) {
  if (const char* problem = served.route.key(parameters, request, key_)) {
    served.counts.count(CacheOutcome::Error, 400, parts_.worker.now() - request.received);
    return send_problem(server, id, request, 400, problem, {}, true);
  }
  const HttpFields rare(request);
  const rfc9111::RequestDirectives& wanted = rare.wanted;
  const std::string_view word = bypass_of(rare);
  // Of who wants nothing kept nothing will be where nobody is asked.
  const bool only_unkept =
      served.stored_only && word == rfc9111::word(rfc9111::Reason::ClientNoStore);
  if (!word.empty() && !only_unkept) {
    return send_through(server, id, request, served, {"bypass", word});
  }
  const cache::MemoryCache& memory = parts_.memory;
  const Selected selected =
      select_stored(key_, request.fields, rare.range, served.route.plan().storing.http,
                    [&memory](std::string_view key) { return memory.find(key); });
  Answer answer;
  answer.content = selected.response;
  if (answer.content) {
    const cache::Freshness freshness =
        cache::freshness(*answer.content, parts_.worker.clock().wall());
    if (const auto rung = http_rung_at_once(freshness, wanted)) {
      if (*rung == Rung::StaleWhileRevalidate && served.stored_only) {
        answer.stored_only = true;
      } else if (*rung == Rung::StaleWhileRevalidate && !wanted.only_if_cached &&
                 refresh_gate_.open(key_, request.received)) {
        parts_.origin.post([&flights = served.flights, &route = served.route, hold = served.hold,
                            asked = make_asked(request, served.route, key_, random_)] {
          flights.refresh_http(route, asked);
        });
      }
      answer.rung = *rung;
      count_use(selected.key);
      const Exchange exchange{id,
                              served,
                              request.method,
                              key_,
                              {},
                              {},
                              {},
                              request_id_,
                              request.client,
                              request.path,
                              request.field(Known::Traceparent),
                              request.received,
                              {}};
      return send_http(server, exchange, request, rare, answer, freshness);
    }
  }
  ask_origin_http(server, id, request, served, wanted);
}

void Service::ask_origin_http(http::Server& server, http::ExchangeId id,
                              const http::Request& request, Served& served,
                              const rfc9111::RequestDirectives& wanted) {
  AskedPtr asked = make_asked(request, served.route, key_, random_);
  Pending& pending = pending_[id];
  pending.id = id;
  pending.server = &server;
  pending.served = served.shared_from_this();
  pending.method = request.method;
  pending.only_if_cached = wanted.only_if_cached;
  pending.key = key_;
  pending.request_id = request_id_;
  pending.client = request.client;
  pending.path = request.path;
  pending.traceparent = request.field(Known::Traceparent);
  pending.received = request.received;
  pending.asked = asked;
  wait_in_line(pending);
  const base::SteadyTime deadline = request.received + settings_.request_deadline;
  parts_.origin.post([this, id, &flights = served.flights, &route = served.route,
                      hold = served.hold, deadline, asked = std::move(asked)] {
    // On the origin loop, as in ask_origin().
    if (parts_.origin.now() >= deadline) return;
    const auto reply = [this, id](Answer answer) {
      parts_.worker.post([this, id, answer = std::move(answer)] { finish(id, answer); });
    };
    if (asked->wanted.only_if_cached && !route.plan().stored_only) {
      return reply(flights.stored_http(route, *asked));
    }
    const auto interim = [this, id](int status, const std::shared_ptr<const std::string>& lines) {
      parts_.worker.post([this, id, status, lines] {
        const auto waits = pending_.find(id);
        if (waits != pending_.end()) waits->second.server->interim(id, status, *lines);
      });
    };
    flights.join_http(route, asked, deadline, reply, interim);
  });
}

cache::StoredPtr Service::in_memory(const Served& served, const Asked& asked) const {
  const cache::MemoryCache& memory = parts_.memory;
  return select_stored(asked.key, asked.fields(), asked.range, served.route.plan().storing.http,
                       [&memory](std::string_view key) { return memory.find(key); })
      .response;
}

void Service::finish_http(Pending& pending, const Answer& answer) {
  const http::Request& request = pending.asked->kept.request();
  if (answer.rung == Rung::Pass) {
    key_ = pending.key;
    request_id_ = pending.request_id;
    const AskedPtr kept = answer.pass.reason == "bypass" ? nullptr : pending.asked;
    return send_through(
        *pending.server, pending.id, request, *pending.served, answer.pass, kept,
        [this, &pending](const std::string& cause) { return answer_unpassed(pending, cause); });
  }
  const Exchange exchange = exchange_of(pending);
  if (!answer.content) return send_error(*pending.server, exchange, answer);
  send_http(*pending.server, exchange, request, HttpFields(request), answer,
            cache::freshness(*answer.content, parts_.worker.clock().wall()));
}

void Service::send_http(http::Server& server, const Exchange& exchange,
                        const http::Request& request, const HttpFields& rare, const Answer& answer,
                        const cache::Freshness& freshness) {
  const cache::StoredResponse& content = *answer.content;
  http::Response response;
  response.status = content.status;
  response.fields = content.fields;
  response.body = content.body;
  // What is of a source of our own has none.
  response.has_date = content.kind == cache::Kind::Verbatim;
  std::string lines;
  std::optional<RangedAnswer> made;
  const rfc9111::Conditions conditions{request.field(Known::IfNoneMatch),
                                       request.field(Known::IfModifiedSince)};
  // What is not right confirms nothing, and is no whole that parts could be of.
  if (answer.invalid()) {
    // All of it, as it came.
  } else if (rfc9111::evaluate(conditions, content.status, content.fields, content.response_time) ==
             rfc9111::Precondition::NotModified) {
    lines = rfc9111::lines_for_304(content.fields);
    response.status = 304;
    response.fields = lines;
    response.body = {};
  } else if (!rare.range.range.empty() && exchange.method == Method::Get) {
    made = ranged(content, rare, random_);
    if (made) {
      response.status = made->status;
      response.fields = made->lines;
      response.has_date = response.has_date && made->status == 206;
      response.body = made->own_content ? std::string_view(made->content) : made->part;
    }
  }
  fields_.assign(exchange.served.route.response_fields());
  append_age(fields_, freshness);
  append_cache_status(fields_, answer, freshness);
  fields_ += kVia;
  append_request_id(fields_, exchange.request_id);
  response.more_fields = fields_;
  server.respond(exchange.id, response);
  record(exchange, answer, response.status, response.body.size());
}

}  // namespace holdfast::proxy
