#include "daemon/route_plans.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "base/ascii.h"
#include "base/suggest.h"
#include "daemon/pages.h"
#include "daemon/parts_settings.h"
#include "proxy/canonical_path.h"
#include "proxy/route_table.h"
#include "upstream/outgoing.h"

namespace holdfast::daemon {
namespace {

using base::invalid_input;
using Status = base::Result<void>;

// What the metrics have room for.
constexpr std::size_t kMostRoutes = 256;
constexpr std::size_t kMostUpstreams = 64;

constexpr const char* kIsPage =
    "is a page of this program's own, so that no request gets to the route";

// FNV-1a, 64 bits: the same everywhere and for ever, as what is on disk depends on it.
class Fingerprint {
 public:
  void add(std::string_view text) {
    for (const char c : text) add_byte(static_cast<unsigned char>(c));
    add_byte(0);  // none of the texts holds it
  }
  // Before the texts of a list: what ends one may else begin the next.
  void add_count(std::size_t count) { add(std::to_string(count)); }
  std::string hex() const {
    constexpr std::string_view kHex = "0123456789abcdef";
    std::string out;
    for (int shift = 60; shift >= 0; shift -= 4) out += kHex[(hash_ >> shift) & 15U];
    return out;
  }

 private:
  void add_byte(unsigned char byte) {
    hash_ ^= byte;
    hash_ *= 0x100000001b3U;
  }
  std::uint64_t hash_ = 0xcbf29ce484222325U;
};

// But max_variants, which says how many there are and not what one of them means.
void add_http_caching(Fingerprint& fingerprint, const config::HttpCachingConfig& http) {
  fingerprint.add("rfc9111");
  fingerprint.add_count(http.targeted.size());
  for (std::string name : http.targeted) {
    std::transform(name.begin(), name.end(), name.begin(), base::ascii_lower);
    fingerprint.add(name);
  }
  std::vector<std::string> normalised = http.vary_normalise;
  std::sort(normalised.begin(), normalised.end());
  fingerprint.add_count(normalised.size());
  for (const std::string& name : normalised) fingerprint.add(name);
  fingerprint.add(http.lenient_ranges ? "lenient" : "");
  fingerprint.add(http.lenient_transfer_coding ? "lenient" : "");
}

// The keys of a route hold what a request may say. What the settings say of all of them stands in
// their prefix, so that no row of before answers for a route that means something else now. What
// a route does without its upstream (offline, on_invalid) changes no row.
std::string key_prefix(const config::RouteConfig& route, const config::UpstreamConfig& upstream) {
  if (route.built_in) return route.name + "/";
  Fingerprint fingerprint;
  fingerprint.add(route.match);
  fingerprint.add(route.target);
  fingerprint.add(route.host);
  fingerprint.add(upstream.name);
  fingerprint.add(upstream.host);
  // The first of its URLs: others stand in for it, and may come and go.
  const std::string& url = upstream.settings.api_urls.front();
  fingerprint.add(url.substr(std::min(url.find("://"), url.size())));
  fingerprint.add_count(route.request_set.size());
  for (const auto& [name, value] : route.request_set) {
    fingerprint.add(name);
    fingerprint.add(value);
  }
  fingerprint.add_count(route.key_fields.size());
  for (const std::string& name : route.key_fields) fingerprint.add(name);
  // What is kept of an answer.
  fingerprint.add_count(route.response_set.size() + route.response_remove.size());
  for (const auto& [name, value] : route.response_set) fingerprint.add(name);
  for (const std::string& name : route.response_remove) fingerprint.add(name);
  fingerprint.add(route.pass_client_errors ? "passed" : "");
  // With "strip", answers are stored that the upstream may have meant for one client.
  using SetCookie = config::RouteConfig::SetCookie;
  fingerprint.add(route.set_cookie == SetCookie::Store   ? "cookies"
                  : route.set_cookie == SetCookie::Strip ? "stripped"
                                                         : "");
  // Another mode stores other answers, under other fields and for other lifetimes.
  if (route.mode == config::RouteConfig::Mode::Rfc9111) add_http_caching(fingerprint, route.http);
  return route.name + "~" + fingerprint.hex().substr(0, 8) + "/";
}

class Planner {
 public:
  Planner(const config::RouteConfig& route, const config::UpstreamConfig& upstream)
      : route_(route), upstream_(upstream) {}

