#include "control.h"

#include <algorithm>
#include <array>

#include "text.h"

namespace holdfast::flaky {
namespace {

using namespace std::chrono_literals;

constexpr auto kDefaultWait = 10s;

// "Name: value" lines; "ETag: on" stands for one made from the content.
base::Result<std::pair<Fields, bool>> parse_fields(std::string_view text) {
  std::pair<Fields, bool> parsed;
  for (const auto line : split(text, '\n')) {
    const auto colon = line.find(':');
    const auto name = trim(line.substr(0, colon));
    if (colon == std::string_view::npos || name.empty()) {
      return base::invalid_input("\"" + std::string(line) + "\" is not \"Name: value\"");
    }
    const auto value = trim(line.substr(colon + 1));
    if (equals_ignoring_case(name, "ETag") && value == "on") {
      parsed.second = true;
    } else {
      parsed.first.emplace_back(name, value);
    }
  }
  return parsed;
}

base::Result<std::uint64_t> parse_limit(std::string_view text) {
  return text == "off" ? base::Result<std::uint64_t>(0) : parse_count(text);
}

// What `ip`, or `key` for another API, names, as it is counted by; "" if neither is there.
base::Result<std::string> subject_of(const Request& request) {
  if (const auto key = request.parameter("key")) return *key;
  const auto ip = request.parameter("ip");
  if (!ip) return std::string();
  const auto address = parse_address(*ip);
  if (!address) return base::invalid_input("ip: not an IP address");
  return address->text;
}

Message json(std::string content) {
  Message message;
  message.content = std::move(content);
  return message;
}

}  // namespace

Control::Control(base::EventLoop& loop, const std::string& bind_address, std::uint16_t port,
                 Upstream& upstream)
    : loop_(loop),
      upstream_(upstream),
      server_(loop, {.addresses = {bind_address}, .port = port}, *this) {
  upstream_.on_change([this] { check_waiters(); });
}

Control::~Control() {
  upstream_.on_change({});
}

void Control::on_request(ConnectionId id, Request request) {
  if (request.method == "GET" && request.path() == "/wait") return wait(id, request);
  const bool changes = request.method == "PUT" || request.method == "POST";
  if (!changes && request.method != "GET") {
    Message message = json_error(405, "GET, PUT or POST");
    message.fields.emplace_back("Allow", "GET, PUT, POST");
    return answer(id, message, request.keep_alive);
  }
  answer(id, changes ? put(request) : get(request), request.keep_alive);
}

void Control::on_answer_end(ConnectionId id, bool) {
  waiters_.erase(id);
}

void Control::answer(ConnectionId id, const Message& message, bool keep_alive) {
  server_.send(id, plan_of(message, keep_alive));
}

Message Control::get(const Request& request) const {
  const auto path = request.path();
  auto& stats = upstream_.stats();
  if (path == "/stats") {
    const auto subject = subject_of(request);
    if (!subject) return json_error(400, subject.error().message);
    if (subject->empty()) return json(upstream_.stats_json());
    const auto found = stats.ips.find(*subject);
    return json(ip_json(*subject, found == stats.ips.end() ? IpCounts{} : found->second));
  }
  if (path == "/ips") {
    std::string text = "{";
    for (const auto& [ip, counts] : stats.ips) {
      if (text.size() > 1) text += ',';
      append_json_string(text, ip);
      text += ":" + std::to_string(counts.requests);
    }
    return json(text + "}");
  }
  if (path == "/answer") {
    const auto address = parse_address(request.parameter("ip").value_or(""));
    if (!address) return json_error(400, "ip: not an IP address");
    auto content = upstream_.content(*address);
    return content ? json(std::move(*content)) : json_error(404, "no data for this address");
  }
  if (path == "/heard") return json(upstream_.heard_json());
  return json_error(404, "no such path; GET /stats, /ips, /heard, /answer or /wait");
}

Message Control::put(const Request& request) {
  const auto path = request.path();
  static constexpr std::array<std::string_view, 12> kPaths{
      "/faults", "/script",  "/latency", "/handshake-delay", "/close-after", "/rate-limit", "/mode",
      "/fields", "/edition", "/hold",    "/release",         "/reset"};
  if (std::find(kPaths.begin(), kPaths.end(), path) == kPaths.end()) {
    std::string known = "no such path; PUT or POST";
    for (const auto name : kPaths) known += " " + std::string(name);
    return json_error(404, known);
  }
  const auto applied = apply(path, request);
  if (!applied) return json_error(400, applied.error().message);
  return json("{\"" + std::string(path.substr(1)) + "\":" + *applied + "}");
}

// Gives back what is in force now, as JSON.
base::Result<std::string> Control::apply(std::string_view path, const Request& request) {
  const auto text = trim(request.content);
  const auto quoted = [](std::string_view value) {
    std::string json_text;
    append_json_string(json_text, value);
    return json_text;
  };
  if (path == "/faults") {
    return FaultMix::parse(text).map([&](const FaultMix& mix) {
      upstream_.set_faults(mix);
      return quoted(mix.to_text());
    });
  }
  if (path == "/script") {
    const auto subject = subject_of(request);
    if (!subject) return tl::unexpected(subject.error());
    return upstream_.script().set(*subject, text).map([](std::size_t steps) {
      return std::to_string(steps);
    });
  }
  if (path == "/latency") {
    const auto latency = parse_latency(text);
    if (!latency) return tl::unexpected(latency.error());
    if (const auto wanted = request.parameter("for")) {
      const auto block = Block::parse(*wanted);
      if (!block) return tl::unexpected(block.error());
      upstream_.set_latency_for(*block,
                                text == "off" ? std::nullopt : std::optional<Latency>(*latency));
    } else {
      upstream_.set_latency(*latency);
    }
    return quoted(to_text(*latency));
  }
  if (path == "/handshake-delay") {
    return (text == "off" ? base::Result<base::Duration>(0) : parse_duration(text))
        .map([&](base::Duration delay) {
          upstream_.set_handshake_delay(delay);
          return quoted(text);
        });
  }
  if (path == "/close-after") {
    if (text == "off") {
      upstream_.set_close_after(std::nullopt);
      return "null";
    }
    return parse_count(text).map([&](std::uint64_t requests) {
      upstream_.set_close_after(requests);
      return std::to_string(requests);
    });
  }
  if (path == "/rate-limit") {
    return parse_limit(text).map([&](std::uint64_t limit) {
      upstream_.set_requests_per_second(limit);
      return std::to_string(limit);
    });
  }
  if (path == "/mode") {
    return parse_mode(text).map([&](const Mode& mode) {
      upstream_.set_mode(mode);
      return quoted(to_text(mode));
    });
  }
  if (path == "/fields") {
    return parse_fields(text).map([&](const std::pair<Fields, bool>& fields) {
      upstream_.set_fields(fields.first, fields.second);
      return std::to_string(fields.first.size() + (fields.second ? 1 : 0));
    });
  }
  if (path == "/edition") {
    return parse_count(text).map([&](std::uint64_t edition) {
      upstream_.set_edition(edition);
      return std::to_string(edition);
    });
  }
  if (path == "/hold") {
    upstream_.hold();
    return "true";
  }
  if (path == "/release") {
    std::optional<std::size_t> most;
    if (const auto count = request.parameter("count")) {
      const auto number = parse_count(*count);
      if (!number) return tl::unexpected(number.error());
      most = *number;
    }
    return std::to_string(upstream_.release(most));
  }
  upstream_.reset_counters();
  return "true";
}

void Control::wait(ConnectionId id, const Request& request) {
  struct Condition {
    std::string_view name;
    Waiter::What what;
  };
  static constexpr std::array kConditions{
      Condition{"in_flight", Waiter::What::InFlightAtLeast},
      Condition{"in_flight_at_most", Waiter::What::InFlightAtMost},
      Condition{"held", Waiter::What::Held},
      Condition{"requests", Waiter::What::Requests},
      Condition{"aborted", Waiter::What::Aborted},
  };
  auto waiter = std::make_unique<Waiter>();
  waiter->keep_alive = request.keep_alive;
  std::string problem = "what for? in_flight, in_flight_at_most, held, requests or aborted";
  for (const auto& condition : kConditions) {
    const auto value = request.parameter(condition.name);
    if (!value) continue;
    const auto number = parse_count(*value);
    problem = number ? "" : number.error().message;
    if (number) {
      waiter->what = condition.what;
      waiter->number = *number;
    }
    break;
  }
  base::Duration most = kDefaultWait;
  if (const auto timeout = request.parameter("timeout")) {
    const auto parsed = parse_duration(*timeout);
    if (!parsed) problem = parsed.error().message;
    if (parsed) most = *parsed;
  }
  if (!problem.empty()) return answer(id, json_error(400, problem), request.keep_alive);
  if (holds(*waiter)) return answer(id, json(upstream_.stats_json()), request.keep_alive);
  auto& waiting = *waiters_.emplace(id, std::move(waiter)).first->second;
  waiting.timeout.set_after(loop_, most, [this, id] {
    Message message = json(upstream_.stats_json());
    message.status = 408;
    answer(id, message, waiters_.at(id)->keep_alive);
  });
}

bool Control::holds(const Waiter& waiter) const {
  const auto& stats = upstream_.stats();
  switch (waiter.what) {
    case Waiter::What::InFlightAtLeast:
      return stats.in_flight >= waiter.number;
    case Waiter::What::InFlightAtMost:
      return stats.in_flight <= waiter.number;
    case Waiter::What::Held:
      return upstream_.held() >= waiter.number;
    case Waiter::What::Requests:
      return stats.requests >= waiter.number;
    case Waiter::What::Aborted:
      return stats.aborted >= waiter.number;
  }
  return false;
}

void Control::check_waiters() {
  if (waiters_.empty()) return;
  std::vector<ConnectionId> satisfied;
  for (const auto& [id, waiter] : waiters_) {
    if (holds(*waiter)) satisfied.push_back(id);
  }
  for (const auto id : satisfied) {
    const auto found = waiters_.find(id);
    if (found == waiters_.end()) continue;
    const bool keep_alive = found->second->keep_alive;
    waiters_.erase(found);
    answer(id, json(upstream_.stats_json()), keep_alive);
  }
}

}  // namespace holdfast::flaky
