#include "daemon/explain.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "base/masked_url.h"
#include "base/random.h"
#include "config/masking.h"
#include "config/routing.h"
#include "daemon/client_request.h"
#include "daemon/pages.h"
#include "daemon/parts_settings.h"
#include "daemon/route_plans.h"
#include "proxy/fetch_rules.h"
#include "proxy/passed_fields.h"
#include "proxy/route_choice.h"
#include "proxy/trace_context.h"
#include "upstream/base_url.h"
#include "upstream/outgoing.h"

namespace holdfast::daemon {
namespace {

using proxy::ParameterType;
using proxy::Taken;

constexpr const char* kSecret = "(secret)";

std::string shown(const proxy::PathTemplate::Segment& segment) {
  if (!segment.type) return "\"" + segment.text + "\"";
  const char* type = "";
  switch (*segment.type) {
    case ParameterType::Ip:
      type = ":ip";
      break;
    case ParameterType::Uuid:
      type = ":uuid";
      break;
    case ParameterType::Int:
      type = ":int";
      break;
    case ParameterType::Hex:
      type = ":hex";
      break;
    case ParameterType::Segment:
      break;
    case ParameterType::Rest:
      type = ":rest";
      break;
  }
  return "{" + segment.text + type + "}";
}

// Of two that take the same request, why the first goes before the second: as RouteTable has it.
std::string why_before(const proxy::RoutePlan& first, const proxy::RoutePlan& second) {
  if (!first.host.empty() && second.host.empty()) {
    return "it names the host, " + second.name + " takes any";
  }
  const auto& ours = first.match.segments();
  const auto& theirs = second.match.segments();
  for (std::size_t i = 0; i < std::min(ours.size(), theirs.size()); ++i) {
    const bool alike = ours[i].type == theirs[i].type &&
                       (ours[i].type.has_value() || ours[i].text == theirs[i].text);
    if (!alike) return shown(ours[i]) + " goes before " + shown(theirs[i]);
  }
  return "it is the more specific one";
}

std::string authority(const std::string& url) {
  const auto base = upstream::read_base_url(url);
  if (!base) return {};
  const bool v6 = base->host.find(':') != std::string::npos;
  std::string host = v6 ? "[" + base->host + "]" : base->host;
  if (base->port != (base->tls ? 443 : 80)) host += ":" + std::to_string(base->port);
  return host;
}

// Of a URL that may be shown; without the slash at its end.
std::string path_of(std::string_view url) {
  const std::size_t scheme = url.find("://");
  const std::size_t slash = url.find('/', scheme == url.npos ? 0 : scheme + 3);
  std::string path(slash == url.npos ? std::string_view() : url.substr(slash));
  while (path.ends_with('/')) path.pop_back();
  return path;
}

// All but what the transport adds.
upstream::Request goes_upstream(const http::Request& client, const proxy::Route& route,
                                const Explanation& explanation) {
  http::Request asked = client;
  asked.client = "(the client's address)";
  base::Random random(base::Random::entropy());
  if (!explanation.passed && route.plan().storing.http.on) {
    upstream::Request request = proxy::make_asked(asked, route, explanation.key, random)->upstream;
    request.verbatim = true;
    return request;
  }
  upstream::Request request = route.upstream_request(
      explanation.key, proxy::continued_trace(client.field(http::Known::Traceparent),
                                              client.field(http::Known::Tracestate), random));
  if (explanation.passed) {
    request.fields = proxy::passed_request_fields(asked, route.plan(), request.fields);
  }
  return request;
}

void tell_upstream(const config::UpstreamConfig& upstream, const config::RouteConfig& config,
                   const proxy::Route& route, const http::Request& client,
                   Explanation& explanation) {
  explanation.upstream = upstream.name;
  for (const std::string& url : upstream.settings.api_urls) {
    explanation.urls.push_back(base::masked_url(url));
  }
  explanation.upstream_settings = config::settings_in_force(upstream);
  if (explanation.batch) return;
  const upstream::CurlTransport::Settings transport = transport_settings(upstream, 0);
  upstream::Request request = goes_upstream(client, route, explanation);
  request.target = config::masked_target(request.target, route.plan().target.text());
  for (upstream::Field& field : request.fields) {
    const bool ours =
        std::any_of(config.request_set.begin(), config.request_set.end(), [&](const auto& set) {
          return upstream::is_field(field, set.first) && field.value == set.second;
        });
    if (ours && config::is_secret_field(field.name)) field.value = kSecret;
  }
  if (!upstream.settings.api_token.empty()) {
    request = with_credential(std::move(request), transport.credential, kSecret);
    const std::string escaped = upstream::escaped_for_query(kSecret);
    if (transport.credential.in == upstream::Credential::In::Query &&
        request.target.ends_with(escaped)) {
      request.target.replace(request.target.size() - escaped.size(), escaped.size(), kSecret);
    }
  }
  const std::string method = explanation.passed ? explanation.method : "GET";
  explanation.request_line = method + " " + path_of(explanation.urls.front()) + request.target;
  upstream::Fields fields =
      explanation.passed || request.verbatim
          ? upstream::verbatim_fields(request.fields, transport.host)
          : upstream::head_fields(request.fields, transport.host, transport.user_agent);
  if (request.verbatim && upstream::find_field(fields, "Accept-Encoding") == nullptr) {
    fields.push_back({"Accept-Encoding", "identity"});
  }
  const std::string* const host = upstream::find_field(fields, "Host");
  explanation.fields.push_back(
      {"Host", host ? *host : authority(upstream.settings.api_urls.front())});
  for (upstream::Field& field : fields) {
    if (!upstream::is_field(field, "Host")) explanation.fields.push_back(std::move(field));
  }
}

std::string shown_pointer(const proxy::JsonPointer& pointer) {
  return pointer.text.empty() ? "the whole" : pointer.text;
}

std::vector<std::string> told_of_passing(const proxy::RoutePlan& plan, std::string_view method) {
  if (plan.stored_only) return {"nothing: it is answered with 504 at once, and not sent"};
  std::vector<std::string> all = {
      "any answer, of any length: it goes to the client as it comes, and is not stored",
      "sent once, and never again, whatever becomes of it; 503 at once while the breaker is open",
      "content of " + config::format_size(plan.max_request_body_bytes) + " at most, else 413",
      "whoever waits to be asked for it (Expect: 100-continue) is, once the upstream asks, or says "
      "nothing for 1 s"};
  if (!proxy::is_safe(method))
    all.emplace_back("2xx and 3xx: what is stored of this URL is erased");
  return all;
}

// What becomes of an answer larger than max_body.
std::string told_of_large(const proxy::Route& route) {
  const proxy::RoutePlan& plan = route.plan();
  if (!plan.storing.http.on && !route.passes_large()) return "a larger one is refused (max_body)";
  std::string told = "a larger one (max_body) is passed on as it comes, and not stored";
  if (route.passes_large() && plan.body.min_body_bytes > 0) told += ", if it states its length";
  return told;
}

std::vector<std::string> asked_of_answer(const proxy::Route& route) {
  const proxy::RoutePlan& plan = route.plan();
  const proxy::BodyRules& rules = plan.body;
  std::vector<std::string> all;
  std::string whole = rules.needs_json() ? "a whole JSON document" : "any content";
  if (!rules.content_type.empty()) whole += ", called " + rules.content_type;
  if (rules.min_body_bytes > 0) {
    whole += ", of " + config::format_size(rules.min_body_bytes) + " at least";
  }
  all.push_back(whole + ", of " + config::format_size(rules.max_body_bytes) + " at most; " +
                told_of_large(route));
  for (const proxy::Require& rule : rules.require) {
    const bool any = rule.types == proxy::kAnyType;
    all.push_back(shown_pointer(rule.pointer) + " is " +
                  (any ? std::string("there") : proxy::in_words(rule.types)));
  }
  for (const proxy::Equal& rule : rules.equal) {
    all.push_back(shown_pointer(rule.pointer) + " is the {" + rule.parameter + "} of the path");
  }
  for (const proxy::RejectIf& rule : rules.reject_if) {
    std::string values;
    for (const std::string& value : rule.values) {
      values += (values.empty() ? "\"" : ", \"") + value + "\"";
    }
    all.push_back(shown_pointer(rule.pointer) + " is none of " + values);
  }
  if (plan.pass_invalid && !plan.stored_only) {
    all.emplace_back(
        "else, with no attempt left and nothing stored: to the client as it came, unstored");
  }
  return all;
}

class Explainer {
 public:
  Explainer(const config::Routing& routing, std::vector<proxy::RoutePlan> plans)
      : routing_(routing) {
    for (proxy::RoutePlan& plan : plans) {
      choice_.add(routes_.size(), plan);
      routes_.push_back(std::make_unique<proxy::Route>(std::move(plan)));
    }
  }

