// When Names asks and what it makes of the answers, on the virtual clock.
#include "upstream/names.h"

#include <doctest/doctest.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/virtual_scheduler.h"

using namespace std::chrono_literals;

namespace holdfast::upstream {
namespace {

using Strings = std::vector<std::string>;
using Kind = NameAnswer::Kind;
using Is = Names::State::Kind;

const std::string kHost = "api.example.net";

NameAnswer found(Strings addresses, std::optional<base::Duration> ttl = 60s) {
  return {Kind::Found, std::move(addresses), ttl, {}};
}
NameAnswer no_data() {
  return {Kind::NoData, {}, {}, "no address"};
}
NameAnswer no_name() {
  return {Kind::NoName, {}, {}, "NXDOMAIN"};
}
NameAnswer failed(std::string error = "SERVFAIL") {
  return {Kind::Failed, {}, {}, std::move(error)};
}

// Answers as it is told to, after some time.
class ScriptedSource final : public NameSource {
 public:
  explicit ScriptedSource(base::Scheduler& scheduler) : scheduler_(scheduler) {}

  void ask(const std::string& host, AddressFamily family, Done done) override {
    asked[family].push_back(scheduler_.now());
    hosts.push_back(host);
    const NameAnswer answer = answers[family];
    scheduler_.call_at(scheduler_.now() + takes[family],
                       [answer, done = std::move(done)] { done(answer); });
  }

  std::map<AddressFamily, NameAnswer> answers{{AddressFamily::V4, no_data()},
                                              {AddressFamily::V6, no_data()}};
  std::map<AddressFamily, base::Duration> takes{{AddressFamily::V4, 1ms}, {AddressFamily::V6, 1ms}};
  std::map<AddressFamily, std::vector<base::SteadyTime>> asked;
  std::vector<std::string> hosts;

 private:
  base::Scheduler& scheduler_;
};

// Each address has a route; IPv6 is preferred, as RFC 6724 does where both have one.
std::optional<std::string> source_of(const std::string& address) {
  return address.find(':') == std::string::npos ? "198.51.100.1" : "2001:db8:ffff::1";
}

struct NamesBench {
  NamesBench() : owned(std::make_unique<ScriptedSource>(scheduler)), source(*owned) {}

  void answers(NameAnswer v4, NameAnswer v6) {
    source.answers[AddressFamily::V4] = std::move(v4);
    source.answers[AddressFamily::V6] = std::move(v6);
  }
  void takes(base::Duration v4, base::Duration v6) {
    source.takes[AddressFamily::V4] = v4;
    source.takes[AddressFamily::V6] = v6;
  }
  void start(std::vector<std::string> hosts = {kHost}, Names::Settings settings = {}) {
    began = scheduler.now();
    names.emplace(
        scheduler, std::move(owned), source_of, settings, std::move(hosts),
        [this](std::size_t origin, const Strings& addresses) {
          told.push_back({origin, addresses, scheduler.now() - began});
        },
        log);
  }
  void advance(base::Duration by) { scheduler.advance(by); }
  const Strings& known() const { return names->addresses(0); }
  Names::State state() const { return names->state(0); }
  // When IPv4 was asked, since the start.
  std::vector<base::Duration> rounds() const {
    std::vector<base::Duration> times;
    for (const auto at : source.asked[AddressFamily::V4]) times.push_back(at - began);
    return times;
  }

  struct Told {
    std::size_t origin;
    Strings addresses;
    base::Duration after;
  };