  base::Result<proxy::RoutePlan> plan() {
    auto match = proxy::PathTemplate::parse(route_.match);
    if (!match) return wrong("match", match.error().message);
    if (is_page(route_.match)) return wrong("match", kIsPage);
    for (const auto& segment : match->segments()) {
      // As others write parameters; escaped, it is a literal.
      const bool foreign = segment.text.starts_with(':') || segment.text.find('*') == 0;
      if (segment.type || !foreign) continue;
      return wrong("match", "segment \"" + segment.text +
                                "\": a parameter is {name}, and {name:rest} all that follows");
    }
    const std::string as_it_came = target_as_it_came(*match);
    auto target =
        proxy::TargetTemplate::parse(route_.target.empty() ? as_it_came : route_.target, *match);
    if (!target) return wrong("target", target.error().message);
    const auto own = names_in_query(route_.target);
    if (!own) return tl::unexpected(own.error());
    auto query = plan_query(*own);
    if (!query) return tl::unexpected(query.error());
    proxy::RoutePlan plan{.name = route_.name,
                          .key_prefix = key_prefix(route_, upstream_),
                          .match = *std::move(match),
                          .target = *std::move(target),
                          .host = route_.host,
                          .query = *std::move(query),
                          .storing = storing_policy(route_)};
    for (const std::string& method : route_.methods) {
      if (method == "*") {
        // TRACE would have the upstream repeat what we have sent it, its credential included.
        plan.methods = proxy::MethodSet::all().without(*proxy::MethodSet::named("TRACE"));
        continue;
      }
      const auto named = proxy::MethodSet::named(method);
      if (!named) return wrong("methods", "unknown method \"" + method + "\"");
      plan.methods |= *named;
    }
    plan.key_fields = route_.key_fields;
    for (std::string& name : plan.key_fields) {
      std::transform(name.begin(), name.end(), name.begin(), base::ascii_lower);
    }
    plan.fields_removed = route_.request_remove;
    plan.own_authorization = has_own_authorization();
    plan.host_goes_upstream = upstream_.host == "client";
    for (const auto& [name, value] : route_.request_set)
      plan.request_fields.push_back({name, value});
    plan.max_request_body_bytes = route_.max_request_body;
    plan.pass_invalid = route_.pass_invalid;
    plan.stored_only = route_.offline;
    plan.most_attempts = static_cast<int>(route_.attempts.value_or(0));
    if (auto done = plan_body(plan); !done) return tl::unexpected(done.error());
    plan.storing.is_json = plan.body.needs_json();
    if (auto done = plan_batch(plan); !done) return tl::unexpected(done.error());
    plan_response(plan);
    return plan;
  }

 private:
  tl::unexpected<base::Error> wrong(std::string_view key, const std::string& what) const {
    return invalid_input(route_.place.of(key) + ": " + what);
  }

  bool has_own_authorization() const {
    const config::Settings& settings = upstream_.settings;
    if (settings.api_token.empty() && settings.api_token_file.empty()) return false;
    using config::TokenIn;
    return upstream_.token_in == TokenIn::Bearer ||
           (upstream_.token_in == TokenIn::Field &&
            upstream::name_as_read(upstream_.token_name) == "authorization");
  }

  static std::string target_as_it_came(const proxy::PathTemplate& match) {
    std::string target;
    for (const auto& segment : match.segments()) {
      target += segment.type ? "/{" + segment.text + "}" : "/" + segment.text;
    }
    return target.empty() ? "/" : target;
  }

  // Those of a target: what a client says by these names does not stand beside them.
  base::Result<std::vector<std::string>> names_in_query(std::string_view target) const {
    std::vector<std::string> names;
    const std::size_t question = target.find('?');
    if (question == std::string_view::npos) return names;
    for (std::string_view rest = target.substr(question + 1); !rest.empty();) {
      const std::string_view parameter = rest.substr(0, rest.find('&'));
      rest.remove_prefix(std::min(parameter.size() + 1, rest.size()));
      const std::string_view name = parameter.substr(0, parameter.find('='));
      if (name.empty()) continue;
      // Which parameter it is must be known, and the same to all who read it.
      if (name.find_first_of("{%;*") != std::string_view::npos ||
          parameter.find(';') != std::string_view::npos) {
        return wrong("target", "query: \"" + std::string(parameter) +
                                   "\": a name stands as it is, without a parameter, an escape, "
                                   "\";\" or \"*\"");
      }
      if (upstream_.token_in == config::TokenIn::Query && name == upstream_.token_name) {
        return wrong("target", "has \"" + upstream_.token_name +
                                   "\" in its query, which is the upstream's token_query");
      }
      names.emplace_back(name);
    }
    return names;
  }

