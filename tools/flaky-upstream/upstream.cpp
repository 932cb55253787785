#include "upstream.h"

#include <algorithm>
#include <cstdio>

#include "text.h"

namespace holdfast::flaky {
namespace {

// Requests that can be read back.
constexpr std::size_t kHeard = 256;

std::string etag_of(std::string_view content) {
  char text[24];
  std::snprintf(text, sizeof text, "\"%016llx\"", static_cast<unsigned long long>(fnv1a(content)));
  return text;
}

const std::string* find_field(const Fields& fields, std::string_view name) {
  for (const auto& [key, value] : fields) {
    if (equals_ignoring_case(key, name)) return &value;
  }
  return nullptr;
}

// RFC 9110, 13.1.2: weak comparison. Our own tags hold no comma.
bool none_match_lists(std::string_view field, std::string_view etag) {
  for (auto tag : split(field, ',')) {
    if (tag == "*") return true;
    if (tag.starts_with("W/")) tag.remove_prefix(2);
    if (tag == etag) return true;
  }
  return false;
}

}  // namespace

Upstream::Upstream(base::EventLoop& loop, ListenSettings listen, UpstreamSettings settings,
                   std::unique_ptr<AnswerSource> database)
    : loop_(loop),
      settings_(std::move(settings)),
      generated_(settings_.edition),
      database_(std::move(database)),
      server_(loop, std::move(listen), *this),
      availability_(loop, server_) {
  rate_limit_.set(settings_.requests_per_second);
}

Upstream::~Upstream() = default;

void Upstream::set_requests_per_second(std::uint64_t limit) {
  settings_.requests_per_second = limit;
  rate_limit_.set(limit);
}

void Upstream::set_latency_for(const Block& block, const std::optional<Latency>& latency) {
  auto& blocks = settings_.latency_for;
  const auto found = std::find_if(blocks.begin(), blocks.end(), [&](const auto& entry) {
    return entry.first.text() == block.text();
  });
  if (found != blocks.end() && latency) {
    found->second = *latency;
  } else if (found != blocks.end()) {
    blocks.erase(found);
  } else if (latency) {
    blocks.emplace_back(block, *latency);
  }
}

const Latency& Upstream::latency_of(const Address& address) const {
  for (const auto& [block, latency] : settings_.latency_for) {
    if (block.contains(address)) return latency;
  }
  return settings_.latency;
}

void Upstream::set_close_after(std::optional<std::uint64_t> requests) {
  settings_.close_after = requests;
  close_counts_from_ = stats_.requests;
}

bool Upstream::closes_now() const {
  return settings_.close_after && stats_.requests - close_counts_from_ > *settings_.close_after;
}

void Upstream::set_fields(Fields fields, bool etag) {
  settings_.fields = std::move(fields);
  settings_.etag = etag;
}

void Upstream::set_edition(std::uint64_t edition) {
  settings_.edition = edition;
  generated_.set_edition(edition);
}

std::optional<std::string> Upstream::content(const Address& address) const {
  return database_ ? database_->content(address) : generated_.content(address);
}

void Upstream::on_request(ConnectionId id, Request request) {
  ++stats_.requests;
  if (closes_now()) request.keep_alive = false;
  ++stats_.in_flight;
  stats_.max_in_flight = std::max(stats_.max_in_flight, stats_.in_flight);
  stats_.window.add(loop_.now());

  auto decision = decide(request);
  auto& flight = *in_flight_.emplace(id, std::make_unique<InFlight>()).first->second;
  flight.plan = std::move(decision.plan);
  flight.ip = std::move(decision.ip);
  if (decision.delay > base::Duration::zero()) {
    flight.delay.set_after(loop_, decision.delay, [this, id] { ready(id); });
    changed();
  } else {
    ready(id);
  }
}

void Upstream::ready(ConnectionId id) {
  if (!holding_) return transmit(id);
  in_flight_.at(id)->held_as = ++last_held_;
  held_.emplace(last_held_, id);
  changed();
}

void Upstream::transmit(ConnectionId id) {
  const auto found = in_flight_.find(id);
  if (found == in_flight_.end()) return;
  // Moved out first: the answer may end, and the flight with it, inside send().
  auto& flight = *found->second;
  held_.erase(std::exchange(flight.held_as, 0));
  auto plan = std::move(flight.plan);
  server_.send(id, std::move(plan));
  changed();
}

std::size_t Upstream::release(std::optional<std::size_t> most) {
  if (!most) holding_ = false;
  // Collected first: sending changes held_.
  std::vector<ConnectionId> ids;
  for (const auto& [number, id] : held_) {
    if (most && ids.size() >= *most) break;
    ids.push_back(id);
  }
  for (const auto id : ids) transmit(id);
  return ids.size();
}

void Upstream::on_answer_end(ConnectionId id, bool complete) {
  const auto found = in_flight_.find(id);
  if (found == in_flight_.end()) return;
  held_.erase(found->second->held_as);
  const auto counts = stats_.ips.find(found->second->ip);
  if (counts != stats_.ips.end()) --counts->second.in_flight;
  in_flight_.erase(found);
  --stats_.in_flight;
  ++(complete ? stats_.completed : stats_.aborted);
  changed();
}

void Upstream::changed() const {
  if (on_change_) on_change_();
}

void Upstream::reset_counters() {
  const auto in_flight = stats_.in_flight;
  std::map<std::string, IpCounts, std::less<>> ips;
  for (const auto& [ip, counts] : stats_.ips) {
    if (counts.in_flight == 0) continue;
    ips[ip].in_flight = ips[ip].max_in_flight = counts.in_flight;
  }
  stats_ = {};
  close_counts_from_ = 0;
  stats_.in_flight = stats_.max_in_flight = in_flight;
  stats_.ips = std::move(ips);
  rate_limit_.forget();
  script_.clear();
  heard_.clear();
  server_.reset_counts();
}

Upstream::Decision Upstream::refuse(const Request& request, Outcome outcome, Message message) {
  ++stats_.outcomes[static_cast<std::size_t>(outcome)];
  return {plan_of(message, request.keep_alive)};
}

// The order is that of a real service: routing, then who asks, then what for.
// Chance touches only requests that would have been answered.
Upstream::Decision Upstream::decide(const Request& request) {
  heard_.push_back(request);
  if (heard_.size() > kHeard) heard_.pop_front();
  if (availability_.blackholed()) {
    ++stats_.outcomes[static_cast<std::size_t>(Outcome::Blackholed)];
    return {{{}, WirePlan::End::Hang}};
  }
  return settings_.api ? decide_api(request) : decide_lookup(request);
}

std::optional<Upstream::Decision> Upstream::objection(const Request& request) {
  const bool takes_post = settings_.api && settings_.api->takes_post();
  if (request.method != "GET" && !(takes_post && request.method == "POST")) {
    Message message =
        json_error(405, takes_post ? "only GET and POST are allowed" : "only GET is allowed");
    message.fields.emplace_back("Allow", takes_post ? "GET, POST" : "GET");
    return refuse(request, Outcome::BadMethod, std::move(message));
  }
  if (!settings_.token.empty() && token_of(request) != settings_.token) {
    const bool bearer = settings_.token_field.empty() && settings_.token_query.empty();
    Message message =
        json_error(401, bearer ? "missing or wrong bearer token" : "missing or wrong token");
    if (bearer) message.fields.emplace_back("WWW-Authenticate", "Bearer");
    return refuse(request, Outcome::Unauthorized, std::move(message));
  }
  return std::nullopt;
}

Upstream::Decision Upstream::decide_api(const Request& request) {
  auto healthy = settings_.api->answer(request, settings_.edition);
  if (!healthy) return refuse(request, Outcome::NotFound, json_error(404, "no such path"));
  if (auto refused = objection(request)) return *std::move(refused);
  if (healthy->key.empty()) {
    return refuse(request, Outcome::InvalidIp, std::move(healthy->message));
  }
  return answer(request, *std::move(healthy), settings_.latency);
}

Upstream::Decision Upstream::decide_lookup(const Request& request) {
  const auto path = request.path();
  const auto prefix =
      std::find_if(settings_.paths.begin(), settings_.paths.end(),
                   [path](const std::string& candidate) { return path.starts_with(candidate); });
  if (prefix == settings_.paths.end()) {
    return refuse(request, Outcome::NotFound, json_error(404, "no such path"));
  }
  if (auto refused = objection(request)) return *std::move(refused);
  std::string text;
  const bool decoded = percent_decode(path.substr(prefix->size()), text);
  const auto address = decoded ? parse_address(text) : std::nullopt;
  if (!address) return refuse(request, Outcome::InvalidIp, json_error(400, "not an IP address"));
  return answer(request, lookup_answer(*address), latency_of(*address));
}

ApiAnswer Upstream::lookup_answer(const Address& address) const {
  ApiAnswer answer;
  answer.key = address.text;
  if (auto body = content(address)) {
    answer.message.content = *std::move(body);
  } else {
    answer.message = json_error(404, "no data for this address");
  }
  answer.other = [this, other = neighbour(address)] {
    return content(other).value_or(geo_answer(other));
  };
  answer.partial = "{\"ip\":";
  append_json_string(answer.partial, address.text);
  answer.partial += '}';
  return answer;
}

Upstream::Decision Upstream::answer(const Request& request, ApiAnswer healthy,
                                    const Latency& latency) {
  auto& counts = stats_.ips[healthy.key];
  const auto turn = counts.requests++;
  counts.max_in_flight = std::max(counts.max_in_flight, ++counts.in_flight);

  Chance chance(settings_.seed, fnv1a(healthy.key), turn);
  Decision decision;
  decision.ip = healthy.key;
  decision.delay = draw(latency, chance);
  if (!rate_limit_.allow(loop_.now())) {
    auto limited =
        refuse(request, Outcome::RateLimited, too_many_requests(std::chrono::seconds(1)));
    limited.ip = healthy.key;
    return limited;
  }

  Fault fault = Fault::None;
  if (!script_.next(healthy.key, fault)) fault = settings_.faults.draw(chance);
  if (fault == Fault::Slow) decision.delay += settings_.fault_settings.slow_delay;

  Outcome outcome = Outcome::Ok;
  // A broken upstream does not get as far as looking at conditions.
  const bool may_be_304 = fault == Fault::None || fault == Fault::Slow;
  const Request unconditional;
  Exchange exchange;
  exchange.answer =
      with_validators(may_be_304 ? request : unconditional, std::move(healthy.message),
                      healthy.has_etag || settings_.etag, outcome);
  if (fault == Fault::OtherIp) exchange.other_content = healthy.other();
  exchange.partial_content = std::move(healthy.partial);
  if (fault == Fault::RedirectEcho) {
    exchange.repeated = "/" + token_of(request).value_or("") + request.target;
  }
  exchange.keep_alive = request.keep_alive;
  decision.plan = plan_with_fault(fault, exchange, settings_.fault_settings, chance);
  ++counts.faults[static_cast<std::size_t>(fault)];
  if (fault == Fault::None) {
    ++stats_.outcomes[static_cast<std::size_t>(outcome)];
  } else {
    ++stats_.faults[static_cast<std::size_t>(fault)];
  }
  return decision;
}

Message Upstream::with_validators(const Request& request, Message message, bool etag,
                                  Outcome& outcome) const {
  if (message.status != 200) {
    outcome = Outcome::NotFound;
    return message;
  }
  message.fields.insert(message.fields.begin(), settings_.fields.begin(), settings_.fields.end());
  if (etag) message.fields.emplace_back("ETag", etag_of(message.content));
  const auto* none_match = request.field("If-None-Match");
  const auto* modified_since = request.field("If-Modified-Since");
  const auto* last_modified = find_field(message.fields, "Last-Modified");
  // RFC 9110, 13.2.2: If-None-Match, where present, alone decides. Dates are
  // compared as text: whoever validates sends back what it was given.
  const bool unchanged = none_match != nullptr
                             ? etag && none_match_lists(*none_match, message.fields.back().second)
                             : modified_since != nullptr && last_modified != nullptr &&
                                   *modified_since == *last_modified;
  if (unchanged) {
    outcome = Outcome::NotModified;
    message.status = 304;
    message.content_type.clear();
    message.content.clear();
  }
  return message;
}

std::optional<std::string> Upstream::token_of(const Request& request) const {
  if (!settings_.token_query.empty()) return request.parameter(settings_.token_query);
  if (!settings_.token_field.empty()) {
    const auto* field = request.field(settings_.token_field);
    return field == nullptr ? std::nullopt : std::optional(std::string(trim(*field)));
  }
  const auto* field = request.field("Authorization");
  if (field == nullptr) return std::nullopt;
  // The scheme's case does not matter (RFC 9110, 11.1).
  const std::string_view value = *field;
  if (value.size() <= 7 || !equals_ignoring_case(value.substr(0, 7), "Bearer ")) {
    return std::nullopt;
  }
  return std::string(trim(value.substr(7)));
}

std::string Upstream::heard_json() const {
  std::string text = "{\"requests\":[";
  for (const Request& request : heard_) {
    if (text.back() != '[') text += ',';
    text += "{\"method\":";
    append_json_string(text, request.method);
    text += ",\"target\":";
    append_json_string(text, request.target);
    text += ",\"fields\":[";
    for (const auto& [name, value] : request.fields) {
      if (text.back() != '[') text += ',';
      append_json_string(text, name + ": " + value);
    }
    text += "]}";
  }
  return text + "]}";
}

std::string Upstream::stats_json() {
  const auto& connections = server_.connections();
  std::string text = "{" + stats_members(stats_, loop_.now());
  text += ",\"held\":" + std::to_string(held_.size());
  text += ",\"holding\":" + std::string(holding_ ? "true" : "false");
  text += ",\"script_steps_left\":" + std::to_string(script_.steps_left());
  text += ",\"connections\":{\"accepted\":" + std::to_string(connections.accepted) +
          ",\"open\":" + std::to_string(connections.open) +
          ",\"max_open\":" + std::to_string(connections.most_open) + "}";
  text += ",\"listening\":" + std::string(server_.listening() ? "true" : "false");
  text += ",\"settings\":{\"mode\":";
  append_json_string(text, to_text(availability_.mode()));
  text += ",\"faults\":";
  append_json_string(text, settings_.faults.to_text());
  text += ",\"latency\":";
  append_json_string(text, to_text(settings_.latency));
  text += ",\"latency_for\":{";
  for (const auto& [block, latency] : settings_.latency_for) {
    if (text.back() != '{') text += ',';
    append_json_string(text, block.text());
    text += ':';
    append_json_string(text, to_text(latency));
  }
  text += "},\"close_after\":";
  text += settings_.close_after ? std::to_string(*settings_.close_after) : "null";
  text += ",\"requests_per_second\":" + std::to_string(settings_.requests_per_second);
  text += ",\"edition\":" + std::to_string(settings_.edition);
  text += ",\"seed\":" + std::to_string(settings_.seed) + "}}";
  return text;
}

}  // namespace holdfast::flaky
