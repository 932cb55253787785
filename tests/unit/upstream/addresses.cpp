#include "upstream/addresses.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace std::chrono_literals;
using namespace holdfast;
using upstream::Addresses;
using upstream::Outcome;
using upstream::Phase;

namespace {

const std::string kV6 = "2001:db8::7";
const std::string kV4 = "192.0.2.7";
const std::string kOther = "192.0.2.8";

struct AddressesFixture {
  explicit AddressesFixture(const std::vector<std::string>& addresses,
                            Addresses::Settings settings = {})
      : all(settings) {
    all.set(addresses);
  }
  std::string choose(const std::vector<std::string>& avoided = {}) const {
    return all.choose(avoided);
  }
  void connects(const std::string& address, int times, base::Duration connect,
                base::Duration tls = {}) {
    for (int i = 0; i < times; ++i) all.connected(address, connect, tls);
  }
  // A knock that is due now; empty if none is.
  std::string knocks(Outcome outcome) {
    const std::string* const due = all.due(now);
    if (due == nullptr) return "";
    const std::string address = *due;
    all.knocking(address);
    all.knocked(now, address, outcome);
    return address;
  }

  Addresses all;
  base::SteadyTime now{1h};
};

}  // namespace

TEST_CASE("the first good address is chosen, in the order of the names' answer") {
  AddressesFixture f({kV6, kV4, kOther});
  CHECK(f.choose() == kV6);
  CHECK(f.choose() == kV6);  // it does not go round
  f.all.failed(f.now, kV6, Outcome::Connect);
  CHECK(f.choose() == kV4);
  f.all.connected(kV6, 1ms, {});
  CHECK(f.choose() == kV6);
}

TEST_CASE("a fetch that is stuck at one address goes to another") {
  AddressesFixture f({kV6, kV4});
  CHECK(f.choose({kV6}) == kV4);
  CHECK(f.choose({kV4}) == kV6);

  SUBCASE("or to the same again, where it is stuck at all, or the other is dark") {
    CHECK(f.choose({kV6, kV4}) == kV6);
    f.all.failed(f.now, kV4, Outcome::Connect);
    CHECK(f.choose({kV6}) == kV6);
  }
  SUBCASE("also while all are dark") {
    f.all.failed(f.now, kV6, Outcome::Connect);
    f.all.failed(f.now + 1s, kV4, Outcome::Connect);
    CHECK(f.choose() == kV6);
    CHECK(f.choose({kV6}) == kV4);
    CHECK(f.choose({kV6, kV4}) == kV6);
  }
}

TEST_CASE("a dark family costs its head start once") {
  AddressesFixture f({kV6, kV4});
  // Nothing is known: IPv6 gets its head start, then IPv4 is raced, and wins.
  CHECK(f.choose() == kV6);
  CHECK(f.all.patience(kV6, Phase::Connect) == 250ms);
  f.all.connected(kV4, 20ms, 30ms);
  f.all.overtaken(f.now, kV6);

  CHECK(f.choose() == kV4);
  CHECK(f.all.view()[0].dark);
  CHECK(f.all.view()[0].last_error == "connect_timeout");
  // It is knocked at beside the clients' requests, which go to IPv4 all the while.
  std::vector<base::Duration> knocks;
  for (const base::SteadyTime start = f.now; f.now < start + 5min; f.now += 1s) {
    if (!f.knocks(Outcome::ConnectTimeout).empty()) knocks.push_back(f.now - start);
    CHECK(f.choose() == kV4);
  }
  CHECK(knocks == std::vector<base::Duration>{1s, 3s, 7s, 15s, 31s, 63s, 123s, 183s, 243s});
  // It is back.
  f.now = f.all.next_knock();
  CHECK(f.knocks(Outcome::Ok) == kV6);
  CHECK(f.choose() == kV6);
  CHECK(f.all.next_knock() == base::SteadyTime::max());
  // And the next darkness begins with short intervals again.
  f.all.failed(f.now, kV6, Outcome::Connect);
  CHECK(f.all.next_knock() == f.now + 1s);
}

TEST_CASE("a single address is chosen although dark") {
  AddressesFixture f({kV4});
  for (int i = 0; i < 5; ++i) {
    f.all.failed(f.now, kV4, Outcome::ConnectTimeout);
    CHECK(f.choose() == kV4);
    CHECK(f.choose({kV4}) == kV4);
    f.now += 1s;
  }
}

