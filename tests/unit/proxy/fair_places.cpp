// Two upstreams, one of them dead and asked for by all: what the other's clients find of places.
#include "proxy/fair_places.h"

#include <doctest/doctest.h>

#include "base/virtual_scheduler.h"
#include "cache/no_store.h"
#include "lookup_route.h"
#include "proxy/flights.h"
#include "proxy/passing.h"
#include "unit/upstream/simulated_upstream.h"

using namespace holdfast;
using namespace std::chrono_literals;

namespace {

// Counts what it answers; nobody is connected.
struct CountingServer final : http::Server {
  void respond(http::ExchangeId, const http::Response& response) override {
    ++answers[response.status];
  }
  void interim(http::ExchangeId, int, std::string_view) override {}
  void begin(http::ExchangeId, const http::ResponseHead&) override {}
  bool write(http::ExchangeId, std::string_view) override { return true; }
  void end(http::ExchangeId) override {}
  void cut(http::ExchangeId) override {}
  void take_content(http::ExchangeId, std::size_t) override {}
  void for_client_alone(http::ExchangeId) override {}
  std::map<int, int> answers;
};

// Never answers, and does not say so either.
struct MutePasser final : upstream::Passer {
  PassId pass(upstream::StreamRequest, base::SteadyTime, upstream::StreamPeer&,
              Ended then) override {
    ended.push_back(std::move(then));
    return ended.size();
  }
  void go_on(PassId) override {}
  bool end_pass(PassId) override { return true; }
  std::vector<Ended> ended;
};

// Knows every address.
struct FairUpstream final : upstream::test::SimulatedUpstream {
  using SimulatedUpstream::SimulatedUpstream;
  void compose(upstream::test::Fault, const upstream::Request& request,
               upstream::Reply& reply) override {
    const std::string ip = request.target.substr(std::string_view("/geoip/").size());
    reply.body = R"({"ip":")" + ip +
                 R"(","location":"","postal_code":"","network_name":"","domain":"","latitude":1,)" +
                 R"("longitude":2})";
  }
};

// An upstream and all that asks it, as the daemon has it for each.
struct FairGroup {
  FairGroup(base::VirtualScheduler& loop, cache::MemoryCache& memory, cache::Store& store,
            observe::Metrics& metrics, const std::string& name)
      : upstream(loop, 1),
        fetcher(loop, random, upstream, settings(name), metrics, metrics.shard(), log),
        flights({loop, fetcher, memory, store, log, metrics, metrics.shard()}, {.upstream = name},
                1) {}
  static upstream::Settings settings(const std::string& name) {
    upstream::Settings settings;
    settings.name = name;
    settings.origins = {name};
    return settings;
  }

  observe::Log log;
  base::Random random{1};
  FairUpstream upstream;
  upstream::PolicyFetcher fetcher;
  proxy::Flights flights;
};

}  // namespace

TEST_CASE("one who takes all places he gets leaves some for every other") {
  proxy::FairPlaces places(1280);
  const auto take_all = [&](const void* who) {
    int taken = 0;
    while (places.take(who)) ++taken;
    return taken;
  };
  int hogs[3]{};
  CHECK(take_all(&hogs[0]) == 1024);
  CHECK(take_all(&hogs[1]) == 205);
  CHECK(take_all(&hogs[2]) == 41);
  int other = 0;
  CHECK(places.take(&other));
  SUBCASE("and as others have theirs, gets no more of them, but its own again") {
    CHECK_FALSE(places.take(&hogs[0]));
    for (int i = 0; i < 1024; ++i) places.leave(&hogs[0]);
    CHECK(take_all(&hogs[1]) > 400);
    CHECK(places.take(&hogs[0]));
  }
}

TEST_CASE("what is passed to an upstream that is mute leaves places for another's") {
  base::VirtualScheduler loop;
  CountingServer server;
  MutePasser mute;
  MutePasser other;
  const auto route = proxy::test::lookup_route();
  proxy::Passing passing(loop, loop, {}, [](const proxy::Passing::Facts&) {});
  http::ExchangeId last = 0;
  const auto pass = [&](upstream::Passer& to) {
    http::Request request;
    request.method = http::Method::Post;
    request.method_name = "POST";
    request.received = loop.now();
    passing.start(server, ++last, request, {.plan = route->plan(), .passer = to}, {});
    loop.run_ready();
  };
  for (int i = 0; i < 2000; ++i) pass(mute);
  CHECK(mute.ended.size() == 1024);
  CHECK(server.answers[503] == 976);

  pass(other);
  CHECK(other.ended.size() == 1);
  CHECK(server.answers[503] == 976);

  // And who leaves, or was answered, gives its place back.
  CHECK(passing.abandoned(1));
  mute.ended[1]({});
  loop.run_ready();
  pass(mute);
  pass(mute);
  CHECK(mute.ended.size() == 1026);
}

TEST_CASE(
    "20,000 waiters for a dead upstream take no waiter's place, slot or parked place of another") {
  base::VirtualScheduler loop;
  cache::MemoryCache memory{cache::MemoryCache::Settings{}};
  cache::NoStore store;
  observe::Metrics metrics;
  const auto route = proxy::test::lookup_route();
  int answered = 0;
  FairGroup dead(loop, memory, store, metrics, "dead");
  FairGroup well(loop, memory, store, metrics, "well");
  const auto ask = [&](FairGroup& group, int number) {
    const std::string ip =
        "192.0." + std::to_string(number / 250) + "." + std::to_string(number % 250);
    group.flights.join(*route, "lookup/" + ip, loop.now() + 10s, 0s,
                       [&](const proxy::Answer& answer) { answered += answer.content != nullptr; });
  };
  dead.upstream.always[0] = upstream::test::Fault::Hang;
  for (int i = 0; i < 200; ++i) {
    for (int k = 0; k < 100; ++k) ask(dead, i % 20 * 100 + k);
    loop.advance(5ms);
  }
  CHECK(dead.flights.stats().waiters > 15'000);
  CHECK(dead.fetcher.status().in_flight > 0);

  // More than have a slot at once, of an upstream that answers within a few milliseconds.
  well.upstream.median = 5ms;
  for (int i = 0; i < 500; ++i) ask(well, 20'000 + i);
  CHECK(well.flights.stats().waiters == 500);
  CHECK(well.fetcher.status().in_flight > 10);
  const int before = answered;
  loop.advance(500ms);
  CHECK(well.flights.stats().waiters == 0);
  CHECK(answered - before == 500);
  CHECK(well.fetcher.status().parked == 0);
}
