#include "routed.h"

#include <algorithm>
#include <cstdio>

#include "cache/freshness.h"
#include "routed_parts.h"

namespace holdfast::simulation {
namespace {

using namespace std::chrono_literals;
using Kind = cache::Purge::Kind;

// Nobody looks at them, and making them takes longer than a schedule.
observe::Metrics& routed_metrics() {
  static observe::Metrics all;
  return all;
}
observe::Shard& routed_shard() {
  static observe::Shard& one = routed_metrics().shard();
  return one;
}

constexpr std::uint64_t kMostRoutedSteps = 1'000'000;
// An attempt, and what may come behind its head.
constexpr base::Duration kDrains = 60s;

std::string traceparent_of(std::size_t client) {
  char text[64];
  std::snprintf(text, sizeof text, "00-%032zx-%016x-01", client + 1, 1U);
  return text;
}

}  // namespace

Routed::Process::Group::Group(Process& process, Routed& world, std::size_t number,
                              std::uint64_t seed)
    : random(seed),
      policy(world.scheduler_, random, world.upstreams_[number]->api,
             world.settings_[number].upstream, routed_metrics(), routed_shard(), process.log),
      flights({world.scheduler_, policy, process.memory, world.store_, process.log,
               routed_metrics(), routed_shard()},
              world.settings_[number].flights, seed) {}

Routed::Process::Process(Routed& world, std::uint64_t seed)
    : memory({64U << 20, 1}), routes(world.make_routes()) {
  for (std::size_t i = 0; i < kUpstreams; ++i) {
    groups.push_back(std::make_unique<Group>(*this, world, i, seed + i));
  }
  std::vector<proxy::Routes::Entry> entries;
  for (std::size_t i = 0; i < routes.size(); ++i) {
    Group& group = *groups[world.upstream_of_[i]];
    entries.push_back({*routes[i], group.flights, &group.policy});
  }
  table = std::make_shared<const proxy::Routes>(std::move(entries));
  service = std::make_unique<proxy::Service>(
      proxy::Service::Parts{world.scheduler_, world.scheduler_, memory, world.store_, log,
                            routed_metrics(), routed_shard(), failures, table, pages},
      proxy::Service::Settings{.request_deadline = world.patience_}, seed);
}

Routed::Routed(std::uint64_t seed, bool traced, RoutedTally& tally, Sickness sickness)
    : tally_(tally),
      sickness_(sickness),
      random_(seed ^ 0x726f75746564),
      begun_(scheduler_.now()),
      trace_(scheduler_, traced),
      sick_(random_.below(kUpstreams)),
      other_is_well_(chance(0.6)),
      patience_(one_of<base::Duration>({10s, 10s, 2s})),
      store_(scheduler_, random_.next()),
      server_(scheduler_, *this) {
  store_.on_put = [this](std::string_view key, const cache::StoredResponse& stored) {
    check_stored(key, stored);
  };
  for (const char* name : {"one", "two"}) {
    settings_.push_back(draw_settings(name));
    upstreams_.push_back(std::make_unique<Upstream>(*this, random_.next(), name));
  }
  plan();
  process_ = std::make_unique<Process>(*this, random_.next());
}

Routed::~Routed() {
  for (Client& client : clients_) client.over = true;
  // The service hears of it, so it goes last.
  for (const auto& group : process_->groups) group->flights.abandon_all();
  process_.reset();
}

void Routed::run() {
  run_until(begun_ + horizon_);
  if (over()) return;
  recover();
  run_until(now() + kDrains);
  if (over()) return;
  check_drained();
  // What an upstream asked for, or its breaker, may keep it from being asked for a while.
  run_until(now() + 61s);
  check_serves_again();
}

void Routed::run_until(base::SteadyTime when) {
  bool reached = false;
  scheduler_.call_at(when, [&reached] { reached = true; });
  for (std::uint64_t steps = 0; !reached && !over(); ++steps) {
    if (steps > kMostRoutedSteps) broken("the loop spins");
    ++tally_.steps;
    scheduler_.step();
    if (steps % 8 == 0) check_step();
  }
}

void Routed::at(base::Duration when, std::string what, std::function<void()> act) {
  horizon_ = std::max(horizon_, when);
  scheduler_.call_at(begun_ + when, [this, what = std::move(what), act = std::move(act)] {
    if (!what.empty()) trace_.line("* ", what);
    act();
  });
}

std::size_t Routed::ask(const Ask& ask, bool must_succeed) {
  const std::size_t number = clients_.size();
  Client& client = clients_.emplace_back();
  client.ask = ask;
  client.upstream = upstream_of_[ask.meaning.route];
  client.asked = order_.next();
  client.asked_at = now();
  client.must_succeed = must_succeed;
  ++tally_.clients;
  trace_.line("client ", number, ": ", ask.method, " ", ask.path, ask.has_query ? "?" : "",
              ask.query, ask.language.empty() ? "" : " in ", ask.language);
  const std::string traceparent = traceparent_of(number);
  std::vector<http::FieldLine> fields{{"Host", "h"}, {"traceparent", traceparent}};
  if (!ask.language.empty()) fields.push_back({"Accept-Language", ask.language});
  const std::string length = std::to_string(ask.content_bytes);
  std::string content;
  if (client.safe()) {
    ++reading_[client.upstream];
  } else {
    ++tally_.unsafe;
    client.once = "once-" + std::to_string(number);
    fields.push_back({ApiUpstream::kOnce, client.once});
    content = ApiUpstream::content_for(client.once, ask.content_bytes);
    if (ask.chunked) {
      fields.push_back({"Transfer-Encoding", "chunked"});
    } else if (ask.content_bytes > 0) {
      fields.push_back({"Content-Length", length});
    }
  }
  http::Request request;
  request.method = ask.method == "GET"    ? http::Method::Get
                   : ask.method == "HEAD" ? http::Method::Head
                   : ask.method == "POST" ? http::Method::Post
                                          : http::Method::Other;
  request.method_name = ask.method;
  request.path = ask.path;
  if (ask.has_query) request.query = ask.query.empty() ? std::string_view("") : ask.query;
  request.known[static_cast<std::size_t>(http::Known::Host)] = "h";
  request.known[static_cast<std::size_t>(http::Known::Traceparent)] = traceparent;
  request.fields = fields;
  request.streamed = !content.empty() || ask.chunked;
  request.chunked = ask.chunked;
  request.content_length = ask.chunked ? 0 : ask.content_bytes;
  request.client = "192.0.2.1";
  request.received = now();
  if (ask.leaves_after > base::Duration::zero()) {
    scheduler_.call_at(now() + ask.leaves_after, [this, number] {
      Client& leaver = clients_[number];
      if (leaver.over) return;
      trace_.line("client ", number, " leaves");
      leaver.over = leaver.left = true;
      ++tally_.left;
      if (leaver.safe()) --reading_[leaver.upstream], ++leavers_[leaver.upstream];
      server_.leave(number);
    });
  }
  server_.hand_over(*process_->service, number, request, std::move(content), ask.slow);
  return number;
}

// As Admin and Origin do it.
void Routed::purge(const Purged& purged, const Ask& of) {
  Purged& done = purged_.emplace_back(purged);
  ++(done.soft ? tally_.marks : tally_.purges);
  cache::Purges& purges = process_->memory.purges();
  const std::vector<http::FieldLine> fields{{"Accept-Language", of.language}};
  const auto named = process_->table->named(
      "h", of.has_query ? of.path + "?" + of.query : of.path,
      of.language.empty() ? std::span<const http::FieldLine>() : std::span(fields));
  if (!named) return broken("no name: " + named.error().message);
  if (done.one) {
    done.soft ? mark_stale(*named) : static_cast<void>(named->entry->flights.purge(named->key));
    done.at = order_.next();
    return;
  }
  if (done.kind == Kind::Path) done.what = cache::path_of(named->key);
  const base::WallTime wall = scheduler_.clock().wall();
  purges.add(done.kind, done.soft, done.what, wall);
  std::vector<std::string_view> tagged;
  for (const auto& route : process_->routes) {
    const auto& tags = route->plan().storing.tags;
    if (done.kind != Kind::Tag || std::find(tags.begin(), tags.end(), done.what) == tags.end()) {
      continue;
    }
    tagged.push_back(route->name());
    purges.add(Kind::Route, done.soft, route->name(), wall);
  }
  const auto concerned = [&](std::string_view key) {
    if (done.kind == Kind::Path) return cache::path_of(key) == done.what;
    const std::string_view route = cache::route_of(key);
    if (done.kind == Kind::Route) return route == done.what;
    return std::find(tagged.begin(), tagged.end(), route) != tagged.end();
  };
  for (const auto& group : process_->groups) {
    if (done.soft) continue;
    if (done.kind == Kind::All) {
      group->flights.purge_all();
    } else if (done.kind != Kind::Tag || !tagged.empty()) {
      group->flights.purge_fetches(concerned);
    }
  }
  done.at = order_.next();
}

void Routed::mark_stale(const proxy::Routes::Named& named) {
  named.entry->flights.mark_stale(named.key);
  cache::StoredPtr stored = process_->memory.find(named.key);
  if (!stored) stored = store_.find(named.key).value_or(nullptr);
  if (!stored) return;
  const cache::Freshness freshness = cache::freshness(*stored, scheduler_.clock().wall());
  const bool asks_whole = stored->upstream_etag.empty() && stored->upstream_last_modified.empty();
  if (freshness.use != cache::Use::Fresh && asks_whole) return;
  const cache::StoredPtr stale = cache::without_lifetime(*stored, scheduler_.clock().wall());
  process_->memory.put(named.key, stale);
  store_.put(named.key, stale);
}

void Routed::recover() {
  trace_.line("* everything recovers");
  for (const auto& upstream : upstreams_) {
    upstream->api.always.clear();
    upstream->api.faults.clear();
    upstream->api.rate_limit = 0;
    upstream->api.median = 20ms;
  }
  recovered_ = true;
}

void Routed::check_serves_again() {
  for (const Which route : {kLookup, kSearch, kItems, kRest}) {
    if (over()) return;
    Ask fresh;
    fresh.path = std::array{"/lookup/990", "/search/zz", "/items/zz", "/zz"}[route];
    fresh.meaning = {route, std::array{"/api/990", "/find/zz", "/v1/items/zz", "/zz"}[route], {}};
    fresh.read = fresh.meaning;
    const std::size_t number = ask(fresh, true);
    run_until(now() + patience_);
    if (!over() && !clients_[number].over) broken("no answer after the recovery");
  }
}

}  // namespace holdfast::simulation
