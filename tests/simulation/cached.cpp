#include "cached.h"

#include <algorithm>
#include <cstdio>

#include "cache/memory_cache.h"
#include "observe/recent_failures.h"

namespace holdfast::simulation {
namespace {

using namespace std::chrono_literals;
using upstream::test::Fault;

// Nobody looks at them, and making them takes longer than a schedule.
observe::Metrics& cached_metrics() {
  static observe::Metrics all;
  return all;
}
observe::Shard& cached_shard() {
  static observe::Shard& one = cached_metrics().shard();
  return one;
}

constexpr std::uint64_t kMostCachedSteps = 200'000;
constexpr base::Duration kCachedDrains = 60s;
constexpr std::uint64_t kCachedPaths = 3;

std::string trace_number(std::size_t client) {
  char text[33];
  std::snprintf(text, sizeof text, "%032zx", client + 1);
  return text;
}

proxy::StoringPolicy draw_site_storing(base::Random& random) {
  proxy::StoringPolicy storing;
  storing.http.on = true;
  storing.is_json = false;
  storing.http.max_variants = std::array<std::size_t, 3>{64, 64, 2}[random.below(3)];
  if (random.below(3) == 0) storing.http.vary_normalise = {"accept-language"};
  storing.stale_if_error = std::array{0s, 20s, 300s}[random.below(3)];
  storing.set_cookie = random.below(3) == 0 ? proxy::StoringPolicy::SetCookie::Strip
                                            : proxy::StoringPolicy::SetCookie::Pass;
  return storing;
}

proxy::RoutePlan site_plan(const proxy::StoringPolicy& storing) {
  const proxy::PathTemplate match = *proxy::PathTemplate::parse("/{path:rest}");
  return {.name = "site",
          .key_prefix = "site/",
          .match = match,
          .target = *proxy::TargetTemplate::parse("/{path}", match),
          .methods = proxy::MethodSet::all(),
          .query = *proxy::QueryRules::parse({}),
          .storing = storing};
}

upstream::Settings site_settings() {
  upstream::Settings settings;
  settings.name = "site";
  settings.origins = {"site"};
  return settings;
}

proxy::Flights::Settings site_flights() {
  proxy::Flights::Settings settings;
  settings.upstream = "site";
  return settings;
}

}  // namespace

struct Cached::Process {
  // `memory_bytes`: of a small one most is found on disk, or one part of it here and one there.
  Process(Cached& world, std::size_t memory_bytes, std::uint64_t seed)
      : memory({memory_bytes, 1}),
        random(seed),
        policy(world.scheduler_, random, world.upstream_, site_settings(), cached_metrics(),
               cached_shard(), log),
        flights(
            {world.scheduler_, policy, memory, world.store_, log, cached_metrics(), cached_shard()},
            site_flights(), seed),
        route(site_plan(world.storing_)),
        table(std::make_shared<const proxy::Routes>(
            std::vector<proxy::Routes::Entry>{{route, flights, &policy}})),
        service({world.scheduler_, world.scheduler_, memory, world.store_, log, cached_metrics(),
                 cached_shard(), failures, table, pages},
                {.request_deadline = world.patience_}, seed) {}