  void tell(const http::Request& request, Explanation& explanation) const {
    if (is_page(request.path)) return tell_page(request, explanation);
    std::string storage;
    proxy::Parameters parameters;
    Taken taken = choice_.take(request, storage, parameters);
    if (request.path == "*") taken.by = Taken::By::OwnOptions;
    switch (taken.by) {
      case Taken::By::Route:
        return tell_route(taken.route, request, parameters, explanation);
      case Taken::By::Batch:
        explanation.batch = true;
        return tell_route(taken.route, request, parameters, explanation);
      case Taken::By::BadPath:
        return refuse(explanation, 400, taken.why);
      case Taken::By::BadValue:
        explanation.near = routes_[taken.route]->name();
        return refuse(explanation, 400, taken.why);
      case Taken::By::BadMethod:
        return not_taken(request, taken.allowed, explanation);
      case Taken::By::OwnOptions:
        return not_taken(request, proxy::kReadableMethods, explanation);
      case Taken::By::Nobody:
        return refuse(explanation, 404, taken.why);
    }
  }

 private:
  static void refuse(Explanation& explanation, int status, std::string why) {
    explanation.status = status;
    explanation.why = std::move(why);
  }

  static void not_taken(const http::Request& request, proxy::MethodSet allowed,
                        Explanation& explanation) {
    const bool options = request.method == http::Method::Options;
    refuse(explanation, options ? 204 : 405,
           options ? "Allow: " + proxy::allowed_text(allowed) : proxy::only_served(allowed));
  }