  // The token's parameter is ours: a client's of that name would stand beside it.
  base::Result<proxy::QueryRules> plan_query(std::vector<std::string> reserved) const {
    using Mode = config::QueryConfig::Mode;
    using Which = proxy::QuerySettings::Which;
    proxy::QuerySettings query;
    query.names = route_.query.names;
    query.sort = route_.query.sort;
    switch (route_.query.mode) {
      case Mode::All:
        query.which = Which::All;
        break;
      case Mode::None:
        query.which = Which::None;
        break;
      case Mode::Keep:
        query.which = Which::Keep;
        break;
      case Mode::Ignore:
        query.which = Which::Ignore;
        break;
    }
    const bool in_query = upstream_.token_in == config::TokenIn::Query;
    if (in_query) reserved.push_back(upstream_.token_name);
    if (!reserved.empty() && (query.which == Which::All || query.which == Which::Ignore)) {
      query.which = Which::Ignore;
      query.names.insert(query.names.end(), reserved.begin(), reserved.end());
    }
    auto rules = proxy::QueryRules::parse(query);
    if (!rules) return wrong("query", rules.error().message);
    for (const std::string& name : reserved) {
      std::string kept;
      if (rules->append(name + "=", kept) != nullptr || kept.empty()) continue;
      const bool token = in_query && name == upstream_.token_name;
      return wrong("query", "keeps \"" + name + "\", which is " +
                                (token ? "the upstream's token_query" : "in the query of target"));
    }
    return rules;
  }

  Status plan_body(proxy::RoutePlan& plan) const {
    const config::ValidateConfig& validate = route_.validate;
    proxy::BodyRules& rules = plan.body;
    rules.json = validate.json;
    for (const auto& [status, ttl] : route_.ttl_by_status) {
      if (status == 200 || status == 203 || status == 404 || status == 410) continue;
      return wrong("ttl_by_status." + std::to_string(status),
                   "is not stored in this mode; 200, 203, 404 and 410 are");
    }
    rules.max_body_bytes = route_.max_body;
    rules.min_body_bytes = validate.min_body;
    if (rules.min_body_bytes > rules.max_body_bytes) {
      return wrong("validate.min_body", "more than max_body: no content could be right");
    }
    for (const std::string& text : validate.require) {
      auto rule = proxy::parse_require(text);
      if (!rule) return wrong("validate.require", rule.error().message);
      const auto same = [&](const proxy::Require& other) { return other.pointer == rule->pointer; };
      if (std::any_of(rules.require.begin(), rules.require.end(), same)) {
        return wrong("validate.require", "\"" + rule->pointer.text + "\" is there twice");
      }
      rules.require.push_back(*std::move(rule));
    }
    const std::vector<std::string> names = plan.match.parameter_names();
    for (const auto& [pointer, parameter] : validate.equal) {
      auto rule = proxy::parse_equal(pointer, parameter);
      if (!rule) return wrong("validate.equal", rule.error().message);
      if (!plan.match.parameter_index(parameter)) {
        const std::string near = base::nearest(parameter, names);
        return wrong("validate.equal", "there is no parameter \"" + parameter + "\" in match" +
                                           (near.empty() ? "" : "; did you mean " + near + "?"));
      }
      rules.equal.push_back(*std::move(rule));
    }
    for (const auto& [pointer, values] : validate.reject_if) {
      auto rule = proxy::parse_reject_if(pointer, values);
      if (!rule) return wrong("validate.reject_if", rule.error().message);
      rules.reject_if.push_back(*std::move(rule));
    }
    if (!validate.content_type.empty()) {
      auto type = proxy::parse_content_type(validate.content_type);
      if (!type) return wrong("validate.content_type", type.error().message);
      rules.content_type = *std::move(type);
      const bool may_be_json = rules.content_type.find("json") != std::string::npos ||
                               rules.content_type.find('*') != std::string::npos;
      if (rules.needs_json() && !may_be_json) {
        return wrong("validate.content_type",
                     "is no JSON, which the content has to be; json = false is missing, or the "
                     "rules with a pointer are too many");
      }
    }
    if (!validate.json && rules.needs_json()) {
      return wrong("validate.json", "is false, and the rules with a pointer need JSON");
    }
    return {};
  }

