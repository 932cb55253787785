// What a routed schedule is made of. All is drawn before it is played, so that two plays of it
// differ in nothing but what is meant to.
#include <array>

#include "routed_parts.h"

namespace holdfast::simulation {
namespace {

using namespace std::chrono_literals;
using upstream::test::Fault;

// The ways in which an upstream fails as a whole.
constexpr std::array kSicknesses{
    Fault::Refused, Fault::Hang,  Fault::Dns,         Fault::Error500,  Fault::Unavailable,
    Fault::TooMany, Fault::Reset, Fault::QuotaUsedUp, Fault::Truncated, Fault::Html};

proxy::MethodSet reading_methods() {
  proxy::MethodSet methods = *proxy::MethodSet::named("GET");
  methods |= *proxy::MethodSet::named("HEAD");
  return methods;
}

}  // namespace

std::vector<std::unique_ptr<proxy::Route>> Routed::make_routes() {
  struct Text {
    const char* name;
    const char* match;
    const char* target;
  };
  static constexpr std::array<Text, kRoutes> kTexts{
      {{"lookup", "/lookup/{id:int}", "/api/{id}"},
       {"search", "/search/{kind}", "/find/{kind}"},
       {"items", "/items/{path:rest}", "/v1/items/{path}"},
       {"rest", "/{path:rest}", "/{path}"}}};
  using Query = proxy::QuerySettings;
  const std::array<Query, kRoutes> queries{
      {{.which = Query::Which::None},
       {.which = Query::Which::Keep, .names = {"q", "page*"}, .sort = true},
       {.which = Query::Which::All},
       {.which = Query::Which::Ignore, .names = {"utm_*"}}}};
  std::vector<std::unique_ptr<proxy::Route>> routes;
  for (std::size_t i = 0; i < kRoutes; ++i) {
    const proxy::PathTemplate match = *proxy::PathTemplate::parse(kTexts[i].match);
    proxy::RoutePlan plan{.name = kTexts[i].name,
                          .key_prefix = std::string(kTexts[i].name) + "/",
                          .match = match,
                          .target = *proxy::TargetTemplate::parse(kTexts[i].target, match),
                          .methods = i == kLookup ? reading_methods() : proxy::MethodSet::all(),
                          .query = *proxy::QueryRules::parse(queries[i]),
                          .storing = storing_[i]};
    plan.body.json = true;
    plan.body.require.push_back(*proxy::parse_require("/n:integer"));
    if (i == kLookup) plan.body.equal.push_back(*proxy::parse_equal("/id", "id"));
    if (i == kSearch) plan.key_fields = {"accept-language"};
    plan.storing.set_cookie = proxy::StoringPolicy::SetCookie::Pass;
    if (i == kItems) plan.storing.tags = {"shop"};
    routes.push_back(std::make_unique<proxy::Route>(std::move(plan)));
  }
  return routes;
}

Routed::Settings Routed::draw_settings(const std::string& name) {
  Settings settings;
  upstream::Settings& upstream = settings.upstream;
  upstream.name = settings.flights.upstream = name;
  upstream.origins = {name};
  settings.roomy = chance(0.6);
  if (settings.roomy) return settings;
  upstream.concurrency = one_of({16, 4, 2});
  upstream.max_waiting = one_of<std::size_t>({4096, 5});
  upstream.max_parked = one_of<std::size_t>({4096, 3});
  settings.flights.max_waiters = one_of<std::size_t>({20'000, 6});
  return settings;
}

void Routed::plan() {
  upstream_of_ = {0, 1, 0, 1};
  for (proxy::StoringPolicy& storing : storing_) {
    storing.ttl = one_of({2s, 10s, 60s});
    storing.stale_while_revalidate = one_of({0s, 5s, 60s});
    storing.stale_if_error = one_of({0s, 20s, 300s});
  }
  trace_.line(upstreams_[sick_]->api.name(), " is sick for a while, the other is ",
              other_is_well_ ? "well" : "not always well", "; ",
              settings_[0].roomy && settings_[1].roomy ? "roomy" : "scarce");
  for (std::size_t i = 0; i < kUpstreams; ++i) {
    ApiUpstream& api = upstreams_[i]->api;
    api.median = one_of<base::Duration>({2ms, 20ms, 150ms});
    if (i == sick_ || other_is_well_) continue;
    for (const Fault fault : {Fault::Error500, Fault::Reset, Fault::Tail, Fault::Html,
                              Fault::Truncated, Fault::TooMany, Fault::Hang}) {
      if (chance(0.4)) api.faults[fault] = 0.03;
    }
  }
  plan_sickness();
  base::Duration time{};
  for (std::uint64_t events = 3 + random_.below(8); events > 0; --events) {
    if (chance(0.35)) {
      plan_purge(time);
    } else {
      plan_asks(time, one_of<base::Duration>({0ms, 30ms, 1s, 4s}),
                1 + random_.below(one_of<std::uint64_t>({3, 12})), std::nullopt);
    }
    time += random_.up_to(one_of<base::Duration>({50ms, 1s, 5s}));
  }
}

void Routed::plan_sickness() {
  const base::Duration from = random_.up_to(3s);
  const base::Duration length = one_of<base::Duration>({500ms, 3s, 12s});
  const std::uint64_t kind = random_.below(kSicknesses.size() + 2);
  const std::string name = upstreams_[sick_]->api.name();
  const double limit = one_of<double>({1, 5});
  const auto median = one_of<base::Duration>({1s, 4s});
  at(from, name + " is sick: " + std::to_string(kind), [this, kind, limit, median] {
    if (sickness_ == Sickness::None) return;
    ApiUpstream& api = upstreams_[sick_]->api;
    if (kind < kSicknesses.size()) api.always[0] = kSicknesses[kind];
    if (kind == kSicknesses.size()) {
      api.rate_limit = limit;
      api.rate_burst = 1;
    }
    if (kind == kSicknesses.size() + 1) api.median = median;
  });
  at(from + length, name + " is well", [this] {
    ApiUpstream& api = upstreams_[sick_]->api;
    api.always.clear();
    api.rate_limit = 0;
    api.median = 20ms;
  });
  // Who asks it then, and who asks the other.
  plan_asks(from, length, 4 + random_.below(one_of<std::uint64_t>({8, 30})), sick_);
  plan_asks(from, length, 2 + random_.below(8), 1 - sick_);
}

void Routed::plan_asks(base::Duration time, base::Duration over, std::uint64_t count,
                       std::optional<std::size_t> upstream) {
  for (; count > 0; --count) {
    Ask one = draw_ask();
    while (upstream && upstream_of_[one.meaning.route] != *upstream) one = draw_ask();
    at(time + random_.up_to(over), {}, [this, one] { ask(one); });
  }
}

Routed::Ask Routed::draw_ask() {
  return draw_ask(one_of({kLookup, kSearch, kItems, kRest}));
}

// Few URLs, so that they meet; each in one of its spellings.
Routed::Ask Routed::draw_ask(Which route) {
  Ask ask;
  ask.meaning.route = route;
  const std::string number = std::to_string(1 + random_.below(one_of<std::uint64_t>({2, 5})));
  const bool with = chance(0.5);
  switch (route) {
    case kLookup:
      ask.path = "/lookup/" + number;
      ask.meaning.target = "/api/" + number;
      if (with) ask.query = "x=" + number;
      break;
    case kSearch: {
      ask.path = chance(0.5) ? "/search/a~" + number : "/search/%61%7e" + number;
      ask.meaning.target = "/find/a~" + number;
      if (with) {
        ask.meaning.target += "?page2=1&q=" + number;
        ask.query = chance(0.5) ? "q=" + number + "&utm_x=1&page2=1" : "page2=1&q=" + number;
      }
      ask.language = ask.meaning.language = one_of({"", "de", "fr"});
      break;
    }
    case kItems:
      ask.path = "/items/x/" + number;
      ask.meaning.target = "/v1/items/x/" + number;
      if (with) ask.meaning.target.append("?").append(ask.query = "z=" + number);
      ask.language = one_of({"", "de"});  // nothing that goes upstream
      break;
    case kRest:
    case kRoutes:
      ask.path = (chance(0.5) ? "/docs/A" : "/docs/%41") + number;
      ask.meaning.target = "/docs/A" + number;
      if (with) {
        ask.meaning.target += "?v=1";
        ask.query = chance(0.5) ? "v=1&utm_campaign=x" : "v=1";
      }
      break;
  }
  ask.has_query = with;
  ask.read = ask.meaning;
  if (chance(0.03)) ask.leaves_after = random_.up_to(one_of<base::Duration>({30ms, 2s}));
  if (!chance(0.25)) {
    if (chance(0.1)) ask.method = "HEAD";
    return ask;
  }
  if (route == kLookup) {
    // It is the other route that takes this one, and with it the other upstream.
    if (!chance(0.1)) return ask;
    ask.meaning = {kRest, ask.path + (with ? "?" + ask.query : ""), {}};
    comparable_ = false;
  }
  ask.method = one_of({"POST", "PUT", "DELETE", "PATCH"});
  // Now and then more than is on its way at a time.
  ask.content_bytes = chance(0.02) ? 140'000 : one_of<std::size_t>({0, 1, 500, 9000});
  ask.chunked = chance(0.4);
  ask.slow = chance(0.2);
  return ask;
}

void Routed::plan_purge(base::Duration time) {
  using PurgeKind = cache::Purge::Kind;
  Ask of = draw_ask();
  of.method = "GET";
  of.meaning = of.read;
  Purged purged;
  purged.soft = chance(0.35);
  purged.meaning = of.meaning;
  switch (random_.below(6)) {
    case 0:
    case 1:
      purged.one = true;
      break;
    case 2:
      purged.kind = PurgeKind::Route;
      purged.what = one_of({"lookup", "search", "items", "rest"});
      break;
    case 3:
      purged.kind = PurgeKind::Tag;
      purged.what = one_of({"t0", "t1", "t2", "half", "shop", "nobody's"});
      break;
    case 4:
      purged.kind = PurgeKind::Path;
      break;
    default:
      purged.kind = PurgeKind::All;
      break;
  }
  const std::string what = std::string(purged.soft ? "marks stale " : "purges ") +
                           (purged.one ? of.path : purged.what) + " by " +
                           (purged.one ? "key" : std::to_string(static_cast<int>(purged.kind)));
  // Mostly while it is asked for.
  for (std::uint64_t i = 1 + random_.below(4); i > 0; --i) {
    Ask beside = chance(0.7) ? of : draw_ask();
    const base::Duration by = random_.up_to(one_of<base::Duration>({20ms, 300ms}));
    at(chance(0.5) ? time + by : time - std::min(time, by), {}, [this, beside] { ask(beside); });
  }
  at(time, what, [this, purged, of] { purge(purged, of); });
}

}  // namespace holdfast::simulation