TEST_CASE("while all are dark they take turns") {
  AddressesFixture f({kV6, kV4, kOther});
  std::vector<std::string> tried;
  for (int i = 0; i < 6; ++i) {
    tried.push_back(f.choose());
    f.all.failed(f.now, tried.back(), Outcome::Connect);
    f.now += 10ms;
  }
  CHECK(tried == std::vector<std::string>{kV6, kV4, kOther, kV6, kV4, kOther});
}

TEST_CASE("each way a set-up fails makes an address dark, and nothing else does") {
  for (int i = 0; i < upstream::kOutcomes; ++i) {
    const auto outcome = static_cast<Outcome>(i);
    CAPTURE(to_string(outcome));
    AddressesFixture f({kV6, kV4});
    f.all.failed(f.now, kV6, outcome);
    const bool setup = outcome == Outcome::Connect || outcome == Outcome::ConnectTimeout ||
                       outcome == Outcome::Tls || outcome == Outcome::TlsTimeout ||
                       outcome == Outcome::Certificate;
    CHECK(f.all.view()[0].dark == setup);
    CHECK(f.choose() == (setup ? kV4 : kV6));
  }
}

TEST_CASE("nobody is there when each address has failed since it was last set up") {
  AddressesFixture f({kV6, kV4});
  CHECK_FALSE(f.all.all_failed());
  f.all.failed(f.now, kV6, Outcome::Connect);
  CHECK_FALSE(f.all.all_failed());
  f.all.failed(f.now, kV4, Outcome::Certificate);
  CHECK(f.all.all_failed());
  f.all.connected(kV6, 1ms, {});
  CHECK_FALSE(f.all.all_failed());
  f.all.set({});
  CHECK_FALSE(f.all.known());
  CHECK_FALSE(f.all.all_failed());
}

TEST_CASE("has_other counts good ones alone") {
  AddressesFixture f({kV6, kV4});
  CHECK(f.all.has_other(kV6));
  f.all.failed(f.now, kV4, Outcome::Connect);
  CHECK_FALSE(f.all.has_other(kV6));
  CHECK(f.all.has_other(kV4));
}

TEST_CASE("clients' failures do not move the knocks") {
  AddressesFixture f({kV4});
  f.all.failed(f.now, kV4, Outcome::Connect);
  const base::SteadyTime first = f.all.next_knock();
  for (int i = 0; i < 50; ++i) f.all.failed(f.now + 900ms, kV4, Outcome::Connect);
  CHECK(f.all.next_knock() == first);
  CHECK(first == f.now + 1s);
}

TEST_CASE("one knock at a time, and one of ours that was taken back does not count") {
  AddressesFixture f({kV6, kV4});
  f.all.failed(f.now, kV6, Outcome::Connect);
  f.all.failed(f.now + 100ms, kV4, Outcome::Connect);
  CHECK(f.all.due(f.now) == nullptr);
  f.now += 2s;
  REQUIRE(f.all.due(f.now) != nullptr);
  CHECK(*f.all.due(f.now) == kV6);
  f.all.knocking(kV6);
  REQUIRE(f.all.due(f.now) != nullptr);
  CHECK(*f.all.due(f.now) == kV4);
  f.all.knocking(kV4);
  CHECK(f.all.due(f.now) == nullptr);
  CHECK(f.all.next_knock() == base::SteadyTime::max());

  f.all.knocked(f.now, kV6, Outcome::Cancelled);
  CHECK(f.all.next_knock() == f.now + 1s);
  f.all.knocked(f.now, kV6, Outcome::TlsTimeout);
  CHECK(f.all.next_knock() == f.now + 2s);
  // A request got through while it was knocked at: what that says is newer.
  f.all.connected(kV4, 1ms, {});
  f.all.knocked(f.now, kV4, Outcome::ConnectTimeout);
  CHECK_FALSE(f.all.view()[1].dark);
}

TEST_CASE("patience follows what was learned, per address and phase") {
  AddressesFixture f({kV6, kV4});
  f.connects(kV6, 20, 150ms, 310ms);
  CHECK(f.all.patience(kV6, Phase::Connect) == 350ms);
  CHECK(f.all.patience(kV6, Phase::Tls) == 670ms);
  CHECK(f.all.patience(kV6, Phase::Answer) == base::Duration::max());
  CHECK(f.all.patience(kV4, Phase::Connect) == 250ms);
  CHECK(f.all.round_trip(kV6) == 150ms);
  CHECK(f.all.round_trip(kV4) == 0ms);

  SUBCASE("never below the head start") {
    f.connects(kV4, 20, 1ms, 2ms);
    CHECK(f.all.patience(kV4, Phase::Connect) == 250ms);
    CHECK(f.all.patience(kV4, Phase::Tls) == 250ms);
  }
  SUBCASE("what is learned of one whose other is dark holds too") {
    f.all.failed(f.now, kV4, Outcome::Connect);
    CHECK(f.all.patience(kV6, Phase::Connect) == 350ms);
  }
}