  Status plan_batch(proxy::RoutePlan& plan) const {
    if (route_.batch.empty()) return {};
    std::string storage;
    std::string_view canonical;
    const char* const problem = proxy::canonical_path(route_.batch, storage, canonical);
    if (problem != nullptr) return wrong("batch", problem);
    if (canonical != route_.batch) {
      return wrong("batch", "not in canonical form, which is " + std::string(canonical));
    }
    const auto& segments = plan.match.segments();
    const auto count = std::count_if(segments.begin(), segments.end(),
                                     [](const auto& segment) { return segment.type.has_value(); });
    if (count != 1) return wrong("batch", "match must have one parameter, for the elements");
    if (!plan.body.needs_json()) {
      return wrong("batch", "the answers must be JSON to stand in an array: validate.json");
    }
    if (plan.host_goes_upstream) {
      return wrong("batch", "the upstream's host is \"client\", and an element has none");
    }
    if (is_page(route_.batch)) return wrong("batch", kIsPage);
    plan.batch_path = route_.batch;
    return {};
  }

  void plan_response(proxy::RoutePlan& plan) const {
    for (const auto& [name, value] : route_.response_set) {
      plan.response_fields.append(name).append(": ").append(value).append("\r\n");
    }
    if (route_.key_fields.empty()) return;
    plan.response_fields += "Vary: ";
    const char* between = "";
    for (const std::string& name : route_.key_fields) {
      plan.response_fields.append(between).append(name);
      between = ", ";
    }
    plan.response_fields += "\r\n";
  }

  const config::RouteConfig& route_;
  const config::UpstreamConfig& upstream_;
};

// A POST to a batch's path is the batch's. A route of all methods is for the rest of them there;
// one that names POST would wait for it in vain.
Status check_batches_leave(const config::Routing& routing,
                           const std::vector<proxy::RoutePlan>& plans) {
  const proxy::MethodSet post = *proxy::MethodSet::named("POST");
  for (std::size_t i = 0; i < plans.size(); ++i) {
    const proxy::RoutePlan& plan = plans[i];
    const std::vector<std::string>& methods = routing.routes[i].methods;
    if (!plan.methods.intersects(post) || methods.front() == "*") continue;
    for (std::size_t other = 0; other < plans.size(); ++other) {
      if (plans[other].batch_path != plan.match.text()) continue;
      return invalid_input(routing.routes[i].place.of("methods") +
                           ": POST at this path is taken by " +
                           routing.routes[other].place.of("batch"));
    }
  }
  return {};
}

}  // namespace

base::Result<std::vector<proxy::RoutePlan>> plan_routes(const config::Routing& routing) {
  if (routing.upstreams.size() > kMostUpstreams) {
    return invalid_input(routing.upstreams[kMostUpstreams].place.of("") + ": at most " +
                         std::to_string(kMostUpstreams) + " upstreams");
  }
  if (routing.routes.size() > kMostRoutes) {
    return invalid_input(routing.routes[kMostRoutes].place.of("") + ": at most " +
                         std::to_string(kMostRoutes) + " routes");
  }
  std::vector<proxy::RoutePlan> plans;
  proxy::RouteTable table;
  for (std::size_t i = 0; i < routing.routes.size(); ++i) {
    const config::RouteConfig& route = routing.routes[i];
    auto plan = Planner(route, routing.upstreams[route.upstream]).plan();
    if (!plan) return tl::unexpected(plan.error());
    if (const auto earlier = table.add(i, plan->match, plan->host, plan->methods)) {
      return invalid_input(route.place.of("match") + ": takes the same requests as " +
                           routing.routes[*earlier].place.of("match"));
    }
    for (std::size_t other = 0; other < i && !plan->batch_path.empty(); ++other) {
      if (plans[other].batch_path != plan->batch_path) continue;
      return invalid_input(route.place.of("batch") + ": is that of " +
                           routing.routes[other].place.of("batch") + " too");
    }
    plans.push_back(*std::move(plan));
  }
  if (auto done = check_batches_leave(routing, plans); !done) return tl::unexpected(done.error());
  return plans;
}

}  // namespace holdfast::daemon