  observe::Log log;
  observe::RecentFailures failures;
  cache::MemoryCache memory;
  base::Random random;
  upstream::PolicyFetcher policy;
  proxy::Flights flights;
  proxy::Route route;
  std::shared_ptr<const proxy::Routes> table;
  const proxy::Pages pages;
  proxy::Service service;
};

Cached::Cached(std::uint64_t seed, bool traced, CachedTally& tally)
    : tally_(tally),
      random_(seed ^ 0x636163686564),
      begun_(scheduler_.now()),
      trace_(scheduler_, traced),
      patience_(one_of<base::Duration>({10s, 10s, 2s})),
      storing_(draw_site_storing(random_)),
      store_(scheduler_, random_.next()),
      upstream_(scheduler_, random_.next(), order_,
                storing_.set_cookie == proxy::StoringPolicy::SetCookie::Pass),
      server_(scheduler_, *this) {
  store_.on_put = [this](std::string_view, const cache::StoredResponse& stored) {
    check_stored(stored);
  };
  upstream_.median = one_of<base::Duration>({2ms, 20ms, 300ms});
  plan();
  process_ =
      std::make_unique<Process>(*this, one_of<std::size_t>({64U << 20, 3000}), random_.next());
}

Cached::~Cached() {
  for (Client& client : clients_) client.over = true;
  process_->flights.abandon_all();
}

void Cached::run() {
  run_until(begun_ + horizon_);
  if (over()) return;
  upstream_.always.clear();
  upstream_.faults.clear();
  run_until(now() + kCachedDrains);
  if (!over()) check_drained();
  tally_.rests += upstream_.rests();
}

void Cached::run_until(base::SteadyTime when) {
  bool reached = false;
  scheduler_.call_at(when, [&reached] { reached = true; });
  for (std::uint64_t steps = 0; !reached && !over(); ++steps) {
    if (steps > kMostCachedSteps) broken("the loop spins");
    ++tally_.steps;
    scheduler_.step();
  }
}

void Cached::at(base::Duration when, std::string what, std::function<void()> act) {
  horizon_ = std::max(horizon_, when);
  scheduler_.call_at(begun_ + when, [this, what = std::move(what), act = std::move(act)] {
    if (!what.empty()) trace_.line("* ", what);
    act();
  });
}

void Cached::plan() {
  if (chance(0.3)) {
    for (const Fault fault : {Fault::Error500, Fault::Reset, Fault::Tail, Fault::Truncated,
                              Fault::TooMany, Fault::Hang}) {
      if (chance(0.4)) upstream_.faults[fault] = 0.05;
    }
  }
  base::Duration time{};
  for (std::uint64_t events = 3 + random_.below(6); events > 0; --events) {
    if (chance(0.2)) plan_outage(time);
    if (chance(0.2)) plan_parts(time);
    plan_asks(time, one_of<base::Duration>({0ms, 50ms, 1s, 6s}),
              2 + random_.below(one_of<std::uint64_t>({2, 6})));
    time += random_.up_to(one_of<base::Duration>({100ms, 3s, 20s}));
  }
}

void Cached::plan_outage(base::Duration time) {
  const Fault fault = one_of({Fault::Refused, Fault::Error500, Fault::Error503, Fault::Reset,
                              Fault::Hang, Fault::TooMany});
  at(time, "an outage: fault " + std::to_string(static_cast<int>(fault)),
     [this, fault] { upstream_.always[0] = fault; });
  at(time + random_.up_to(one_of<base::Duration>({1s, 10s})), "the outage is over",
     [this] { upstream_.always.clear(); });
}

// A part is asked for, and then the whole, which may be another by then.
void Cached::plan_parts(base::Duration time) {
  Ask part = draw_ask();
  part.method = "GET";
  part.authorization.clear();
  part.cache_control.clear();
  part.content_bytes = part.if_none_match = part.if_range = 0;
  Ask whole = part;
  part.range = one_of({"bytes=0-9", "bytes=0-30", "bytes=20-"});
  whole.range.clear();
  at(time, {}, [this, part] { ask(part); });
  const base::Duration later = time + 400ms + random_.up_to(1s);
  if (chance(0.5)) {
    at(later - 100ms, part.path + " changes", [this, path = part.path] { upstream_.change(path); });
  }
  at(later, {}, [this, whole] { ask(whole); });
}

void Cached::plan_asks(base::Duration time, base::Duration over, std::uint64_t count) {
  // Several at once ask for the same, but not quite.
  const std::string path = "/r/" + std::to_string(1 + random_.below(kCachedPaths));
  for (; count > 0; --count) {
    Ask one = draw_ask();
    if (chance(0.6)) one.path = path;
    at(time + random_.up_to(over), {}, [this, one] { ask(one); });
  }
}

Cached::Ask Cached::draw_ask() {
  Ask ask;
  ask.path = "/r/" + std::to_string(1 + random_.below(kCachedPaths));
  ask.selecting.values = {one_of({"1", "1", "2"}), one_of({"", "1", "2"}), one_of({"", "de", "fr"}),
                          one_of({"", "", "c=1", "c=2"})};
  ask.authorization = one_of({"", "", "", "Bearer one", "Bearer two"});
  if (chance(0.04)) ask.leaves_after = random_.up_to(one_of<base::Duration>({30ms, 2s}));
  if (chance(0.12)) {
    ask.method = one_of({"POST", "POST", "PUT", "DELETE"});
    ask.content_bytes = one_of<std::size_t>({0, 1, 5000});
    return ask;
  }
  if (chance(0.1)) ask.method = "HEAD";
  if (chance(0.35)) {
    ask.cache_control = one_of({"no-cache", "max-age=0", "max-age=3", "max-age=20", "min-fresh=5",
                                "min-fresh=2, max-age=30", "only-if-cached", "no-store"});
  }
  if (chance(0.2)) ask.if_none_match = 1 + random_.below(6);
  if (chance(0.2)) {
    ask.range = one_of({"bytes=0-9", "bytes=5-30", "bytes=20-", "bytes=-15", "bytes=900-",
                        "bytes=0-3,10-13", "bytes=10-30"});
    if (chance(0.3)) ask.if_range = 1 + random_.below(6);
  }
  return ask;
}

void Cached::ask(const Ask& ask) {
  const std::size_t number = clients_.size();
  Client& client = clients_.emplace_back();
  client.ask = ask;
  client.trace = trace_number(number);
  client.asked = order_.next();
  client.asked_at = now();
  ++tally_.clients;
  const auto seen = [this](std::size_t which) {
    return which == 0 || etags_.empty()
               ? std::string()
               : etags_[etags_.size() - 1 - which % std::min<std::size_t>(etags_.size(), 6)];
  };
  client.if_none_match = seen(ask.if_none_match);
  const std::string if_range = seen(ask.if_range);
  const std::string traceparent = "00-" + client.trace + "-0000000000000001-01";
  const std::string length = std::to_string(ask.content_bytes);
  std::vector<http::FieldLine> fields{{"Host", "h"}, {"traceparent", traceparent}};
  const auto add = [&fields](const char* name, std::string_view value) {
    if (!value.empty()) fields.push_back({name, value});
  };
  for (std::size_t i = 0; i < Selecting::kNames.size(); ++i) {
    add(Selecting::kNames[i], ask.selecting.values[i]);
  }
  add("Authorization", ask.authorization);
  add("Cache-Control", ask.cache_control);
  add("If-None-Match", client.if_none_match);
  add("Range", ask.range);
  add("If-Range", if_range);
  if (ask.content_bytes > 0) add("Content-Length", length);
  if (trace_.on()) {
    std::string line;
    for (const http::FieldLine& field : std::span(fields).subspan(2)) {
      line.append(" ").append(field.name).append(": ").append(field.value).append(";");
    }
    trace_.line("client ", number, ": ", ask.method, " ", ask.path, line);
  }
  http::Request request;
  request.method = ask.method == "GET"    ? http::Method::Get
                   : ask.method == "HEAD" ? http::Method::Head
                   : ask.method == "POST" ? http::Method::Post
                                          : http::Method::Other;
  request.method_name = ask.method;
  request.path = ask.path;
  const auto know = [&request](http::Known which, std::string_view value) {
    request.known[static_cast<std::size_t>(which)] = value;
  };
  know(http::Known::Host, "h");
  know(http::Known::Traceparent, traceparent);
  know(http::Known::CacheControl, ask.cache_control);
  know(http::Known::IfNoneMatch, client.if_none_match);
  request.fields = fields;
  request.streamed = ask.content_bytes > 0;
  request.content_length = ask.content_bytes;
  request.client = "192.0.2.1";
  request.received = now();
  if (ask.leaves_after > base::Duration::zero()) {
    scheduler_.call_at(now() + ask.leaves_after, [this, number] {
      Client& leaver = clients_[number];
      if (leaver.over) return;
      trace_.line("client ", number, " leaves");
      leaver.over = true;
      ++tally_.left;
      server_.leave(number);
    });
  }
  server_.hand_over(process_->service, number, request, std::string(ask.content_bytes, 'x'), false);
}

void Cached::check_drained() {
  for (std::size_t i = 0; i < clients_.size(); ++i) {
    if (!clients_[i].over) broken("client " + std::to_string(i) + " got no answer");
  }
  if (server_.open() != 0) broken("an exchange is left");
  const proxy::Flights::Stats flights = process_->flights.stats();
  const upstream::Status status = process_->policy.status();
  if (flights.flights + flights.waiters != 0) broken("a flight is left");
  if (status.fetches + status.queued + status.parked != 0) broken("a fetch is left");
  if (upstream_.streams() != 0) broken("a transfer is left");
}

}  // namespace holdfast::simulation