TEST_CASE("without a second address and with nothing known a lost SYN has its time") {
  AddressesFixture f({kV4});
  CHECK(f.all.patience(kV4, Phase::Connect) == 1500ms);
  CHECK(f.all.patience(kV4, Phase::Tls) == 3s);
  f.connects(kV4, 2, 10ms);
  CHECK(f.all.patience(kV4, Phase::Connect) == 1500ms);  // two are too few
  f.connects(kV4, 1, 10ms);
  CHECK(f.all.patience(kV4, Phase::Connect) == 250ms);
  CHECK(f.all.patience(kV4, Phase::Tls) == 3s);
}

TEST_CASE("lost SYNs are not taken for distance") {
  AddressesFixture f({kV4});
  f.connects(kV4, 8, 60ms);
  f.connects(kV4, 2, 1060ms);
  CHECK(f.all.patience(kV4, Phase::Connect) == 410ms);
  CHECK(f.all.round_trip(kV4) == 60ms);
}

TEST_CASE("what is known of addresses that stay is kept, of those that leave forgotten") {
  AddressesFixture f({kV6, kV4});
  f.connects(kV4, 5, 200ms);
  f.all.failed(f.now, kV6, Outcome::Connect);

  f.all.set({kOther, kV4, kV6, kV4});
  CHECK(f.all.size() == 3);
  CHECK(f.choose() == kOther);
  CHECK(f.all.round_trip(kV4) == 200ms);
  CHECK(f.all.view()[2].dark);
  CHECK(f.all.next_knock() == f.now + 1s);

  f.all.set({kV4});
  f.all.set({kV6, kV4});
  CHECK_FALSE(f.all.view()[0].dark);
  // News of one that has left changes nothing.
  f.all.failed(f.now, kOther, Outcome::Connect);
  f.all.connected(kOther, 1ms, 1ms);
  f.all.knocked(f.now, kOther, Outcome::Ok);
  CHECK(f.all.size() == 2);
}

TEST_CASE("who answered until now is asked while nobody is there where the name leads now") {
  AddressesFixture f({kV4});
  f.connects(kV4, 5, 20ms);
  f.all.set({kOther});
  CHECK(f.choose() == kOther);
  CHECK(f.all.has_other(kOther));
  CHECK(f.all.patience(kOther, Phase::Connect) == 250ms);
  f.all.failed(f.now, kOther, Outcome::ConnectTimeout);
  CHECK(f.choose() == kV4);
  CHECK_FALSE(f.all.all_failed());
  // Moved again while that lasts.
  f.all.set({kV6});
  f.all.failed(f.now, kV6, Outcome::ConnectTimeout);
  CHECK(f.choose() == kV4);
  // Once one of them is reached, the past is over.
  f.all.connected(kV6, 20ms, 0ms);
  CHECK(f.all.size() == 1);

  AddressesFixture dead({kV4});
  dead.connects(kV4, 5, 20ms);
  dead.all.set({kOther});
  // One failure may be bad luck, there as elsewhere.
  dead.all.failed(dead.now, kV4, Outcome::ConnectTimeout);
  CHECK(dead.choose() == kOther);
  dead.all.failed(dead.now, kOther, Outcome::ConnectTimeout);
  CHECK(dead.all.all_failed());
  dead.all.knocked(dead.now, kV4, Outcome::Ok);
  CHECK(dead.choose() == kV4);
  dead.all.knocked(dead.now, kOther, Outcome::Ok);
  CHECK(dead.all.size() == 1);
  // Dark when it left, it is kept too.
  AddressesFixture turns({kV4});
  turns.connects(kV4, 5, 20ms);
  turns.all.failed(turns.now, kV4, Outcome::Reset);
  turns.all.set({kOther});
  CHECK(turns.all.size() == 2);
  // Nor is one kept that was never reached.
  AddressesFixture unknown({kV4});
  unknown.all.set({kOther});
  CHECK(unknown.all.size() == 1);
}