  base::VirtualScheduler scheduler;
  observe::Log log;
  std::unique_ptr<ScriptedSource> owned;
  ScriptedSource& source;
  base::SteadyTime began;
  std::vector<Told> told;
  std::optional<Names> names;
};

}  // namespace

TEST_CASE("a name is resolved at once and told when it changes, not when it does not") {
  NamesBench bench;
  bench.answers(found({"192.0.2.1", "192.0.2.2"}), found({"2001:db8::1"}));
  bench.start();
  CHECK(bench.state().kind == Is::Resolving);
  CHECK(bench.known().empty());
  bench.advance(2ms);
  CHECK(bench.known() == Strings{"2001:db8::1", "192.0.2.1", "192.0.2.2"});
  CHECK(bench.state().kind == Is::Resolved);
  CHECK(bench.state().ttl == 60s);
  CHECK(bench.told.size() == 1);

  bench.answers(found({"192.0.2.2", "192.0.2.1"}), found({"2001:db8::1"}));
  bench.advance(10min);
  CHECK(bench.told.size() == 1);  // the name server turns its list; that is no change

  bench.answers(found({"192.0.2.9"}), no_data());
  bench.advance(1min);
  REQUIRE(bench.told.size() == 2);
  CHECK(bench.told[1].addresses == Strings{"192.0.2.9"});
}

TEST_CASE("it is asked for again before it lapses") {
  NamesBench bench;
  bench.takes(0ms, 0ms);
  SUBCASE("at 85 % of its time to live, the shorter of the families'") {
    bench.answers(found({"192.0.2.1"}, 20s), found({"2001:db8::1"}, 60s));
    bench.start();
    bench.advance(40s);
    CHECK(bench.rounds() == std::vector<base::Duration>{0s, 17s, 34s});
  }
  SUBCASE("which is never taken for less than a second") {
    bench.answers(found({"192.0.2.1"}, 0s), no_data());
    bench.start();
    bench.advance(2s);
    CHECK(bench.rounds() == std::vector<base::Duration>{0s, 850ms, 1700ms});
  }
  SUBCASE("nor for more than five minutes") {
    bench.answers(found({"192.0.2.1"}, 24h), no_data());
    bench.start();
    bench.advance(5min);
    CHECK(bench.rounds() == std::vector<base::Duration>{0s, 255s});
  }
  SUBCASE("what stands in the hosts file is read again every few seconds") {
    bench.answers(found({"192.0.2.1"}, std::nullopt), no_data());
    bench.start();
    bench.advance(12s);
    CHECK(bench.rounds() == std::vector<base::Duration>{0s, 5s, 10s});
    CHECK(bench.state().kind == Is::Resolved);
    CHECK_FALSE(bench.state().ttl);
  }
}

TEST_CASE("one family's silence does not hold back the other") {
  NamesBench bench;
  SUBCASE("IPv4 waits 50 ms for IPv6") {
    bench.answers(found({"192.0.2.1"}), failed("no answer from the name servers"));
    bench.takes(10ms, 7s);
    bench.start();
    bench.advance(1s);
    REQUIRE(bench.told.size() == 1);
    CHECK(bench.told[0].after == 60ms);
    CHECK(bench.state().kind == Is::Resolved);
  }
  SUBCASE("which is enough for a slower answer to come first") {
    bench.answers(found({"192.0.2.1"}), found({"2001:db8::1"}));
    bench.takes(10ms, 40ms);
    bench.start();
    bench.advance(1s);
    REQUIRE(bench.told.size() == 1);
    CHECK(bench.told[0].addresses == Strings{"2001:db8::1", "192.0.2.1"});
    CHECK(bench.told[0].after == 40ms);
  }
  SUBCASE("a later one is told then") {
    bench.answers(found({"192.0.2.1"}), found({"2001:db8::1"}));
    bench.takes(10ms, 3s);
    bench.start();
    bench.advance(4s);
    REQUIRE(bench.told.size() == 2);
    CHECK(bench.told[0].addresses == Strings{"192.0.2.1"});
    CHECK(bench.told[1].addresses == Strings{"2001:db8::1", "192.0.2.1"});
    CHECK(bench.told[1].after == 3s);
  }
  SUBCASE("IPv6 waits for nobody") {
    bench.answers(failed(), found({"2001:db8::1"}));
    bench.takes(7s, 10ms);
    bench.start();
    bench.advance(1s);
    REQUIRE(bench.told.size() == 1);
    CHECK(bench.told[0].after == 10ms);
  }
  SUBCASE("and IPv4 is refreshed on time while IPv6 is silent") {
    bench.answers(found({"192.0.2.1"}, 1s), failed());
    bench.takes(0ms, 7s);
    bench.start();
    bench.advance(3500ms);
    CHECK(bench.rounds() == std::vector<base::Duration>{0s, 850ms, 1700ms, 2550ms, 3400ms});
    CHECK(bench.source.asked[AddressFamily::V6].size() == 1);
  }
}

TEST_CASE("the last good addresses are used while the name servers fail") {
  NamesBench bench;
  bench.takes(0ms, 0ms);
  bench.answers(found({"192.0.2.1"}, 20s), found({"2001:db8::1"}, 20s));
  bench.start();
  bench.advance(1s);
  SUBCASE("with errors") {
    bench.answers(failed(), failed());
  }
  SUBCASE("or deny what they said") {
    bench.answers(no_name(), no_name());
  }
  SUBCASE("or give an answer without an address") {
    bench.answers(no_data(), no_data());
  }
  SUBCASE("or mix these") {
    bench.answers(no_name(), failed());
  }
  bench.advance(17s);  // asked again
  CHECK(bench.state().kind == Is::Resolved);
  CHECK_FALSE(bench.state().error.empty());
  bench.advance(12s);
  CHECK(bench.state().kind == Is::Stale);
  CHECK(bench.state().stale_for == 10s);
  CHECK(bench.state().age == 30s);
  bench.advance(1h);
  CHECK(bench.told.size() == 1);
  CHECK(bench.known() == Strings{"2001:db8::1", "192.0.2.1"});

  // And whatever they say next with an address in it counts at once.
  bench.answers(found({"192.0.2.5"}, 20s), no_data());
  bench.advance(30s);
  CHECK(bench.state().kind == Is::Resolved);
  CHECK(bench.state().error.empty());
  CHECK(bench.known() == Strings{"192.0.2.5"});
}

TEST_CASE("after failures it is asked less and less often, up to every 30 s") {
  NamesBench bench;
  bench.takes(0ms, 0ms);
  bench.answers(found({"192.0.2.1"}, 10s), no_data());
  bench.start();
  bench.advance(1s);
  bench.answers(failed(), failed());
  bench.advance(2min);
  CHECK(bench.rounds() == std::vector<base::Duration>{0s, 8500ms, 9500ms, 11500ms, 15500ms, 23500ms,
                                                      39500ms, 69500ms, 99500ms});
}

TEST_CASE("a name that cannot be resolved at the start is asked for every few seconds") {
  NamesBench bench;
  bench.takes(0ms, 0ms);
  bench.answers(no_name(), no_name());
  bench.start();
  bench.advance(20s);
  CHECK(bench.rounds() == std::vector<base::Duration>{0s, 1s, 3s, 7s, 12s, 17s});
  CHECK(bench.state().kind == Is::Failed);
  CHECK(bench.state().error == "NXDOMAIN");
  CHECK(bench.told.empty());

  bench.answers(found({"192.0.2.1"}), no_data());
  bench.advance(5s);
  CHECK(bench.known() == Strings{"192.0.2.1"});
  CHECK(bench.state().kind == Is::Resolved);
}

TEST_CASE("what a failing family had is kept beside what the other one says") {
  NamesBench bench;
  bench.takes(0ms, 0ms);
  bench.answers(found({"192.0.2.1"}, 10s), found({"2001:db8::1"}, 10s));
  bench.start();
  bench.advance(1s);
  bench.answers(found({"192.0.2.2"}, 10s), failed("SERVFAIL"));
  bench.advance(10s);
  CHECK(bench.known() == Strings{"2001:db8::1", "192.0.2.2"});
  CHECK(bench.state().kind == Is::Resolved);
  CHECK(bench.state().error == "IPv6: SERVFAIL");

  // Balancers deny the name where they have no address of that family.
  bench.answers(found({"192.0.2.2"}, 10s), no_name());
  bench.advance(30s);
  CHECK(bench.known() == Strings{"192.0.2.2"});
  CHECK(bench.state().error.empty());
}

TEST_CASE("in need it is asked for at once, once a second at most") {
  NamesBench bench;
  bench.takes(10ms, 10ms);
  bench.answers(found({"192.0.2.1"}, 300s), no_data());
  bench.start();
  bench.advance(100s);
  bench.answers(found({"192.0.2.2"}, 300s), no_data());
  for (int i = 0; i < 25; ++i) {
    bench.names->urgent(0);
    bench.advance(100ms);
  }
  CHECK(bench.rounds() == std::vector<base::Duration>{0s, 100s, 101s, 102s});
  CHECK(bench.known() == Strings{"192.0.2.2"});
  CHECK(bench.told.back().after == 100s + 10ms);
}

TEST_CASE("while somebody waits for an unknown name a failure is not backed off from for long") {
  NamesBench bench;
  bench.takes(0ms, 0ms);
  bench.answers(failed(), failed());
  bench.start();
  bench.advance(13s);  // 0, 1, 3, 7, 12
  bench.names->urgent(0);
  bench.advance(20s);
  CHECK(bench.rounds() == std::vector<base::Duration>{0s, 1s, 3s, 7s, 12s, 13s, 14s, 15s, 16s, 17s,
                                                      18s, 19s, 20s, 21s, 22s, 23s, 28s, 33s});
}

TEST_CASE("need does not ask beside a question that is still open") {
  NamesBench bench;
  bench.takes(3s, 3s);
  bench.answers(failed(), failed());
  bench.start();
  for (int i = 0; i < 29; ++i) {
    bench.names->urgent(0);
    bench.advance(100ms);
  }
  CHECK(bench.rounds().size() == 1);
  bench.takes(0s, 0s);
  bench.answers(found({"192.0.2.1"}), no_data());
  bench.advance(2s);  // it fails, and is asked again a second later
  CHECK(bench.known() == Strings{"192.0.2.1"});
}

TEST_CASE("origins of one name share a look-up, and those without a name have none") {
  NamesBench bench;
  bench.answers(found({"192.0.2.1"}), no_data());
  bench.start({kHost, "", kHost});
  bench.advance(1s);
  CHECK(bench.source.hosts == std::vector<std::string>{kHost, kHost});  // two families
  REQUIRE(bench.told.size() == 2);
  CHECK(bench.told[0].origin == 0);
  CHECK(bench.told[1].origin == 2);
  CHECK(bench.names->state(1).kind == Is::Unnamed);
  bench.names->urgent(1);
  CHECK(bench.names->addresses(1).empty());
}

TEST_CASE("it can be taken away at any time") {
  NamesBench bench;
  bench.answers(found({"192.0.2.1"}), found({"2001:db8::1"}));
  bench.takes(10ms, 100ms);
  SUBCASE("before it has asked anybody") {
    bench.start({});
  }
  SUBCASE("while one family waits for the other") {
    bench.start();
    bench.advance(20ms);
  }
  SUBCASE("between two rounds") {
    bench.start();
    bench.advance(1s);
  }
  const std::size_t told = bench.told.size();
  bench.names.reset();
  // The scripted source's own timers are not the matter here: only Names' are gone.
  CHECK(bench.told.size() == told);
}

}  // namespace holdfast::upstream