  static void tell_page(const http::Request& request, Explanation& explanation) {
    const bool readable =
        request.method == http::Method::Get || request.method == http::Method::Head;
    if (!readable) return not_taken(request, proxy::kReadableMethods, explanation);
    refuse(explanation, 200, "a page of the service's own, before any route");
  }

  void tell_route(std::size_t number, const http::Request& request,
                  const proxy::Parameters& parameters, Explanation& explanation) const {
    const proxy::Route& route = *routes_[number];
    const proxy::RoutePlan& plan = route.plan();
    if (!explanation.batch) {
      if (const char* problem = route.key(parameters, request, explanation.key)) {
        explanation.near = plan.name;
        explanation.key.clear();
        return refuse(explanation, 400, problem);
      }
    }
    explanation.passed = !explanation.batch && request.method != http::Method::Get &&
                         request.method != http::Method::Head;
    if (explanation.passed && proxy::asks_for_upgrade(request)) {
      explanation.near = plan.name;
      return refuse(explanation, 501, "no other protocol is spoken here");
    }
    const config::RouteConfig& config = routing_.routes[number];
    explanation.route = plan.name;
    explanation.number = number;
    explanation.offline = plan.stored_only;
    explanation.match = plan.host + std::string(plan.match.text());
    explanation.place = config.built_in
                            ? config.place.file
                            : config.place.file + ":" + std::to_string(config.place.line);
    tell_next(number, request, explanation);
    tell_upstream(routing_.upstreams[config.upstream], config, route, request, explanation);
    explanation.asked_of_answer =
        explanation.passed ? told_of_passing(plan, request.method_name) : asked_of_answer(route);
    // Where nobody is asked, nothing that decides about asking does.
    if (!explanation.batch && !explanation.offline) {
      explanation.decided = proxy::decided_by(request, route, explanation.key);
    }
    explanation.route_settings = config::settings_in_force(
        config, routing_, explanation.passed ? config::Way::Passed : config::Way::Stored);
  }

  // Who would take it if this one were not there.
  void tell_next(std::size_t number, const http::Request& request, Explanation& explanation) const {
    proxy::RouteChoice others;
    for (std::size_t i = 0; i < routes_.size(); ++i) {
      if (i != number) others.add(i, routes_[i]->plan());
    }
    std::string storage;
    proxy::Parameters parameters;
    const Taken taken = others.take(request, storage, parameters);
    if (taken.by != Taken::By::Route) return;
    const proxy::RoutePlan& next = routes_[taken.route]->plan();
    explanation.next = next.name;
    explanation.why_not_next =
        explanation.batch ? "a batch goes before" : why_before(routes_[number]->plan(), next);
  }

  const config::Routing& routing_;
  std::vector<std::unique_ptr<proxy::Route>> routes_;
  proxy::RouteChoice choice_;
};

}  // namespace

base::Result<Explanation> explain(const config::Settings& settings,
                                  const config::ExplainCommand& command) {
  auto plans = plan_routes(*settings.routing);
  if (!plans) return tl::unexpected(plans.error());
  Explanation explanation;
  explanation.method = command.method;
  explanation.target = command.target;
  explanation.host = command.host;
  const ClientRequest client(command);
  if (client.refusal()) {
    explanation.status = client.refusal()->status;
    explanation.why = client.refusal()->detail;
    return explanation;
  }
  Explainer(*settings.routing, *std::move(plans)).tell(client.request(), explanation);
  return explanation;
}

}  // namespace holdfast::daemon
